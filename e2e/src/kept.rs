//! Programs that end with this process, however it ends.

use std::{
    ffi::OsStr,
    io,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{LazyLock, mpsc},
    thread,
};

use anyhow::Result;

use crate::programs;

/// A program that runs; dropping it kills it.
#[derive(Debug)]
pub struct Kept(Child);

type Order = (Command, mpsc::Sender<io::Result<Child>>);

/// The kernel ties a program to the thread that started it, so one starts them all and stays.
static KEEPER: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
    let (orders, ordered) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, tell) in ordered {
            // One who does not wait for the answer wants no program.
            let _ = tell.send(command.spawn());
        }
    });
    orders
});

/// The command to run a program that is to be kept.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

impl Kept {
    /// Starts what [`command`] made.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(command: Command) -> io::Result<Self> {
        let (tell, told) = mpsc::channel();
        KEEPER.send((command, tell)).map_err(io::Error::other)?;
        told.recv().map_err(io::Error::other)?.map(Self)
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it did.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Sends it a signal, by name.
    ///
    /// # Errors
    /// If it does not run any more.
    pub fn signal(&self, name: &str) -> Result<()> {
        programs::run(Command::new("kill").args([format!("-{name}"), self.id().to_string()]))?;
        Ok(())
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        // It may have ended by itself; there is nobody left to tell otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.kill();
    }
}
