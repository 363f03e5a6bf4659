//! Blocks that somebody else made: whatever the bytes, no panic, and nothing is taken that does not follow.

use proptest::{collection::vec, prelude::*, sample::Index};
use tidemark_store::{BlockHash, Commitment};

use super::{Format, Native, NativeBlock, Opaque};

const NONE: Commitment = Commitment::from_bytes([0; 32]);

fn commitment(block: &[u8]) -> Commitment {
    Commitment::from_bytes(*BlockHash::of(block).as_bytes())
}

fn native(number: u32, parent: Commitment, body: &[u8]) -> Vec<u8> {
    NativeBlock { number: number.into(), parent, unix_millis: 7, body }.encode()
}

proptest! {
    #[test]
    fn any_bytes_are_a_block_or_refused(bytes in vec(any::<u8>(), 0..200), magic in any::<bool>()) {
        let bytes = if magic { [b"TMN1".as_slice(), &bytes].concat() } else { bytes };
        let first = native(0, NONE, b"genesis");
        for held in [None, Some((0.into(), first.as_slice()))] {
            let mut chain = Native.open(commitment(&first), held).expect("it holds a block of its own");
            prop_assert!(chain.check(&bytes).is_err(), "nobody finds a block that follows by chance");
        }
        let mut opaque = Opaque.open(NONE, None).expect("nothing is held");
        prop_assert_eq!(opaque.check(&bytes).expect("any bytes are a block").hash, BlockHash::of(&bytes));
        drop(Native.open(NONE, Some((0.into(), &bytes))));
    }

    #[test]
    fn a_block_with_a_flipped_bit_in_its_header_does_not_follow(at in any::<Index>(), bit in 0..8_u8, body in vec(any::<u8>(), 0..50)) {
        let first = native(0, NONE, b"genesis");
        let mut second = native(1, commitment(&first), &body);
        second[at.index(40)] ^= 1 << bit;
        let mut chain = Native.open(commitment(&first), Some((0.into(), &first))).expect("a native block");
        prop_assert!(chain.check(&second).is_err());
    }
}
