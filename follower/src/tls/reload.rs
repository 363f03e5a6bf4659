//! Something made of files, made anew when they change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tidemark_store::BlockHash;

use super::TlsError;

/// How often files are looked at, at most.
const EVERY: Duration = Duration::from_secs(1);
/// A file that is being replaced is read again this often.
const TRIES: usize = 5;

type Contents = Vec<Vec<u8>>;
type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, TlsError> + Send + Sync>;
type Report = Box<dyn Fn(Result<(), &TlsError>) + Send + Sync>;

/// What is made of some files.
pub(super) struct Reloading<T> {
    paths: Vec<PathBuf>,
    make: Make<T>,
    report: Report,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Arc<T>,
    /// What the files were when they were last tried.
    tried: Option<BlockHash>,
    looked: Instant,
}

impl<T> Reloading<T> {
    /// Makes it for the first time. `report` is told of every later change.
    ///
    /// # Errors
    /// When the files cannot be read or used.
    pub(super) fn open(paths: Vec<PathBuf>, make: Make<T>, report: Report) -> Result<Self, TlsError> {
        let contents = read(&paths)?;
        let made = Arc::new(make(&contents)?);
        let state = State { made, tried: Some(fingerprint(&contents)), looked: Instant::now() };
        Ok(Self { paths, make, report, state: Mutex::new(state) })
    }

    /// What the files make now; what they made before if that is not possible. Reads files, so it may block.
    pub(super) fn current(&self, now: Instant) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.looked) >= EVERY {
            state.looked = now;
            self.look(&mut state);
        }
        Arc::clone(&state.made)
    }

    fn look(&self, state: &mut State<T>) {
        let contents = read(&self.paths);
        let found = contents.as_ref().ok().map(|contents| fingerprint(contents));
        if found == state.tried {
            return;
        }
        state.tried = found;
        match contents.and_then(|contents| (self.make)(&contents)) {
            Ok(made) => {
                state.made = Arc::new(made);
                (self.report)(Ok(()));
            }
            Err(error) => (self.report)(Err(&error)),
        }
    }
}

/// All files as they are together: read until twice the same.
fn read(paths: &[PathBuf]) -> Result<Contents, TlsError> {
    let mut last = read_once(paths)?;
    for _ in 0..TRIES {
        let next = read_once(paths)?;
        if next == last {
            return Ok(next);
        }
        last = next;
    }
    Err(TlsError::Unsteady { path: paths.first().cloned().unwrap_or_default() })
}

fn read_once(paths: &[PathBuf]) -> Result<Contents, TlsError> {
    let one = |path: &PathBuf| fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source });
    paths.iter().map(one).collect()
}

fn fingerprint(contents: &[Vec<u8>]) -> BlockHash {
    let hashes: Vec<u8> = contents.iter().flat_map(|content| *BlockHash::of(content).as_bytes()).collect();
    BlockHash::of(&hashes)
}

/// Says that the files of one side changed.
pub(super) fn say(side: &'static str, first: &Path, change: Result<(), &TlsError>) {
    match change {
        Ok(()) => {
            tracing::info!(side, file = %first.display(), "the TLS files changed: new connections use them");
        }
        Err(error) => {
            tracing::error!(
                side,
                "the TLS files changed and cannot be used, those before stay in use: {error}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::symlink,
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use tempfile::TempDir;

    use super::*;

    /// Joins what the files say; refuses an empty one.
    fn open(paths: Vec<PathBuf>) -> (Reloading<String>, Arc<[AtomicUsize; 2]>) {
        let reports: Arc<[AtomicUsize; 2]> = Arc::default();
        let make = |contents: &[Vec<u8>]| {
            let text = String::from_utf8(contents.concat()).expect("text");
            let detail = "empty".to_owned();
            if text.is_empty() { Err(TlsError::Unusable { path: PathBuf::new(), detail }) } else { Ok(text) }
        };
        let seen = Arc::clone(&reports);
        let report = move |change: Result<(), &TlsError>| {
            seen[usize::from(change.is_err())].fetch_add(1, Relaxed);
        };
        (Reloading::open(paths, Box::new(make), Box::new(report)).expect("good"), reports)
    }

    fn counts(reports: &[AtomicUsize; 2]) -> [usize; 2] {
        [reports[0].load(Relaxed), reports[1].load(Relaxed)]
    }

    #[test]
    fn a_change_is_seen_and_a_broken_one_changes_nothing_and_is_reported_once() {
        let dir = TempDir::new().expect("temp dir");
        let file = dir.path().join("a");
        fs::write(&file, "one").expect("writes");
        let (reloading, reports) = open(vec![file.clone()]);
        let mut now = Instant::now();
        let mut after = |content: Option<&str>| {
            match content {
                Some(content) => fs::write(&file, content).expect("writes"),
                None => fs::remove_file(&file).expect("removes"),
            }
            now += EVERY;
            reloading.current(now);
            now += EVERY;
            reloading.current(now).to_string()
        };
        assert_eq!(after(Some("two")), "two");
        assert_eq!(after(Some("")), "two");
        assert_eq!(after(None), "two");
        assert_eq!(counts(&reports), [1, 2]);
        assert_eq!(after(Some("three")), "three");
        assert_eq!(counts(&reports), [2, 2]);
    }

    #[test]
    fn files_are_not_looked_at_more_often_than_promised() {
        let dir = TempDir::new().expect("temp dir");
        let file = dir.path().join("a");
        fs::write(&file, "one").expect("writes");
        let (reloading, _) = open(vec![file.clone()]);
        fs::write(&file, "two").expect("writes");
        assert_eq!(*reloading.current(Instant::now()), "one");
    }

    #[test]
    fn a_directory_that_is_swapped_by_a_link_is_read_as_one() {
        let dir = TempDir::new().expect("temp dir");
        for (version, content) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(dir.path().join(version)).expect("makes");
            for name in ["crt", "key"] {
                fs::write(dir.path().join(version).join(name), content).expect("writes");
            }
        }
        symlink("..1", dir.path().join("..data")).expect("links");
        let (reloading, _) = open(["crt", "key"].map(|name| dir.path().join("..data").join(name)).into());
        symlink("..2", dir.path().join("..new")).expect("links");
        fs::rename(dir.path().join("..new"), dir.path().join("..data")).expect("swaps");
        assert_eq!(*reloading.current(Instant::now() + EVERY), "newnew");
    }
}
