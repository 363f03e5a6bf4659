//! Nothing is dropped without a copy.

use std::{sync::Arc, thread};

use super::{
    GENESIS, append, check_holds,
    hooked::{Call, HeldUp, finishes},
    killed, number, payload, prove, published,
    sim::SimDisk,
};
use crate::{
    BlockNumber, BlockStore as _, Metadata,
    archive::{Part, Reader},
};

/// What one file in quarantine holds.
fn read(disk: &SimDisk, name: &str) -> Vec<(Part, u32, Vec<u8>)> {
    let bytes = disk.bytes(&format!("quarantine/{name}"));
    let mut reader = Reader::open(&bytes[..]).expect("an export file");
    assert_eq!(reader.head().chain, Metadata::new("opaque", GENESIS));
    let mut records = Vec::new();
    while let Some(record) = reader.record().expect("whole") {
        records.push((record.part, record.number.get(), record.bytes));
    }
    records
}

fn blocks(numbers: std::ops::Range<u32>) -> Vec<(Part, u32, Vec<u8>)> {
    numbers.map(|n| (Part::Block, n, payload(n))).collect()
}

#[test]
fn what_is_cut_is_kept_in_an_export_file_with_its_proofs() {
    let (disk, store) = published(30, &[1, 2]);
    prove(&store, &[27]);
    append(&store, 30..32);
    store.truncate(number(25)).expect("must cut");
    append(&store, 26..28);
    store.truncate(number(1)).expect("must cut");
    let names = disk.names("quarantine/");
    assert_eq!(names.len(), 2, "{names:?}");
    let first =
        names.iter().find(|name| name.contains("blocks-0000000026-0000000031-")).expect("named by its range");
    let second =
        names.iter().find(|name| name.contains("blocks-0000000002-0000000027-")).expect("named by its range");
    let mut kept = blocks(26..32);
    kept.insert(2, (Part::Proof, 27, payload(27)));
    assert_eq!(read(&disk, first), kept);
    let mut kept = blocks(2..28);
    kept.insert(1, (Part::Proof, 2, payload(2)));
    assert_eq!(read(&disk, second), kept);
    check_holds(&killed(&disk).1, 2);
}

#[test]
fn damaged_blocks_are_left_out_of_the_copy() {
    let (disk, store) = published(6, &[1, 3]);
    disk.corrupt("blocks-00000000.log", disk.find("blocks-00000000.log", &payload(4)));
    disk.corrupt("proofs-00000000.log", disk.find("proofs-00000000.log", &payload(3)));
    store.truncate(number(2)).expect("must cut");
    let kept = read(&disk, &disk.names("quarantine/")[0]);
    assert_eq!(kept, [(Part::Block, 3, payload(3)), (Part::Block, 5, payload(5))]);
    assert_eq!((store.damaged(), store.tips().published), (vec![], Some(number(2))));
}

#[test]
fn a_full_disk_refuses_the_cut_softly_and_nothing_is_dropped() {
    let (disk, store) = published(30, &[1]);
    disk.set(|faults| faults.full = true);
    let refused = store.truncate(number(3)).expect_err("must refuse");
    assert!(refused.is_disk_full(), "{refused}");
    check_holds(&store, 30);
    check_holds(&killed(&disk).1, 30);
    assert_eq!(disk.names("quarantine/"), [] as [&str; 0]);
    disk.set(|faults| faults.full = false);
    assert_eq!(store.truncate(number(3)).expect("must cut").durable, Some(number(3)));
    assert_eq!(disk.names("quarantine/").len(), 1);
}

#[test]
fn a_cut_that_drops_nothing_keeps_nothing() {
    let (disk, store) = published(3, &[]);
    store.truncate(number(2)).expect("is no error");
    assert_eq!(disk.names("quarantine/"), [] as [&str; 0]);
}

#[test]
fn at_every_moment_of_a_cut_each_block_is_in_the_store_or_in_quarantine() {
    use rand::SeedableRng as _;
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let (disk, store) = published(30, &[1]);
    disk.record();
    store.truncate(number(3)).expect("must cut");
    for state in disk.take_points() {
        for fate in super::sim::Fate::ALL.repeat(8) {
            let disk = SimDisk::new(state.crash(fate, &mut rng));
            let tip = super::open(&disk).tips().durable;
            if tip != Some(number(29)) {
                assert_eq!(tip, Some(number(3)));
                let names = disk.names("quarantine/");
                assert_eq!(read(&disk, &names[0]), blocks(4..30), "{fate:?}");
            }
            assert!(
                disk.names("quarantine/").iter().all(|name| name.ends_with(".export")),
                "nothing unfinished"
            );
        }
    }
    assert_eq!(store.tips().durable, BlockNumber::last_of(4));
}

#[test]
fn a_real_directory_keeps_what_is_cut() {
    let dir = tempfile::TempDir::new().expect("temp dir");
    let store = crate::DiskStore::open(dir.path()).expect("must open");
    store.initialise(Metadata::new("opaque", GENESIS)).expect("must initialise");
    append(&store, 0..5);
    store.truncate(number(2)).expect("must cut");
    let entries: Vec<_> = std::fs::read_dir(dir.path().join("quarantine")).expect("listable").collect();
    let [Ok(entry)] = &entries[..] else { panic!("{entries:?}") };
    let file = std::fs::File::open(entry.path()).expect("readable");
    let mut reader = Reader::open(std::io::BufReader::new(file)).expect("an export file");
    assert_eq!(reader.record().expect("whole").expect("one").bytes, payload(3));
    drop(store);
    check_holds(&crate::DiskStore::open(dir.path()).expect("must open"), 3);
}

#[test]
fn a_reader_that_meets_damage_does_not_wait_for_the_copy_of_what_is_cut() {
    let (disk, store) = published(30, &[]);
    drop(store);
    disk.corrupt("blocks-00000000.log", disk.find("blocks-00000000.log", &payload(3)) + 5);
    let is_copy = |call, name: &str| call == Call::Create && name.ends_with(".export.new");
    let (copy, store) = HeldUp::open(&disk, "cuts", is_copy);
    let cuts = Arc::clone(&store);
    let cut = thread::Builder::new().name("cuts".to_owned()).spawn(move || cuts.truncate(number(10)));
    copy.wait();
    let reads = Arc::clone(&store);
    let read = finishes(move || reads.block(number(3)));
    assert!(read.expect_err("is damaged").is_damage());
    copy.let_go();
    finishes(move || cut.expect("a thread").join().expect("no panic")).expect("must cut");
    assert_eq!((store.tips().durable, store.damaged()), (Some(number(10)), vec![number(3)]));
}
