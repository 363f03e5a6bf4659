//! Where a store can be restored from, as the command line names it.

use std::{path::PathBuf, str::FromStr};

use thiserror::Error;
use url::Url;

/// Where a store can be restored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RestoreSource {
    /// A store that speaks `rpc.Api`, or all of those that the name in the URL resolves to.
    Store(Url),
    /// An export file.
    File(PathBuf),
}

impl RestoreSource {
    /// Where the store is, if it is one.
    #[must_use]
    pub const fn url(&self) -> Option<&Url> {
        match self {
            Self::Store(url) => Some(url),
            Self::File(_) => None,
        }
    }
}

/// Text that names no source.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ParseSourceError(String);

impl FromStr for RestoreSource {
    type Err = ParseSourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        crate::cli::upstream_url(text).map(Self::Store).map_err(ParseSourceError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_store_and_all_else_a_file() {
        assert!(matches!("http://replicas-peers:57291".parse(), Ok(RestoreSource::Store(_))));
        assert_eq!("/backup/chain.tm".parse(), Ok(RestoreSource::File("/backup/chain.tm".into())));
        assert!("ftp://replicas".parse::<RestoreSource>().is_err());
    }
}
