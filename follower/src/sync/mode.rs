//! How blocks and proofs are asked for, and when `auto` changes its mind. Pure.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::upstream::UpstreamError;

/// After an upstream that knows no subscriptions at all, how long until it is asked again: it may be replaced.
const UNKNOWN_CALL: Duration = Duration::from_secs(300);

/// How to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SyncMode {
    /// Subscribe where the upstream lets us, else poll.
    Auto,
    /// Ask for each block.
    Poll,
    /// Subscribe only.
    Subscribe,
}

/// No refusal is shorter: whoever refuses again and again must not be asked without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

/// What one session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Polls; until the time given, if there is one, when a subscription is worth another try.
    Poll {
        until: Option<Instant>,
    },
    Subscribe,
}

/// What was learnt about an upstream's subscriptions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subscriptions {
    refused_until: Option<Instant>,
}

impl Subscriptions {
    pub(super) fn manner(&self, mode: SyncMode, now: Instant) -> Manner {
        match (mode, self.refused_until) {
            (SyncMode::Subscribe, _) => Manner::Subscribe,
            (SyncMode::Poll, _) => Manner::Poll { until: None },
            (SyncMode::Auto, Some(until)) if now < until => Manner::Poll { until: Some(until) },
            (SyncMode::Auto, _) => Manner::Subscribe,
        }
    }

    /// Learns from how a subscription ended; `stretch` from 0 to 1 spreads followers that were refused together.
    /// Says whether it was a refusal.
    pub(super) fn learn(&mut self, error: &UpstreamError, now: Instant, stretch: f64) -> bool {
        let wait = match error {
            UpstreamError::Unimplemented(_) => UNKNOWN_CALL,
            UpstreamError::Refused { wait, .. } => SHORTEST.max(*wait),
            _ => return false,
        };
        self.refused_until = now.checked_add(wait.mul_f64(1.0 + 0.2 * stretch));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_polls_while_it_is_refused_and_then_subscribes_again() {
        let now = Instant::now();
        let mut learnt = Subscriptions::default();
        assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Subscribe);
        let refused = UpstreamError::Refused { wait: Duration::from_secs(60), detail: String::new() };
        assert!(learnt.learn(&refused, now, 0.0));
        let until = now + Duration::from_secs(60);
        assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Poll { until: Some(until) });
        assert_eq!(learnt.manner(SyncMode::Auto, until), Manner::Subscribe);
    }

    #[test]
    fn a_refusal_for_no_time_at_all_still_makes_it_poll() {
        let now = Instant::now();
        let mut learnt = Subscriptions::default();
        let refused = UpstreamError::Refused { wait: Duration::ZERO, detail: String::new() };
        assert!(learnt.learn(&refused, now, 0.0));
        assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Poll { until: Some(now + SHORTEST) });
    }

    #[test]
    fn a_forced_mode_stays() {
        let now = Instant::now();
        let mut learnt = Subscriptions::default();
        assert!(learnt.learn(&UpstreamError::Unimplemented(String::new()), now, 0.0));
        assert_eq!(learnt.manner(SyncMode::Subscribe, now), Manner::Subscribe);
        assert_eq!(learnt.manner(SyncMode::Poll, now), Manner::Poll { until: None });
    }

    #[test]
    fn a_broken_connection_is_no_refusal() {
        let mut learnt = Subscriptions::default();
        assert!(!learnt.learn(&UpstreamError::Ended, Instant::now(), 0.0));
        assert_eq!(learnt.manner(SyncMode::Auto, Instant::now()), Manner::Subscribe);
    }
}
