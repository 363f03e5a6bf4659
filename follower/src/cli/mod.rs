//! The command line. Every flag is also the environment variable its help names.

mod follow;
mod produce;
mod serve;
mod tools;
pub(crate) mod values;

use clap::{Parser, Subcommand, ValueEnum};

pub(crate) use self::values::{duration, interval, positive, upstream_url};
pub use self::{
    follow::FollowArgs,
    produce::{ProduceArgs, ReplayFormat},
    serve::ServeArgs,
    tools::{
        ExportArgs, ImportArgs, InspectArgs, MigrateArgs, Output, RewindArgs, Tool, ToolArgs, VerifyArgs,
    },
};
use crate::format::{Format, FormatMissing, Native, Opaque};

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
    #[command(flatten)]
    #[expect(missing_docs, reason = "a doc comment here would become the command's help")]
    Tool(Tool),
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// The built-in development chain: number, parent and genesis of each block are checked.
    Native,
    /// Any chain: blocks are bytes, numbered by position, and the genesis is what the upstream says.
    Opaque,
    /// The Miden chain, protocol version 0.15: signature, body and the whole chain before each block are checked.
    Miden,
}

impl FormatName {
    /// The format of that name.
    ///
    /// # Errors
    /// When this build leaves it out.
    pub fn format(self) -> Result<Box<dyn Format>, FormatMissing> {
        match self {
            Self::Native => Ok(Box::new(Native)),
            Self::Opaque => Ok(Box::new(Opaque)),
            #[cfg(feature = "miden")]
            Self::Miden => Ok(Box::new(crate::format::Miden::default())),
            #[cfg(not(feature = "miden"))]
            Self::Miden => Err(FormatMissing("miden")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
            ("--upstream", "https://primary/path", "https://host:port"),
            ("--tls-cert", "/cert.pem", "--tls-key"),
            ("--tls-client-ca", "/ca.pem", "--tls-cert"),
            ("--upstream-client-cert", "/cert.pem", "--upstream-client-key"),
            ("--upstream-server-name", "not a name", "in the certificate"),
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
