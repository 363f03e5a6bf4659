//! What the disk gives at best: one preallocated file, written in groups with one fdatasync each.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use rustix::fs::{Advice, FallocateFlags, fadvise, fallocate, syncfs};

use crate::chain;

/// How long it takes to write groups of so many bytes to a new file in `dir` that is as large as all of them.
///
/// # Errors
/// What the file system says.
pub fn write(dir: &Path, groups: &[usize]) -> Result<Duration> {
    let path = dir.join("bare.log");
    let file = File::create_new(&path)?;
    fallocate(&file, FallocateFlags::empty(), 0, groups.iter().sum::<usize>() as u64)?;
    file.sync_all()?;
    let bytes = chain::payload(groups.iter().copied().max().unwrap_or(0));
    let (begun, mut at) = (Instant::now(), 0);
    for group in groups {
        file.write_all_at(&bytes[..*group], at)?;
        file.sync_data()?;
        at += *group as u64;
    }
    let took = begun.elapsed();
    fs::remove_file(path)?;
    Ok(took)
}

/// Waits for everything written so far, so that what ran before does not slow what runs next.
///
/// # Errors
/// What the file system says.
pub fn settle(dir: &Path) -> Result<()> {
    Ok(syncfs(File::open(dir)?)?)
}

/// Takes the files of `dir` out of the page cache, as after a restart of the machine.
///
/// # Errors
/// What the file system says.
pub fn forget(dir: &Path) -> Result<()> {
    settle(dir)?;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fadvise(File::open(entry.path())?, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}
