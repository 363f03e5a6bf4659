//! What the kernel says of a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// How long the threads that a process has now have waited for a core since they began, together.
///
/// # Errors
/// If the process is gone.
pub(crate) fn waited_for_a_core(pid: u32) -> Result<Duration> {
    let mut waited = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since.
        let Ok(stat) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        let nanoseconds = stat.split_whitespace().nth(1).context("schedstat has three numbers")?;
        waited += nanoseconds.parse::<u64>()?;
    }
    Ok(Duration::from_nanos(waited))
}

/// A line of `/proc/PID/status` such as `VmHWM`, in KiB.
///
/// # Errors
/// If the process is gone, or has no such line.
pub(crate) fn memory(pid: u32, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("no {line}"))?.trim().trim_end_matches(" kB").parse()?)
}
