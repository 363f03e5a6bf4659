//! Rule 10: a stalled chain is a condition of the set, and no verdict on a member.

use crate::{BlockNumber, Moment, Notice, case::Set};

/// The highest reference seen, when it rose to that, and when it was last that high.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct High {
    tip: BlockNumber,
    risen_at: Moment,
    held_at: Moment,
}

/// Raises ChainStalled when the reference has not risen for `stallAfter`.
pub(crate) fn watch(set: &mut Set<'_>) {
    let Some(tip) = set.judgement.fleet_tip else { return };
    let high = next(set.memory.high, tip, set.now, set.policy.forget_after);
    set.memory.high = Some(high);
    let for_at_least = set.policy.stall_after;
    if set.now.since(high.risen_at) >= for_at_least {
        set.judgement.notices.push(Notice::ChainStalled { tip, for_at_least });
    }
}

/// A reference that falls and returns has not risen; one that stays lower for `forget_after` is the new base.
fn next(high: Option<High>, tip: BlockNumber, now: Moment, forget_after: std::time::Duration) -> High {
    match high {
        Some(high) if tip < high.tip && now.since(high.held_at) <= forget_after => high,
        Some(high) if tip <= high.tip => High { tip, held_at: now, ..high },
        _ => High { tip, risen_at: now, held_at: now },
    }
}
