//! What the program writes for those who read its logs.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

/// A cluster that nobody serves.
const NOWHERE: &str = "
apiVersion: v1
kind: Config
current-context: nowhere
contexts: [{ name: nowhere, context: { cluster: nowhere, user: nobody } }]
clusters: [{ name: nowhere, cluster: { server: http://127.0.0.1:1 } }]
users: [{ name: nobody, user: {} }]
";

#[test]
fn logs_that_go_to_no_terminal_hold_no_colours() {
    let config = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nowhere.yaml");
    fs::write(&config, NOWHERE).expect("a writable folder");
    let mut operator = Command::new(env!("CARGO_BIN_EXE_tidemark-operator"))
        .args(["run", "--admin-listen=127.0.0.1:0", "--log-format=text"])
        .env("KUBECONFIG", config)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let log = BufReader::new(operator.stderr.take().expect("a pipe"));
    let lines: Vec<String> = log.lines().take(3).map(|line| line.expect("text")).collect();
    operator.kill().expect("it runs");
    operator.wait().expect("it ends");
    // What its tasks say of a cluster that is not there may come before.
    let says = |line: &String| line.contains("INFO tidemark_operator: tidemark-operator serves");
    assert!(lines.iter().any(says), "{lines:?}");
    assert!(!lines.concat().contains('\u{1b}'), "{lines:?}");
}
