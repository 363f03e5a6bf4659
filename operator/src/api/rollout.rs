//! `spec.rollout`: how pods are replaced.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Span;

/// How pods are replaced when what they run changes: one at a time, each once the one before is in sync.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutSpec {
    /// How long a replacement may take to be in sync before Progressing says RolloutStalled.
    #[serde(default = "default_progress_deadline")]
    #[x_kube(validation = Rule::new("self.matches('^([0-9]{1,7}(ms|s|m|h)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('168h')")
        .message("spec.rollout.progressDeadline must be a span of time from 1s to 168h, such as 10m"))]
    pub progress_deadline: Span,
}

/// Pulling an image and opening a large store take minutes.
fn default_progress_deadline() -> Span {
    Span::seconds(600)
}

impl Default for RolloutSpec {
    fn default() -> Self {
        Self { progress_deadline: default_progress_deadline() }
    }
}
