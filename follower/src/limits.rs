//! What bounds a follower's memory and time, whoever its clients and upstreams are. Every default is written here once.

use std::time::Duration;

use clap::Args;

use crate::{
    cli::{duration, interval, positive},
    size::ByteSize,
};

/// The largest block a store can keep.
const LARGEST_BLOCK: ByteSize = ByteSize(1 << 30);

/// Every bound that a user can set.
#[derive(Debug, Clone, Copy, Args)]
pub struct LimitArgs {
    /// The largest block, and the largest proof, that is taken from an upstream or served.
    #[arg(long, env = "TIDEMARK_MAX_BLOCK_SIZE", value_name = "SIZE", default_value_t = Self::default().max_block_size, value_parser = block_size)]
    pub max_block_size: ByteSize,
    /// Connections that are served at once; more wait until one ends.
    #[arg(long, env = "TIDEMARK_MAX_CONNECTIONS", value_name = "COUNT", default_value_t = Self::default().max_connections, value_parser = positive)]
    pub max_connections: usize,
    /// How long a connection is served, give or take a tenth, before its client is asked to make a new one.
    #[arg(long, env = "TIDEMARK_MAX_CONNECTION_AGE", value_name = "DURATION", default_value = "5m", value_parser = interval)]
    pub max_connection_age: Duration,
    /// Calls and subscriptions that one connection may have open at once.
    #[arg(long, env = "TIDEMARK_MAX_STREAMS_PER_CONNECTION", value_name = "COUNT", default_value_t = Self::default().max_streams_per_connection, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_streams_per_connection: u32,
    /// Subscriptions to blocks and proofs that may be open at once; more are refused with RESOURCE_EXHAUSTED.
    #[arg(long, env = "TIDEMARK_MAX_SUBSCRIPTIONS", value_name = "COUNT", default_value_t = Self::default().max_subscriptions, value_parser = positive)]
    pub max_subscriptions: usize,
    /// Bytes that are read ahead for one subscriber; a single larger block is held all the same.
    #[arg(long, env = "TIDEMARK_MAX_SUBSCRIBER_BYTES", value_name = "SIZE", default_value_t = Self::default().max_subscriber_bytes)]
    pub max_subscriber_bytes: ByteSize,
    /// Blocks or proofs that are read ahead for one subscriber.
    #[arg(long, env = "TIDEMARK_MAX_SUBSCRIBER_ITEMS", value_name = "COUNT", default_value_t = Self::default().max_subscriber_items, value_parser = positive)]
    pub max_subscriber_items: usize,
    /// How long a client may leave bytes of a response untaken before the response ends with RESOURCE_EXHAUSTED.
    #[arg(long, env = "TIDEMARK_MAX_SEND_WAIT", value_name = "DURATION", default_value = "10s", value_parser = interval)]
    pub max_send_wait: Duration,
    /// Bytes of responses that may be in memory at once, in the whole process; reads beyond are refused with
    /// RESOURCE_EXHAUSTED, subscriptions wait.
    #[arg(long, env = "TIDEMARK_MAX_RESPONSE_BYTES", value_name = "SIZE", default_value_t = Self::default().max_response_bytes)]
    pub max_response_bytes: ByteSize,
    /// The longest wait of a read that asks for a height above the tip, in its metadata `tidemark-min-height`.
    #[arg(long, env = "TIDEMARK_MIN_HEIGHT_WAIT", value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub min_height_wait: Duration,
    /// Reads that may wait for a height at once; more are refused with UNAVAILABLE.
    #[arg(long, env = "TIDEMARK_MAX_MIN_HEIGHT_WAITERS", value_name = "COUNT", default_value_t = Self::default().max_min_height_waiters)]
    pub max_min_height_waiters: usize,
    /// Bytes of the newest blocks that are kept in memory, for subscribers that are at the tip.
    #[arg(long, env = "TIDEMARK_BLOCK_CACHE", value_name = "SIZE", default_value_t = Self::default().block_cache)]
    pub block_cache: ByteSize,
}

impl Default for LimitArgs {
    fn default() -> Self {
        Self {
            max_block_size: ByteSize(64 << 20),
            max_connections: 1000,
            max_connection_age: Duration::from_secs(5 * 60),
            max_streams_per_connection: 100,
            max_subscriptions: 1000,
            max_subscriber_bytes: ByteSize(4 << 20),
            max_subscriber_items: 32,
            max_send_wait: Duration::from_secs(10),
            max_response_bytes: ByteSize(256 << 20),
            min_height_wait: Duration::from_secs(2),
            max_min_height_waiters: 1024,
            block_cache: ByteSize(16 << 20),
        }
    }
}

fn block_size(text: &str) -> Result<ByteSize, String> {
    let size: ByteSize = text.parse().map_err(|error: crate::size::ParseSizeError| error.to_string())?;
    match size {
        ByteSize(0) => Err("a block has at least 1 byte".to_owned()),
        size if size > LARGEST_BLOCK => Err(format!("a store keeps blocks of at most {LARGEST_BLOCK}")),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        limits: LimitArgs,
    }

    #[test]
    fn what_is_not_given_is_as_promised() {
        let parsed = Only::try_parse_from(["test"]).expect("no flag is required").limits;
        assert_eq!(format!("{parsed:?}"), format!("{:?}", LimitArgs::default()));
    }

    #[test]
    fn a_limit_that_nothing_could_keep_is_refused() {
        for (flag, value) in [
            ("--max-block-size", "0B"),
            ("--max-block-size", "2GiB"),
            ("--max-connections", "0"),
            ("--max-streams-per-connection", "0"),
            ("--max-subscriptions", "0"),
            ("--max-send-wait", "0s"),
        ] {
            assert!(Only::try_parse_from(["test", flag, value]).is_err(), "{flag} {value}");
        }
    }
}
