//! What a store must hold, kept beside it: the chain as it was written, and what was seen published.

use rand::{RngExt as _, rngs::StdRng};

use super::{GENESIS, number, tally::Tally};
use crate::{BlockNumber, BlockStore as _, DiskStore, Metadata, StoreError, Tips};

/// One step of a workload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Apply { count: u32, len: u32 },
    Prove { number: u32 },
    Sync,
    Checkpoint,
    Truncate { last: u32 },
}

/// The chain a workload has written, and what it has seen published.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    blocks: Vec<Vec<u8>>,
    seen: Tips,
    /// Rises with each cut, so that no two chains hold equal blocks.
    epoch: u8,
}

impl Model {
    /// A step that is allowed now.
    pub(super) fn draw(&self, rng: &mut StdRng) -> Step {
        let count = u32::try_from(self.blocks.len()).expect("small");
        match rng.random_range(0..20) {
            0..8 => Step::Apply { count: rng.random_range(1..6), len: [0, 100, 484][rng.random_range(0..3)] },
            8..11 if count > 1 => Step::Prove { number: rng.random_range(1..count) },
            11..14 if self.seen.proven.map_or(0, BlockNumber::get) + 1 < count => {
                Step::Prove { number: self.seen.proven.map_or(0, BlockNumber::get) + 1 }
            }
            18 => Step::Checkpoint,
            19 if count > 0 => Step::Truncate { last: rng.random_range(0..count) },
            _ => Step::Sync,
        }
    }

    fn block(&self, number: usize, len: u32) -> Vec<u8> {
        let fill = u8::try_from(number % 251).expect("below 251");
        let mut block = vec![fill; len as usize];
        block.extend([self.epoch, fill]);
        block
    }

    fn proof(block: &[u8]) -> Vec<u8> {
        block.iter().rev().take(100).copied().collect()
    }

    /// What may be found if the process dies before the step has returned: the longer of both chains, and the least
    /// that must be there.
    pub(super) fn during(&self, step: Step) -> Self {
        let mut during = self.clone();
        match step {
            Step::Apply { count, len } => (0..count).for_each(|_| {
                during.blocks.push(self.block(during.blocks.len(), len));
            }),
            Step::Truncate { last } => during.forget_above(last),
            _ => {}
        }
        during
    }

    fn forget_above(&mut self, last: u32) {
        let lower = |tip: Option<BlockNumber>| tip.map(|tip| tip.min(number(last)));
        self.seen.published = lower(self.seen.published);
        self.seen.proven = lower(self.seen.proven).filter(|tip| *tip > BlockNumber::GENESIS);
    }

    /// Takes the step on the store too.
    pub(super) fn take(&mut self, step: Step, store: &DiskStore) -> Result<(), StoreError> {
        let first = self.blocks.len();
        *self = self.during(step);
        match step {
            Step::Apply { .. } => {
                let blocks: Vec<&[u8]> = self.blocks[first..].iter().map(Vec::as_slice).collect();
                store.apply(number(u32::try_from(first).expect("small")), &blocks)?;
            }
            Step::Prove { number: n } => {
                store.put_proof(number(n), &Self::proof(&self.blocks[n as usize]))?;
            }
            Step::Sync => self.seen = store.sync()?,
            Step::Checkpoint => store.checkpoint()?,
            Step::Truncate { last } => {
                self.seen = store.truncate(number(last))?;
                self.blocks.truncate(last as usize + 1);
                self.epoch += 1;
            }
        }
        Ok(())
    }

    /// Whether a store that was reopened holds all that was seen published, and nothing that was never written.
    pub(super) fn check(&self, store: &DiskStore, tally: &Tally) -> Result<(), String> {
        let tips = store.tips();
        if tips.published < self.seen.published || tips.proven < self.seen.proven {
            return Err(format!("tips went back from {:?} to {tips:?}", self.seen));
        }
        if tips.applied != tips.published || !store.damaged().is_empty() {
            return Err(format!("{tips:?}, damaged {:?}", store.damaged()));
        }
        let count = tips.published.map_or(0, |tip| tip.get() + 1);
        (0..count).try_for_each(|n| self.check_block(store, n))?;
        self.check_tally(tally, count)?;
        (1..=tips.proven.map_or(0, BlockNumber::get)).try_for_each(|n| {
            if store.has_proof(number(n)) {
                Ok(())
            } else {
                Err(format!("proof {n} is below the proven tip and not held"))
            }
        })
    }

    /// The medium must hold what it makes of the very blocks that are published.
    fn check_tally(&self, tally: &Tally, count: u32) -> Result<(), String> {
        let published = self.blocks.iter().take(count as usize).map(Vec::as_slice);
        if tally.after(count) == Tally::of(published) && tally.after(count + 1) == [0; 32] {
            Ok(())
        } else {
            Err(format!("the medium holds something else than {count} blocks"))
        }
    }

    fn check_block(&self, store: &DiskStore, n: u32) -> Result<(), String> {
        let written = self.blocks.get(n as usize);
        let read = store.block(number(n)).map_err(|error| format!("block {n}: {error}"))?;
        if read.as_ref() != written || read.is_none() {
            return Err(format!("block {n} reads as {read:?}, written was {written:?}"));
        }
        let hash = written.map(|block| crate::BlockHash::of(block));
        if store.hash_at(number(n)) != hash {
            return Err(format!("the hash of block {n} is another one"));
        }
        let proof = store.proof(number(n)).map_err(|error| format!("proof {n}: {error}"))?;
        match proof {
            Some(proof) if Some(&proof) != written.map(|block| Self::proof(block)).as_ref() => {
                Err(format!("proof {n} is that of another block"))
            }
            _ => Ok(()),
        }
    }

    /// Goes on with other blocks behind what is published.
    pub(super) fn diverge(&mut self) {
        self.blocks.truncate(self.seen.published.map_or(0, |tip| tip.get() as usize + 1));
        self.epoch += 1;
    }

    /// Remembers what a reopened store shows.
    pub(super) fn see(&mut self, store: &DiskStore) {
        self.seen = store.tips();
    }

    pub(super) fn initialise(store: &DiskStore) -> Result<(), StoreError> {
        store.initialise(Metadata::new("opaque", GENESIS))
    }
}
