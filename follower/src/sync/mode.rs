//! How blocks and proofs are asked for, and when `auto` changes its mind. Pure.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::upstream::UpstreamError;

/// After an upstream that knows no subscriptions at all, how long until it is asked again: it may be replaced.
const UNKNOWN_CALL: Duration = Duration::from_secs(300);

/// After an upstream that had no slot for a subscription, how long until it is asked again.
const NO_SLOT: Duration = Duration::from_secs(60);

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

    /// Learns from how a subscription ended; `jitter` from 0 to 1 spreads followers that were refused together. Says
    /// whether it was a refusal.
    pub(super) fn learn(&mut self, error: &UpstreamError, now: Instant, jitter: f64) -> bool {
        let wait = match error {
            UpstreamError::Unimplemented(_) => UNKNOWN_CALL.mul_f64(1.0 + 0.2 * jitter),
            UpstreamError::Banned { wait, .. } => SHORTEST.max(*wait).mul_f64(1.0 + 0.2 * jitter),
            UpstreamError::NoSlot(_) => NO_SLOT.mul_f64(0.8 + 0.4 * jitter),
            _ => return false,
        };
        self.refused_until = now.checked_add(wait);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn banned(seconds: u64) -> UpstreamError {
        UpstreamError::Banned { wait: Duration::from_secs(seconds), detail: String::new() }
    }

    #[test]
    fn auto_polls_until_a_ban_is_over_and_then_subscribes_again() {
        let now = Instant::now();
        let mut learnt = Subscriptions::default();
        assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Subscribe);
        assert!(learnt.learn(&banned(540), now, 0.0));
        let until = now + Duration::from_secs(540);
        assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Poll { until: Some(until) });
        assert_eq!(learnt.manner(SyncMode::Auto, until), Manner::Subscribe);
        assert!(learnt.learn(&banned(540), now, 1.0));
        let late = learnt.manner(SyncMode::Auto, until);
        assert_ne!(late, Manner::Subscribe, "jitter never asks before the ban is over");
    }

    #[test]
    fn a_slot_is_asked_for_again_after_a_minute_more_or_less() {
        let now = Instant::now();
        for (jitter, seconds) in [(0.0, 48), (0.5, 60), (1.0, 72)] {
            let mut learnt = Subscriptions::default();
            assert!(learnt.learn(&UpstreamError::NoSlot(String::new()), now, jitter));
            let until = now + Duration::from_secs(seconds);
            assert_eq!(learnt.manner(SyncMode::Auto, now), Manner::Poll { until: Some(until) });
        }
    }

    #[test]
    fn a_ban_for_no_time_at_all_still_makes_it_poll() {
        let now = Instant::now();
        let mut learnt = Subscriptions::default();
        assert!(learnt.learn(&banned(0), now, 0.0));
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
