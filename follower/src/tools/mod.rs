//! The commands that read or mend a data directory without serving it.
//!
//! Each gives a report, which says what was done and found, or an error, which says why not. Both have an exit code.

mod damage;
mod error;
mod export;
mod import;
mod inspect;
mod migrate;
mod progress;
mod report;
mod rewind;
mod store;
mod verify;

use std::process::ExitCode;

pub use error::ToolError;

use crate::cli::Tool;

/// What a command comes to, when it could run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well.
    Sound,
    /// Something that was read is damaged.
    Damaged,
}

/// Runs a command to its end, and says what came of it.
pub async fn run(tool: Tool) -> ExitCode {
    let ended = match tool {
        Tool::Verify(args) => verify::run(&args),
        Tool::Inspect(args) => inspect::run(&args),
        Tool::Export(args) => export::run(&args),
        Tool::Import(args) => import::run(&args).await,
        Tool::Rewind(args) => rewind::run(&args),
        Tool::Migrate(args) => migrate::run(&args),
    };
    match ended {
        Ok(Verdict::Sound) => ExitCode::SUCCESS,
        Ok(Verdict::Damaged) => ExitCode::from(2),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(if error.is_refusal() { 2 } else { 1 })
        }
    }
}
