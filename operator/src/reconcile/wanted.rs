//! One object that is to stand in the cluster, and how it stands there. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, api::ApiResource};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    contest::{Contests, Id},
    managed,
};

/// A time beside our fields that is older than this is not of this second, whatever the clocks of two machines say.
const SETTLED: SignedDuration = SignedDuration::from_secs(60);

/// What was applied last, so that nothing is sent twice.
pub(super) type Sent = BTreeMap<Id, SentObject>;

/// An object as it was applied last.
#[derive(Clone, Debug)]
pub(super) struct SentObject {
    hash: blake3::Hash,
    uid: Option<String>,
    version: Option<u64>,
    /// Of the fields that were ours then.
    fingerprint: Option<blake3::Hash>,
}

/// An object as rendered, beside the one found under its name.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) id: Id,
    pub(super) resource: ApiResource,
    pub(super) body: Value,
    hash: blake3::Hash,
    /// The metadata of the object that is there, which was checked to be ours.
    pub(super) found: Option<ObjectMeta>,
}

/// How an object stands in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// As it is to be.
    Stands,
    /// Absent, or otherwise than rendered now.
    Changed,
    /// Rendered as before, but somebody took a field.
    Taken,
    /// The same, for the third time and more: left as it is until then.
    Contested(Instant),
    /// Being deleted: made again once it is gone.
    Leaving,
}

impl Wanted {
    /// The object as it is to be sent.
    ///
    /// # Errors
    /// None in practice: what is rendered has string keys only.
    pub(super) fn new<K>(object: &K, found: Option<&K>) -> serde_json::Result<Self>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let mut body = serde_json::to_value(object)?;
        let hash = blake3::hash(body.to_string().as_bytes());
        let found = found.map(|found| found.meta().clone());
        if let Some(uid) = found.as_ref().and_then(|found| found.uid.as_ref()) {
            body["metadata"]["uid"] = json!(uid);
        }
        let name = object.meta().name.clone().unwrap_or_default();
        let id = (K::kind(&()).into_owned(), name);
        Ok(Self { id, resource: ApiResource::erase::<K>(&()), body, hash, found })
    }

    pub(super) fn standing(&self, sent: &Sent, contests: &Contests, now: Instant) -> Standing {
        let Some(found) = &self.found else { return Standing::Changed };
        if found.deletion_timestamp.is_some() {
            return Standing::Leaving;
        }
        match sent.get(&self.id).filter(|sent| sent.hash == self.hash && sent.uid == found.uid) {
            None => Standing::Changed,
            Some(sent) if sent.holds(found) => Standing::Stands,
            Some(_) => contests.not_before(&self.id, now).map_or(Standing::Taken, Standing::Contested),
        }
    }

    /// Whether the server would change nothing by applying this, as the object shows that it returned when it was only
    /// tried: a change is known by a new time beside our fields, which is given in seconds.
    pub(super) fn changes_nothing(&self, tried: &ObjectMeta, now: Timestamp) -> bool {
        let Some(found) = &self.found else { return false };
        let settled = managed::applied_at(found).is_some_and(|at| now.duration_since(at) > SETTLED);
        settled && found.uid == tried.uid && managed::is_same(found, tried)
    }

    /// What is to be remembered once the server has returned the applied object.
    pub(super) fn sent(&self, applied: &ObjectMeta) -> SentObject {
        SentObject {
            hash: self.hash,
            uid: applied.uid.clone(),
            version: version(applied),
            fingerprint: managed::fingerprint(applied),
        }
    }
}

impl SentObject {
    /// Whether every field is still ours, as far as `found` can tell: a watch may show what was before.
    fn holds(&self, found: &ObjectMeta) -> bool {
        let stale = matches!((version(found), self.version), (Some(found), Some(sent)) if found < sent);
        stale || managed::fingerprint(found) == self.fingerprint
    }
}

