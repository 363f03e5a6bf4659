//! Followers that check the recorded Miden chain, on sound upstreams and on hostile ones.

use std::time::Duration;

use futures::future::join_all;
use miden_protocol::{
    Word,
    block::BlockHeader,
    crypto::{
        dsa::ecdsa_k256_keccak::SigningKey,
        merkle::{
            MerklePath,
            mmr::{Forest, Mmr, MmrPath, MmrProof},
        },
    },
    utils::serde::{Deserializable as _, Serializable as _, SliceReader},
};
use tidemark_follower::{
    cli::{FollowArgs, FormatName, ReplayFormat},
    sync::SyncMode,
};
use tidemark_wire::{
    rpc::{BlockHeaderByNumberRequest, BlockHeaderByNumberResponse},
    v1::ReplicaState,
};
use tonic::codegen::Bytes;

use crate::{
    harness::{
        REAL_CHAIN, Running, api, block, follow, follow_in, in_state, produce, published, recorded_blocks,
    },
    scripted::{Script, Scripted},
};

/// Bytes of a signature.
const SIGNATURE: usize = 65;

fn miden(args: &mut FollowArgs) {
    args.format = FormatName::Miden;
}

/// A primary that checks and replays the recorded chain.
async fn replay(blocks: Option<u32>) -> Running {
    produce(|args| {
        args.replay = Some(REAL_CHAIN.into());
        args.replay_format = ReplayFormat::Miden;
        args.block_interval = Duration::from_millis(1);
        args.blocks = blocks;
    })
    .await
}

fn header(block: &[u8]) -> BlockHeader {
    BlockHeader::read_from(&mut SliceReader::new(block)).expect("a header")
}

/// The crate's own range of these blocks.
fn range(blocks: &[Vec<u8>]) -> Mmr {
    Mmr::try_from_iter(blocks.iter().map(|block| header(block).commitment())).expect("few")
}

async fn ask(store: &Running, number: Option<u32>, proof: bool) -> BlockHeaderByNumberResponse {
    let request = BlockHeaderByNumberRequest { block_num: number, include_mmr_proof: Some(proof) };
    api(store.rpc).await.get_block_header_by_number(request).await.expect("answered").into_inner()
}

