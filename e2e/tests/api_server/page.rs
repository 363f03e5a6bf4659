//! The commands of docs/operations.md, run as they stand there.

use std::process::Command;

use tidemark_e2e::{apiserver::ApiServer, programs};

const PAGE: &str = include_str!("../../../docs/operations.md");

/// The commands under a heading of the second level, block by block.
pub(crate) fn commands(heading: &str) -> Vec<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading is on the page");
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    section.split("```sh\n").skip(1).filter_map(|block| Some(block.split_once("```")?.0)).collect()
}

/// Runs a block of commands with the built kubectl, as somebody whose context names this namespace, and returns what it
/// printed.
pub(crate) async fn run(block: &str, namespace: &str, pod: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    std::fs::write(&kubeconfig, ApiServer::shared().kubeconfig(namespace)).unwrap();
    let path = format!("{}:{}", programs::folder().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell
        .args(["-euc", block])
        .env("PATH", path)
        .env("KUBECONFIG", &kubeconfig)
        .env("SET", "set")
        .env("POD", pod);
    tokio::task::spawn_blocking(move || programs::run(&mut shell)).await.unwrap().unwrap()
}
