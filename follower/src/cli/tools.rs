//! The commands that read or mend a data directory without serving it.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::size::ByteSize;

/// What can be done to a data directory. Each ends with 0 when all is well, 1 when it could not run, 2 when what it read is damaged or refused.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Read every record of a data directory, stopped or live, and name each one that is damaged.
    Verify(VerifyArgs),
    /// Say what a data directory holds, stopped or live.
    Inspect(InspectArgs),
    /// Write blocks and their proofs to an export file, from a data directory that is stopped or live.
    Export(ExportArgs),
    /// Add the blocks and proofs of an export file to a data directory that no other process uses.
    Import(ImportArgs),
    /// Drop all blocks above a height from a data directory that no other process uses; they are kept in quarantine/.
    Rewind(RewindArgs),
    /// Verify a data directory of the release before, and with --commit make it one of this release.
    Migrate(MigrateArgs),
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// What every such command takes.
#[derive(Debug, Clone, Args)]
pub struct ToolArgs {
    /// Directory that holds the blocks and proofs.
    #[arg(long, env = "TIDEMARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// How the report is written, to standard output; to standard error where that is the export file.
    #[arg(long, env = "TIDEMARK_OUTPUT", value_name = "FORM", default_value = "text")]
    pub output: Output,
}

/// `verify`.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}

/// `inspect`.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// Say where this block and its proof lie, and whether they are whole.
    #[arg(long, env = "TIDEMARK_BLOCK", value_name = "N")]
    pub block: Option<u32>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}

/// `export`.
#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// The export file, which appears when it is whole; - for standard output.
    #[arg(long, env = "TIDEMARK_FILE", value_name = "FILE")]
    pub file: PathBuf,
    /// The first block.
    #[arg(long, env = "TIDEMARK_FROM", value_name = "N", default_value_t = 0)]
    pub from: u32,
    /// The last block; without it, the published tip.
    #[arg(long, env = "TIDEMARK_TO", value_name = "N")]
    pub to: Option<u32>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}

/// `import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// The export file; - for standard input.
    #[arg(long, env = "TIDEMARK_FILE", value_name = "FILE")]
    pub file: PathBuf,
    /// How much of the data directory's file system is this store's, as for `follow`.
    #[arg(long, env = "TIDEMARK_VOLUME_SIZE", value_name = "SIZE")]
    pub volume_size: Option<ByteSize>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}

/// `rewind`.
#[derive(Debug, Clone, Args)]
pub struct RewindArgs {
    /// The last block that is kept.
    #[arg(long, env = "TIDEMARK_TO", value_name = "N")]
    pub to: u32,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}

/// `migrate`.
#[derive(Debug, Clone, Args)]
pub struct MigrateArgs {
    /// Make it a directory of this release, which the release before no longer reads.
    #[arg(long, env = "TIDEMARK_COMMIT")]
    pub commit: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tool: ToolArgs,
}
