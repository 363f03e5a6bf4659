//! The table of permissions in docs/security.md is what the chart grants.

use std::process::Command;

use serde_json::Value;
use tidemark_e2e::programs;

const PAGE: &str = include_str!("../../../docs/security.md");

/// All that the chart makes, with one Secret allowed.
fn rendered() -> Vec<Value> {
    let chart = programs::checkout().join("charts/tidemark");
    let mut helm = Command::new(programs::folder().unwrap().join("helm"));
    helm.args(["template", "--kube-version", "1.34", "--set", "tlsSecrets={chain-roots}", "tidemark"])
        .arg(chart);
    let text = programs::run(&mut helm).unwrap();
    let documents =
        text.split("\n---").map(|document| serde_saphyr::from_str::<Option<Value>>(document).unwrap());
    documents.flatten().collect()
}

fn list(values: &Value) -> String {
    let names = values.as_array().into_iter().flatten().filter_map(Value::as_str);
    names
        .map(|name| if name.is_empty() { "core".to_owned() } else { format!("`{name}`") })
        .collect::<Vec<_>>()
        .join(", ")
}

fn rows(role: &Value) -> Vec<String> {
    let whose = if role["kind"] == "ClusterRole" { "served" } else { "its own" };
    let row = |rule: &Value| {
        let columns = ["apiGroups", "resources", "resourceNames", "verbs"].map(|field| list(&rule[field]));
        format!("| {whose} | {} |", columns.join(" | ")).replace("  ", " ")
    };
    role["rules"].as_array().unwrap().iter().map(row).collect()
}

/// The roles bound to the operator's own ServiceAccount, in the order of the chart.
fn granted(objects: &[Value]) -> Vec<&Value> {
    let is_ours = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == "tidemark";
    let bound = |role: &&Value| {
        objects.iter().any(|binding| {
            binding["subjects"].as_array().is_some_and(|subjects| subjects.iter().any(is_ours))
                && binding["roleRef"]["kind"] == role["kind"]
                && binding["roleRef"]["name"] == role["metadata"]["name"]
        })
    };
    objects.iter().filter(bound).collect()
}

#[test]
fn the_page_lists_what_the_chart_grants() {
    let objects = rendered();
    let granted: Vec<_> = granted(&objects).into_iter().flat_map(rows).collect();
    assert!(granted.len() > 5, "{granted:?}");
    let is_row = |line: &&str| line.starts_with("| served |") || line.starts_with("| its own |");
    let listed: Vec<_> = PAGE.lines().filter(is_row).collect();
    assert_eq!(listed, granted, "docs/security.md must have these rows:\n{}\n", granted.join("\n"));
}
