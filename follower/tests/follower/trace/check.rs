//! Judges what happened: nothing was seen before it was durable, and no record was written before every name was. Pure.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::event::Event;

/// What was checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Answers that told of a block or a proof.
    pub(super) answers: usize,
    /// Blocks that were durable before they were seen.
    pub(super) blocks: usize,
    /// Proofs that were.
    pub(super) proofs: usize,
    /// Files that records of blocks were in.
    pub(super) segments: usize,
}

/// Checks every event; says at which line what was seen too early.
pub(super) fn check(events: &[Event]) -> Result<Seen, String> {
    let mut disk = Disk::default();
    for event in events {
        disk.take(event)?;
    }
    let (blocks, proofs) = (disk.blocks.durable.len(), disk.proofs.durable.len());
    Ok(Seen { answers: disk.answers, blocks, proofs, segments: disk.segments.len() })
}

/// Records of one kind.
#[derive(Default)]
struct Records {
    /// Written, and not known to be synced: in which file, and when.
    written: Vec<(u32, PathBuf, usize)>,
    durable: BTreeSet<u32>,
}

impl Records {
    fn synced(&mut self, path: &Path, began: usize) {
        let (covered, rest) = std::mem::take(&mut self.written)
            .into_iter()
            .partition(|(_, file, at)| file == path && *at < began);
        self.written = rest;
        let covered: Vec<(u32, PathBuf, usize)> = covered;
        self.durable.extend(covered.into_iter().map(|(number, ..)| number));
    }

    fn need(&self, what: &str, numbers: impl IntoIterator<Item = u32>, at: usize) -> Result<(), String> {
        match numbers.into_iter().find(|number| !self.durable.contains(number)) {
            Some(number) => Err(format!(
                "line {}: {what} {number} is seen before the sync that covers it returned",
                at + 1
            )),
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Disk {
    blocks: Records,
    proofs: Records,
    /// Names that are not durable yet, and when they were made.
    names: HashMap<PathBuf, usize>,
    segments: BTreeSet<PathBuf>,
    answers: usize,
}

impl Disk {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        match event {
            Event::Wrote { at, path, blocks, proofs } => self.wrote(*at, path, blocks, proofs)?,
            Event::Synced { began, path, .. } => self.synced(path, *began),
            Event::Made { at, path } => drop(self.names.insert(path.clone(), *at)),
            Event::Renamed { at, from, to } => self.renamed(from, to, *at),
            Event::SawBlock { at, number } => {
                self.answers += 1;
                self.blocks.need("block", 0..=*number, *at)?;
            }
            Event::SawProofs { at, up_to } => {
                self.answers += 1;
                self.proofs.need("proof", 1..=*up_to, *at)?;
            }
            Event::SawProof { at, number } => {
                self.answers += 1;
                self.proofs.need("proof", [*number], *at)?;
            }
        }
        Ok(())
    }

    fn wrote(&mut self, at: usize, path: &Path, blocks: &[u32], proofs: &[u32]) -> Result<(), String> {
        if !blocks.is_empty() || !proofs.is_empty() {
            self.named(at)?;
        }
        let written = |numbers: &[u32]| -> Vec<_> {
            numbers.iter().map(|number| (*number, path.to_owned(), at)).collect()
        };
        if !blocks.is_empty() {
            self.segments.insert(path.to_owned());
        }
        self.blocks.written.extend(written(blocks));
        self.proofs.written.extend(written(proofs));
        Ok(())
    }

    fn synced(&mut self, path: &Path, began: usize) {
        self.blocks.synced(path, began);
        self.proofs.synced(path, began);
        self.names.retain(|name, at| name.parent() != Some(path) || *at >= began);
    }

    fn renamed(&mut self, from: &Path, to: &Path, at: usize) {
        self.names.remove(from);
        self.names.insert(to.to_owned(), at);
        for (_, file, _) in self.blocks.written.iter_mut().chain(&mut self.proofs.written) {
            if file == from {
                to.clone_into(file);
            }
        }
    }

    /// Every file that a record relies on when it is found again has its name. Those that are made anew, and the lock, are
    /// not relied on.
    fn named(&self, at: usize) -> Result<(), String> {
        let relied = |name: &&PathBuf| !name.to_string_lossy().ends_with(".new") && !name.ends_with("lock");
        match self.names.keys().find(relied) {
            Some(name) => {
                let name = name.display();
                Err(format!("line {}: a record is written before the name {name} is durable", at + 1))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> PathBuf {
        "/d/blocks-00000000.log".into()
    }

    fn wrote(at: usize, blocks: &[u32]) -> Event {
        Event::Wrote { at, path: log(), blocks: blocks.to_vec(), proofs: Vec::new() }
    }

    fn synced(began: usize, at: usize, path: impl Into<PathBuf>) -> Event {
        Event::Synced { at, began, path: path.into() }
    }

    fn saw(at: usize, number: u32) -> Event {
        Event::SawBlock { at, number }
    }

    fn refused(events: &[Event]) -> String {
        check(events).expect_err("broken")
    }

    #[test]
    fn written_then_synced_then_seen_is_sound() {
        let events = [
            wrote(1, &[0, 1]),
            synced(2, 3, log()),
            saw(4, 1),
            wrote(5, &[2]),
            synced(6, 7, log()),
            saw(8, 2),
        ];
        assert_eq!(check(&events).map(|seen| (seen.answers, seen.blocks)), Ok((2, 3)));
    }

    #[test]
    fn a_sync_that_is_missing_late_elsewhere_or_began_too_early_is_found() {
        assert!(refused(&[wrote(1, &[0]), saw(4, 0)]).contains("line 5: block 0 is seen before"));
        assert!(refused(&[wrote(1, &[0]), saw(4, 0), synced(5, 6, log())]).contains("block 0"));
        assert!(
            refused(&[wrote(1, &[0]), synced(2, 3, "/d/proofs-00000000.log"), saw(4, 0)]).contains("block 0")
        );
        assert!(refused(&[wrote(2, &[0]), synced(1, 3, log()), saw(4, 0)]).contains("block 0"));
        assert!(refused(&[wrote(1, &[1]), synced(2, 3, log()), saw(4, 1)]).contains("block 0"));
    }

    #[test]
    fn a_name_that_is_not_durable_is_found() {
        let made = Event::Made { at: 1, path: "/d/blocks-00000000.log.new".into() };
        let renamed = Event::Renamed { at: 2, from: "/d/blocks-00000000.log.new".into(), to: log() };
        let rest = [wrote(5, &[0]), synced(6, 7, log()), saw(8, 0)];
        let with = |dir: Event| [&[made.clone(), renamed.clone(), dir], &rest[..]].concat();
        assert!(check(&with(synced(3, 4, "/d"))).is_ok());
        assert!(refused(&with(synced(1, 4, "/d"))).contains("the name /d/blocks-00000000.log"));
        assert!(refused(&with(synced(3, 4, "/elsewhere"))).contains("the name /d/blocks-00000000.log"));
    }
}
