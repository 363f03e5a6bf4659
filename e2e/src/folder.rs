//! Folders of tests, of which none stays: neither that of a process that was killed, nor that of a static, which nobody drops.

use std::{
    env,
    fs::{self, File},
    path::Path,
};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// In each folder the file that its process holds locked for as long as it lives.
const OWNER: &str = "owner";

/// A folder under the system's temporary one. Dropping it removes it, or else the next one of its prefix does.
#[derive(Debug)]
pub(crate) struct Folder {
    folder: TempDir,
    _owner: File,
}

impl Folder {
    /// Makes one whose name begins with `prefix`, and removes those of processes that are gone.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn make(prefix: &str) -> Result<Self> {
        sweep(prefix)?;
        let folder = tempfile::Builder::new().prefix(prefix).tempdir()?;
        // It is locked before it has the name by which others look for it.
        let new = folder.path().join("owner.new");
        let owner = File::create(&new)?;
        owner.lock().with_context(|| format!("cannot lock {}", new.display()))?;
        fs::rename(&new, folder.path().join(OWNER))?;
        Ok(Self { folder, _owner: owner })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn sweep(prefix: &str) -> Result<()> {
    for found in fs::read_dir(env::temp_dir())? {
        let found = found?;
        if !found.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        if let Ok(owner) = File::open(found.path().join(OWNER))
            && owner.try_lock().is_ok()
        {
            // Somebody else may be at it too.
            let _ = fs::remove_dir_all(found.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::{Folder, OWNER};

    #[test]
    fn what_a_process_left_goes_and_what_one_holds_stays() -> anyhow::Result<()> {
        let prefix = format!("tidemark-folder-test-{}-", process::id());
        let held = Folder::make(&prefix)?;
        let left = std::env::temp_dir().join(format!("{prefix}left"));
        fs::create_dir(&left)?;
        fs::write(left.join(OWNER), "")?;
        let next = Folder::make(&prefix)?;
        assert!(held.path().exists() && next.path().exists());
        assert!(!left.exists(), "nobody holds it");
        Ok(())
    }
}
