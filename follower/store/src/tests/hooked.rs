//! A disk that asks the test before each read and each new file: to hold one up, or to fail it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        mpsc::{self, Receiver, Sender},
    },
    thread,
    time::Duration,
};

use super::{SMALL, sim::SimDisk};
use crate::{
    DiskStore,
    engine::Options,
    io::{Disk, DiskFile},
};

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is about to be done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Create,
    Read,
    Write,
}

/// What the disk asks, with the name of the file.
pub(super) type Hook = Arc<dyn Fn(Call, &str) -> io::Result<()> + Send + Sync>;

struct Hooked {
    disk: Arc<dyn Disk>,
    hook: Hook,
}

struct HookedFile {
    file: Arc<dyn DiskFile>,
    name: String,
    hook: Hook,
}

impl Hooked {
    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile { file, name: name.to_owned(), hook: Arc::clone(&self.hook) })
    }
}

impl Disk for Hooked {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        (self.hook)(Call::Create, name)?;
        Ok(self.file(name, self.disk.create(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.sync_dir()
    }

    fn dir(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        Ok(Arc::new(Self { disk: self.disk.dir(name)?, hook: Arc::clone(&self.hook) }))
    }

    fn volume(&self) -> io::Result<u64> {
        self.disk.volume()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.disk.path(name)
    }
}

impl DiskFile for HookedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        (self.hook)(Call::Read, &self.name)?;
        self.file.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        (self.hook)(Call::Write, &self.name)?;
        self.file.write_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

/// Opens what is on the disk, and asks the hook from then on.
pub(super) fn open_hooked(disk: &SimDisk, options: Options, hook: Hook) -> Arc<DiskStore> {
    let disk = Arc::new(Hooked { disk: Arc::new(disk.clone()), hook });
    Arc::new(DiskStore::open_on(disk, options, Vec::new(), None).expect("must open"))
}

/// Runs `work` in a thread of its own; what it said, or that it hangs.
pub(super) fn finishes<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || done.send(work()));
    is_done.recv_timeout(PATIENCE).expect("it must not wait")
}

/// A call that is held up in the thread that is in it.
pub(super) struct HeldUp {
    reached: Receiver<()>,
    go_on: Sender<()>,
}

impl HeldUp {
    /// A store whose calls that `is_it` knows, made by the thread `name`, wait until `let_go`.
    pub(super) fn open(
        disk: &SimDisk,
        thread: &'static str,
        is_it: fn(Call, &str) -> bool,
    ) -> (Self, Arc<DiskStore>) {
        let (reach, reached) = mpsc::sync_channel(1);
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let hook = move |call, name: &str| {
            if is_it(call, name) && thread::current().name() == Some(thread) {
                let _ = reach.try_send(());
                let _ = may_go_on.lock().expect("nobody panics with it").recv();
            }
            Ok(())
        };
        (Self { reached, go_on }, open_hooked(disk, SMALL, Arc::new(hook)))
    }

    pub(super) fn wait(&self) {
        self.reached.recv_timeout(PATIENCE).expect("the call must be made");
    }

    /// Lets this call and all that follow pass.
    pub(super) fn let_go(self) {
        drop(self.go_on);
    }
}
