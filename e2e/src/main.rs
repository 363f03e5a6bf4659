//! `tidemark-e2e demo | bench | bench-operator`: the demo and the benchmarks of Tidemark.

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use tidemark_e2e::{bench, demo, scale, target::Target};

#[derive(Parser)]
#[command(about = "The demo and the benchmarks of Tidemark")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows a follower leave the Service when it lags, and return
    Demo {
        /// Has a Prometheus on this address watch it, and keeps both up for you to look at
        #[arg(long)]
        prometheus: Option<SocketAddr>,
    },
    /// Measures how fast followers leave the Service
    Bench {
        /// How often a follower is cut off
        #[arg(long, default_value_t = 200)]
        cuts: usize,
        /// Where the figures are written as JSON
        #[arg(long, default_value = "target/bench.json")]
        json: PathBuf,
    },
    /// Measures what an operator costs and how fast it judges; needs no cluster
    BenchOperator {
        /// What to measure
        #[arg(default_values = ["latency", "scale_100", "scale_1000", "scale_10000"])]
        figures: Vec<String>,
        /// Where the figures are written as JSON
        #[arg(long, default_value = "target/bench.json")]
        json: PathBuf,
    },
    /// Serves as the followers of a measurement
    #[command(hide = true)]
    Crowd { sets: u32, followers: u32, interval_millis: u64 },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nfailed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo { prometheus } => demo::run(&Target::choose()?, prometheus).await,
        Command::Bench { cuts, json } => bench::run(&Target::choose()?, cuts, &json).await,
        Command::BenchOperator { figures, json } => scale::run(&figures, &json).await,
        Command::Crowd { sets, followers, interval_millis } => {
            scale::crowd(sets, followers, Duration::from_millis(interval_millis)).await
        }
    }
}
