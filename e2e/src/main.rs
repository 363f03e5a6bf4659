//! `tidemark-e2e demo | bench`: the demo and the benchmarks of Tidemark on a real cluster.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use tidemark_e2e::{bench, demo, target::Target};

#[derive(Parser)]
#[command(about = "The demo and the benchmarks of Tidemark on a real cluster")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Shows a follower leave the Service when it lags, and return
    Demo,
    /// Measures how fast followers leave the Service
    Bench {
        /// How often a follower is cut off
        #[arg(long, default_value_t = 200)]
        cuts: usize,
        /// Where the figures are written as JSON
        #[arg(long, default_value = "target/bench.json")]
        json: PathBuf,
    },
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
    let target = Target::choose()?;
    match command {
        Command::Demo => demo::run(&target).await,
        Command::Bench { cuts, json } => bench::run(&target, cuts, &json).await,
    }
}
