//! `produce`.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    ServeArgs,
    values::{body_size, duration, interval},
};
use crate::size::ByteSize;

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
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub serve: ServeArgs,
}
