//! The record by which an operator that renders otherwise leaves running pods alone.
//!
//! The StatefulSet carries the template it was given and the fields of the spec that template was made from. While
//! those fields are the same the recorded template is applied again, so a new operator restarts nothing; and what
//! somebody else changed in the live template is put back, since the record is not what they changed.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PodTemplateSpec};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{
    api::{EmptyDir, FollowerSpec, PodTemplate, PrimaryTls, StoreReplicaSet},
    names::RESTARTED_AT,
};

/// Where the record is kept.
pub(in crate::reconcile) const ANNOTATION: &str = "tidemark.dev/recorded-template";

/// The fields of the spec that make the template. A field that a later version adds reads as its default here and
/// there, and so changes nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MadeFrom {
    url: String,
    #[serde(default)]
    fallback_urls: Vec<String>,
    #[serde(default)]
    genesis: Option<String>,
    follower: FollowerSpec,
    #[serde(default)]
    empty_dir: Option<EmptyDir>,
    #[serde(default)]
    tls: Option<PrimaryTls>,
    #[serde(default = "usual_requests")]
    requests_per_second: u32,
    #[serde(default)]
    restarted_at: Option<String>,
    #[serde(default)]
    pod_template: PodTemplate,
}

/// What followers asked for before a set could say it.
fn usual_requests() -> u32 {
    12
}

impl MadeFrom {
    /// Whether a template made from this is what `now` asks for. An order to restart that was taken back restarts nobody.
    fn serves(&self, now: &Self) -> bool {
        let restarted_at = now.restarted_at.as_ref().or(self.restarted_at.as_ref());
        let now = Self { restarted_at: restarted_at.cloned(), ..now.clone() };
        Self { pod_template: modern(&self.pod_template), ..self.clone() } == now
    }
}

/// A record of the time when the fields of `metadata` and `spec` stood side by side, in today's shape.
fn modern(PodTemplate(fields): &PodTemplate) -> PodTemplate {
    let (shaped, flat): (Map<_, _>, Map<_, _>) =
        fields.clone().into_iter().partition(|(field, _)| field == "metadata" || field == "spec");
    let (metadata, spec): (Map<_, _>, Map<_, _>) =
        flat.into_iter().partition(|(field, _)| field == "labels" || field == "annotations");
    // It was written down even when nobody had asked for it.
    let spec =
        spec.into_iter().filter(|field| *field != ("terminationGracePeriodSeconds".to_owned(), json!(30)));
    let parts = [("metadata", metadata), ("spec", spec.collect())];
    let parts = parts.into_iter().filter(|(_, fields)| !fields.is_empty());
    PodTemplate(parts.map(|(part, fields)| (part.to_owned(), Value::Object(fields))).chain(shaped).collect())
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    made_from: MadeFrom,
    template: PodTemplateSpec,
}

/// The template found, if it was made from what the spec says now.
pub(super) fn template(found: Option<&StatefulSet>, set: &StoreReplicaSet) -> Option<PodTemplateSpec> {
    let annotations = found?.metadata.annotations.as_ref()?;
    // A record that cannot be read is as good as none: the template is made anew.
    let record: Record = serde_json::from_str(annotations.get(ANNOTATION)?).ok()?;
    record.made_from.serves(&made_from(set)).then_some(record.template)
}

/// Writes the record of `template` into a StatefulSet.
pub(super) fn record(statefulset: &mut StatefulSet, set: &StoreReplicaSet, template: &PodTemplateSpec) {
    let record = Record { made_from: made_from(set), template: template.clone() };
    // Both parts were read from JSON or rendered from it; if this ever failed the template would be made anew each time.
    if let Ok(text) = serde_json::to_string(&record) {
        let annotations = statefulset.metadata.annotations.get_or_insert_default();
        annotations.insert(ANNOTATION.to_owned(), text);
    }
}

