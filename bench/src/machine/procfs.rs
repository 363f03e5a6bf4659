//! What the kernel says of a process.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result};

/// Memory of a process, in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// All pages that are resident, those of files included.
    pub resident: f64,
    /// Resident pages that are the process's own.
    pub anonymous: f64,
}

/// CPU time a process took so far, in and out of the kernel; whole clock ticks, 10 ms each on most machines.
///
/// # Errors
/// If there is no such process.
pub fn cpu(pid: u32) -> Result<Duration> {
    let file = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let ticks = ticks(&stat).with_context(|| format!("{file} is not as proc(5) says"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

/// Memory of a process.
///
/// # Errors
/// If there is no such process.
pub fn memory(pid: u32) -> Result<Memory> {
    let file = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
    let kib = |name| kib(&status, name).with_context(|| format!("{file} has no {name}"));
    Ok(Memory { resident: kib("VmRSS:")?, anonymous: kib("RssAnon:")? })
}

/// utime + stime, the 14th and 15th field; the second is a name in parentheses, which may hold anything.
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
}

fn kib(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 99 0 0 0 120 34 0 0 20 0 9 0 555";
        assert_eq!(ticks(stat), Some(154));
        let status = "Name:\tx\nVmRSS:\t    8 kB\nRssAnon:\t   5 kB\n";
        assert_eq!((kib(status, "VmRSS:"), kib(status, "RssAnon:")), (Some(8.0), Some(5.0)));
        assert_eq!(kib(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_takes_time_and_memory() {
        let me = std::process::id();
        let before = cpu(me).expect("it runs");
        let mut sum = 0_u64;
        while cpu(me).expect("it runs") == before {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 7);
        }
        let memory = memory(me).expect("it runs");
        assert!(memory.resident > memory.anonymous && memory.anonymous > 0.0, "{memory:?}");
    }
}
