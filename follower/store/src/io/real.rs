//! The disk of the operating system.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSliceMut},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate, statvfs},
    io::{Errno, ReadWriteFlags, preadv2},
};

use super::{Disk, DiskFile};

static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// A directory that exists.
pub struct RealDisk {
    dir: PathBuf,
    writable: bool,
}

impl RealDisk {
    /// The files of `dir`.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), writable: true }
    }

    /// The files of `dir`, opened for reading only.
    #[must_use]
    pub fn read_only(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), writable: false }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(self.writable).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(true).open(self.path(name))?;
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn dir(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let dir = self.path(name);
        match fs::create_dir(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Arc::new(Self { dir, writable: self.writable })),
        }
    }

    fn volume(&self) -> io::Result<u64> {
        let volume = statvfs(&self.dir)?;
        Ok(volume.f_blocks.saturating_mul(volume.f_frsize))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl DiskFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn read_at_hand(&self, into: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<()> {
        let len: usize = into.iter().map(|part| part.len()).sum();
        match preadv2(self, into, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == len => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match fallocate(self, FallocateFlags::empty(), 0, len) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(self, len),
            done => Ok(done?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// What a file system without fallocate needs for its space to be there.
fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    let mut at = DiskFile::len(file)?;
    while at < len {
        let take = usize::try_from(len - at).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(&ZEROS[..take], at)?;
        at += take as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn allocated_space_is_there_and_reads_as_zeros() {
        use std::os::unix::fs::MetadataExt as _;
        let dir = TempDir::new().expect("temp dir");
        let disk = RealDisk::new(dir.path());
        let file = disk.create("a").expect("makes");
        file.write_at(b"head", 0).expect("writes");
        file.allocate(1 << 20).expect("allocates");
        let mut bytes = [1; 8];
        file.read_at(&mut bytes, 0).expect("reads");
        assert_eq!(&bytes, b"head\0\0\0\0");
        let blocks = fs::metadata(disk.path("a")).expect("there").blocks();
        assert!(blocks * 512 >= 1 << 20, "{blocks} blocks of 512 bytes");
    }

    #[test]
    fn zeros_are_written_where_space_cannot_be_allocated() {
        let dir = TempDir::new().expect("temp dir");
        let disk = RealDisk::new(dir.path());
        let file = File::create_new(disk.path("a")).expect("makes");
        file.write_all_at(b"head", 0).expect("writes");
        write_zeros(&file, 200_000).expect("writes");
        let bytes = fs::read(disk.path("a")).expect("reads");
        assert_eq!((bytes.len(), &bytes[..4]), (200_000, &b"head"[..]));
        assert!(bytes[4..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_read_beyond_the_end_says_so() {
        let dir = TempDir::new().expect("temp dir");
        let file = RealDisk::new(dir.path()).create("a").expect("makes");
        let error = file.read_at(&mut [0; 1], 0).expect_err("empty");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
