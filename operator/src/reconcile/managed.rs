//! Who owns which field of an object, read from its `managedFields`. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::Resource;
use serde_json::Value;

use crate::names::FIELD_MANAGER;

/// Fields by their paths, such as `spec.template.spec.containers[name=follower].image`.
pub(super) type Paths = BTreeSet<String>;

/// What stands for a manager that the server does not name.
const NOBODY: &str = "a manager that left no trace";

/// A fingerprint of the fields that this operator has applied and still owns; None when it owns none.
pub(super) fn fingerprint(metadata: &ObjectMeta) -> Option<blake3::Hash> {
    let fields = match &ours(metadata)?.fields_v1.as_ref()?.0 {
        Value::String(text) => text,
        fields => &fields.to_string(),
    };
    Some(blake3::hash(fields.as_bytes()))
}

/// When this operator last changed a field by applying it, as the server noted it.
pub(super) fn applied_at(metadata: &ObjectMeta) -> Option<Timestamp> {
    Some(ours(metadata)?.time.as_ref()?.0)
}

/// Whether the same fields are ours in both, changed last at the same time.
pub(super) fn is_same(one: &ObjectMeta, other: &ObjectMeta) -> bool {
    applied_at(one) == applied_at(other) && fingerprint(one) == fingerprint(other)
}

/// Has the owners of fields kept as text: as a tree they outweigh the object they belong to.
pub(crate) fn compact<K: Resource>(object: &mut K) {
    for entry in object.meta_mut().managed_fields.iter_mut().flatten() {
        if let Some(fields) = entry.fields_v1.as_mut().filter(|fields| !fields.0.is_string()) {
            fields.0 = Value::String(fields.0.to_string());
        }
    }
}

/// The fields that were ours in `after` and not in `before`, each with the manager who had taken it.
pub(super) fn taken(before: &ObjectMeta, after: &ObjectMeta) -> BTreeMap<String, String> {
    let had = ours(before).map(paths).unwrap_or_default();
    let have = ours(after).map(paths).unwrap_or_default();
    let others: Vec<_> =
        entries(before).filter(|entry| !is_ours(entry)).map(|entry| (entry, paths(entry))).collect();
    let by = |path: &str| {
        let holders = others.iter().filter(|(_, held)| held.contains(path)).map(|(entry, _)| *entry);
        let holder = holders.max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        holder.and_then(|entry| entry.manager.clone()).unwrap_or_else(|| NOBODY.to_owned())
    };
    have.difference(&had).map(|path| (path.clone(), by(path))).collect()
}

fn entries(metadata: &ObjectMeta) -> impl Iterator<Item = &ManagedFieldsEntry> {
    metadata.managed_fields.iter().flatten()
}

fn ours(metadata: &ObjectMeta) -> Option<&ManagedFieldsEntry> {
    entries(metadata).find(|entry| is_ours(entry))
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Apply")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

fn paths(entry: &ManagedFieldsEntry) -> Paths {
    let mut paths = Paths::new();
    match entry.fields_v1.as_ref().map(|fields| &fields.0) {
        Some(Value::String(text)) => {
            walk(&serde_json::from_str(text).unwrap_or_default(), String::new(), &mut paths);
        }
        Some(fields) => walk(fields, String::new(), &mut paths),
        None => {}
    }
    paths
}

/// Collects the leaves: a field without members, or one that is itself listed (`.`).
fn walk(fields: &Value, path: String, paths: &mut Paths) {
    let members = fields.as_object().filter(|members| !members.is_empty());
    let Some(members) = members else {
        paths.insert(path);
        return;
    };
    for (key, inner) in members {
        match key.split_once(':') {
            Some(("f", name)) if path.is_empty() => walk(inner, name.to_owned(), paths),
            Some(("f", name)) => walk(inner, format!("{path}.{name}"), paths),
            Some(("k", key)) => walk(inner, format!("{path}[{}]", key_text(key)), paths),
            Some((_, value)) => walk(inner, format!("{path}[{value}]"), paths),
            None => drop(paths.insert(path.clone())),
        }
    }
}

/// `name=follower` for `{"name":"follower"}`.
fn key_text(key: &str) -> String {
    let Ok(Value::Object(key)) = serde_json::from_str(key) else { return key.to_owned() };
    let field = |(name, value): (String, Value)| match value {
        Value::String(value) => format!("{name}={value}"),
        value => format!("{name}={value}"),
    };
    key.into_iter().map(field).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::{Value, json};

    use super::{NOBODY, fingerprint, taken};

    fn entry(manager: &str, operation: &str, second: u32, fields: Value) -> Value {
        json!({
            "manager": manager, "operation": operation, "time": format!("2026-01-01T00:00:0{second}Z"),
            "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
        })
    }

    fn metadata(entries: &[Value]) -> ObjectMeta {
        serde_json::from_value(json!({ "managedFields": entries })).expect("metadata")
    }

    fn all() -> Value {
        json!({ "f:spec": {
            "f:replicas": {},
            "f:containers": { "k:{\"name\":\"follower\"}": { ".": {}, "f:image": {}, "f:name": {} } },
        } })
    }

    fn ours(fields: Value) -> Value {
        entry("tidemark-operator", "Apply", 1, fields)
    }

    #[test]
    fn a_field_that_was_taken_is_named_with_the_last_to_take_it() {
        let left = json!({ "f:spec": {
            "f:containers": { "k:{\"name\":\"follower\"}": { ".": {}, "f:name": {} } },
        } });
        let replicas = json!({ "f:spec": { "f:replicas": {} } });
        let image =
            json!({ "f:spec": { "f:containers": { "k:{\"name\":\"follower\"}": { "f:image": {} } } } });
        let before = metadata(&[
            ours(left),
            entry("kubectl", "Update", 3, replicas.clone()),
            entry("scaler", "Update", 7, replicas),
            entry("pinner", "Apply", 5, image),
        ]);
        let taken = taken(&before, &metadata(&[ours(all())]));
        let expected = [
            ("spec.containers[name=follower].image".to_owned(), "pinner".to_owned()),
            ("spec.replicas".to_owned(), "scaler".to_owned()),
        ];
        assert_eq!(taken, expected.into());
    }

    #[test]
    fn a_field_that_was_removed_has_no_owner_to_name() {
        let left = json!({ "f:spec": { "f:replicas": {} } });
        let taken = taken(&metadata(&[ours(left)]), &metadata(&[ours(all())]));
        assert_eq!(taken.get("spec.containers[name=follower].image").map(String::as_str), Some(NOBODY));
        assert!(!taken.contains_key("spec.replicas"));
    }

    #[test]
    fn what_others_do_to_their_own_fields_does_not_change_the_fingerprint() {
        let theirs = entry("hpa", "Update", 2, json!({ "f:metadata": { "f:annotations": { "f:x": {} } } }));
        let alone = fingerprint(&metadata(&[ours(all())]));
        assert!(alone.is_some());
        assert_eq!(fingerprint(&metadata(&[theirs.clone(), ours(all())])), alone);
        assert_ne!(fingerprint(&metadata(&[ours(json!({ "f:spec": {} }))])), alone);
        assert_eq!(fingerprint(&metadata(&[theirs])), None);
    }
}
