//! A disk in memory that keeps live and durable bytes apart, and can crash at every write and sync.
//!
//! Model: a write or a change of a name is live at once and durable after the sync that covers it; before that, a
//! crash may keep it, lose it, or keep any of its 512-byte sectors. A copy of the state is what a crash leaves behind.

use std::{
    collections::BTreeMap,
    io::{self, IoSliceMut},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use rand::{RngExt as _, rngs::StdRng};

use crate::io::{Disk, DiskFile};

const SECTOR: usize = 512;

/// What a crash does to writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// All are lost.
    None,
    /// All are kept.
    All,
    /// Each is kept or lost as a whole.
    Subset,
    /// Each sector of each is kept or lost.
    Torn,
    /// Only the process dies, after the system failed to write them back: they still read as if they were there, and
    /// no later sync makes them durable.
    Unwritten,
}

impl Fate {
    pub(super) const ALL: [Self; 5] = [Self::None, Self::All, Self::Subset, Self::Torn, Self::Unwritten];
}

#[derive(Clone)]
enum Pending {
    Write { offset: usize, bytes: Arc<[u8]> },
    Grow { len: usize },
}

#[derive(Clone, Default)]
struct Content {
    live: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    pending: Vec<Pending>,
    /// A byte that cannot be read until it is written again.
    broken: Option<usize>,
}

/// A name that was given to a file or taken away.
type Naming = Vec<(String, Option<usize>)>;

/// Everything the disk holds.
#[derive(Clone, Default)]
pub(super) struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    renamings: Vec<Naming>,
    files: Vec<Content>,
}

/// What the disk does wrong.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    /// No file can grow.
    pub(super) full: bool,
    /// Syncs fail.
    pub(super) sync_fails: bool,
    /// Syncs say they are done and do nothing.
    pub(super) sync_lies: bool,
    /// Nothing may be written.
    pub(super) read_only: bool,
    /// Everything fails.
    pub(super) dead: bool,
}

struct Inner {
    state: State,
    faults: Faults,
    /// The state before and after every write, and before every sync; recorded when asked for.
    points: Option<Vec<State>>,
}

/// The disk, or a directory of it; clones share it.
#[derive(Clone)]
pub(super) struct SimDisk {
    inner: Arc<Mutex<Inner>>,
    /// What the names in this directory start with.
    dir: String,
}

impl SimDisk {
    pub(super) fn new(state: State) -> Self {
        let inner = Inner { state, faults: Faults::default(), points: None };
        Self { inner: Arc::new(Mutex::new(inner)), dir: String::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no test panics while it holds the disk")
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.inner().faults);
    }

    pub(super) fn record(&self) {
        self.inner().points = Some(Vec::new());
    }

    /// The states at every crash point since this was asked for last, and the one now.
    pub(super) fn take_points(&self) -> Vec<State> {
        let mut inner = self.inner();
        let mut points = inner.points.replace(Vec::new()).unwrap_or_default();
        points.push(inner.state.clone());
        points
    }

    pub(super) fn state(&self) -> State {
        self.inner().state.clone()
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.dir)
    }

    /// The names of the files in a directory.
    pub(super) fn names(&self, dir: &str) -> Vec<String> {
        let inner = self.inner();
        inner.state.names.keys().filter_map(|name| name.strip_prefix(dir)).map(str::to_owned).collect()
    }

    /// Changes a live and durable byte of a file, as a failing medium does.
    pub(super) fn corrupt(&self, name: &str, at: usize) {
        let mut inner = self.inner();
        let id = inner.state.names[name];
        let content = &mut inner.state.files[id];
        Arc::make_mut(&mut content.live)[at] ^= 1;
        Arc::make_mut(&mut content.durable)[at] ^= 1;
    }

    /// Makes a byte of a file unreadable until it is written again.
    pub(super) fn break_at(&self, name: &str, at: usize) {
        let mut inner = self.inner();
        let id = inner.state.names[name];
        inner.state.files[id].broken = Some(at);
    }

    /// Overwrites live and durable bytes of a file with zeros from a byte on.
    pub(super) fn lose(&self, name: &str, from: usize) {
        let mut inner = self.inner();
        let id = inner.state.names[name];
        let content = &mut inner.state.files[id];
        Arc::make_mut(&mut content.live)[from..].fill(0);
        Arc::make_mut(&mut content.durable)[from..].fill(0);
    }

    /// Puts other live and durable bytes into a file.
    pub(super) fn replace(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner();
        let id = inner.state.names[name];
        let bytes = Arc::new(bytes.to_vec());
        inner.state.files[id] =
            Content { live: Arc::clone(&bytes), durable: bytes, pending: Vec::new(), broken: None };
    }

    /// Adds a file, live and durable.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner();
        let id = inner.state.files.len();
        inner.state.files.push(Content::default());
        inner.state.names.insert(name.to_owned(), id);
        inner.state.durable_names.insert(name.to_owned(), id);
        drop(inner);
        self.replace(name, bytes);
    }

    /// Takes a file away.
    pub(super) fn forget(&self, name: &str) {
        let mut inner = self.inner();
        inner.state.names.remove(name);
        inner.state.durable_names.remove(name);
    }

    /// Where these bytes are in a file, the last time: what is before a run of one byte may end with that byte.
    pub(super) fn find(&self, name: &str, bytes: &[u8]) -> usize {
        self.bytes(name).windows(bytes.len()).rposition(|window| window == bytes).expect("there")
    }

    pub(super) fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.inner();
        inner.state.files[inner.state.names[name]].live.to_vec()
    }
}

