//! Figures: percentiles, and one line each with its goal.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde::Serialize;

/// One measured figure beside its goal, which it meets when it is not above it.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// The value that must not be exceeded; none for figures that only inform.
    pub goal: Option<f64>,
}

impl Figure {
    /// A duration in milliseconds.
    #[must_use]
    pub fn milliseconds(name: &str, value: Duration, goal: Option<Duration>) -> Self {
        let milliseconds = |d: Duration| (d.as_secs_f64() * 1e4).round() / 10.0;
        Self {
            name: name.to_owned(),
            value: milliseconds(value),
            unit: "ms".to_owned(),
            goal: goal.map(milliseconds),
        }
    }

    /// A count.
    #[must_use]
    pub fn count(name: &str, value: usize, goal: Option<u32>) -> Self {
        let value = u32::try_from(value).map_or(f64::MAX, f64::from);
        Self { name: name.to_owned(), value, unit: "count".to_owned(), goal: goal.map(f64::from) }
    }

    /// Whether the goal is met; a figure without one always is.
    #[must_use]
    pub fn met(&self) -> bool {
        self.goal.is_none_or(|goal| self.value <= goal)
    }

    /// `NAME VALUE UNIT goal GOAL met|missed`.
    #[must_use]
    pub fn line(&self) -> String {
        let goal = self.goal.map_or_else(|| "none".to_owned(), |goal| goal.to_string());
        let verdict = if self.met() { "met" } else { "missed" };
        format!("{} {} {} goal {goal} {verdict}", self.name, self.value, self.unit)
    }
}

/// Writes the figures as JSON, each with its verdict.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(figures: &[Figure], file: &Path) -> Result<()> {
    let rows: Vec<_> = figures
        .iter()
        .map(|f| serde_json::json!({"name": f.name, "value": f.value, "unit": f.unit, "goal": f.goal, "met": f.met()}))
        .collect();
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))
}

/// The value below which `percent` of the values lie (nearest rank); none of no values.
#[must_use]
pub fn percentile<T: Copy + Ord>(values: &[T], percent: usize) -> Option<T> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(percentile(&values, 50), Some(50));
        assert_eq!(percentile(&values, 99), Some(99));
        assert_eq!(percentile(&values, 100), Some(100));
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile::<u32>(&[], 50), None);
    }

    #[test]
    fn a_line_says_whether_its_goal_is_met() {
        let goal = Some(Duration::from_millis(1500));
        let at = |ms| Figure::milliseconds("x_p99", Duration::from_millis(ms), goal).line();
        assert_eq!(at(1500), "x_p99 1500 ms goal 1500 met");
        assert_eq!(at(1501), "x_p99 1501 ms goal 1500 missed");
        assert_eq!(Figure::count("n", 3, None).line(), "n 3 count goal none met");
    }
}