/// Orders two sights of one object; None when the server's text is no number.
fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::ServiceAccount, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::{Contests, Sent, Standing, Wanted};

    fn account(change: &Value) -> ServiceAccount {
        let mut account = json!({ "metadata": { "name": "a", "labels": { "x": "y" } } });
        account["metadata"]
            .as_object_mut()
            .expect("an object")
            .extend(change.as_object().cloned().unwrap_or_default());
        serde_json::from_value(account).expect("an account")
    }

    fn found(uid: &str, version: &str, label: &str) -> ServiceAccount {
        let fields = json!({ "f:metadata": { "f:labels": { format!("f:{label}"): {} } } });
        account(&json!({ "uid": uid, "resourceVersion": version, "managedFields": [
            { "manager": "tidemark-operator", "operation": "Apply", "fieldsV1": fields }
        ] }))
    }

    /// How `rendered` stands after it was sent and the server returned `applied`, when `seen` is found.
    fn check(rendered: &Value, seen: &ServiceAccount, expected: Standing) {
        let applied: ObjectMeta = found("u", "7", "x").metadata;
        let before = Wanted::new(&account(&json!({})), None).expect("JSON");
        let sent: Sent = [(before.id.clone(), before.sent(&applied))].into();
        let wanted = Wanted::new(&account(rendered), Some(seen)).expect("JSON");
        assert_eq!(wanted.standing(&sent, &Contests::default(), Instant::now()), expected);
    }

    #[test]
    fn what_was_sent_stands_until_it_or_the_owner_of_a_field_changes() {
        let same = json!({});
        check(&same, &found("u", "7", "x"), Standing::Stands);
        check(&same, &found("u", "9", "x"), Standing::Stands);
        check(&same, &found("u", "9", "other"), Standing::Taken);
        check(&same, &found("u", "6", "other"), Standing::Stands);
        check(&same, &found("another", "9", "x"), Standing::Changed);
        check(&json!({ "labels": { "x": "z" } }), &found("u", "7", "x"), Standing::Changed);
    }

    #[test]
    fn what_the_server_would_leave_as_it_is_is_told_by_the_time_beside_our_fields() {
        let meta = |uid: &str, label: &str, second: &str| {
            let mut account = found(uid, "7", label);
            let entries = account.metadata.managed_fields.as_mut().expect("an entry");
            entries[0].time = serde_json::from_value(json!(format!("2026-01-01T00:{second}Z"))).ok();
            account
        };
        let stands = meta("u", "x", "00:00");
        let wanted = Wanted::new(&account(&json!({})), Some(&stands)).expect("JSON");
        let check = |tried: &ServiceAccount, now: &str, expected: bool| {
            let now = format!("2026-01-01T00:{now}Z").parse().expect("a time");
            assert_eq!(wanted.changes_nothing(&tried.metadata, now), expected, "{tried:?} at {now}");
        };
        check(&stands, "01:01", true);
        check(&stands, "01:00", false);
        check(&meta("u", "x", "01:01"), "01:01", false);
        check(&meta("u", "other", "00:00"), "01:01", false);
        check(&meta("another", "x", "00:00"), "01:01", false);
        check(&found("u", "7", "x"), "01:01", false);
        let absent = Wanted::new(&account(&json!({})), None).expect("JSON");
        assert!(!absent.changes_nothing(&stands.metadata, "2026-01-01T00:01:01Z".parse().expect("a time")));
    }

    #[test]
    fn what_is_being_deleted_is_left_to_go() {
        let mut leaving = found("u", "9", "x");
        leaving.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).ok();
        check(&json!({}), &leaving, Standing::Leaving);
    }

    #[test]
    fn the_uid_of_what_was_found_is_a_precondition() {
        let wanted = Wanted::new(&account(&json!({})), Some(&found("u", "7", "x"))).expect("JSON");
        assert_eq!(wanted.body["metadata"]["uid"], "u");
    }
}
