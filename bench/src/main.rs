//! `tidemark-bench run [NAME]…`: prints a line a figure, and writes the same as JSON.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand, ValueEnum as _};
use tidemark_bench::{bare, bench::Bench, benchmarks::Name};
use tidemark_report::join_json;

#[derive(Parser)]
#[command(about = "The benchmarks of the follower, on loopback and this machine's disk")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measures, and says which goals are met
    Run(RunArgs),
    /// Serves one payload from memory, to be compared with
    #[command(name = bare::COMMAND, hide = true)]
    BareServer {
        #[arg(long)]
        size: usize,
    },
}

#[derive(Args)]
struct RunArgs {
    /// What to measure; everything if nothing is named
    names: Vec<Name>,
    /// Measures shortly and little, only to see that it works
    #[arg(long)]
    quick: bool,
    /// Where the figures are written as JSON, beside those of other names
    #[arg(long, default_value = "target/bench.json")]
    json: PathBuf,
    /// The binary to measure; the one beside this one if it is not named
    #[arg(long)]
    follower: Option<PathBuf>,
    /// A folder on the disk to measure, with 12 GiB of free space
    #[arg(long, default_value = "/var/tmp")]
    scratch: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run(args).await,
        Command::BareServer { size } => bare::serve(size).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Each figure is printed and written as soon as there is one.
async fn run(args: RunArgs) -> Result<()> {
    let bench = Bench::new(args.follower.map_or_else(beside, Ok)?, &args.scratch, args.quick)?;
    let names = if args.names.is_empty() { Name::value_variants().to_vec() } else { args.names };
    for name in names {
        let figures = name.run(&bench).await.with_context(|| format!("{name:?} was not measured"))?;
        figures.iter().for_each(|figure| println!("{}", figure.line()));
        join_json(&figures, &args.json)?;
    }
    Ok(())
}

fn beside() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("tidemark-follower"))
}
