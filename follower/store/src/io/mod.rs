//! The one way the store touches a disk, narrow enough for a simulated disk to crash it at every point.
//!
//! Owns no rule of the store: it only does what it is told, or says why it cannot.

mod read_only;
mod real;

use std::{
    io::{self, IoSliceMut},
    path::PathBuf,
    sync::Arc,
};

pub(crate) use read_only::ReadOnly;
pub use real::RealDisk;

/// Whether the disk cannot read what it holds, as a failing medium does.
pub(crate) fn is_unreadable(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// A directory of files. A full volume is `StorageFull` or `QuotaExceeded`.
pub trait Disk: Send + Sync {
    /// Opens a file that exists.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file, in place of one of that name. Its name is durable after `sync_dir`.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name, in place of one that has it. Durable after `sync_dir`.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. Durable after `sync_dir`.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes every name durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// A directory in this one, made if there is none. Its name is durable after `sync_dir` of this one.
    fn dir(&self, name: &str) -> io::Result<Arc<dyn Disk>>;
    /// Size of the volume, in bytes.
    fn volume(&self) -> io::Result<u64>;
    /// What a file is called in messages.
    fn path(&self, name: &str) -> PathBuf;
}

/// Positioned reads and writes on one file, and the sync that makes them durable.
#[expect(clippy::len_without_is_empty, reason = "nobody asks whether a file is empty")]
pub trait DiskFile: Send + Sync {
    /// Length, in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fills `into`; `UnexpectedEof` where the file ends before.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;
    /// Fills one after the other if that needs no wait for the disk, for the bytes are in memory; `WouldBlock` if not, or if
    /// nobody knows.
    fn read_at_hand(&self, _into: &mut [IoSliceMut<'_>], _offset: u64) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Grows the file to `len` bytes of space that is really allocated; what is new reads as zeros.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
}
