//! Request metadata that somebody else made: it is understood or refused, and never taken for another chain's.

use proptest::{collection::vec, prelude::*};
use tidemark_store::Commitment;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};

use super::{accept, min_height};

const OURS: Commitment = Commitment::from_bytes([0xab; 32]);

fn metadata(name: &'static str, values: &[Vec<u8>]) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for value in values {
        if let Ok(value) = AsciiMetadataValue::try_from(value.as_slice()) {
            metadata.append(name, value);
        }
    }
    metadata
}

/// Text that is nearly what is looked for.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("application/vnd.miden".to_owned()),
        Just("+grpc".to_owned()),
        Just(";".to_owned()),
        Just(",".to_owned()),
        Just("version=0.15".to_owned()),
        Just("genesis=".to_owned()),
        Just(OURS.to_string()),
        Just("\"".to_owned()),
        "[ -~]{0,6}",
        "[0-9]{1,12}",
    ];
    vec(piece, 0..10).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn any_accept_is_understood_or_refused(values in vec(prop_oneof![nearly(), vec(any::<u8>(), 0..60)], 0..4)) {
        drop(accept::check(&metadata("accept", &values), || Some(OURS)));
        prop_assert!(accept::check(&metadata("accept", &[]), || Some(OURS)).is_ok());
    }

    #[test]
    fn another_genesis_is_refused_whatever_stands_around_it(other in any::<[u8; 32]>(), before in "[a-z=0-9 ]{0,10}", after in "[a-z=0-9 ]{0,10}") {
        prop_assume!(Commitment::from_bytes(other) != OURS);
        let accept = |genesis| format!("application/vnd.miden; {before};genesis={genesis};{after}").into_bytes();
        let named = [before.as_str(), after.as_str()].iter().any(|text| text.contains("version") || text.contains("genesis"));
        prop_assume!(!named);
        let check = |genesis| accept::check(&metadata("accept", &[accept(genesis)]), || Some(OURS));
        prop_assert!(check(Commitment::from_bytes(other)).is_err());
        prop_assert!(check(OURS).is_ok());
    }

    #[test]
    fn any_height_is_a_number_or_refused(values in vec(prop_oneof![nearly(), vec(any::<u8>(), 0..20)], 1..3)) {
        let metadata = metadata("tidemark-min-height", &values);
        let text = metadata.get("tidemark-min-height").and_then(|value| value.to_str().ok());
        match min_height::asked(&metadata) {
            Ok(Some(height)) => prop_assert_eq!(text.and_then(|text| text.parse::<u32>().ok()), Some(height.get())),
            Ok(None) => prop_assert!(metadata.is_empty()),
            Err(refused) => prop_assert_eq!(refused.code(), tonic::Code::InvalidArgument),
        }
    }

    #[test]
    fn any_timeout_is_a_time_or_none(value in prop_oneof!["[0-9]{0,12}[HMSmunx]?", "[ -~]{0,12}"]) {
        let deadline = min_height::deadline(&metadata("grpc-timeout", &[value.into_bytes()]));
        prop_assert!(deadline.is_none_or(|deadline| deadline.as_secs() <= 99_999_999 * 3600));
    }
}