impl Inner {
    fn check(&self) -> io::Result<()> {
        if self.faults.dead { Err(io::Error::other("the power is off")) } else { Ok(()) }
    }

    fn point(&mut self) -> io::Result<()> {
        self.check()?;
        assert!(!self.faults.read_only, "nothing may be written");
        if let Some(points) = &mut self.points {
            points.push(self.state.clone());
        }
        Ok(())
    }

    fn synced(&self) -> io::Result<bool> {
        if self.faults.sync_fails {
            Err(io::Error::other("the disk is gone"))
        } else {
            Ok(!self.faults.sync_lies)
        }
    }

    fn name(&mut self, naming: Naming) {
        apply_naming(&mut self.state.names, &naming);
        self.state.renamings.push(naming);
    }
}

fn apply_naming(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    for (name, id) in naming {
        match id {
            Some(id) => names.insert(name.clone(), *id),
            None => names.remove(name),
        };
    }
}

/// Whether a name is of a file right in a directory.
fn is_in(name: &str, dir: &str) -> bool {
    name.strip_prefix(dir).is_some_and(|name| !name.contains('/'))
}

impl State {
    /// Makes the names in one directory durable, those in others not.
    fn sync_names(&mut self, dir: &str) {
        self.durable_names.retain(|name, _| !is_in(name, dir));
        let names = self.names.iter().filter(|(name, _)| is_in(name, dir));
        self.durable_names.extend(names.map(|(name, id)| (name.clone(), *id)));
        self.renamings.retain(|naming| naming.iter().all(|(name, _)| !is_in(name, dir)));
    }

    /// What is there after a crash now.
    pub(super) fn crash(&self, fate: Fate, rng: &mut StdRng) -> Self {
        let mut names = self.durable_names.clone();
        for naming in &self.renamings {
            if fate.keeps(rng) {
                apply_naming(&mut names, naming);
            }
        }
        let reachable: Vec<_> = names.keys().cloned().collect();
        names.retain(|name, _| {
            name.rsplit_once('/').is_none_or(|(dir, _)| reachable.iter().any(|name| name == dir))
        });
        let files = self.files.iter().map(|file| file.crash(fate, rng)).collect();
        Self { durable_names: names.clone(), names, renamings: Vec::new(), files }
    }
}

impl Fate {
    fn keeps(self, rng: &mut StdRng) -> bool {
        match self {
            Self::None => false,
            Self::All | Self::Unwritten => true,
            Self::Subset | Self::Torn => rng.random_bool(0.5),
        }
    }
}

impl Content {
    fn crash(&self, fate: Fate, rng: &mut StdRng) -> Self {
        if fate == Fate::Unwritten {
            return Self { pending: Vec::new(), ..self.clone() };
        }
        let mut bytes = Arc::clone(&self.durable);
        for pending in &self.pending {
            match pending {
                Pending::Write { offset, bytes: written } if fate == Fate::Torn => {
                    tear(Arc::make_mut(&mut bytes), *offset, written, rng);
                }
                pending if fate.keeps(rng) => pending.apply(Arc::make_mut(&mut bytes)),
                _ => {}
            }
        }
        Self { live: Arc::clone(&bytes), durable: bytes, pending: Vec::new(), broken: self.broken }
    }
}

