//! What the end of a session means for the next one. Pure.

use tidemark_store::BlockNumber;

use super::Trouble;
use crate::{state::State, upstream::UpstreamError};

/// With which upstream to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The same, as every upstream now and then wants it: nothing is wrong.
    Same,
    /// The same, though something is wrong: no other could help.
    Stay,
    /// The next one in the list.
    Other,
    /// The one at that place in the list.
    At(usize),
}

/// Decides; `good` says whether the session was of any use, `failed_at` where this upstream has failed before.
pub(super) fn next(trouble: &Trouble, good: bool, failed_at: Option<BlockNumber>) -> Next {
    match trouble {
        Trouble::Preferred { at, .. } => Next::At(*at),
        Trouble::Full | Trouble::TryAgain => Next::Same,
        Trouble::Silent { .. } if good => Next::Same,
        Trouble::Upstream(UpstreamError::Ended | UpstreamError::Closed(_)) if good => Next::Same,
        Trouble::Broken { number, .. } if failed_at != Some(*number) => Next::Same,
        Trouble::Replica(_) => Next::Stay,
        _ => Next::Other,
    }
}

/// How the end of a session is counted.
pub(super) fn reason(trouble: &Trouble, next: Next) -> State {
    if next == Next::Same { State::Syncing } else { trouble.state() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(error: UpstreamError) -> (Next, Next) {
        let trouble = Trouble::Upstream(error);
        (next(&trouble, true, None), next(&trouble, false, None))
    }

    #[test]
    fn a_goodbye_leads_back_to_the_same_upstream_unless_it_is_all_it_ever_says() {
        assert_eq!(after(UpstreamError::Closed(String::new())), (Next::Same, Next::Other));
        assert_eq!(after(UpstreamError::Ended), (Next::Same, Next::Other));
    }

    #[test]
    fn an_upstream_that_fails_twice_at_a_block_lacks_it() {
        let broken = |number: u32| Trouble::Broken { number: number.into(), detail: String::new() };
        assert_eq!(next(&broken(7), true, None), Next::Same);
        assert_eq!(next(&broken(7), false, Some(6.into())), Next::Same);
        assert_eq!(next(&broken(7), true, Some(7.into())), Next::Other);
        assert_eq!(reason(&broken(7), Next::Other), State::UpstreamHole);
    }

    #[test]
    fn whatever_another_upstream_might_do_better_is_tried_there() {
        let limit = Duration::from_secs(2);
        let unanswered = || UpstreamError::Unanswered { call: "Status", limit };
        for error in [
            UpstreamError::Unreachable(String::new()),
            unanswered(),
            UpstreamError::RateLimited(limit),
            UpstreamError::OutOfRange(String::new()),
            UpstreamError::OtherProtocol(Vec::new()),
            UpstreamError::Failed(String::new()),
        ] {
            assert_eq!(after(error), (Next::Other, Next::Other));
        }
        for trouble in [
            Trouble::Frozen(unanswered()),
            Trouble::Loop { hops: 1 },
            Trouble::Hole { number: 1.into(), tip: 2.into() },
            Trouble::Pruned { number: 1.into(), tip: 2.into() },
            Trouble::Behind { tip: 1.into(), held: 2.into() },
        ] {
            assert_eq!(next(&trouble, true, None), Next::Other, "{trouble}");
        }
    }

    #[test]
    fn a_stream_that_fell_silent_is_left_for_a_new_one_of_the_same_upstream_and_one_that_always_was_for_another()
     {
        assert_eq!(next(&Trouble::Silent { tip: 9.into() }, true, None), Next::Same);
        assert_eq!(next(&Trouble::Silent { tip: 9.into() }, false, None), Next::Other);
    }
}
