//! The follower's binary: reads the command line, starts a node, and stops it on a signal.

use anyhow::Context as _;
use clap::Parser as _;
use tidemark_follower::{
    cli::{Cli, Command},
    logging, node,
};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    logging::start(cli.log_format, cli.log_filter.as_deref()).context("the log filter cannot be read")?;
    let stop = CancellationToken::new();
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    for signal in signals {
        tokio::spawn(stop_on(signal, stop.clone()));
    }
    let node = match cli.command {
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
