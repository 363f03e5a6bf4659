//! `produce`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::{
    FormatName, ServeArgs,
    values::{body_size, duration, interval},
};
use crate::{restore::RestoreSource, size::ByteSize, tls::UpstreamTlsArgs};

/// `produce`.
#[derive(Debug, Clone, Args)]
pub struct ProduceArgs {
    /// The time between two blocks.
    #[arg(long, env = "TIDEMARK_BLOCK_INTERVAL", value_name = "DURATION", default_value = "3s", value_parser = interval)]
    pub block_interval: Duration,
    /// Bytes in the body of each block; ignored with --replay.
    #[arg(long, env = "TIDEMARK_BODY_SIZE", value_name = "SIZE", default_value = "4KiB", value_parser = body_size)]
    pub body_size: ByteSize,
    /// The time from a block to its proof.
    #[arg(long, env = "TIDEMARK_PROOF_DELAY", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub proof_delay: Duration,
    /// Number of blocks to make after genesis; the chain is served on when the last one is made.
    #[arg(long, env = "TIDEMARK_BLOCKS", value_name = "N")]
    pub blocks: Option<u32>,
    /// Serve the blocks recorded in FILE instead of new ones: each a u32 little-endian length and its bytes.
    #[arg(long, env = "TIDEMARK_REPLAY", value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// What the recorded blocks are: each is checked as a follower of that format would before it is served.
    #[arg(long, env = "TIDEMARK_REPLAY_FORMAT", value_name = "FORMAT", default_value = "opaque")]
    pub replay_format: ReplayFormat,
    /// Bring back a lost primary: copy the chain from these stores (URLs; every one of them must answer, the highest tip wins, and a name
    /// counts for each address it has) or from one export file, and make blocks only when nothing that they hold is
    /// missing here. Interrupted, it goes on with the next start.
    #[arg(long, env = "TIDEMARK_RESTORE_FROM", value_name = "URL|FILE", num_args = 1.., value_delimiter = ',')]
    pub restore_from: Vec<RestoreSource>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub upstream_tls: UpstreamTlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub serve: ServeArgs,
}

/// What recorded blocks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayFormat {
    /// Any blocks; the genesis is the parent that block 1 names in its bytes 4 to 36.
    Opaque,
    /// Those of the Miden chain, protocol version 0.15.
    Miden,
}

impl From<ReplayFormat> for FormatName {
    fn from(format: ReplayFormat) -> Self {
        match format {
            ReplayFormat::Opaque => Self::Opaque,
            ReplayFormat::Miden => Self::Miden,
        }
    }
}
