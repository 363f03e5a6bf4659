//! Lays a user's `spec.podTemplate` over the template that the operator renders. Pure.
//!
//! `survey` finds what no pod has a field for, `merge` does the laying over, `relied` refuses what would take away
//! anything the operator relies on.

mod merge;
mod relied;
mod survey;

pub use merge::MERGE_KEYS;

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

use crate::{
    api::{PodTemplate, StoreReplicaSet},
    reconcile::validate::Rejection,
};

/// The template `rendered` with what the user adds and overrides.
///
/// # Errors
/// If the user's part has a field that no pod has, or takes away what the operator relies on.
pub(super) fn laid_over(
    rendered: PodTemplateSpec,
    set: &StoreReplicaSet,
) -> Result<PodTemplateSpec, Rejection> {
    let PodTemplate(over) = &set.spec.pod_template;
    if over.is_empty() {
        return Ok(rendered);
    }
    let over = Value::Object(over.clone());
    survey::survey(&over)?;
    let mut merged = serde_json::to_value(&rendered).map_err(unreadable)?;
    merge::lay_over(&mut merged, &over);
    let merged: PodTemplateSpec = serde_json::from_value(merged).map_err(unreadable)?;
    relied::check(&rendered, &merged, set)?;
    Ok(merged)
}

/// What was surveyed is read again, so this is said of nothing that the survey lets pass.
fn unreadable(error: serde_json::Error) -> Rejection {
    Rejection { reason: "InvalidField", message: format!("spec.podTemplate does not make a pod: {error}") }
}
