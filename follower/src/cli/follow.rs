//! `follow`.

use std::time::Duration;

use clap::Args;
use tidemark_store::Commitment;
use url::Url;

use super::{
    FormatName, ServeArgs,
    values::{interval, upstream_url},
};
use crate::sync::SyncMode;

/// `follow`.
#[derive(Debug, Clone, Args)]
pub struct FollowArgs {
    /// URL of the store to copy, as in http://primary:57291. More than one are tried in turn.
    #[arg(long, env = "TIDEMARK_UPSTREAM", value_name = "URL", required = true, num_args = 1.., value_delimiter = ',', value_parser = upstream_url)]
    pub upstream: Vec<Url>,
    /// What the chain's blocks are.
    #[arg(long, env = "TIDEMARK_FORMAT")]
    pub format: FormatName,
    /// How blocks and proofs are asked for.
    #[arg(long, env = "TIDEMARK_SYNC", value_name = "MODE", default_value = "auto")]
    pub sync: SyncMode,
    /// How often the upstream's tip is asked for while polling.
    #[arg(long, env = "TIDEMARK_POLL_INTERVAL", value_name = "DURATION", default_value = "1s", value_parser = interval)]
    pub poll_interval: Duration,
    /// Genesis commitment of the chain, 0x and 64 hex digits. Without it, that of the first upstream reached is pinned.
    #[arg(long, env = "TIDEMARK_GENESIS", value_name = "COMMITMENT")]
    pub genesis: Option<Commitment>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub serve: ServeArgs,
}
