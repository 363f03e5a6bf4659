//! The command line. Every flag is also the environment variable its help names.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use tidemark_store::Commitment;
use url::Url;

use crate::{limits::LimitArgs, size::ByteSize, sync::SyncMode};

/// The longest time a flag takes: whoever writes more has mistaken the unit.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Copies a chain of blocks and their proofs from an upstream store and serves it to readers.
#[derive(Debug, Parser)]
#[command(name = "tidemark-follower", version)]
pub struct Cli {
    /// How log lines are written.
    #[arg(long, global = true, env = "TIDEMARK_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    /// Which log lines are written, as in `info,tidemark_follower=debug`. Without it, RUST_LOG is asked, then `info`.
    #[arg(long, global = true, env = "TIDEMARK_LOG_FILTER", value_name = "FILTER")]
    pub log_filter: Option<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy an upstream store's chain and serve it.
    Follow(FollowArgs),
    /// Make a development chain, or replay a recorded one, and serve it.
    Produce(ProduceArgs),
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// The built-in development chain: number, parent and genesis of each block are checked.
    Native,
    /// Any chain: blocks are bytes, numbered by position, and the genesis is what the upstream says.
    Opaque,
}

/// What both commands need to serve.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Directory that holds the blocks and proofs; made if missing. One process at a time.
    #[arg(long, env = "TIDEMARK_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
    /// How much of the data directory's file system is this store's, as in 10GiB or 10Gi; without it, all of it is.
    /// Space is allocated ahead in segments of a 64th of that, 8 MiB to 256 MiB each.
    #[arg(long, env = "TIDEMARK_VOLUME_SIZE", value_name = "SIZE")]
    pub volume_size: Option<ByteSize>,
    /// Address of the gRPC port that readers and other followers use.
    #[arg(long, env = "TIDEMARK_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:57291")]
    pub listen: SocketAddr,
    /// Address of the HTTP port with /livez, /readyz and /metrics.
    #[arg(long, env = "TIDEMARK_ADMIN_LISTEN", value_name = "ADDR", default_value = "0.0.0.0:57292")]
    pub admin_listen: SocketAddr,
    /// How long to go on serving after SIGTERM, so that load balancers can look elsewhere first.
    #[arg(long, env = "TIDEMARK_SHUTDOWN_DELAY", value_name = "DURATION", default_value = "5s", value_parser = duration)]
    pub shutdown_delay: Duration,
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    pub limits: LimitArgs,
    /// UID of the pod this process runs in, answered by `tidemark.v1.Replica/Tips`.
    #[arg(long, env = "POD_UID", value_name = "UID", default_value = "", hide = true)]
    pub pod_uid: String,
}

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

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a whole number above 0".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// A time that every clock can add to now.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > LONGEST { Err("write at most 1day".to_owned()) } else { Ok(duration) }
}

/// An interval that no loop spins on.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("an interval is at least 1ms".to_owned());
    }
    Ok(interval)
}

fn body_size(text: &str) -> Result<ByteSize, String> {
    const LARGEST: ByteSize = ByteSize(60 << 20);
    let size: ByteSize = text.parse().map_err(|error: crate::size::ParseSizeError| error.to_string())?;
    if size > LARGEST { Err(format!("a body has at most {LARGEST}")) } else { Ok(size) }
}

fn upstream_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: write it as http://host:port"))?;
    match (url.scheme(), url.host_str()) {
        ("http", Some(_)) if url.path() == "/" && url.query().is_none() => Ok(url),
        ("https", _) => Err("TLS upstreams are not supported yet: write http://host:port".to_owned()),
        _ => Err("write it as http://host:port".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["tidemark-follower"], args].concat())
    }

    const FOLLOW: [&str; 7] =
        ["follow", "--upstream", "http://a:1,http://b:2", "--data-dir", "/d", "--format", "opaque"];

    #[test]
    fn the_definition_is_sound_and_every_flag_is_documented_with_its_variable() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            for flag in command.get_arguments().filter(|flag| !flag.is_hide_set()) {
                let long = flag.get_long().expect("no positional arguments");
                let variable = format!("TIDEMARK_{}", long.replace('-', "_").to_uppercase());
                assert_eq!(
                    flag.get_env().and_then(|name| name.to_str()),
                    Some(variable.as_str()),
                    "--{long}"
                );
                assert!(flag.get_help().is_some(), "--{long}");
            }
        }
    }

    #[test]
    fn upstreams_are_a_list() {
        let Command::Follow(follow) = parse(&FOLLOW).expect("good").command else { panic!("not follow") };
        assert_eq!(follow.upstream.len(), 2);
        assert_eq!(follow.poll_interval, Duration::from_secs(1));
    }

    #[test]
    fn nonsense_is_refused_with_the_way_out() {
        let bad = [
            ("--upstream", "primary:57291", "http://host:port"),
            ("--upstream", "https://primary", "TLS"),
            ("--upstream", "http://primary/path", "http://host:port"),
            ("--poll-interval", "0s", "at least 1ms"),
            ("--poll-interval", "400000000000years", "at most 1day"),
            ("--shutdown-delay", "25h", "at most 1day"),
            ("--genesis", "0x12", "64 hex digits"),
            ("--max-connections", "0", "above 0"),
        ];
        for (flag, value, way_out) in bad {
            let refused = parse(&[&FOLLOW[..], &[flag, value]].concat()).expect_err("refused").to_string();
            assert!(refused.contains(way_out), "{refused}");
        }
        for flag in ["--block-interval", "--proof-delay"] {
            let refused = parse(&["produce", "--data-dir", "/d", flag, "2days"]).expect_err("refused");
            assert!(refused.to_string().contains("at most 1day"), "{refused}");
        }
        let refused = parse(&["produce", "--data-dir", "/d", "--body-size", "1GiB"]).expect_err("refused");
        assert!(refused.to_string().contains("at most 60MiB"), "{refused}");
    }
}
