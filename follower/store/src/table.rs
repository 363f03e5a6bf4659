//! A file of entries of one width, found by number, read by pread through a bounded cache of pages.
//!
//! An entry that was never written reads as zeros. What an entry means, and whether it is true, is its owner's business.

use std::{
    io::{self, IoSliceMut},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use crate::{
    StoreError,
    cache::Cache,
    io::{Disk, DiskFile, is_unreadable},
};

/// Bytes read at once and cached together; a multiple of every width.
const PAGE: usize = 4096;
/// Bytes blanked at once.
const BLANK: usize = 1 << 20;
/// Pages cached per table: 4 MiB.
const PAGES: usize = 1024;

type Page = Arc<[u8; PAGE]>;

/// Entries of `W` bytes each, for media that keep something of one width per block.
pub struct Table<const W: usize> {
    name: String,
    disk: Arc<dyn Disk>,
    file: Arc<dyn DiskFile>,
    /// The file grows by this many entries.
    growth: u64,
    /// Bytes the file has.
    len: AtomicU64,
    pages: Mutex<Cache<u64, Page>>,
}

impl<const W: usize> Table<W> {
    /// Opens the table in the file `name`, making an empty one if there is none. It grows by `growth` entries at once.
    /// Does not compile for a width that 4096 is no multiple of.
    ///
    /// # Errors
    /// `DiskFull` or what the file system says.
    pub fn open(disk: &Arc<dyn Disk>, name: &str, growth: u32) -> Result<Self, StoreError> {
        const { assert!(W > 0 && PAGE.is_multiple_of(W), "an entry must not cross pages") };
        let failed = || StoreError::io("open", disk.path(name));
        let file = match disk.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&**disk, name),
            opened => opened,
        };
        let file = file.map_err(failed())?;
        let len = AtomicU64::new(file.len().map_err(failed())?);
        let (disk, pages) = (Arc::clone(disk), Mutex::new(Cache::new(PAGES)));
        Ok(Self { name: name.to_owned(), disk, file, growth: growth.max(1).into(), len, pages })
    }

    /// Whether nothing was ever written, or everything is lost.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// How many entries the file has space for.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        u32::try_from(self.len.load(Relaxed) / W as u64).unwrap_or(u32::MAX)
    }

    /// Makes sure of the space of the first `count` entries, so that writing them finds no full disk.
    ///
    /// # Errors
    /// `DiskFull` or what the file system says.
    pub fn reserve(&self, count: u32) -> Result<(), StoreError> {
        let needed = u64::from(count).div_ceil(self.growth) * self.growth * W as u64;
        if needed > self.len.load(Relaxed) {
            self.file.allocate(needed).map_err(self.failed("grow"))?;
            self.len.store(needed, Relaxed);
        }
        Ok(())
    }

    /// Writes entries from number `first` on; durable after the next `sync`.
    ///
    /// # Errors
    /// `DiskFull` beyond what was reserved, or what the file system says.
    pub fn write(&self, first: u32, entries: &[[u8; W]]) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let at = u64::from(first) * W as u64;
        self.file.write_at(entries.as_flattened(), at).map_err(self.failed("write"))?;
        let end = at + (entries.len() * W) as u64;
        self.len.fetch_max(end, Relaxed);
        let mut pages = self.pages();
        (at / PAGE as u64..end.div_ceil(PAGE as u64)).for_each(|page| pages.remove(page));
        Ok(())
    }

    /// The entry of `number`; as it was written last, for a write takes its pages out of the cache.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, number: u32) -> Result<[u8; W], StoreError> {
        let (page, at) = Self::spot(number);
        let (cached, generation) = {
            let mut pages = self.pages();
            (pages.get(page), pages.generation())
        };
        if let Some(bytes) = cached {
            return Ok(entry(&bytes, at));
        }
        let bytes = self.load(page).map_err(self.unread(number))?;
        self.pages().put(generation, page, Arc::clone(&bytes));
        Ok(entry(&bytes, at))
    }

    /// How many entries were written, where all of them are from 0 on and none is blank. Behind a hole, which a crash may
    /// leave, it may say less, never less than what lies before the hole.
    ///
    /// # Errors
    /// What the file system says.
    pub fn written(&self) -> Result<u32, StoreError> {
        let (mut written, mut blank) = (0, self.capacity());
        while written < blank {
            let middle = written + (blank - written) / 2;
            if self.read(middle)? == [0; W] { blank = middle } else { written = middle + 1 }
        }
        Ok(written)
    }

    /// The entry of `number`, if no disk need be waited for.
    pub(crate) fn read_at_hand(&self, number: u32) -> Option<[u8; W]> {
        let (page, at) = Self::spot(number);
        let cached = self.pages().get(page);
        if let Some(bytes) = cached {
            return Some(entry(&bytes, at));
        }
        let (at, mut entry) = (u64::from(number) * W as u64, [0; W]);
        self.file.read_at_hand(&mut [IoSliceMut::new(&mut entry)], at).ok().map(|()| entry)
    }

    /// The entry of `number` as the disk has it, past the cache.
    pub(crate) fn reread(&self, number: u32) -> Result<[u8; W], StoreError> {
        let (at, mut entry) = (u64::from(number) * W as u64, [0; W]);
        if at + W as u64 <= self.len.load(Relaxed) {
            self.file.read_at(&mut entry, at).map_err(self.unread(number))?;
        }
        Ok(entry)
    }

    /// Blanks every entry from number `first` on; durable after the next `sync`. What reads as blank is written too: it may
    /// be so in memory only, after the system failed to write it back.
    ///
    /// # Errors
    /// What the file system says.
    pub fn clear_from(&self, first: u32) -> Result<(), StoreError> {
        let zeros = vec![0; BLANK];
        let (mut at, end) = (u64::from(first) * W as u64, self.len.load(Relaxed));
        while at < end {
            let take = usize::try_from(end - at).unwrap_or(BLANK).min(BLANK);
            self.file.write_at(&zeros[..take], at).map_err(self.failed("clear"))?;
            at += take as u64;
        }
        self.pages().clear();
        Ok(())
    }

    /// Makes everything written durable.
    ///
    /// # Errors
    /// `SyncFailed`, which is poison.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().map_err(StoreError::sync_failed(self.disk.path(&self.name)))
    }

    /// That the entry of `number` is not what it must be.
    #[must_use]
    pub fn damaged(&self, number: u32) -> StoreError {
        let detail = format!("the entry of block {number} does not match its checksum");
        StoreError::Damaged { path: self.disk.path(&self.name), offset: u64::from(number) * W as u64, detail }
    }

    fn spot(number: u32) -> (u64, usize) {
        let per_page = (PAGE / W) as u64;
        let number = u64::from(number);
        (number / per_page, usize::try_from(number % per_page).unwrap_or(0) * W)
    }

    /// A page, with zeros where the file ends before it.
    fn load(&self, page: u64) -> io::Result<Page> {
        let start = page * PAGE as u64;
        let there = self.len.load(Relaxed).saturating_sub(start);
        let mut bytes = [0; PAGE];
        let take = usize::try_from(there).unwrap_or(PAGE).min(PAGE);
        self.file.read_at(&mut bytes[..take], start)?;
        Ok(Arc::new(bytes))
    }

    fn pages(&self) -> MutexGuard<'_, Cache<u64, Page>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry that the disk cannot read is damaged.
    fn unread(&self, number: u32) -> impl FnOnce(io::Error) -> StoreError {
        move |error| if is_unreadable(&error) { self.damaged(number) } else { self.failed("read")(error) }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        StoreError::io(action, self.disk.path(&self.name))
    }
}

fn make(disk: &dyn Disk, name: &str) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(name)?;
    disk.sync_dir()?;
    Ok(file)
}

fn entry<const W: usize>(page: &[u8; PAGE], at: usize) -> [u8; W] {
    let mut entry = [0; W];
    entry.copy_from_slice(&page[at..at + W]);
    entry
}