/// Checks an answer with the crate's own verification, as any client of the chain would.
fn verify(answer: &BlockHeaderByNumberResponse, number: u32, recorded: &[Vec<u8>], range: &Mmr) {
    let expected = header(&recorded[number as usize]);
    let told = answer.block_header.clone().expect("a header");
    assert_eq!((told.version, told.block_num), (expected.version(), number));
    assert_eq!(told.timestamp, expected.timestamp());
    let count = answer.chain_length.expect("a length") as usize;
    let siblings = answer.mmr_path.clone().expect("a path").siblings;
    let path: Vec<Word> =
        siblings.into_iter().map(|node| Word::try_from(<[u8; 32]>::from(node)).unwrap()).collect();
    let forest = Forest::new(count).unwrap();
    let path = MmrPath::new(forest, number as usize, MerklePath::new(path));
    let proof = MmrProof::new(path, expected.commitment());
    range.peaks_at(forest).unwrap().verify(expected.commitment(), proof).expect("proven");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_chain_is_checked_and_proven_down_a_chain_of_followers() {
    let recorded = recorded_blocks();
    let range = range(&recorded);
    let root = range.peaks_at(Forest::new(1000).unwrap()).unwrap().hash_peaks();
    assert_eq!(root, header(&recorded[1000]).chain_commitment(), "what the recorded tip commits to");
    let primary = replay(None).await;
    let near = follow(&[&primary.url()], miden).await;
    let far = follow(&[&near.url()], |args| {
        miden(args);
        args.sync = SyncMode::Subscribe;
    })
    .await;
    for store in [&primary, &near, &far] {
        let held = published(store.rpc, 1000).await;
        assert_eq!((held.published_tip, &held.genesis[..]), (Some(1000), &recorded[1][4..36]));
        let latest = ask(store, None, true).await;
        assert_eq!(latest.chain_length, Some(1001));
        verify(&latest, 1000, &recorded, &range);
        for number in [0, 1, 511, 512, 999] {
            verify(&ask(store, Some(number), true).await, number, &recorded, &range);
        }
        let bare = ask(store, Some(7), false).await;
        assert!(bare.block_header.is_some() && bare.mmr_path.is_none() && bare.chain_length.is_none());
        assert_eq!(ask(store, Some(1001), true).await, BlockHeaderByNumberResponse::default());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_goes_on_with_the_chain_it_checked_before() {
    let recorded = recorded_blocks();
    let short = replay(Some(20)).await;
    let follower = follow(&[&short.url()], miden).await;
    published(follower.rpc, 20).await;
    let dir = follower.stop().await;
    let long = replay(Some(90)).await;
    let follower = follow_in(dir, &[&long.url()], miden).await;
    published(follower.rpc, 90).await;
    verify(&ask(&follower, Some(20), true).await, 20, &recorded, &range(&recorded));
}

/// The recorded chain up to block 5, with another block 3.
fn script(third: Vec<u8>) -> Script {
    let recorded = recorded_blocks();
    let mut script = Script::default();
    script.tip = 5;
    script.genesis.copy_from_slice(&recorded[1][4..36]);
    script.blocks = (0..=5).map(|number| (number, Bytes::from(recorded[number as usize].clone()))).collect();
    script.blocks.insert(3, third.into());
    script
}

fn signed(block: &[u8], key: u8) -> Vec<u8> {
    let key = SigningKey::read_from_bytes(&[key; 32]).expect("a key");
    let unsigned = &block[..block.len() - SIGNATURE];
    [unsigned, &key.sign(header(block).commitment()).to_bytes()].concat()
}

/// The block with other bytes at `at`, signed by the chain's own validator.
fn resigned(block: &[u8], at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    block[at..at + bytes.len()].copy_from_slice(bytes);
    signed(&block, 1)
}

/// The block with a bit turned around.
fn flipped(block: &[u8], at: usize) -> Vec<u8> {
    let mut block = block.to_vec();
    block[at] ^= 1;
    block
}

/// What a hostile upstream makes of block 3, and a word of the reason for which it is refused.
fn alterations() -> Vec<(Vec<u8>, ReplicaState, &'static str)> {
    use ReplicaState::{Diverged, InvalidBlock};
    let recorded = recorded_blocks();
    let good = &recorded[3];
    let end = good.len();
    let with_tail = [&good[..], &[0]].concat();
    let wide_number = [&good[..288], &[2, 0], &good[289..]].concat();
    let fields = [0, 4, 40, 72, 104, 200, 232, 280, 284];
    let mut altered: Vec<_> =
        fields.iter().map(|at| (flipped(good, *at), InvalidBlock, "block 3 is ")).collect();
    altered.extend([
        (flipped(good, 36), InvalidBlock, "came where block 3 was due"),
        (flipped(good, 136), InvalidBlock, "its body has others"),
        (flipped(good, 168), InvalidBlock, "its body has others"),
        (flipped(good, end - 65), InvalidBlock, "block 3 is "),
        (flipped(good, end - 33), InvalidBlock, "block 3 is "),
        (flipped(good, end - 1), InvalidBlock, "is the validator"),
        (good[..end - 1].to_vec(), InvalidBlock, "no miden block"),
        (with_tail, InvalidBlock, "encoded otherwise"),
        (wide_number, InvalidBlock, "encoded otherwise"),
        (signed(good, 2), InvalidBlock, "is the validator"),
        (recorded[4].clone(), InvalidBlock, "block 4 came where block 3 was due"),
        (resigned(good, 4, &[7; 32]), Diverged, "as its parent"),
        (resigned(good, 40, &[7; 32]), InvalidBlock, "as the chain before it"),
        (resigned(good, 136, &[7; 32]), InvalidBlock, "its body has others"),
    ]);
    altered
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_a_hostile_upstream_alters_is_refused_and_nothing_of_it_is_stored() {
    let sound = Bytes::from(recorded_blocks().swap_remove(3));
    let tries = alterations().into_iter().enumerate().map(|(n, (altered, state, reason))| {
        let sound = sound.clone();
        async move {
            let mode = if n % 2 == 0 { SyncMode::Poll } else { SyncMode::Subscribe };
            let upstream = Scripted::start(script(altered)).await;
            let follower = follow(&[&upstream.url()], |args| {
                miden(args);
                args.sync = mode;
            })
            .await;
            let tips = in_state(follower.rpc, state).await;
            assert_eq!(tips.published_tip, Some(2), "alteration {n}");
            assert!(tips.state_detail.contains(reason), "alteration {n}: {}", tips.state_detail);
            assert_eq!(block(&mut api(follower.rpc).await, 3).await.block, None, "alteration {n}");
            upstream.change(|script| {
                script.blocks.insert(3, sound);
            });
            published(follower.rpc, 5).await;
        }
    });
    join_all(tries).await;
}
