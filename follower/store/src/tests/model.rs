//! What a store must hold, kept beside it: the chain as it was written, what was seen published, and what was harmed.

use std::collections::BTreeSet;

use rand::{RngExt as _, rngs::StdRng};

use super::{GENESIS, harm::Harm, number, subject::Subject, tally::Tally};
use crate::{BlockNumber, BlockStore as _, DiskStore, Metadata, StoreError, Tips};

/// One step of a workload.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Apply {
        count: u32,
        len: u32,
    },
    Prove {
        number: u32,
    },
    Sync,
    Checkpoint,
    Truncate {
        last: u32,
    },
    /// The medium harms a block that is durable, and somebody reads it.
    Harm {
        number: u32,
        harm: Harm,
    },
    Scrub,
    Repair {
        number: u32,
    },
    /// Closes the store, migrates it and opens it again.
    Migrate,
}

/// The chain a workload has written, what it has seen published, and what was done to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    blocks: Vec<Vec<u8>>,
    seen: Tips,
    /// Blocks whose bytes are gone, known or not.
    harmed: BTreeSet<u32>,
    /// Blocks of which something else was harmed, and not looked at by the scrubber since.
    touched: BTreeSet<u32>,
    harmed_proofs: BTreeSet<u32>,
    /// Damage that the store has durably written down.
    known: BTreeSet<u32>,
    /// Whether it is of the version that does.
    is_new: bool,
    /// Whether the store was reopened in the middle of a step, so that harm may be less than is known here.
    is_vague: bool,
    /// Rises with each cut, so that no two chains hold equal blocks.
    epoch: u8,
}

impl Model {
    pub(super) fn of_version(is_new: bool) -> Self {
        Self { is_new, ..Self::default() }
    }

    /// A step that is allowed now.
    pub(super) fn draw(&self, rng: &mut StdRng) -> Step {
        let count = u32::try_from(self.blocks.len()).expect("small");
        match rng.random_range(0..26) {
            0..8 => Step::Apply { count: rng.random_range(1..6), len: [0, 100, 484][rng.random_range(0..3)] },
            8..11 if count > 1 => Step::Prove { number: rng.random_range(1..count) },
            11..14 if self.proven() + 1 < count => Step::Prove { number: self.proven() + 1 },
            18 => Step::Checkpoint,
            19 if count > 0 => Step::Truncate { last: rng.random_range(0..count) },
            20..22 => self.draw_harm(rng).unwrap_or(Step::Sync),
            22 => Step::Scrub,
            23..25 if !self.harmed.is_empty() => {
                let index = rng.random_range(0..self.harmed.len());
                Step::Repair { number: *self.harmed.iter().nth(index).expect("there") }
            }
            25 if !self.is_new => Step::Migrate,
            _ => Step::Sync,
        }
    }

    /// Harm to a block that is published and whole.
    fn draw_harm(&self, rng: &mut StdRng) -> Option<Step> {
        let durable = self.seen.durable?.get();
        let (number, harm) = (rng.random_range(0..=durable), Harm::draw(rng));
        if harm == Harm::Proof {
            let is_proven = number > 0 && number <= self.proven() && !self.harmed_proofs.contains(&number);
            return is_proven.then_some(Step::Harm { number, harm });
        }
        let is_whole = !self.harmed.contains(&number) && !self.touched.contains(&number);
        is_whole.then_some(Step::Harm { number, harm })
    }

