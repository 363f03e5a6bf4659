//! Blocks of the recorded chain, altered by somebody who has no key.

use super::*;

/// Why the altered block is refused behind the blocks before it.
fn refusal(altered: &[u8]) -> FormatError {
    offer(altered).expect_err("refused")
}

fn is_malformed(error: &FormatError) -> bool {
    matches!(error, FormatError::Malformed { number, .. } if number.get() as usize == N)
}

fn is_wrong_signer(error: &FormatError) -> bool {
    matches!(error, FormatError::WrongSigner { number, .. } if number.get() as usize == N)
}

#[test]
fn every_byte_of_the_header_is_bound_by_the_signature() {
    let block = &recorded()[N];
    for at in 0..HEADER {
        for bit in [1, 0x80] {
            let mut altered = block.to_vec();
            altered[at] ^= bit;
            let refused = refusal(&altered);
            let is_named = match at {
                36..40 => {
                    matches!(refused, FormatError::WrongNumber { asked, .. } if asked.get() as usize == N)
                }
                // Both parts of the body are compared before it is known who signed.
                136..200 => matches!(refused, FormatError::WrongBody { .. }) || is_malformed(&refused),
                _ => is_wrong_signer(&refused) || is_malformed(&refused),
            };
            assert!(is_named, "byte {at}: {refused}");
        }
    }
}

#[test]
fn every_byte_of_the_signature_counts() {
    let block = &recorded()[N];
    for at in block.len() - SIGNATURE..block.len() {
        for bit in 0..8 {
            let mut altered = block.to_vec();
            altered[at] ^= 1 << bit;
            let refused = refusal(&altered);
            assert!(is_wrong_signer(&refused) || is_malformed(&refused), "byte {at}: {refused}");
        }
    }
}

#[test]
fn the_recovery_byte_has_one_value_and_the_signature_one_form() {
    let block = &recorded()[N];
    let last = block.len() - 1;
    for v in 0..=u8::MAX {
        let mut altered = block.to_vec();
        altered[last] = v;
        match offer(&altered) {
            Ok(_) => assert_eq!(v, block[last]),
            Err(refused) => assert!(if v < 4 { is_wrong_signer(&refused) } else { is_malformed(&refused) }),
        }
    }
    let mut altered = block.to_vec();
    let s = last - 32..last;
    let mirrored = negated(&altered[s.clone()]);
    altered[s].copy_from_slice(&mirrored);
    altered[last] ^= 1;
    assert!(is_wrong_signer(&refusal(&altered)), "the other signature of the same key");
}

/// The order of secp256k1's group less `s`.
fn negated(s: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
        0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
    ];
    let mut difference = ORDER.to_vec();
    let mut borrow = false;
    for (byte, s) in difference.iter_mut().zip(s).rev() {
        let (less, first) = byte.overflowing_sub(*s);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (*byte, borrow) = (less, first || second);
    }
    difference
}

#[test]
fn what_is_cut_short_or_has_more_behind_it_is_no_block() {
    let block = &recorded()[N];
    for len in 0..block.len() {
        assert!(is_malformed(&refusal(&block[..len])), "{len} bytes");
    }
    assert!(is_malformed(&refusal(&[block, &[0][..]].concat())));
    assert!(is_malformed(&refusal(&[&block[..], &block[..]].concat())));
}

#[test]
fn a_number_in_the_body_has_one_encoding() {
    let block = &recorded()[N];
    let (header, body) = (&block[..HEADER], &block[HEADER..]);
    assert_eq!(body[..4], [1; 4], "four empty lists");
    // Zero in two bytes in place of one.
    for list in 0..4 {
        let wide = [header, &body[..list], &[2, 0], &body[list + 1..]].concat();
        let refused = refusal(&wide);
        assert!(is_malformed(&refused), "{refused}");
        assert!(SignedBlock::read_from_bytes(&wide).is_ok(), "the crate itself takes it");
    }
}

#[test]
fn blocks_in_another_order_are_refused() {
    let blocks = recorded();
    for other in [0, N - 1, N + 1, 1000] {
        let refused = refusal(&blocks[other]);
        let found = u32::try_from(other).expect("small").into();
        let asked = u32::try_from(N).expect("small").into();
        assert_eq!(refused, FormatError::WrongNumber { asked, found });
    }
}
