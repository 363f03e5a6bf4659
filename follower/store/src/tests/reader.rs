//! Reading beside the writer, without a lock and without a write.

use std::sync::Arc;

use super::{GENESIS, append, killed, number, one_proven, open, payload, prove, published, sim::SimDisk};
use crate::{BlockStore as _, Metadata, Part, StoreError, StoreReader, Tips, index::BlockIndex};

fn reader(disk: &SimDisk) -> StoreReader {
    StoreReader::open_on(Arc::new(disk.clone())).expect("must open")
}

fn check_holds(reader: &StoreReader, count: u32) {
    assert_eq!(reader.tips().durable, Some(number(count - 1)));
    let read: Vec<_> = reader.blocks(number(0)).map(|(_, block)| block.expect("readable")).collect();
    assert_eq!(read, (0..count).map(payload).collect::<Vec<_>>());
    assert_eq!(reader.block(number(count)).expect("readable"), None);
}

#[test]
fn a_live_directory_is_read_up_to_the_published_tip_and_nothing_is_written() {
    let (disk, store) = published(20, &[1, 2]);
    store.checkpoint().expect("must do");
    append(&store, 20..25);
    prove(&store, &[3, 5]);
    store.sync().expect("must sync");
    append(&store, 25..27);
    disk.set(|faults| faults.read_only = true);
    let reader = reader(&disk);
    let tip = Some(number(24));
    assert_eq!(reader.tips(), Tips { applied: tip, durable: tip, published: tip, proven: Some(number(3)) });
    assert_eq!(reader.metadata(), Some(Metadata::new("opaque", GENESIS)));
    check_holds(&reader, 25);
    assert_eq!(reader.proof(number(5)).expect("readable"), Some(payload(5)));
    assert_eq!(reader.proof(number(4)).expect("readable"), None);
    disk.set(|faults| faults.read_only = false);
    store.sync().expect("must sync");
    check_holds(&reader, 25);
    assert_eq!(reader.refresh().expect("must read").durable, Some(number(26)));
    check_holds(&reader, 27);
}

#[test]
fn what_is_cut_meanwhile_is_gone_for_the_reader_too() {
    let (disk, store) = published(60, &[1]);
    let reader = reader(&disk);
    assert_eq!(reader.block(number(40)).expect("readable"), Some(payload(40)));
    store.truncate(number(3)).expect("must truncate");
    assert_eq!(reader.block(number(50)).expect("readable"), None);
    check_holds(&reader, 4);
    store.apply(number(4), &[b"another block 4"]).expect("must apply");
    store.sync().expect("must sync");
    reader.refresh().expect("must read");
    assert_eq!(reader.block(number(4)).expect("readable"), Some(b"another block 4".to_vec()));
}

#[test]
fn a_directory_whose_cut_was_interrupted_ends_at_the_cut() {
    let (disk, store) = published(30, &[]);
    disk.record();
    store.truncate(number(3)).expect("must truncate");
    for state in disk.take_points() {
        let disk = SimDisk::new(state);
        let is_cut =
            crate::manifest::Manifest::load(&disk).expect("readable").expect("there").checkpoint.blocks == 4;
        let tip = if is_cut { 3 } else { 29 };
        assert_eq!(reader(&disk).tips().durable, Some(number(tip)));
    }
}

#[test]
fn verifying_visits_everything_and_names_each_damaged_file_and_byte() {
    let (disk, _store) = one_proven();
    let sound = verify(&reader(&disk));
    assert_eq!(sound, []);
    let block = disk.find("blocks-00000000.log", &payload(3));
    let proof = disk.find("proofs-00000000.log", &payload(1));
    for (file, at, part, n, offset) in [
        ("blocks-00000000.log", block + 2, Part::Block, 3, block - 72),
        ("blocks-00000000.log", block - 20, Part::Header, 3, block - 72),
        ("blocks-00000000.log", 30, Part::Head, 0, 0),
        ("blocks-00000001.log", 30, Part::Head, 18, 0),
        ("proofs-00000000.log", proof + 1, Part::Proof, 1, proof - 72),
        ("proofs-00000000.log", 9, Part::ProofHead, 1, 0),
        (BlockIndex::PLACES, 5 * 16 + 3, Part::Entry, 5, 5 * 16),
        (BlockIndex::HASHES, 6 * 32 + 9, Part::Entry, 6, 6 * 16),
    ] {
        let damaged = SimDisk::new(disk.state());
        damaged.corrupt(file, at);
        let [(found, path, byte)] = &verify(&reader(&damaged))[..] else {
            panic!("{file} {at}: {:?}", verify(&reader(&damaged)))
        };
        assert_eq!((found, *byte), (&(part, n), offset as u64), "{file} {at}");
        assert!(path.ends_with(if part == Part::Entry { BlockIndex::PLACES } else { file }), "{path}");
    }
}

