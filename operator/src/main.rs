//! The program `tidemark-operator`.

use std::{
    io::{IsTerminal as _, stderr},
    panic,
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use clap::Parser as _;
use kube::{Client, Config};
use tidemark_operator::{
    api,
    options::{Cli, Command, LogFormat, Options},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    end_with_the_first_panic();
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidemark-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nobody goes on with half a state.
fn end_with_the_first_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn start() -> Result<()> {
    match Cli::parse().command {
        Command::Crd => print_crd(),
        Command::ApiDocs => {
            print!("{}", api::api_reference());
            Ok(())
        }
        Command::Run(options) => run(*options),
    }
}

fn print_crd() -> Result<()> {
    print!("{}", api::crd_yaml()?);
    Ok(())
}

#[tokio::main]
async fn run(options: Options) -> Result<()> {
    log(&options)?;
    let mut config =
        Config::infer().await.context("no way to the cluster: run in a pod, or set KUBECONFIG")?;
    // Every call has its own timeout and its own retry, which re-read what they are about.
    config.default_retry = false;
    let client = Client::try_from(config)?;
    let token = CancellationToken::new();
    tokio::spawn(cancel_on_signal(token.clone())?);
    tidemark_operator::run(client, options, token).await?;
    Ok(())
}

fn log(options: &Options) -> Result<()> {
    let filter = EnvFilter::try_new(&options.log_filter).context("--log-filter is no tracing filter")?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal());
    match options.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn cancel_on_signal(token: CancellationToken) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; gates stay as they are");
        token.cancel();
    })
}
