//! Finds every rule and every bound of the definition, so that none goes untried.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use serde_json::{Value, json};
use tidemark_operator::api::crd;

/// A rule, the path of what it is about, and what the server says when it is broken.
pub(super) struct Rule {
    pub(super) path: String,
    pub(super) message: String,
    /// Whether it compares with what was before.
    pub(super) on_change: bool,
}

/// A value just outside of a bound, what the server says to it, and the nearest value inside, where one can be made.
pub(super) struct Bound {
    pub(super) path: String,
    pub(super) outside: Value,
    pub(super) message: String,
    pub(super) inside: Vec<Value>,
}

pub(super) fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    walk(&schema(), "", &mut |path, schema| {
        for rule in schema.x_kubernetes_validations.iter().flatten() {
            let message = rule.message.clone().expect("every rule has a message");
            rules.push(Rule { path: path.to_owned(), message, on_change: rule.rule.contains("oldSelf") });
        }
    });
    rules
}

/// The bounds of fields of the spec. Those of list elements are tried with their lists.
pub(super) fn bounds() -> Vec<Bound> {
    let mut bounds = Vec::new();
    walk(&schema(), "", &mut |path, schema| {
        if path.starts_with("/spec/") {
            bounds.extend(of_number(path, schema));
            bounds.extend(of_size(path, schema));
            bounds.extend(of_choice(path, schema));
        }
    });
    bounds
}

fn schema() -> JSONSchemaProps {
    let version = crd().spec.versions.remove(0);
    version.schema.and_then(|schema| schema.open_api_v3_schema).expect("a schema")
}

fn walk(schema: &JSONSchemaProps, path: &str, look: &mut impl FnMut(&str, &JSONSchemaProps)) {
    look(path, schema);
    for (name, field) in schema.properties.iter().flatten() {
        walk(field, &format!("{path}/{name}"), look);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(item)) = &schema.items {
        walk(item, &format!("{path}/0"), look);
    }
}

fn of_number(path: &str, schema: &JSONSchemaProps) -> Vec<Bound> {
    let bound = |bound: f64, beyond: f64, words: &str| Bound {
        path: path.to_owned(),
        outside: json!(whole(beyond)),
        message: format!("should be {words} than or equal to {}", whole(bound)),
        inside: vec![json!(whole(bound))],
    };
    let least = schema.minimum.map(|least| bound(least, least - 1.0, "greater"));
    let most = schema.maximum.map(|most| bound(most, most + 1.0, "less"));
    least.into_iter().chain(most).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the schema holds the bounds of integers as floats")]
fn whole(bound: f64) -> i64 {
    bound as i64
}

fn of_size(path: &str, schema: &JSONSchemaProps) -> Vec<Bound> {
    let count = |most: i64| usize::try_from(most).expect("a count") + 1;
    let bound = |outside: Value, message: String| Bound {
        path: path.to_owned(),
        outside,
        message,
        inside: Vec::new(),
    };
    let length = schema
        .max_length
        .map(|most| bound(json!("x".repeat(count(most))), format!("may not be more than {most} bytes")));
    let items = schema.max_items.map(|most| {
        let is_object = matches!(&schema.items, Some(JSONSchemaPropsOrArray::Schema(item)) if item.type_.as_deref() == Some("object"));
        let element = if is_object { json!({}) } else { json!("x") };
        bound(json!(vec![element; count(most)]), format!("must have at most {most} items"))
    });
    let properties = schema.max_properties.map(|most| {
        let fields = (0..count(most)).map(|key| (format!("k{key}"), json!("v")));
        bound(Value::Object(fields.collect()), format!("must have at most {most} items"))
    });
    length.into_iter().chain(items).chain(properties).collect()
}

fn of_choice(path: &str, schema: &JSONSchemaProps) -> Option<Bound> {
    let choices: Vec<_> = schema.enum_.as_ref()?.iter().map(|JSON(choice)| choice.clone()).collect();
    Some(Bound {
        path: path.to_owned(),
        outside: json!("bogus"),
        message: "Unsupported value: \"bogus\"".to_owned(),
        inside: choices,
    })
}
