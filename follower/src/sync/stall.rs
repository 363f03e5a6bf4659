//! Tells a chain that has stopped growing from one that grows slowly. Pure.

use std::time::{Duration, Instant};

use tidemark_store::BlockNumber;

/// Twenty times the block interval of the slowest chain we know (3 s).
const STALL_AFTER: Duration = Duration::from_secs(60);

/// The last rise of our own tip, seen whenever there was nothing left to fetch. What an upstream claims is not looked
/// at: one absurd tip would make every later one look stalled.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StallWatch {
    last_rise: Option<(BlockNumber, Instant)>,
}

impl StallWatch {
    /// Takes one observation; says whether the chain has stopped growing.
    pub(super) fn observe(&mut self, tip: BlockNumber, now: Instant) -> bool {
        match self.last_rise {
            Some((highest, since)) if tip <= highest => now.duration_since(since) >= STALL_AFTER,
            _ => {
                self.last_rise = Some((tip, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tip_is_stalled_from_a_minute_without_a_rise_until_the_next_rise() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = StallWatch::default();
        assert!(!watch.observe(5.into(), at(0)));
        assert!(!watch.observe(5.into(), at(59)));
        assert!(watch.observe(5.into(), at(60)));
        assert!(watch.observe(4.into(), at(61)));
        assert!(!watch.observe(6.into(), at(62)));
        assert!(!watch.observe(6.into(), at(100)));
    }
}
