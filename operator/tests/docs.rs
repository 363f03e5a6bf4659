//! What the pages for users must not lack.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tidemark_judge::Reason;
use tidemark_operator::metrics::Metrics;

const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// Words in the code that look like a reason and are none: kinds, statuses and words of Kubernetes.
const NO_REASONS: &[&str] = &[
    "Absent",
    "Apply",
    "ClusterIP",
    "ContainerCreating",
    "Enforce",
    "Error",
    "Failed",
    "False",
    "In",
    "Judge",
    "Ki",
    "Lease",
    "Observe",
    "Out",
    "PersistentVolumeClaim",
    "Pod",
    "PodInitializing",
    "PodScheduled",
    "Secrets",
    "Service",
    "StatefulSet",
    "StoreReplicaSet",
    "Succeeded",
    "True",
];

#[test]
fn every_reason_of_a_replica_is_explained() {
    for reason in Reason::ALL {
        assert!(OPERATIONS.contains(&format!("`{reason}`")), "docs/operations.md lacks {reason}");
    }
}

#[test]
fn every_reason_of_a_condition_or_an_event_is_explained() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [source_files(&source.join("src")), source_files(&source.join("judge/src"))].concat();
    let words: BTreeSet<_> = files.iter().flat_map(|file| words_of(file)).collect();
    for found in ["FieldConflict", "NameConflict", "NoNewBlocks", "UnknownField", "Unreadable"] {
        assert!(words.contains(found), "this test no longer finds {found} in the code");
    }
    let unexplained: Vec<_> = words
        .iter()
        .filter(|word| !NO_REASONS.contains(&word.as_str()) && !OPERATIONS.contains(&format!("`{word}`")))
        .collect();
    assert!(
        unexplained.is_empty(),
        "docs/operations.md lacks {unexplained:?}; what is no reason of a condition or an event belongs into NO_REASONS"
    );
}

/// Every file of code but the definition of the API, which gives no reasons.
fn source_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the source").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| !path.ends_with("src/api"));
    let files = files.filter(|path| !path.ends_with("tests.rs"));
    files.flat_map(|path| if path.is_dir() { source_files(&path) } else { vec![path] }).collect()
}

/// The literals in CamelCase of a file, without its tests. Where objects are rendered most are Kubernetes' own words.
fn words_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a source file");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let renders = file.components().any(|part| part.as_os_str() == "build");
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let literals = lines.filter(|line| !renders || line.contains("reason:"));
    let literals = literals.flat_map(|line| line.split('"').skip(1).step_by(2));
    literals.filter(|literal| is_camel_case(literal)).map(str::to_owned).collect()
}

fn is_camel_case(word: &str) -> bool {
    let mut letters = word.chars();
    letters.next().is_some_and(|first| first.is_ascii_uppercase())
        && word.chars().all(|letter| letter.is_ascii_alphabetic())
        && word.chars().any(|letter| letter.is_ascii_lowercase())
}

#[test]
fn every_metric_is_listed_and_no_other() {
    let metrics = Metrics::new();
    let registered: BTreeSet<_> = metrics.names().iter().map(String::as_str).collect();
    let rows = OPERATIONS.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let names = rows.map(|(name, _)| name).filter(|name| name.starts_with("tidemark_operator_"));
    assert_eq!(names.collect::<BTreeSet<_>>(), registered, "the table of metrics in docs/operations.md");
}
