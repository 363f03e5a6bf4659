//! What the format takes and refuses, on the recorded chain and what a stranger can make of it.

mod body;
mod forged;
mod fuzz;
mod headers;
mod kept;
mod mutated;

use std::{fs, sync::OnceLock};

use miden_protocol::{
    block::{BlockHeader, SignedBlock},
    crypto::dsa::ecdsa_k256_keccak::SigningKey,
    utils::serde::{Deserializable as _, Serializable as _, SliceReader},
};
use tonic::codegen::Bytes;

use super::*;
use crate::format::BlockFacts;

const RECORDING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/data/miden-0.15-chain.bin");
/// Bytes of a header, and of a signature.
const HEADER: usize = 288;
const SIGNATURE: usize = 65;

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

/// The key that signs the recorded chain: the one every development validator has.
fn validator() -> SigningKey {
    SigningKey::read_from_bytes(&[1; 32]).expect("a key")
}

/// A key that signs no chain.
fn stranger() -> SigningKey {
    SigningKey::read_from_bytes(&[2; 32]).expect("a key")
}

/// The block with a signature of `key` over the header that it has now.
fn signed(block: &[u8], key: &SigningKey) -> Vec<u8> {
    let header = BlockHeader::read_from(&mut SliceReader::new(block)).expect("a header");
    let unsigned = &block[..block.len() - SIGNATURE];
    [unsigned, &key.sign(header.commitment()).to_bytes()].concat()
}

/// The number of the recorded block that most tests alter.
const N: usize = 9;

/// What the recorded chain up to the block before N says to `block`.
fn offer(block: &[u8]) -> Result<BlockFacts, FormatError> {
    static BEFORE: OnceLock<(Block, peaks::Peaks)> = OnceLock::new();
    let (tip, peaks) = BEFORE.get_or_init(|| {
        let read = |n: usize| Block::read(u32::try_from(n).expect("small").into(), &recorded()[n]);
        let mut peaks = peaks::Peaks::default();
        for n in 0..N - 1 {
            peaks.push(read(n).expect("sound").header.commitment());
        }
        (read(N - 1).expect("sound"), peaks)
    });
    Chain::continued(genesis(), tip, peaks.clone())?.check(block)
}

/// What a chain of which nothing is held says to `block`.
fn offer_first(block: &[u8]) -> Result<BlockFacts, FormatError> {
    Miden::default().open(genesis(), None)?.check(block)
}

#[test]
fn the_recorded_chain_is_taken_one_by_one_and_in_groups() {
    let blocks = recorded();
    let mut chain = Miden::default().open(genesis(), None).expect("nothing is held");
    let one_by_one: Vec<_> = blocks.iter().map(|block| chain.check(block).expect("good")).collect();
    let mut chain = Miden::default().open(genesis(), None).expect("nothing is held");
    let groups = blocks.chunks(64).flat_map(|group| {
        let (facts, checked) = chain.check_all(group);
        assert_eq!(checked, Ok(()));
        facts
    });
    assert_eq!(groups.collect::<Vec<_>>(), one_by_one);
    assert_eq!(one_by_one.len(), 1001);
    let tip = "0x06a4af49961ea1ce5a948130cbeae416a4d430453a75711c09cab130e19f4b03";
    assert_eq!(one_by_one[1000].commitment.to_string(), tip);
}

/// The signature is not verified beside recovering who made it: whatever is taken must pass the crate's own checks, too.
#[test]
fn what_is_taken_passes_the_crates_own_checks() {
    let blocks = recorded();
    let mut parent: Option<BlockHeader> = None;
    for block in &blocks[..50] {
        let (header, body, signature) = SignedBlock::read_from_bytes(block).expect("decodes").into_parts();
        let block = SignedBlock::new(header, body, signature).expect("sound");
        if let Some(parent) = &parent {
            block.validate_parent(parent).expect("follows");
        }
        parent = Some(block.header().clone());
    }
}

#[test]
fn a_group_is_taken_up_to_the_first_block_that_is_refused() {
    let mut blocks = recorded()[..40].to_vec();
    blocks.swap(20, 21);
    let mut chain = Miden::default().open(genesis(), None).expect("nothing is held");
    let (facts, checked) = chain.check_all(&blocks);
    assert_eq!(facts.len(), 20);
    assert_eq!(checked, Err(FormatError::WrongNumber { asked: 20.into(), found: 21.into() }));
}
