//! What every command that serves takes.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;

use super::values::duration;
use crate::{limits::LimitArgs, scrub::ScrubArgs, size::ByteSize, tls::TlsArgs};

/// What a command needs to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Directory that holds the blocks and proofs; made if missing. One process at a time.
    #[arg(long, env = "TIDEMARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// How much of the data directory's file system is this store's, as in 10GiB or 10Gi; without it, all of it is.
    /// Space is allocated ahead in segments of a 64th of that, 8 MiB to 256 MiB each.
    #[arg(long, env = "TIDEMARK_VOLUME_SIZE", value_name = "SIZE")]
    pub volume_size: Option<ByteSize>,
    /// Address of the gRPC port that readers and other followers use. `[::]` is IPv4 too, and that alone on hosts without
    /// IPv6.
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "ADDR", default_value = "[::]:57291")]
    pub listen: SocketAddr,
    /// Address of the HTTP port with /livez, /readyz and /metrics.
    #[arg(long, env = "TIDEMARK_ADMIN_LISTEN", value_name = "ADDR", default_value = "[::]:57292")]
    pub admin_listen: SocketAddr,
    /// How long to go on serving after SIGTERM, so that load balancers can look elsewhere first.
    #[arg(long, env = "TIDEMARK_SHUTDOWN_DELAY", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub shutdown_delay: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub limits: LimitArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub tls: TlsArgs,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub scrub: ScrubArgs,
    /// UID of the pod this process runs in, answered by `tidemark.v1.Replica/Tips`.
    #[arg(long, env = "POD_UID", value_name = "UID", default_value = "", hide = true)]
    pub pod_uid: String,
}