/// Part, number, file and byte of everything found, read in small pieces.
fn verify(reader: &StoreReader) -> Vec<((Part, u32), String, u64)> {
    let (mut next, mut found, mut pieces) = (Some(number(0)), Vec::new(), 0);
    while let Some(from) = next {
        let checked = reader.verify(from, 300).expect("readable");
        found.extend(checked.findings.into_iter().map(|finding| {
            ((finding.part, finding.number.get()), finding.path.display().to_string(), finding.offset)
        }));
        (next, pieces) = (checked.next, pieces + 1);
    }
    assert!(pieces > 4, "{pieces}");
    found
}

#[test]
fn blocks_are_read_without_any_index_entry_of_theirs() {
    let (disk, store) = published(60, &[]);
    drop(store);
    for n in 10..50 {
        disk.corrupt(BlockIndex::HASHES, n * 32);
    }
    let reader = reader(&disk);
    check_holds(&reader, 60);
    assert_eq!(reader.hash_at(number(30)).expect("known"), Some(crate::BlockHash::of(&payload(30))));
}

#[test]
fn damage_that_is_known_lowers_what_is_published_for_the_reader_too() {
    let (disk, store) = one_proven();
    disk.corrupt("blocks-00000000.log", disk.find("blocks-00000000.log", &payload(3)));
    assert!(store.block(number(3)).is_err());
    let reader = reader(&disk);
    assert_eq!((reader.tips(), reader.damaged()), (store.tips(), vec![number(3)]));
    assert!(reader.block(number(3)).is_err() && reader.block(number(4)).is_ok());
}

#[test]
fn a_directory_in_use_is_read() {
    let dir = tempfile::TempDir::new().expect("temp dir");
    let store = crate::DiskStore::open(dir.path()).expect("must open");
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    append(&store, 0..5);
    store.sync().expect("must sync");
    check_holds(&StoreReader::open(dir.path()).expect("must open"), 5);
}

#[test]
fn no_store_is_said() {
    let disk = SimDisk::new(super::sim::State::default());
    let refused = StoreReader::open_on(Arc::new(disk)).err().expect("must refuse");
    assert!(matches!(refused, StoreError::BadMetadata { .. }), "{refused}");
}

#[test]
fn a_stopped_directory_is_read_as_it_is_opened() {
    let (disk, store) = published(9, &[1]);
    drop(store);
    check_holds(&reader(&disk), 9);
    check_holds(&reader(&killed(&disk).0), 9);
}

#[test]
fn what_was_read_on_both_sides_of_a_cut_is_not_of_one_chain() {
    let (disk, store) = published(8, &[]);
    store.checkpoint().expect("must do");
    let reader = reader(&disk);
    assert_eq!(reader.block(number(4)).expect("readable"), Some(payload(4)));
    append(&store, 8..9);
    store.sync().expect("must sync");
    drop(store);
    let store = open(&disk);
    assert!(reader.is_of_one_chain(number(7)).expect("readable"), "it was reopened and went on");
    store.truncate(number(3)).expect("must cut");
    assert!(!reader.is_of_one_chain(number(7)).expect("readable"), "there is no block 7 now");
    store.apply(number(4), &[&[0xee; 24], &[0xef; 25], &[0xe0; 26], &[0xe1; 27]]).expect("must apply");
    store.sync().expect("must sync");
    assert_eq!(reader.block(number(7)).expect("readable"), Some(vec![0xe1; 27]));
    let whole = [3, 4, 7].map(|last| reader.is_of_one_chain(number(last)).expect("readable"));
    assert_eq!(whole, [true, false, false]);
    reader.refresh().expect("must read");
    assert!(reader.is_of_one_chain(number(7)).expect("readable"));
}
