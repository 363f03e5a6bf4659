//! The chain's Merkle mountain range, as it is kept beside the blocks.

use std::{fs::OpenOptions, os::unix::fs::FileExt as _, path::Path};

use miden_protocol::{
    Word,
    crypto::merkle::{
        MerklePath as CratePath,
        mmr::{Forest, Mmr, MmrPath, MmrProof},
    },
};
use tempfile::TempDir;
use tidemark_store::{BlockStore as _, DiskStore, Metadata};

use super::*;
use crate::opening;

/// A store on `dir`, and the format that it was opened with.
fn open(dir: &Path) -> (DiskStore, Miden) {
    let format = Miden::default();
    (opening::open(&format, dir, None).expect("opens"), format)
}

fn fill(store: &DiskStore, blocks: &[Bytes]) {
    store.initialise(Metadata::new(NAME, genesis())).expect("pinned");
    for group in blocks.chunks(64) {
        let first = BlockNumber::after(store.tips().durable);
        store.apply(first, &group.iter().map(AsRef::as_ref).collect::<Vec<_>>()).expect("applied");
        store.sync().expect("synced");
    }
}

/// A directory with the first `count` recorded blocks, stopped cleanly.
fn kept(count: usize) -> TempDir {
    let dir = TempDir::new().expect("temp dir");
    fill(&open(dir.path()).0, &recorded()[..count]);
    dir
}

fn leaf(block: &[u8]) -> Word {
    BlockHeader::read_from(&mut SliceReader::new(block)).expect("a header").commitment()
}

/// The crate's own range of these blocks.
fn reference(blocks: &[Bytes]) -> Mmr {
    Mmr::try_from_iter(blocks.iter().map(|block| leaf(block))).expect("few")
}

fn path(format: &Miden, number: usize, count: usize) -> Result<Option<Vec<Word>>, StoreError> {
    let number = u32::try_from(number).expect("small").into();
    let path = format.path(number, u32::try_from(count).expect("small"))?;
    Ok(path.map(|path| {
        let words = path.siblings.into_iter().map(|digest| Word::try_from(<[u8; 32]>::from(digest)));
        words.collect::<Result<_, _>>().expect("field elements")
    }))
}

/// Every path of the first `count` blocks verifies with the crate's own check.
fn check_paths(format: &Miden, blocks: &[Bytes], counts: &[usize]) {
    let range = reference(blocks);
    for count in counts {
        let forest = Forest::new(*count).expect("small");
        let peaks = range.peaks_at(forest).expect("within");
        for (number, block) in blocks[..*count].iter().enumerate() {
            let path = path(format, number, *count).expect("faithful").expect("held");
            let path = MmrPath::new(forest, number, CratePath::new(path));
            peaks.verify(leaf(block), MmrProof::new(path, leaf(block))).expect("proven");
        }
    }
}

