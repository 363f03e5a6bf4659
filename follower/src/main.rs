//! The follower's binary: reads the command line, and runs a command or a node, which a signal stops.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_follower::{
    cli::{Cli, Command},
    logging,
    node::{self, Node, NodeError},
    panics, tools,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    panics::end_the_process();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refused) => return said(&refused),
    };
    if let Err(error) = logging::start(cli.log_format, cli.log_filter.as_deref()) {
        eprintln!("error: the log filter cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    let node = match cli.command {
        Command::Tool(tool) => return tools::run(tool).await,
        Command::Follow(args) => run(node::follow(args)).await,
        Command::Produce(args) => run(node::produce(args)).await,
    };
    match node {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Help and version are answers; any other text says why nothing could run. 2 is kept for what is damaged.
fn said(refused: &clap::Error) -> ExitCode {
    drop(refused.print());
    if refused.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn run(node: impl Future<Output = Result<Node, NodeError>>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    for signal in signals {
        tokio::spawn(stop_on(signal, stop.clone()));
    }
    Ok(node.await?.run(stop).await?)
}

/// The first signal stops in order, the second at once.
async fn stop_on(mut signal: Signal, stop: CancellationToken) {
    signal.recv().await;
    if stop.is_cancelled() {
        std::process::exit(1);
    }
    stop.cancel();
    signal.recv().await;
    std::process::exit(1);
}
