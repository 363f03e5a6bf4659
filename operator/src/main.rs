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
    api, installed,
    options::{Check, Cli, Command, CrdForm, InUse, LogFormat, Options},
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    end_with_the_first_panic();
    let command = Cli::parse().command;
    // 1 says that sets exist; a question without an answer may be asked again.
    let failure = if matches!(command, Command::InUse(_)) { ExitCode::from(2) } else { ExitCode::FAILURE };
    start(command).unwrap_or_else(|error| {
        eprintln!("tidemark-operator: {error:#}");
        failure
    })
}

/// Nobody goes on with half a state.
fn end_with_the_first_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn start(command: Command) -> Result<ExitCode> {
    match command {
        Command::Crd { form } => print!("{}", made_of_crd(form)?),
        Command::ApiDocs => print!("{}", api::api_reference()),
        Command::Run(options) => run(*options)?,
        Command::Check(check) => checked(&check)?,
        Command::InUse(asked) => return in_use(&asked),
    }
    Ok(ExitCode::SUCCESS)
}

fn made_of_crd(form: CrdForm) -> Result<String> {
    Ok(match form {
        CrdForm::Definition => api::crd_yaml()?,
        CrdForm::Template => api::crd_template()?,
        CrdForm::ValuesSchema => api::values_schema(),
    })
}

async fn client() -> Result<Client> {
    let mut config =
        Config::infer().await.context("no way to the cluster: run in a pod, or set KUBECONFIG")?;
    // Every call has its own timeout and its own retry, which re-read what they are about.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

#[tokio::main]
async fn in_use(asked: &InUse) -> Result<ExitCode> {
    match installed::in_use(&client().await?, &asked.namespaces).await? {
        sets if sets.is_empty() => Ok(ExitCode::SUCCESS),
        sets => {
            eprintln!("{}", installed::why_not_uninstalled(&sets, &asked.release, &asked.release_namespace));
            Ok(ExitCode::FAILURE)
        }
    }
}

#[tokio::main]
async fn checked(check: &Check) -> Result<()> {
    installed::check(&client().await?, check, |found| println!("{found}")).await?;
    Ok(())
}

#[tokio::main]
async fn run(options: Options) -> Result<()> {
    log(&options)?;
    let client = client().await?;
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