/// Adds one to the byte at `offset` of a file.
fn damage(dir: &Path, name: &str, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(dir.join(name)).expect("there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).expect("long enough");
    file.write_all_at(&[byte[0].wrapping_add(1)], offset).expect("writable");
}

#[test]
fn every_header_of_the_recorded_chain_is_proven_as_the_crate_proves_it() {
    let (dir, blocks) = (kept(1001), recorded());
    let (store, format) = open(dir.path());
    check_paths(&format, &blocks, &[1, 2, 500, 1000, 1001]);
    assert_eq!(path(&format, 1001, 1001).expect("faithful"), None);
    assert_eq!(path(&format, 3, 1002).expect("faithful"), None, "more than is held");
    let commitment = format.mmr().expect("opened").peaks_at(1000).expect("readable").commitment();
    let tip = BlockHeader::read_from(&mut SliceReader::new(&blocks[1000])).expect("a header");
    assert_eq!(commitment, Some(tip.chain_commitment()));
    drop(store);
}

#[test]
fn the_chain_goes_on_where_it_stopped() {
    let (dir, blocks) = (kept(77), recorded());
    let (store, format) = open(dir.path());
    let mut chain = format.open(genesis(), Some((76.into(), &blocks[76]))).expect("fits");
    assert_eq!(chain.check_all(&blocks[77..200]).1, Ok(()));
    fill(&store, &blocks[77..200]);
    check_paths(&format, &blocks, &[200]);
}

#[test]
fn a_cut_is_followed() {
    let (dir, blocks) = (kept(200), recorded());
    let (store, format) = open(dir.path());
    store.truncate(99.into()).expect("cut");
    check_paths(&format, &blocks, &[100]);
    assert_eq!(path(&format, 5, 101).expect("faithful"), None);
    fill(&store, &blocks[100..150]);
    check_paths(&format, &blocks, &[150]);
}

#[test]
fn what_is_lost_or_does_not_fit_the_blocks_is_rebuilt() {
    let blocks = recorded();
    // The largest peak, the leaf that is a peak itself, and a file gone.
    const PEAK: u64 = 62 * 32;
    assert_eq!(peaks::Node { height: 6, index: 0 }.place().map(u64::from), Some(PEAK / 32));
    let losses: [fn(&Path); 4] = [
        |dir| damage(dir, "mmr-inner.idx", PEAK),
        |dir| damage(dir, "mmr-leaves.idx", 76 * 32),
        |dir| fs::remove_file(dir.join("mmr-leaves.idx")).expect("there"),
        |dir| fs::remove_file(dir.join("mmr-inner.idx")).expect("there"),
    ];
    for lose in losses {
        let dir = kept(77);
        lose(dir.path());
        let (store, format) = open(dir.path());
        assert!(format.open(genesis(), Some((76.into(), &blocks[76]))).is_ok());
        check_paths(&format, &blocks[..77], &[77]);
        drop(store);
    }
}

#[test]
fn the_range_of_another_chain_is_rebuilt() {
    let (dir, blocks) = (kept(77), recorded());
    // Who knows nothing of the range puts other blocks in their place.
    let mut parted = blocks[..60].to_vec();
    for block in &blocks[60..77] {
        let mut block = block.to_vec();
        block[4..36].copy_from_slice(&leaf(parted.last().expect("some")).as_bytes());
        let peaks = reference(&parted).peaks();
        block[40..72].copy_from_slice(&peaks.hash_peaks().as_bytes());
        block[284] ^= 1;
        parted.push(signed(&block, &validator()).into());
    }
    let store = DiskStore::open(dir.path()).expect("opens");
    store.truncate(59.into()).expect("cut");
    fill(&store, &parted[60..]);
    drop(store);
    let (store, format) = open(dir.path());
    assert!(format.open(genesis(), Some((76.into(), &parted[76]))).is_ok());
    check_paths(&format, &parted, &[77]);
    drop(store);
}

#[test]
fn a_damaged_node_proves_nothing() {
    let (dir, blocks) = (kept(77), recorded());
    let node = peaks::Node { height: 2, index: 3 };
    damage(dir.path(), "mmr-inner.idx", u64::from(node.place().expect("inner")) * 32 + 7);
    let (store, format) = open(dir.path());
    assert!(format.open(genesis(), Some((76.into(), &blocks[76]))).is_ok(), "the peaks are sound");
    for number in 0..77 {
        let answer = path(&format, number, 77);
        // Its sibling is over the leaves 8 to 11.
        assert_eq!(answer.is_err(), (8..12).contains(&number), "block {number}");
    }
    drop(store);
}

#[test]
fn what_waits_for_a_damaged_block_is_no_fault_of_the_upstream() {
    let blocks = recorded();
    let format = Miden::default();
    let dir = TempDir::new().expect("temp dir");
    let store = opening::open(&format, dir.path(), None).expect("opens");
    fill(&store, &blocks[..10]);
    let refused = format.open(genesis(), Some((20.into(), &blocks[20]))).err().expect("refused");
    assert_eq!(refused, FormatError::Behind { number: 20.into(), reached: 10.into() });
}
