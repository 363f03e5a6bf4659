//! The follower's binary: reads the command line, starts a node, and stops it on a signal.

use std::process::ExitCode;

use clap::Parser as _;
use tidemark_follower::{
    cli::{Cli, Command},
    logging, node,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(error) = logging::start(cli.log_format, cli.log_filter.as_deref()) {
        eprintln!("error: the log filter cannot be read: {error}");
        return ExitCode::FAILURE;
    }
    match run(cli.command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    for signal in signals {
        tokio::spawn(stop_on(signal, stop.clone()));
    }
    let node = match command {
        Command::Follow(args) => node::follow(args).await?,
        Command::Produce(args) => node::produce(args).await?,
    };
    Ok(node.run(stop).await?)
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
