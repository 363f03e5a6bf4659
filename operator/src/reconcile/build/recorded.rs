//! The record by which an operator that renders otherwise leaves running pods alone.
//!
//! The StatefulSet carries the template it was given and the fields of the spec that template was made from. While
//! those fields are the same the recorded template is applied again, so a new operator restarts nothing; and what
//! somebody else changed in the live template is put back, since the record is not what they changed.

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::PodTemplateSpec};
use serde::{Deserialize, Serialize};

use crate::api::{EmptyDir, FollowerSpec, PodOverrides, StoreReplicaSet};

/// Where the record is kept.
pub(in crate::reconcile) const ANNOTATION: &str = "tidemark.dev/recorded-template";

/// The fields of the spec that make the template. A field that a later version adds reads as its default here and
/// there, and so changes nothing.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
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
    pod_template: PodOverrides,
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
    (record.made_from == made_from(set)).then_some(record.template)
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
        pod_template: spec.pod_template.clone(),
    }
}
