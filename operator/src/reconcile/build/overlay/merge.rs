//! A strategic merge of pod templates as JSON, as the API server would do it.

use serde_json::{Map, Value};

/// By which key the elements of a list are told apart; a list that is not named here is replaced as a whole.
///
/// No field of a pod template bears one of these names at one place and is merged otherwise at another. All are the
/// API server's own, but for `readinessGates`, which it replaces: there a user's gates join the operator's.
pub const MERGE_KEYS: [(&str, &str); 15] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("topologySpreadConstraints", "topologyKey"),
    ("schedulingGates", "name"),
    ("resourceClaims", "name"),
    ("env", "name"),
    ("ports", "containerPort"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ownerReferences", "uid"),
    ("readinessGates", "conditionType"),
];

/// The key of a list's elements.
pub(super) fn merge_key(field: &str) -> Option<&'static str> {
    MERGE_KEYS.iter().find(|(list, _)| *list == field).map(|(_, key)| *key)
}

/// Lays `over` over `base`: objects field by field, lists by their merge keys, null leaves a field out.
pub(super) fn lay_over(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            over.iter().for_each(|(field, value)| lay_field(base, field, value));
        }
        (base, over) => *base = without_nulls(over),
    }
}

fn lay_field(base: &mut Map<String, Value>, field: &str, over: &Value) {
    match (base.get_mut(field), over, merge_key(field)) {
        (_, Value::Null, _) => drop(base.remove(field)),
        (Some(Value::Array(base)), Value::Array(over), Some(key)) => lay_list(base, over, key),
        (Some(base), over, _) => lay_over(base, over),
        (None, over, _) => drop(base.insert(field.to_owned(), without_nulls(over))),
    }
}

/// Elements of the same key are merged where they stand; new ones follow in their order.
fn lay_list(base: &mut Vec<Value>, over: &[Value], key: &str) {
    for element in over {
        match base.iter_mut().find(|known| known.get(key) == element.get(key)) {
            Some(known) => lay_over(known, element),
            None => base.push(without_nulls(element)),
        }
    }
}

/// What was given, less what was given as null.
pub(super) fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(fields.map(|(field, value)| (field.clone(), without_nulls(value))).collect())
        }
        Value::Array(elements) => Value::Array(elements.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::lay_over;

    fn check(mut base: Value, over: &Value, expected: &Value) {
        lay_over(&mut base, over);
        assert_eq!(base, *expected);
    }

    #[test]
    fn objects_merge_field_by_field_and_null_leaves_one_out() {
        check(
            json!({ "a": { "b": 1, "c": 2 } }),
            &json!({ "a": { "c": 3, "d": 4 } }),
            &json!({ "a": { "b": 1, "c": 3, "d": 4 } }),
        );
        check(
            json!({ "a": 1, "b": 2 }),
            &json!({ "a": null, "c": null, "d": { "e": null } }),
            &json!({ "b": 2, "d": {} }),
        );
    }

    #[test]
    fn elements_of_one_key_merge_in_place_and_new_ones_follow() {
        let base = json!({ "containers": [{ "name": "follower", "env": [{ "name": "A", "value": "1" }], "args": ["x"] }] });
        let over = json!({ "containers": [
            { "name": "sidecar", "image": "s" },
            { "name": "follower", "env": [{ "name": "B", "value": "2" }, { "name": "A", "value": "3" }] },
        ] });
        let expected = json!({ "containers": [
            { "name": "follower", "env": [{ "name": "A", "value": "3" }, { "name": "B", "value": "2" }], "args": ["x"] },
            { "name": "sidecar", "image": "s" },
        ] });
        check(base, &over, &expected);
    }

    #[test]
    fn a_list_without_a_merge_key_is_replaced_and_readiness_gates_are_united() {
        check(
            json!({ "tolerations": [{ "key": "a" }] }),
            &json!({ "tolerations": [{ "key": "b" }] }),
            &json!({ "tolerations": [{ "key": "b" }] }),
        );
        let gate = |name: &str| json!({ "conditionType": name });
        check(
            json!({ "readinessGates": [gate("ours")] }),
            &json!({ "readinessGates": [gate("theirs"), gate("ours")] }),
            &json!({ "readinessGates": [gate("ours"), gate("theirs")] }),
        );
    }
}
