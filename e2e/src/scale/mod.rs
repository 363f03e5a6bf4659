//! What one operator costs, and how fast it is, with scripted followers on a real API server: no cluster is needed.
//!
//! The operator is its own optimized program. Followers are a process of their own, behind one wildcard listener.

mod audit;
mod crowd;
mod followers;
mod kubelet;
mod latency;
mod layout;
mod load;
mod objects;
mod programs;
mod world;

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use tidemark_report::{Figure, join_json};

pub use self::followers::run as serve;

/// A crowd of so many sets of so many followers, with a block each `interval`, until its input ends.
///
/// # Errors
/// If its port is not to be had.
pub async fn crowd(sets: u32, followers: u32, interval: Duration) -> Result<()> {
    followers::run(crowd::Crowd::new(sets, followers, interval)).await
}

/// Measures the figures of these names (`scale_N` of N followers, ten a set, and `latency`), prints a line a figure
/// and joins them to those in `json`.
///
/// # Errors
/// If a measurement cannot be made; a goal that is missed is reported, not an error.
pub async fn run(names: &[String], json: &Path) -> Result<()> {
    for name in names {
        let figures = measure(name).await.with_context(|| name.clone())?;
        figures.iter().for_each(|figure| println!("{}", figure.line()));
        join_json(&figures, json)?;
    }
    Ok(())
}

async fn measure(name: &str) -> Result<Vec<Figure>> {
    if name == "latency" {
        return latency::measure().await;
    }
    let followers = name.strip_prefix("scale_").and_then(|number| number.parse().ok());
    load::measure(followers.context("name scale_N or latency")?).await
}
