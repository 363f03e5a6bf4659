//! Figures: percentiles and medians, and one line each with its goal.

mod figure;
mod numbers;

use std::{fs, io, path::Path};

use anyhow::{Context as _, Result};
use serde_json::Value;

pub use self::{
    figure::{Figure, Goal},
    numbers::{median, percentile},
};

/// Writes the figures as JSON, each with its verdict, beside those of other names that the file holds already.
///
/// # Errors
/// If the file holds something else, or cannot be written.
pub fn join_json(figures: &[Figure], file: &Path) -> Result<()> {
    let mut rows = held(file).with_context(|| format!("cannot read the figures in {}", file.display()))?;
    rows.retain(|row| figures.iter().all(|figure| row["name"] != figure.name.as_str()));
    rows.extend(figures.iter().map(Figure::json));
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}

fn held(file: &Path) -> Result<Vec<Value>> {
    match fs::read(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => Ok(serde_json::from_slice(&read?)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_join_those_of_other_names() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("new/bench.json");
        let figure = |name: &str, value| Figure::new(name, value, "ms", Some(Goal::AtMost(2.0)));
        join_json(&[figure("a", 1.0), figure("b", 1.0)], &file).expect("writes");
        join_json(&[figure("b", 3.0)], &file).expect("joins");
        let rows = held(&file).expect("reads");
        let rows: Vec<_> = rows.iter().map(|row| (row["name"].as_str(), row["met"].as_bool())).collect();
        assert_eq!(rows, [(Some("a"), Some(true)), (Some("b"), Some(false))]);
    }

    #[test]
    fn a_file_of_something_else_is_left_alone() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("bench.json");
        fs::write(&file, "mine").expect("writes");
        join_json(&[], &file).expect_err("no figures");
        assert_eq!(fs::read(&file).expect("reads"), b"mine");
    }
}
