//! What the format takes and refuses, on the recorded chain.

use std::fs;

use tonic::codegen::Bytes;

use super::*;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/data/miden-0.15-chain.bin");

/// The recorded blocks, from genesis on.
fn recorded() -> Vec<Bytes> {
    let bytes = Bytes::from(fs::read(RECORDING).expect("the recording is in the tree"));
    let (mut blocks, mut at) = (Vec::new(), 0);
    while let Some(length) = bytes[at..].first_chunk() {
        let start = at + 4;
        at = start + u32::from_le_bytes(*length) as usize;
        blocks.push(bytes.slice(start..at));
    }
    blocks
}

fn genesis() -> Commitment {
    "0x021027535c7e42069ed2aa6abce64e6f3405c6ec075e613f9fe7525510e539b3".parse().expect("a commitment")
}

#[test]
fn the_recorded_chain_is_taken_one_by_one_and_in_groups() {
    let blocks = recorded();
    let mut chain = Miden::default().open(genesis(), None).expect("nothing is held");
    let one_by_one: Vec<_> = blocks.iter().map(|block| chain.check(block).expect("good")).collect();
    let mut chain = Miden::default().open(genesis(), None).expect("nothing is held");
    let grouped: Vec<_> = blocks
        .chunks(64)
        .flat_map(|group| {
            let (facts, checked) = chain.check_all(group);
            assert_eq!(checked, Ok(()));
            facts
        })
        .collect();
    assert_eq!(one_by_one, grouped);
    assert_eq!(one_by_one.len(), 1001);
    let tip = "0x06a4af49961ea1ce5a948130cbeae416a4d430453a75711c09cab130e19f4b03";
    assert_eq!(one_by_one[1000].commitment.to_string(), tip);
}
