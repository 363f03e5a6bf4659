//! What several tests start from.

use tidemark_judge::{Moment, Reason, Verdict};

/// A verdict on the pod `a-0`, whose UID is `u`, of which nothing was measured.
pub(crate) fn verdict(serves: bool, reason: Reason) -> Verdict {
    Verdict {
        pod: "a-0".into(),
        uid: "u".into(),
        serves,
        reason,
        held_from: None,
        tip: None,
        proven: None,
        lag: None,
        reference: None,
        threshold: 2,
        since: Moment::default(),
        gate: None,
    }
}
