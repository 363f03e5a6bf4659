//! Finds what in a user's `spec.podTemplate` no pod has a field for: it would be lost without a word.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::{Map, Value, json};

use super::merge::{merge_key, without_nulls};
use crate::reconcile::validate::Rejection;

/// What the controller takes over from a template's metadata.
const METADATA: [&str; 3] = ["labels", "annotations", "finalizers"];

/// Refuses the first field that would not survive being read and written, or could not be merged.
///
/// # Errors
/// A rejection that names the field by its path.
pub(super) fn survey(over: &Value) -> Result<(), Rejection> {
    shape(over, "spec.podTemplate")?;
    let metadata = over.get("metadata").and_then(Value::as_object).into_iter().flat_map(Map::keys);
    if let Some(field) = metadata.into_iter().find(|field| !METADATA.contains(&field.as_str())) {
        return Err(unknown(
            &format!("spec.podTemplate.metadata.{field}"),
            "pods are named and owned by their StatefulSet",
        ));
    }
    let given = without_nulls(over);
    let kept = read(&given)?;
    if let Some(path) = lost(&given, &kept, "spec.podTemplate") {
        return Err(unknown(&path, "no such field is known here, or not with this value"));
    }
    match null_that_is_no_field(over) {
        Some(path) => Err(unknown(&path, "no such field is known here that could be left out")),
        None => Ok(()),
    }
}

fn unknown(path: &str, why: &str) -> Rejection {
    let message = format!("{path}: {why}: correct or remove it");
    Rejection { reason: "UnknownField", message }
}

/// Directives are refused anywhere, and elements without the key by which they are merged.
fn shape(value: &Value, path: &str) -> Result<(), Rejection> {
    let Value::Object(fields) = value else {
        let elements = value.as_array().into_iter().flatten().enumerate();
        return elements
            .into_iter()
            .try_for_each(|(index, element)| shape(element, &format!("{path}[{index}]")));
    };
    for (field, value) in fields {
        let path = format!("{path}.{field}");
        if field.starts_with('$') {
            return Err(unknown(&path, "directives are not followed, only fields are"));
        }
        let elements = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let keyless = merge_key(field).and_then(|key| {
            Some((elements.iter().position(|element| element.get(key).is_none_or(Value::is_null))?, key))
        });
        if let Some((index, key)) = keyless {
            let message = format!(
                "{path}[{index}] has no {key}, by which the elements of this list are told apart: add it"
            );
            return Err(Rejection { reason: "InvalidField", message });
        }
        shape(value, &path)?;
    }
    Ok(())
}

/// The template as whoever reads it understands it.
fn read(given: &Value) -> Result<Value, Rejection> {
    let template: Result<PodTemplateSpec, _> = serde_path_to_error::deserialize(given);
    let template = template.map_err(|error| {
        let message = format!("spec.podTemplate.{}: {}: correct it", error.path(), error.inner());
        Rejection { reason: "InvalidField", message }
    })?;
    Ok(serde_json::to_value(template).unwrap_or_default())
}

/// The path of the first value that was given and not kept. A number may be kept as its text, as quantities are.
fn lost(given: &Value, kept: &Value, path: &str) -> Option<String> {
    match (given, kept) {
        (Value::Object(given), Value::Object(kept)) => given.iter().find_map(|(field, value)| {
            let path = format!("{path}.{field}");
            match kept.get(field) {
                Some(kept) => lost(value, kept, &path),
                None => Some(path),
            }
        }),
        (Value::Array(given), Value::Array(kept)) if given.len() == kept.len() => {
            let pairs = given.iter().zip(kept).enumerate();
            pairs
                .into_iter()
                .find_map(|(index, (given, kept))| lost(given, kept, &format!("{path}[{index}]")))
        }
        (Value::Number(given), Value::String(kept)) if given.to_string() == *kept => None,
        (given, kept) => (given != kept).then(|| path.to_owned()),
    }
}

/// The path of the first null in whose place no value whatsoever would be kept.
fn null_that_is_no_field(over: &Value) -> Option<String> {
    let mut nulls = Vec::new();
    find_nulls(over, String::new(), &mut nulls);
    let path = nulls.into_iter().find(|pointer| !is_field(over, pointer))?;
    Some(format!("spec.podTemplate{}", path.replace('/', ".")))
}

fn find_nulls(value: &Value, pointer: String, nulls: &mut Vec<String>) {
    match value {
        Value::Null => nulls.push(pointer),
        Value::Object(fields) => {
            let escaped = |field: &str| field.replace('~', "~0").replace('/', "~1");
            fields
                .iter()
                .for_each(|(field, value)| find_nulls(value, format!("{pointer}/{}", escaped(field)), nulls));
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements.for_each(|(index, value)| find_nulls(value, format!("{pointer}/{index}"), nulls));
        }
        _ => {}
    }
}