impl Pending {
    fn covers(&self, at: usize) -> bool {
        matches!(self, Self::Write { offset, bytes } if (*offset..offset + bytes.len()).contains(&at))
    }

    fn end(&self) -> usize {
        match self {
            Self::Write { offset, bytes } => offset + bytes.len(),
            Self::Grow { len } => *len,
        }
    }

    fn apply(&self, into: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => put(into, *offset, bytes),
            Self::Grow { len } => into.resize((*len).max(into.len()), 0),
        }
    }
}

fn put(into: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if into.len() < end {
        into.resize(end, 0);
    }
    into[offset..end].copy_from_slice(bytes);
}

fn tear(into: &mut Vec<u8>, offset: usize, bytes: &[u8], rng: &mut StdRng) {
    let mut at = offset;
    while at < offset + bytes.len() {
        let end = ((at / SECTOR + 1) * SECTOR).min(offset + bytes.len());
        if rng.random_bool(0.5) {
            put(into, at, &bytes[at - offset..end - offset]);
        }
        at = end;
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner();
        inner.check()?;
        let id = *inner.state.names.get(&self.full(name)).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner();
        inner.point()?;
        let id = inner.state.files.len();
        inner.state.files.push(Content::default());
        inner.name(vec![(self.full(name), Some(id))]);
        Ok(Arc::new(SimFile { disk: self.clone(), id }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.point()?;
        let id = *inner.state.names.get(&self.full(from)).ok_or(io::ErrorKind::NotFound)?;
        inner.name(vec![(self.full(from), None), (self.full(to), Some(id))]);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.inner();
        inner.point()?;
        inner.state.names.get(&self.full(name)).ok_or(io::ErrorKind::NotFound)?;
        inner.name(vec![(self.full(name), None)]);
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner();
        inner.check()?;
        let names = inner.state.names.keys().filter_map(|name| name.strip_prefix(&self.dir));
        Ok(names.filter(|name| !name.contains('/')).map(str::to_owned).collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.inner();
        inner.point()?;
        if inner.synced()? {
            inner.state.sync_names(&self.dir);
        }
        Ok(())
    }

    fn dir(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let mut inner = self.inner();
        inner.check()?;
        let full = self.full(name);
        if !inner.state.names.contains_key(&full) {
            inner.point()?;
            inner.state.files.push(Content::default());
            let id = inner.state.files.len() - 1;
            inner.name(vec![(full.clone(), Some(id))]);
        }
        drop(inner);
        Ok(Arc::new(Self { inner: Arc::clone(&self.inner), dir: format!("{full}/") }))
    }

    fn volume(&self) -> io::Result<u64> {
        Ok(1 << 30)
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("/sim").join(self.full(name))
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl SimFile {
    fn change(&self, pending: Pending) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.point()?;
        let is_full = inner.faults.full;
        let content = &mut inner.state.files[self.id];
        if is_full && pending.end() > content.live.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        pending.apply(Arc::make_mut(&mut content.live));
        content.broken = content.broken.filter(|at| !pending.covers(*at));
        content.pending.push(pending);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let inner = self.disk.inner();
        inner.check()?;
        Ok(inner.state.files[self.id].live.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.disk.inner();
        inner.check()?;
        let start = usize::try_from(offset).expect("small");
        if inner.state.files[self.id].broken.is_some_and(|at| (start..start + into.len()).contains(&at)) {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        let bytes = inner.state.files[self.id].live.get(start..start + into.len());
        into.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    /// All of it is in memory.
    fn read_at_hand(&self, into: &mut [IoSliceMut<'_>], mut offset: u64) -> io::Result<()> {
        for part in into {
            self.read_at(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Pending::Write { offset: usize::try_from(offset).expect("small"), bytes: bytes.into() })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.change(Pending::Grow { len: usize::try_from(len).expect("small") })
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = self.disk.inner();
        inner.point()?;
        if inner.synced()? {
            let content = &mut inner.state.files[self.id];
            let pending = std::mem::take(&mut content.pending);
            let durable = Arc::make_mut(&mut content.durable);
            pending.iter().for_each(|pending| pending.apply(durable));
        }
        Ok(())
    }
}
