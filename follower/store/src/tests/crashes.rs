//! Random workloads with crashes at random bytes of what was not synced.

use std::{fs, path::Path};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{append, fresh, number, open, payload, prove};
use crate::{
    BlockNumber, BlockStore as _, DiskStore, Tips,
    disk::{BLOCKS, PROOFS},
};

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Prove(prop::sample::Index),
    Sync,
    /// The process dies; what was not synced is cut at a random byte of it.
    Crash(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..4).prop_map(Step::Append),
        3 => any::<prop::sample::Index>().prop_map(Step::Prove),
        2 => Just(Step::Sync),
        1 => any::<prop::sample::Index>().prop_map(Step::Crash),
    ]
}

/// A store under test, and what has been seen published so far.
struct Run {
    dir: TempDir,
    /// None only while the store is crashed.
    store: Option<DiskStore>,
    seen: Tips,
    /// Lengths of the two logs at the last sync, in bytes.
    durable: [usize; 2],
}

impl Run {
    fn new() -> Self {
        let dir = TempDir::new().expect("temp dir");
        let store = Some(fresh(dir.path()));
        Self { dir, store, seen: Tips::default(), durable: [0, 0] }
    }

    fn store(&self) -> &DiskStore {
        self.store.as_ref().expect("open")
    }

    fn take(&mut self, step: Step) {
        let count = self.store().tips().applied.map_or(0, |tip| tip.index() + 1);
        match step {
            Step::Append(more) => append(self.store(), count..count + more),
            Step::Prove(which) if count > 1 => prove(self.store(), &[1 + which.index(count - 1)]),
            Step::Prove(_) => {}
            Step::Sync => self.see(self.store().sync().expect("must sync")),
            Step::Crash(at) => self.crash(at),
        }
    }

    /// Nothing that was seen published may ever be gone.
    fn see(&mut self, tips: Tips) {
        assert!(tips.published >= self.seen.published && tips.proven >= self.seen.proven, "{tips:?}");
        self.seen = tips;
        self.durable = [BLOCKS, PROOFS].map(|name| read(self.dir.path(), name).len());
    }

    fn crash(&mut self, at: prop::sample::Index) {
        self.store = None;
        for (name, durable) in [BLOCKS, PROOFS].into_iter().zip(self.durable) {
            let bytes = read(self.dir.path(), name);
            let kept = durable + at.index(bytes.len() - durable + 1);
            fs::write(self.dir.path().join(name), &bytes[..kept]).expect("writable");
        }
        self.store = Some(open(self.dir.path()));
        self.see(self.store().tips());
    }

    fn check_served(&self) {
        let store = self.store();
        for n in 0..self.seen.published.map_or(0, |tip| tip.index() + 1) {
            assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
        }
        for n in 1..=self.seen.proven.map_or(0, BlockNumber::index) {
            assert_eq!(store.proof(number(n)).expect("readable"), Some(payload(n)));
        }
    }
}

fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join(name)).expect("readable")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_published_once_stays(steps in prop::collection::vec(step(), 1..40)) {
        let mut run = Run::new();
        steps.into_iter().for_each(|step| run.take(step));
        run.check_served();
    }
}