/// Whether some value would be kept there: every field takes a value of one of these kinds.
fn is_field(over: &Value, pointer: &str) -> bool {
    [json!({}), json!([]), json!(""), json!(1), json!(true)].into_iter().any(|value| {
        let mut given = over.clone();
        if let Some(null) = given.pointer_mut(pointer) {
            *null = value;
        }
        read(&without_nulls(&given)).is_ok_and(|kept| kept.pointer(pointer).is_some())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::survey;

    fn check(over: &Value, expected: Result<(), (&str, &str)>) {
        match (survey(over), expected) {
            (Ok(()), Ok(())) => {}
            (Err(rejection), Err((reason, start))) => {
                assert_eq!(rejection.reason, reason, "{}", rejection.message);
                assert!(rejection.message.starts_with(start), "{}", rejection.message);
            }
            (found, _) => panic!("{over}: {found:?}"),
        }
    }

    #[test]
    fn every_field_of_a_pod_passes() {
        check(
            &json!({
                "metadata": { "labels": { "a": "b" }, "annotations": { "c": "d" }, "finalizers": ["e/f"] },
                "spec": {
                    "containers": [{ "name": "follower", "resources": { "limits": { "cpu": 1, "memory": "1Gi" } }, "args": [] }],
                    "securityContext": { "runAsUser": null }, "terminationGracePeriodSeconds": 90, "hostAliases": null,
                    "affinity": { "nodeAffinity": {} }, "automountServiceAccountToken": null, "nodeSelector": null,
                    "tolerations": [{ "operator": "Exists", "tolerationSeconds": 30 }], "priorityClassName": null,
                },
            }),
            Ok(()),
        );
    }

    #[test]
    fn what_no_pod_has_is_refused_by_its_path() {
        let cases = [
            (json!({ "nodeSelector": {} }), "spec.podTemplate.nodeSelector: "),
            (json!({ "metadata": { "name": "x" } }), "spec.podTemplate.metadata.name: "),
            (json!({ "metadata": { "nmae": null } }), "spec.podTemplate.metadata.nmae: "),
            (json!({ "spec": { "nodeSelectors": {} } }), "spec.podTemplate.spec.nodeSelectors: "),
            (json!({ "spec": { "nodeSelectors": null } }), "spec.podTemplate.spec.nodeSelectors: "),
            (
                json!({ "spec": { "containers": [{ "name": "a" }, { "name": "b", "prots": [] }] } }),
                "spec.podTemplate.spec.containers[1].prots: ",
            ),
            (
                json!({ "spec": { "securityContext": { "runAsUsr": null } } }),
                "spec.podTemplate.spec.securityContext.runAsUsr: ",
            ),
            (json!({ "spec": { "$patch": "delete" } }), "spec.podTemplate.spec.$patch: "),
            (json!({ "spec": { "$retainKeys": ["volumes"] } }), "spec.podTemplate.spec.$retainKeys: "),
            (
                json!({ "spec": { "volumes": [{ "name": "a", "$patch": "replace" }] } }),
                "spec.podTemplate.spec.volumes[0].$patch: ",
            ),
            (
                json!({ "spec": { "$setElementOrder/containers": [] } }),
                "spec.podTemplate.spec.$setElementOrder/containers: ",
            ),
        ];
        for (over, start) in &cases {
            check(over, Err(("UnknownField", start)));
        }
    }

    #[test]
    fn a_value_of_another_kind_and_an_element_without_its_key_are_refused_by_their_path() {
        let cases = [
            (
                json!({ "spec": { "terminationGracePeriodSeconds": "long" } }),
                "spec.podTemplate.spec.terminationGracePeriodSeconds: ",
            ),
            (
                json!({ "spec": { "containers": [{ "name": "a", "args": [1] }] } }),
                "spec.podTemplate.spec.containers[0].args[0]: ",
            ),
            (json!({ "spec": { "containers": {} } }), "spec.podTemplate.spec.containers: "),
            (json!({ "spec": [] }), "spec.podTemplate.spec: "),
            (
                json!({ "spec": { "containers": [{ "image": "a" }] } }),
                "spec.podTemplate.spec.containers[0] has no name",
            ),
            (json!({ "spec": { "volumes": [null] } }), "spec.podTemplate.spec.volumes[0] has no name"),
            (
                json!({ "spec": { "containers": [{ "name": "a", "volumeMounts": [{ "name": "b" }] }] } }),
                "spec.podTemplate.spec.containers[0].volumeMounts[0] has no mountPath",
            ),
        ];
        for (over, start) in &cases {
            check(over, Err(("InvalidField", start)));
        }
    }
}
