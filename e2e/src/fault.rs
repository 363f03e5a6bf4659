//! Real faults: packets dropped in a pod's own network namespace, and processes killed on their node.

use std::{fs, os::unix::fs::MetadataExt as _, process::Command};

use anyhow::{Result, ensure};

use crate::programs::{run, run_script};

/// The network namespace of a pod on this machine, which can be reached whether or not the API server can.
#[derive(Clone, Debug)]
pub struct PodNetwork(String);

impl PodNetwork {
    /// Finds it.
    ///
    /// # Errors
    /// If the pod is not there or runs on another machine.
    pub fn of(namespace: &str, pod: &str) -> Result<Self> {
        Ok(Self(run_script("pod-netns", &[namespace, pod])?.trim().to_owned()))
    }

    /// Drops every packet between the pod and `addresses`, as [`Cut::between`] does.
    ///
    /// # Errors
    /// If iptables refuses.
    pub fn cut_from(&self, addresses: &[String]) -> Result<Cut> {
        let cut = Cut { netns: self.0.clone(), addresses: addresses.to_vec() };
        cut.change("-I")?;
        Ok(cut)
    }
}

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
        PodNetwork::of(namespace, pod)?.cut_from(addresses)
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
    let PodNetwork(netns) = PodNetwork::of(namespace, pod)?;
    let found = processes_in(&netns, program)?;
    ensure!(!found.is_empty(), "no process {program} runs in pod {namespace}/{pod}");
    for pid in found {
        run(Command::new("kill").args(["-KILL", &pid]))?;
    }
    Ok(())
}

/// Kills, with SIGKILL, a daemon of the local cluster: `kube-apiserver` or `kubelet-N`.
///
/// # Errors
/// If it does not run.
pub fn kill_daemon(name: &str) -> Result<()> {
    run_script("daemon", &["kill", name]).map(drop)
}

/// Starts a daemon of the local cluster again and waits until it is well.
///
/// # Errors
/// If it is not well within a minute; the message ends with its log.
pub fn start_daemon(name: &str) -> Result<()> {
    run_script("daemon", &["start", name]).map(drop)
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
