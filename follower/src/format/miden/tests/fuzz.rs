//! Blocks with all that a block can have, altered at random: none breaks anything, and what is taken has the header and the
//! signature of the original, and passes the crate's own checks.

use std::sync::OnceLock;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::{
    body::{body, made, note, transaction},
    *,
};

/// Genesis with its accounts, an empty block, and one with notes and transactions.
fn originals() -> &'static [Vec<u8>; 3] {
    static ORIGINALS: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    ORIGINALS.get_or_init(|| {
        let full = made(&body(vec![(0, note(1)), (5, note(2))], vec![transaction(1), transaction(2)]));
        [recorded()[0].to_vec(), recorded()[N].to_vec(), full]
    })
}

/// Other bytes, from nowhere or from the block itself; lengths and counts are where decoders break.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..9), vec(Just(0xff), 0..9), vec(Just(0), 0..9)]
}

proptest! {
    #[test]
    fn blocks_of_strangers_are_refused_or_pass_the_crates_own_checks(
        which in 0..3_usize,
        alterations in vec((any::<Index>(), 0..9_usize, bytes()), 1..4),
    ) {
        let original = &originals()[which];
        let mut block = original.clone();
        for (at, len, bytes) in alterations {
            let at = at.index(block.len() + 1);
            let end = (at + len).min(block.len());
            block.splice(at..end, bytes);
        }
        let taken = if which == 0 { offer_first(&block) } else { offer(&block) };
        if taken.is_ok() {
            let (header, body, signature) = SignedBlock::read_from_bytes(&block).expect("decodes").into_parts();
            prop_assert_eq!(&header.to_bytes()[..], &original[..HEADER]);
            prop_assert!(original.ends_with(&signature.to_bytes()));
            prop_assert!(SignedBlock::new(header, body, signature).is_ok());
        }
    }
}
