//! `spec.podTemplate`: what else the pods get.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Labels, annotations and any field of a pod's spec, laid over those that the operator renders.
///
/// Its schema is open, since that of a whole pod is larger than what `kubectl apply` can keep; the operator checks it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodTemplate(pub Map<String, Value>);

impl PodTemplate {
    /// Whether a field of the pod's spec is given.
    pub fn gives(&self, field: &str) -> bool {
        self.0.get("spec").and_then(|spec| spec.get(field)).is_some()
    }
}

impl JsonSchema for PodTemplate {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "PodTemplate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": {
                "metadata": {
                    "description": "Labels, annotations and finalizers of the pods; unset: none but the operator's.",
                    "type": "object",
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": { "labels": labels(), "annotations": annotations() },
                },
                "spec": {
                    "description": "Fields of the pods' spec, as in a Pod: merged into what the operator renders by the merge \
                                    keys of Kubernetes, such as the names of containers and volumes. A field that is null is \
                                    left out; unset: as rendered. The container of the chain is `follower`, its volume `data`.",
                    "type": "object",
                    "maxProperties": 64,
                    "x-kubernetes-preserve-unknown-fields": true,
                },
            },
        })
    }
}

fn labels() -> Value {
    json!({
        "description": "Labels of the pods, beside those by which the operator finds them; unset: none.",
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string" },
        "x-kubernetes-validations": [{
            "rule": "!('app.kubernetes.io/name' in self || 'app.kubernetes.io/instance' in self || \
                     'app.kubernetes.io/managed-by' in self)",
            "message": "spec.podTemplate.metadata.labels must not set app.kubernetes.io/name, instance or managed-by, \
                        by which the Services find the pods: remove them",
        }],
    })
}

fn annotations() -> Value {
    json!({
        "description": "Annotations of the pods; unset: none.",
        "type": "object",
        "maxProperties": 64,
        "additionalProperties": { "type": "string" },
    })
}
