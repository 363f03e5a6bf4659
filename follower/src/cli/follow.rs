//! `follow`.

use std::time::Duration;

use clap::Args;
use tidemark_store::Commitment;
use url::Url;

use super::{
    FormatName, ServeArgs,
    values::{interval, upstream_url},
};
use crate::{
    sync::{OnFork, SyncMode},
    tls::UpstreamTlsArgs,
};

/// `follow`.
#[derive(Debug, Clone, Args)]
pub struct FollowArgs {
    /// URL of the store to copy, as in http://primary:57291, or https:// for one that speaks TLS. More than one are
    /// tried in turn.
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
    /// Calls per second that each upstream is asked to answer; a burst may be eight times as many. A Miden node answers 16
    /// per second and client address, and 128 in a burst: this leaves it a quarter for whoever shares the address.
    #[arg(long, env = "TIDEMARK_REQUESTS_PER_SECOND", value_name = "COUNT", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_second: u32,
    /// What to do when an upstream holds other blocks than this store: `halt` to keep and serve what is held, or `rewind:K`
    /// to drop up to K blocks into the quarantine and follow the upstream from the last block in common.
    #[arg(long, env = "TIDEMARK_ON_FORK", value_name = "POLICY", default_value_t = OnFork::Halt)]
    pub on_fork: OnFork,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub upstream_tls: UpstreamTlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub serve: ServeArgs,
}
