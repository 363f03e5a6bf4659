//! Real faults: packets dropped in a pod's own network namespace, and processes killed on their node.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Result, ensure};

use crate::programs::{run, run_script};

/// A pod cut off from some addresses for as long as this value lives.
#[must_use = "the cut heals when this is dropped"]
pub struct Cut {
    netns: String,
    addresses: Vec<String>,
}

impl Cut {
    /// Drops every packet between a pod and `addresses`, in both directions, without a word to either side.
    ///
    /// # Errors
    /// If the pod's network namespace is not on this machine, or iptables refuses.
    pub fn between(namespace: &str, pod: &str, addresses: &[String]) -> Result<Self> {
        let netns = run_script("pod-netns", &[namespace, pod])?.trim().to_owned();
        let cut = Self { netns, addresses: addresses.to_vec() };
        cut.change("-I")?;
        Ok(cut)
    }

    /// Lets the packets pass again.
    ///
    /// # Errors
    /// If iptables refuses.
    pub fn heal(mut self) -> Result<()> {
        self.change("-D")?;
        self.addresses.clear();
        Ok(())
    }

    fn change(&self, action: &str) -> Result<()> {
        for address in &self.addresses {
            for (chain, side) in [("OUTPUT", "-d"), ("INPUT", "-s")] {
                let rule = [action, chain, side, address, "-j", "DROP"];
                run(Command::new("nsenter")
                    .arg(format!("--net={}", self.netns))
                    .args(["iptables", "-w"])
                    .args(rule))?;
            }
        }
        Ok(())
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        // The pod may be gone by now, and its namespace and rules with it.
        let _ = self.change("-D");
    }
}

/// Kills, with SIGKILL, the process of a program that runs in a pod on this machine.
///
/// # Errors
/// If no such process is found in the pod's network namespace.
pub fn kill_in_pod(namespace: &str, pod: &str, program: &str) -> Result<()> {
    let netns = run_script("pod-netns", &[namespace, pod])?;
    let found = processes_in(netns.trim(), program)?;
    ensure!(!found.is_empty(), "no process {program} runs in pod {namespace}/{pod}");
    for pid in found {
        run(Command::new("kill").args(["-KILL", &pid]))?;
    }
    Ok(())
}

/// The process ids of a program in a network namespace.
fn processes_in(netns: &str, program: &str) -> Result<Vec<String>> {
    let wanted = fs::metadata(netns)?;
    let is_there = |pid: &String| {
        // A process may end while it is looked at.
        let its = fs::metadata(format!("/proc/{pid}/ns/net"));
        its.is_ok_and(|its| (its.dev(), its.ino()) == (wanted.dev(), wanted.ino()))
    };
    let names = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    Ok(pids.filter(is_there).filter(|pid| runs(pid, program)).collect())
}

fn runs(pid: &str, program: &str) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let path = command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(path).rsplit('/').next() == Some(program)
}
