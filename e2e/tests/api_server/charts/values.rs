//! What a user may set: everything in values.yaml, and nothing else, at any depth.

use std::fs;

use serde_json::Value;
use tidemark_e2e::programs;

use super::{NAMES, RENDER, cases, folder, helm, text};

/// Each object of values whose names are given, as `--set` addresses what is in it.
fn named(schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
    let schema = schema["$ref"].as_str().map_or(Some(schema), |at| root.pointer(at.trim_start_matches('#')));
    let schema = schema.expect("what is referred to is there");
    if schema["additionalProperties"] == Value::Bool(false) {
        found.push(path.to_owned());
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        named(field, root, &format!("{path}{name}."), found);
    }
}

#[test]
fn a_value_that_nobody_reads_is_refused_wherever_it_stands() {
    for chart in NAMES {
        let schema = fs::read_to_string(folder(chart).join("values.schema.json")).unwrap();
        let schema: Value = serde_json::from_str(&schema).unwrap();
        let mut found = Vec::new();
        named(&schema, &schema, "", &mut found);
        assert!(found.contains(&String::new()), "{chart} takes anything");
        let case = &cases(chart, "-values.yaml")[0];
        for path in found {
            let set = format!("{path}nonsense=1");
            let mut render = helm();
            render.args(RENDER).args([
                "release",
                text(&folder(chart)),
                "--values",
                text(case),
                "--set",
                &set,
            ]);
            let refusal = programs::run(&mut render).expect_err(&set).to_string();
            assert!(refusal.contains("additional properties 'nonsense' not allowed"), "{set}: {refusal}");
        }
    }
}

/// The leaves of values.yaml, and of the schema what has no default to be seen there.
#[test]
fn every_value_that_the_schema_knows_stands_in_the_file_of_values() {
    for chart in NAMES {
        let read = |file: &str| fs::read_to_string(folder(chart).join(file)).unwrap();
        let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
        let values: Value = serde_saphyr::from_str(&read("values.yaml")).unwrap();
        missing(&schema, &schema, &values, chart);
    }
}

fn missing(schema: &Value, root: &Value, values: &Value, path: &str) {
    let schema = schema["$ref"].as_str().map_or(Some(schema), |at| root.pointer(at.trim_start_matches('#')));
    let fields = schema.and_then(|schema| schema["properties"].as_object());
    // The spec of a set is its user's own, and global is Helm's.
    for (name, field) in fields.into_iter().flatten().filter(|(name, _)| *name != "global") {
        let value = values.get(name).unwrap_or_else(|| panic!("{path}.{name} is not in values.yaml"));
        if name != "spec" {
            missing(field, root, value, &format!("{path}.{name}"));
        }
    }
}
