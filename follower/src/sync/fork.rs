//! Where two chains part, and what is done about it. Pure.

use std::{fmt, str::FromStr};

use tidemark_store::{BlockHash, BlockNumber};

/// What to do when an upstream holds other blocks than this follower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFork {
    /// Keep what is held, serve it, and apply nothing more.
    Halt,
    /// Drop up to so many blocks, to follow the upstream from the last block both hold.
    Rewind(u32),
}

impl OnFork {
    /// The block to rewind to when `highest` is the highest tip there was and `common` the last block both hold; none: halt.
    pub(super) fn rewinds_to(self, highest: BlockNumber, common: Option<BlockNumber>) -> Option<BlockNumber> {
        let Self::Rewind(most) = self else { return None };
        common.filter(|common| highest.get().saturating_sub(common.get()) <= most)
    }
}

impl FromStr for OnFork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = match text.split_once(':') {
            None if text == "halt" => Some(Self::Halt),
            Some(("rewind", most)) => most.parse().ok().map(Self::Rewind),
            _ => None,
        };
        parsed
            .ok_or_else(|| "write halt, or rewind:K with the number of blocks that may be dropped".to_owned())
    }
}

impl fmt::Display for OnFork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halt => write!(f, "halt"),
            Self::Rewind(most) => write!(f, "rewind:{most}"),
        }
    }
}

/// What is known of the last block that two chains have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Common {
    /// It was not looked for.
    Unknown,
    /// They differ from genesis on.
    None,
    /// It is this one.
    Block(BlockNumber),
}

impl From<Option<BlockNumber>> for Common {
    fn from(found: Option<BlockNumber>) -> Self {
        found.map_or(Self::None, Self::Block)
    }
}

impl fmt::Display for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(f, "the last one in common is not known"),
            Self::None => write!(f, "no block is the same in both"),
            Self::Block(number) => write!(f, "block {number} is the last one in common"),
        }
    }
}

/// One fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fork {
    /// The tip here, at which the chains differ.
    pub(super) number: BlockNumber,
    pub(super) ours: BlockHash,
    pub(super) theirs: BlockHash,
    /// The last block that both chains have.
    pub(super) common: Option<BlockNumber>,
}

impl Fork {
    /// Whether it is a fork of the same two chains.
    pub(super) fn is_between_the_same(&self, other: &Self) -> bool {
        (self.number, self.ours, self.theirs) == (other.number, other.ours, other.theirs)
    }
}

/// Looks for the last block that two chains have in common, knowing that they differ at one: first in doubling steps
/// down from there, since forks are short, then by halving. At most twice as many questions as the number has bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    /// The lowest block known to differ.
    differs: u32,
    /// The highest block known to be the same.
    same: Option<u32>,
    step: u32,
}

impl Search {
    pub(super) fn new(differs: BlockNumber) -> Self {
        Self { differs: differs.get(), same: None, step: 1 }
    }

    /// The next block to compare; none when the answer is known.
    pub(super) fn question(&self) -> Option<BlockNumber> {
        let number = match self.same {
            Some(same) if same + 1 == self.differs => return None,
            Some(same) => same + (self.differs - same) / 2,
            None if self.differs == 0 => return None,
            None => self.differs.saturating_sub(self.step),
        };
        Some(number.into())
    }

    /// Block `number` is the same in both, or not.
    pub(super) fn answer(&mut self, number: BlockNumber, same: bool) {
        if same {
            self.same = self.same.max(Some(number.get()));
        } else {
            self.differs = self.differs.min(number.get());
            self.step = self.step.saturating_mul(2);
        }
    }

    /// The last block in common, once there is no more question; none when the chains differ from genesis on.
    pub(super) fn common(&self) -> Option<BlockNumber> {
        self.same.map(BlockNumber::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last common block and how many were compared, for chains that differ from `fork` on.
    fn search(tip: u32, fork: u32) -> (Option<u32>, u32) {
        let mut search = Search::new(tip.into());
        let mut questions = 0;
        while let Some(number) = search.question() {
            search.answer(number, number.get() < fork);
            questions += 1;
            assert!(questions <= 64, "endless");
        }
        (search.common().map(BlockNumber::get), questions)
    }

    #[test]
    fn the_last_common_block_is_found_wherever_it_is() {
        for tip in 0..70 {
            for fork in 0..=tip {
                assert_eq!(search(tip, fork).0, fork.checked_sub(1), "tip {tip}, fork {fork}");
            }
        }
        for fork in [0, 1, 2, 1 << 20, u32::MAX - 1, u32::MAX] {
            assert_eq!(search(u32::MAX, fork).0, fork.checked_sub(1));
        }
    }

    #[test]
    fn a_short_fork_of_a_long_chain_takes_few_questions() {
        assert_eq!(search(10_000_000, 10_000_000).1, 1);
        assert!(search(10_000_000, 9_999_990).1 <= 8);
        assert!(search(10_000_000, 5).1 <= 48);
    }

    #[test]
    fn only_a_fork_of_at_most_so_many_blocks_is_followed() {
        let (held, at) = (BlockNumber::new(100), |n| Some(BlockNumber::new(n)));
        assert_eq!(OnFork::Halt.rewinds_to(held, at(99)), None);
        assert_eq!(OnFork::Rewind(5).rewinds_to(held, at(95)), at(95));
        assert_eq!(OnFork::Rewind(5).rewinds_to(held, at(94)), None);
        assert_eq!(OnFork::Rewind(u32::MAX).rewinds_to(held, None), None, "another genesis is another chain");
    }

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["halt", "rewind:0", "rewind:128"] {
            assert_eq!(text.parse::<OnFork>().map(|parsed| parsed.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "rewind", "rewind:", "rewind:-1", "halt:3", "rewind:99999999999"] {
            assert!(text.parse::<OnFork>().is_err(), "{text}");
        }
    }
}
