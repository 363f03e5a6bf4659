//! Headers, as the wire carries them.

use super::*;

/// The 32 bytes of a digest of the wire.
fn bytes(digest: Option<Digest>) -> [u8; 32] {
    digest.expect("set").into()
}

#[test]
fn every_field_of_a_header_is_the_crates() {
    for block in recorded().iter().take(20) {
        let theirs = BlockHeader::read_from(&mut SliceReader::new(block)).expect("a header");
        let ours = header::header(block).expect("a header");
        assert_eq!(ours.version, theirs.version());
        assert_eq!(ours.block_num, theirs.block_num().as_u32());
        assert_eq!(ours.timestamp, theirs.timestamp());
        let digests = [
            (ours.prev_block_commitment, theirs.prev_block_commitment()),
            (ours.chain_commitment, theirs.chain_commitment()),
            (ours.account_root, theirs.account_root()),
            (ours.nullifier_root, theirs.nullifier_root()),
            (ours.note_root, theirs.note_root()),
            (ours.tx_commitment, theirs.tx_commitment()),
            (ours.tx_kernel_commitment, theirs.tx_kernel_commitment()),
        ];
        for (ours, theirs) in digests {
            assert_eq!(bytes(ours), theirs.as_bytes());
        }
        let key = ours.validator_key.expect("set").validator_key;
        assert_eq!(key[..], theirs.validator_key().to_bytes());
        let (ours, theirs) = (ours.fee_parameters.expect("set"), theirs.fee_parameters());
        assert_eq!(ours.native_asset_id.expect("set").id[..], theirs.fee_faucet_id().to_bytes());
        assert_eq!(ours.verification_base_fee, theirs.verification_base_fee());
    }
    assert_eq!(header::header(&Bytes::from_static(&[0; HEADER - 1])), None);
}
