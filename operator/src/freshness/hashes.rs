//! When a block of a store is read for its hash, and which hash is known. Pure.

use std::time::Duration;

use tidemark_judge::{BlockNumber, HashAt, Moment};

/// How far apart blocks of one store are read, which may be large: twice a minute.
pub(super) const EVERY: Duration = Duration::from_secs(30);

/// The hash known of one store that answers none by itself.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    known: Option<HashAt>,
    read_at: Option<Moment>,
}

impl Hashes {
    /// Whether the block at `height` is to be read now, which is noted.
    pub(super) fn start(&mut self, now: Moment, height: BlockNumber, tip: Option<BlockNumber>) -> bool {
        let due = self.read_at.is_none_or(|at| now.since(at) >= EVERY);
        let held = tip.is_some_and(|tip| height <= tip);
        if due && held {
            self.read_at = Some(now);
        }
        due && held
    }

    /// Takes the hash that was read.
    pub(super) fn learn(&mut self, hash: HashAt) {
        self.known = Some(hash);
    }

    /// The hash known. A store whose tip is below takes back what it had there.
    pub(super) fn known(&mut self, tip: Option<BlockNumber>) -> Option<HashAt> {
        self.known = self.known.filter(|known| tip.is_some_and(|tip| known.height <= tip));
        self.known
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemark_judge::{BlockHash, BlockNumber, HashAt, Moment};

    use super::{EVERY, Hashes};

    fn at(time: Duration) -> Moment {
        Moment::new(time)
    }

    #[test]
    fn a_store_is_read_twice_a_minute_at_most_whatever_is_asked_for() {
        let mut hashes = Hashes::default();
        let mut read = |second: u32| {
            let now = at(Duration::from_secs(1) * second);
            hashes.start(now, BlockNumber(second), Some(BlockNumber(99)))
        };
        let times: Vec<_> = (0..70).filter(|second| read(*second)).collect();
        assert_eq!(times, [0, 30, 60]);
    }

    #[test]
    fn what_is_not_held_is_not_read_and_costs_no_turn() {
        let mut hashes = Hashes::default();
        assert!(!hashes.start(at(EVERY), BlockNumber(8), Some(BlockNumber(7))));
        assert!(!hashes.start(at(EVERY), BlockNumber(8), None));
        assert!(hashes.start(at(EVERY), BlockNumber(8), Some(BlockNumber(8))));
    }

    #[test]
    fn a_tip_that_fell_below_takes_its_hash_back_for_good() {
        let mut hashes = Hashes::default();
        let known = HashAt { height: BlockNumber(8), hash: BlockHash([1; 32]) };
        hashes.learn(known);
        assert_eq!(hashes.known(Some(BlockNumber(8))), Some(known));
        assert_eq!(hashes.known(Some(BlockNumber(7))), None);
        assert_eq!(hashes.known(Some(BlockNumber(8))), None);
    }
}
