//! What a client's `accept` metadata demands of this store, as in
//! `application/vnd.miden; version=0.15.2; genesis=0x…`. Pure.
//!
//! Everything in it is optional: what a client does not name suits it.

use tidemark_store::Commitment;
use tonic::{Status, metadata::MetadataMap};

/// The version of the Miden node whose `rpc.Api` is spoken here; the third number does not count.
const VERSION: &str = "0.15";
const MEDIA_TYPE: &str = "application/vnd.miden";

/// Refuses a client that accepts another version or another chain only. `genesis` is this store's, once it is known.
pub(super) fn check(
    metadata: &MetadataMap,
    genesis: impl FnOnce() -> Option<Commitment>,
) -> Result<(), Status> {
    let values = metadata.get_all("accept").into_iter().filter_map(|value| value.to_str().ok());
    let mut ranges = values.flat_map(|value| value.split(',')).filter(|range| is_ours(range)).peekable();
    if ranges.peek().is_none() {
        return Ok(());
    }
    let genesis = genesis();
    if ranges.any(|range| suits(range, genesis)) {
        return Ok(());
    }
    let chain = genesis.map_or_else(|| "unknown as yet".to_owned(), |genesis| genesis.to_string());
    Err(Status::invalid_argument(format!(
        "the accept metadata suits no version {VERSION} of genesis {chain}, which is what is served here: correct it, or ask another store"
    )))
}

fn is_ours(range: &str) -> bool {
    let name = range.split(';').next().unwrap_or_default().trim();
    name.strip_suffix("+grpc").unwrap_or(name).eq_ignore_ascii_case(MEDIA_TYPE)
}

fn suits(range: &str, genesis: Option<Commitment>) -> bool {
    range.split(';').skip(1).filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "version" => value.splitn(3, '.').take(2).eq(VERSION.split('.')),
            "genesis" => genesis.is_none_or(|genesis| value.parse() == Ok(genesis)),
            _ => true,
        }
    })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const OURS: Commitment = Commitment::from_bytes([0xab; 32]);

    fn answer(values: &[&str], genesis: Option<Commitment>) -> Result<(), Code> {
        let mut metadata = MetadataMap::new();
        for value in values {
            metadata.append("accept", value.parse().expect("ASCII"));
        }
        check(&metadata, || genesis).map_err(|status| status.code())
    }

    fn genesis(byte: &str) -> String {
        format!("application/vnd.miden; genesis=0x{}", byte.repeat(32))
    }

    #[test]
    fn what_suits_or_is_not_named_is_taken() {
        let ours = genesis("AB");
        for values in [
            &[][..],
            &["*/*"],
            &["application/grpc"],
            &["application/vnd.miden"],
            &["application/vnd.miden+grpc; version=0.15.2"],
            &["Application/Vnd.Miden;version=\"0.15\""],
            &["application/vnd.miden; version=0.14.0, application/vnd.miden; version=0.15.9"],
            &[&ours],
            &[&genesis("cd"), &ours],
        ] {
            assert_eq!(answer(values, Some(OURS)), Ok(()), "{values:?}");
        }
        assert_eq!(answer(&[&genesis("cd")], None), Ok(()), "no genesis is known here yet");
    }

    #[test]
    fn another_version_or_chain_is_refused() {
        for value in [
            "application/vnd.miden; version=0.16.0",
            "application/vnd.miden; version=1.15.2",
            "application/vnd.miden; version=0",
            "application/vnd.miden; version=",
            "application/vnd.miden; genesis=nonsense",
            &genesis("cd"),
            &format!("{}; version=0.14.1", genesis("ab")),
        ] {
            assert_eq!(answer(&[value], Some(OURS)), Err(Code::InvalidArgument), "{value}");
        }
    }
}