fn made_from(set: &StoreReplicaSet) -> MadeFrom {
    let spec = &set.spec;
    MadeFrom {
        url: spec.primary.url.clone(),
        fallback_urls: spec.primary.fallback_urls.clone(),
        genesis: spec.primary.genesis.clone(),
        follower: spec.follower.clone(),
        empty_dir: spec.storage.empty_dir.clone(),
        tls: spec.primary.tls.clone(),
        requests_per_second: spec.primary.requests_per_second,
        restarted_at: set.metadata.annotations.as_ref().and_then(|known| known.get(RESTARTED_AT).cloned()),
        pod_template: spec.pod_template.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Record, StatefulSet, StoreReplicaSet, made_from, template};

    fn set(annotations: Value, change: impl FnOnce(&mut Value)) -> StoreReplicaSet {
        let mut set = json!({
            "metadata": { "name": "books", "annotations": annotations },
            "spec": { "primary": { "url": "http://p:1" }, "follower": { "image": "i" } },
        });
        change(&mut set["spec"]);
        serde_json::from_value(set).expect("a set")
    }

    /// Whether a template made from what `record` says still serves `set`.
    fn check(record: Value, set: &StoreReplicaSet, kept: bool) {
        let text = json!({ "madeFrom": record, "template": {} }).to_string();
        let found = json!({ "metadata": { "annotations": { super::ANNOTATION: text } } });
        let found: StatefulSet = serde_json::from_value(found).expect("a StatefulSet");
        assert_eq!(template(Some(&found), set).is_some(), kept, "{record}");
    }

    /// What the first version wrote, with these fields of its podTemplate.
    fn first_version(pod_template: Value) -> Value {
        let follower = json!({
            "image": "i", "imagePullPolicy": "IfNotPresent", "port": 57291, "sync": "auto", "format": "opaque", "resources": {},
        });
        json!({ "url": "http://p:1", "fallbackUrls": [], "genesis": null, "follower": follower, "emptyDir": null, "podTemplate": pod_template })
    }

    #[test]
    fn a_record_of_the_first_version_is_understood_and_restarts_nobody() {
        let plain = set(json!({}), |_| {});
        check(first_version(json!({ "terminationGracePeriodSeconds": 30 })), &plain, true);
        let old = json!({ "labels": { "a": "b" }, "nodeSelector": { "c": "d" }, "terminationGracePeriodSeconds": 60 });
        let moved = json!({ "metadata": { "labels": { "a": "b" } }, "spec": { "nodeSelector": { "c": "d" }, "terminationGracePeriodSeconds": 60 } });
        check(first_version(old.clone()), &set(json!({}), |spec| spec["podTemplate"] = moved), true);
        check(first_version(old), &plain, false);
    }

    #[test]
    fn a_record_with_fields_that_no_longer_exist_is_compared_by_those_that_do() {
        let mut later = first_version(json!({}));
        (later["unheardOf"], later["follower"]["unheardOf"]) = (json!(1), json!(2));
        check(later.clone(), &set(json!({}), |_| {}), true);
        check(later, &set(json!({}), |spec| spec["follower"]["image"] = json!("j")), false);
    }

    #[test]
    fn every_field_that_makes_the_template_makes_it_anew() {
        let changes: [fn(&mut Value); 7] = [
            |spec| spec["primary"]["tls"] = json!({ "caSecret": "roots" }),
            |spec| spec["primary"]["requestsPerSecond"] = json!(13),
            |spec| spec["follower"]["tls"] = json!({ "certSecret": "cert" }),
            |spec| spec["follower"]["shutdownDelay"] = json!("6s"),
            |spec| spec["follower"]["protocol"] = json!("rpc-status"),
            |spec| spec["podTemplate"] = json!({ "spec": { "hostNetwork": true } }),
            |spec| spec["storage"] = json!({ "emptyDir": {} }),
        ];
        for change in changes {
            check(first_version(json!({})), &set(json!({}), change), false);
        }
        check(first_version(json!({})), &set(json!({}), |spec| spec["replicas"] = json!(50)), true);
    }

    #[test]
    fn an_order_to_restart_is_followed_once_and_taking_it_back_restarts_nobody() {
        let (none, first) = (set(json!({}), |_| {}), set(json!({ "tidemark.dev/restartedAt": "1" }), |_| {}));
        check(first_version(json!({})), &first, false);
        let record = Record { made_from: made_from(&first), template: Default::default() };
        let record = serde_json::to_value(record).expect("JSON")["madeFrom"].clone();
        check(record.clone(), &first, true);
        check(record.clone(), &none, true);
        check(record, &set(json!({ "tidemark.dev/restartedAt": "2" }), |_| {}), false);
    }
}