    fn proven(&self) -> u32 {
        self.seen.proven.map_or(0, BlockNumber::get)
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
            Step::Harm { number, harm } => during.harm(number, harm),
            Step::Repair { number } => drop(during.known.remove(&number)),
            Step::Migrate => during.known.clear(),
            Step::Scrub if self.is_vague => during.known.clear(), // what reads whole by then is taken from the list
            Step::Prove { .. } | Step::Sync | Step::Checkpoint | Step::Scrub => {}
        }
        during
    }

    fn forget_above(&mut self, last: u32) {
        let lower = |tip: Option<BlockNumber>| tip.map(|tip| tip.min(number(last)));
        self.seen.published = lower(self.seen.published);
        self.seen.durable = lower(self.seen.durable);
        self.seen.proven = lower(self.seen.proven).filter(|tip| *tip > BlockNumber::GENESIS);
        self.known.retain(|number| *number <= last);
    }

    fn harm(&mut self, n: u32, harm: Harm) {
        if harm == Harm::Proof {
            self.harmed_proofs.insert(n);
            self.seen.proven = self.seen.proven.map(|tip| tip.min(number(n - 1))).filter(|tip| tip.get() > 0);
        } else if harm.takes_bytes() {
            self.harmed.insert(n);
        } else {
            self.touched.insert(n);
        }
    }

    /// Takes the step on the store too.
    pub(super) fn take(&mut self, step: Step, subject: &mut Subject) -> Result<(), StoreError> {
        let first = self.blocks.len();
        *self = self.during(step);
        match step {
            Step::Apply { .. } => {
                let blocks: Vec<&[u8]> = self.blocks[first..].iter().map(Vec::as_slice).collect();
                subject.store().apply(number(u32::try_from(first).expect("small")), &blocks)?;
            }
            Step::Prove { number: n } => {
                subject.store().put_proof(number(n), &Self::proof(&self.blocks[n as usize]))?;
            }
            Step::Sync => self.seen = subject.store().sync()?,
            Step::Checkpoint => subject.store().checkpoint()?,
            Step::Truncate { last } => self.truncate(subject, last)?,
            Step::Harm { number: n, harm } => self.read_harmed(subject, n, harm)?,
            Step::Scrub => self.scrub(subject)?,
            Step::Repair { number: n } => {
                self.seen = subject.store().repair(number(n), &self.blocks[n as usize])?;
                self.harmed.remove(&n);
                self.note_known(subject);
            }
            Step::Migrate => {
                subject.migrate()?;
                self.is_new = true;
                self.seen = subject.store().tips();
                self.note_known(subject);
            }
        }
        Ok(())
    }

    fn truncate(&mut self, subject: &Subject, last: u32) -> Result<(), StoreError> {
        self.seen = subject.store().truncate(number(last))?;
        self.blocks.truncate(last as usize + 1);
        self.keep_harm_below(last + 1);
        self.epoch += 1;
        Ok(())
    }

    fn keep_harm_below(&mut self, count: u32) {
        for set in [&mut self.harmed, &mut self.touched, &mut self.harmed_proofs, &mut self.known] {
            set.retain(|number| *number < count);
        }
    }

    /// Bits rot long after they were written: a checkpoint covers them.
    fn read_harmed(&mut self, subject: &Subject, n: u32, harm: Harm) -> Result<(), StoreError> {
        let store = subject.store();
        store.checkpoint()?;
        self.seen.durable = store.tips().durable;
        harm.inflict(subject.disk(), n);
        let is_met = if harm == Harm::Proof {
            store.proof(number(n)).is_err() && !store.has_proof(number(n))
        } else {
            store.block(number(n)).is_err() == harm.takes_bytes()
        };
        assert!(is_met, "{harm:?} of block {n} must be met by its first reader");
        self.note_known(subject);
        Ok(())
    }

    fn scrub(&mut self, subject: &Subject) -> Result<(), StoreError> {
        let mut next = Some(BlockNumber::GENESIS);
        while let Some(from) = next {
            next = subject.store().scrub(from, 1000)?.next;
        }
        if !self.is_vague {
            self.touched.clear(); // else what was made good may be so in memory only, which nobody can tell
        }
        self.note_known(subject);
        let found = subject.damaged();
        let is_all = if self.is_vague { found.is_subset(&self.harmed) } else { found == self.harmed };
        assert!(is_all, "the scrubber finds all damage: {found:?} of {:?}", self.harmed);
        Ok(())
    }

    fn note_known(&mut self, subject: &Subject) {
        if subject.is_new() {
            self.known = subject.damaged();
        }
    }

    /// Whether a store that was reopened holds all that was seen published, and nothing that was never written.
    pub(super) fn check(&self, store: &DiskStore, tally: &Tally) -> Result<(), String> {
        let tips = store.tips();
        if tips.durable < self.seen.durable || tips.proven < self.least_proven().min(tips.published) {
            return Err(format!("tips went back from {:?} to {tips:?}", self.seen));
        }
        self.check_damage(store)?;
        let count = tips.durable.map_or(0, |tip| tip.get() + 1);
        (0..count).try_for_each(|n| self.check_block(store, n))?;
        self.check_tally(tally, count)?;
        (1..=tips.proven.map_or(0, BlockNumber::get)).try_for_each(|n| {
            if store.has_proof(number(n)) || self.harmed_proofs.contains(&n) {
                Ok(())
            } else {
                Err(format!("proof {n} is below the proven tip and not held"))
            }
        })
    }

    /// The proven tip that was seen, or what is below the first proof that was harmed: any reopened store may meet that.
    fn least_proven(&self) -> Option<BlockNumber> {
        let harmed = self.harmed_proofs.first();
        let proven = harmed.map_or(self.seen.proven, |lowest| self.seen.proven.min(Some(number(lowest - 1))));
        proven.filter(|tip| *tip > BlockNumber::GENESIS)
    }

    /// What is damaged is what was harmed, what was written down is known at once, and published is what is below.
    fn check_damage(&self, store: &DiskStore) -> Result<(), String> {
        let (tips, damaged) = (store.tips(), store.damaged());
        let found: BTreeSet<u32> = damaged.iter().map(|number| number.get()).collect();
        let is_told = self.known.is_subset(&found) && found.is_subset(&self.harmed);
        let lowest = found.first().map(|lowest| BlockNumber::last_of(*lowest));
        if !is_told || tips.published != lowest.unwrap_or(tips.durable) || tips.applied != tips.durable {
            return Err(format!(
                "{tips:?}, damaged {found:?}, harmed {:?}, known {:?}",
                self.harmed, self.known
            ));
        }
        Ok(())
    }

    /// The medium must hold what it makes of the very blocks that are published, up to the first that is harmed.
    fn check_tally(&self, tally: &Tally, count: u32) -> Result<(), String> {
        let held = tally.count();
        let published = self.blocks.iter().take(held as usize).map(Vec::as_slice);
        let least = self.harmed.first().map_or(count, |lowest| count.min(*lowest));
        if tally.after(held) == Tally::of(published) && (least..=count).contains(&held) {
            Ok(())
        } else {
            Err(format!("the medium holds something else than {count} blocks, or too few: {held}"))
        }
    }

    fn check_block(&self, store: &DiskStore, n: u32) -> Result<(), String> {
        let written = self.blocks.get(n as usize);
        let hash = written.map(|block| crate::BlockHash::of(block));
        if store.hash_at(number(n)) != hash {
            return Err(format!("the hash of block {n} is another one"));
        }
        match store.block(number(n)) {
            Err(error) if !error.is_damage() || !self.harmed.contains(&n) => {
                return Err(format!("block {n}: {error}"));
            }
            Ok(read) if read.as_ref() != written || read.is_none() => {
                return Err(format!("block {n} reads as {read:?}, written was {written:?}"));
            }
            _ => {}
        }
        match store.proof(number(n)) {
            Err(error) if !self.harmed_proofs.contains(&n) => Err(format!("proof {n}: {error}")),
            Ok(Some(proof)) if Some(&proof) != written.map(|block| Self::proof(block)).as_ref() => {
                Err(format!("proof {n} is that of another block"))
            }
            _ => Ok(()),
        }
    }

    /// Goes on with other blocks behind what is published.
    pub(super) fn diverge(&mut self) {
        self.is_vague = true;
        let count = self.seen.durable.map_or(0, |tip| tip.get() + 1);
        self.blocks.truncate(count as usize);
        self.keep_harm_below(count);
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
