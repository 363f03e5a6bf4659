//! One measured value, and what it must be.

use std::{fmt, time::Duration};

use serde_json::{Value, json};

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Not above this.
    AtMost(f64),
    /// Not below this.
    AtLeast(f64),
}

impl Goal {
    fn is_met_by(self, value: f64) -> bool {
        match self {
            Self::AtMost(goal) => value <= goal,
            Self::AtLeast(goal) => value >= goal,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(goal) => write!(f, "<={goal}"),
            Self::AtLeast(goal) => write!(f, ">={goal}"),
        }
    }
}

/// One measured figure beside its goal.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: String,
    /// What it must be; none for figures that only inform.
    pub goal: Option<Goal>,
}

impl Figure {
    /// A value of that unit, to a tenth.
    #[must_use]
    pub fn new(name: &str, value: f64, unit: &str, goal: Option<Goal>) -> Self {
        let value = (value * 10.0).round() / 10.0;
        Self { name: name.to_owned(), value, unit: unit.to_owned(), goal }
    }

    /// A duration in milliseconds, which must not be longer than `goal`.
    #[must_use]
    pub fn milliseconds(name: &str, value: Duration, goal: Option<Duration>) -> Self {
        let milliseconds = |d: Duration| d.as_secs_f64() * 1e3;
        Self::new(name, milliseconds(value), "ms", goal.map(|goal| Goal::AtMost(milliseconds(goal))))
    }

    /// A count.
    #[must_use]
    pub fn count(name: &str, value: usize) -> Self {
        Self::new(name, u32::try_from(value).map_or(f64::MAX, f64::from), "count", None)
    }

    /// How much of `best` was reached, in percent, which must not be below `goal`.
    #[must_use]
    pub fn share(name: &str, value: f64, best: f64, goal: f64) -> Self {
        Self::new(name, value / best * 100.0, "%", Some(Goal::AtLeast(goal)))
    }

    /// Whether the goal is met; a figure without one always is, and one that is no number never.
    #[must_use]
    pub fn met(&self) -> bool {
        self.goal.is_none_or(|goal| goal.is_met_by(self.value))
    }

    /// `NAME VALUE UNIT goal GOAL met|missed`.
    #[must_use]
    pub fn line(&self) -> String {
        let goal = self.goal.map_or_else(|| "none".to_owned(), |goal| goal.to_string());
        let verdict = if self.met() { "met" } else { "missed" };
        format!("{} {} {} goal {goal} {verdict}", self.name, self.value, self.unit)
    }

    pub(crate) fn json(&self) -> Value {
        let goal = self.goal.map(|goal| goal.to_string());
        json!({"name": self.name, "value": self.value, "unit": self.unit, "goal": goal, "met": self.met()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whether_its_goal_is_met() {
        let goal = Some(Duration::from_millis(1500));
        let at = |ms| Figure::milliseconds("x_p99", Duration::from_millis(ms), goal).line();
        assert_eq!(at(1500), "x_p99 1500 ms goal <=1500 met");
        assert_eq!(at(1501), "x_p99 1501 ms goal <=1500 missed");
        assert_eq!(Figure::count("n", 3).line(), "n 3 count goal none met");
    }

    #[test]
    fn a_share_must_reach_its_goal() {
        let of = |value| Figure::share("x", value, 2000.0, 70.0).line();
        assert_eq!(of(1400.0), "x 70 % goal >=70 met");
        assert_eq!(of(1398.0), "x 69.9 % goal >=70 missed");
        assert!(!Figure::share("x", 0.0, 0.0, 70.0).met(), "nothing was measured");
    }
}
