//! What the kernel says of a process.

use std::fs;

use anyhow::{Context as _, Result};

/// A line of `/proc/PID/status` such as `VmHWM`, in KiB.
///
/// # Errors
/// If the process is gone, or has no such line.
pub(crate) fn memory(pid: u32, line: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let value = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':'));
    Ok(value.with_context(|| format!("no {line}"))?.trim().trim_end_matches(" kB").parse()?)
}
