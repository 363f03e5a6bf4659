//! Which damaged blocks are asked for again, and when: each by its own rhythm, so that one that nobody has starves no other.
//! Pure.

use std::{collections::BTreeMap, time::Duration};

use tidemark_store::BlockNumber;
use tokio::time::Instant;

use super::backoff::Backoff;

/// The first pause of a block that could not be healed.
const FIRST: Duration = Duration::from_secs(1);

struct Turn {
    pauses: Backoff,
    due: Instant,
}

/// The blocks that were asked for in vain, and the one that was asked for last.
#[derive(Default)]
pub(super) struct Turns {
    waiting: BTreeMap<BlockNumber, Turn>,
    last: Option<BlockNumber>,
}

impl Turns {
    /// Those of the damaged blocks that are due, beginning behind the one that was asked for last.
    pub(super) fn due(&mut self, damaged: &[BlockNumber], now: Instant) -> Vec<BlockNumber> {
        self.waiting.retain(|number, _| damaged.contains(number));
        let is_due = |number: &BlockNumber| self.waiting.get(number).is_none_or(|turn| turn.due <= now);
        let (mut behind, before): (Vec<_>, Vec<_>) =
            damaged.iter().copied().filter(is_due).partition(|number| Some(*number) > self.last);
        behind.extend(before);
        behind
    }

    /// This block is asked for.
    pub(super) fn asked(&mut self, number: BlockNumber) {
        self.last = Some(number);
    }

    /// Nobody had it: it is due again after a pause of at most `cap`.
    pub(super) fn failed(&mut self, number: BlockNumber, now: Instant, cap: Duration, jitter: f64) {
        let turn = self.waiting.entry(number).or_insert(Turn { pauses: Backoff::new(FIRST), due: now });
        turn.due = now + turn.pauses.failed(cap, jitter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(10);

    fn numbers(numbers: &[u32]) -> Vec<BlockNumber> {
        numbers.iter().copied().map(BlockNumber::new).collect()
    }

    #[test]
    fn a_block_that_nobody_has_waits_longer_and_longer_and_the_others_do_not() {
        let (mut turns, start) = (Turns::default(), Instant::now());
        let damaged = numbers(&[3, 5]);
        assert_eq!(turns.due(&damaged, start), damaged);
        turns.failed(damaged[0], start, CAP, 1.0);
        assert_eq!(turns.due(&damaged, start), damaged[1..]);
        let later = start + FIRST;
        assert_eq!(turns.due(&damaged, later), damaged);
        turns.failed(damaged[0], later, CAP, 1.0);
        assert_eq!(turns.due(&damaged, later + FIRST), damaged[1..]);
        assert_eq!(turns.due(&damaged, later + 2 * FIRST), damaged);
    }

    #[test]
    fn it_goes_on_behind_the_block_that_was_asked_for_last() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.asked(4.into());
        assert_eq!(turns.due(&numbers(&[3, 4, 5, 6]), now), numbers(&[5, 6, 3, 4]));
        turns.asked(6.into());
        assert_eq!(turns.due(&numbers(&[3, 5]), now), numbers(&[3, 5]));
    }

    #[test]
    fn a_block_that_is_damaged_anew_is_due_at_once() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.failed(3.into(), now, CAP, 1.0);
        assert_eq!(turns.due(&[], now), []);
        assert_eq!(turns.due(&numbers(&[3]), now), numbers(&[3]));
    }
}
