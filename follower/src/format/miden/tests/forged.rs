//! Blocks signed anew, by the validator of the recorded chain or by a stranger.

use super::*;

/// The recorded block N with other bytes at `at`, signed by the validator.
fn altered(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut block = recorded()[N].to_vec();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    signed(&block, &validator())
}

/// Four field elements that no block of the recording has.
const OTHER: [u8; 32] = [7; 32];

#[test]
fn the_recorded_chain_is_signed_by_the_development_key() {
    let block = &recorded()[N];
    assert_eq!(signed(block, &validator()), block[..]);
}

#[test]
fn what_the_validator_signs_must_still_fit_the_chain_and_the_body() {
    let number = u32::try_from(N).expect("small").into();
    let other = Commitment::from_bytes(OTHER);
    let refused = offer(&altered(4, &OTHER)).expect_err("another parent");
    assert!(matches!(refused, FormatError::WrongParent { named, .. } if named == other));
    let refused = offer(&altered(36, &77_u32.to_le_bytes())).expect_err("another number");
    assert_eq!(refused, FormatError::WrongNumber { asked: number, found: 77.into() });
    let refused = offer(&altered(40, &OTHER)).expect_err("another chain before it");
    assert!(matches!(refused, FormatError::WrongChain { named, .. } if named == other));
    for (at, part) in [(136, "notes"), (168, "transactions")] {
        let refused = offer(&altered(at, &OTHER)).expect_err("another body");
        assert_eq!(refused, FormatError::WrongBody { number, part, named: other });
    }
}

#[test]
fn what_needs_the_state_is_taken_from_the_validator() {
    for at in [0, 72, 104, 200, 280, 284] {
        assert!(offer(&altered(at, &[3; 4])).is_ok(), "byte {at}");
    }
}

#[test]
fn only_the_validator_signs_and_nobody_else_is_named() {
    let block = &recorded()[N];
    let theirs = stranger().public_key().to_bytes();
    let by_stranger = signed(block, &stranger());
    let mut named = block.to_vec();
    named[232..265].copy_from_slice(&theirs);
    for forged in [by_stranger, signed(&named, &stranger()), signed(&named, &validator())] {
        let refused = offer(&forged).expect_err("refused");
        assert!(matches!(refused, FormatError::WrongSigner { .. }), "{refused}");
        assert!(refused.to_string().contains(&hex::encode(&theirs)), "{refused}");
    }
}

#[test]
fn genesis_is_the_pinned_one_and_signed_by_whom_it_names() {
    let first = &recorded()[0];
    let mut other = first.to_vec();
    other[284] ^= 1;
    let other = signed(&other, &validator());
    let refused = offer_first(&other).expect_err("another genesis");
    assert!(matches!(refused, FormatError::WrongGenesis { pinned, .. } if pinned == genesis()));
    let refused = offer_first(&signed(first, &stranger())).expect_err("another signer");
    assert!(matches!(refused, FormatError::WrongSigner { .. }), "{refused}");
    let mut v = first.to_vec();
    *v.last_mut().expect("a byte") ^= 1;
    assert!(matches!(offer_first(&v), Err(FormatError::WrongSigner { .. })));
}

#[test]
fn a_chain_of_its_own_is_taken_under_its_own_genesis_alone() {
    // The stranger makes a chain: a genesis, and a block on it.
    let blocks = recorded();
    let name = |block: &[u8]| {
        let mut block = block.to_vec();
        block[232..265].copy_from_slice(&stranger().public_key().to_bytes());
        block
    };
    let first = signed(&name(&blocks[0]), &stranger());
    let header = BlockHeader::read_from(&mut SliceReader::new(&first)).expect("a header");
    let theirs = super::super::block::commitment(header.commitment());
    let mut second = name(&blocks[1]);
    second[4..36].copy_from_slice(theirs.as_bytes());
    let mut peaks = peaks::Peaks::default();
    peaks.push(header.commitment());
    second[40..72].copy_from_slice(&peaks.commitment().expect("a peak").as_bytes());
    let second = signed(&second, &stranger());
    let mut chain = Miden::default().open(theirs, None).expect("nothing is held");
    assert!(chain.check(&first).is_ok() && chain.check(&second).is_ok());
    assert!(matches!(offer_first(&first), Err(FormatError::WrongGenesis { found, .. }) if found == theirs));
    let mut ours = Miden::default().open(genesis(), None).expect("nothing is held");
    assert!(ours.check(&blocks[0]).is_ok());
    let on_ours = ours.check(&second).expect_err("another validator");
    assert!(matches!(on_ours, FormatError::WrongSigner { .. }), "{on_ours}");
}
