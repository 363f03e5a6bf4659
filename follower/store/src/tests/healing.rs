//! Damage that is found while the store runs, and what makes it good again.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    append, check_holds,
    harm::Harm,
    hooked::{Call, HeldUp, finishes},
    killed, number, one_proven, open, payload, prove, published,
    sim::{Fate, SimDisk},
};
use crate::{BlockHash, BlockStore as _, DiskStore, Part, StoreError, index::BlockIndex};

/// A block whose header lies in two sectors, so that it can be torn.
const STRADDLING: u32 = 4;
const FIRST: &str = "blocks-00000000.log";
const SECOND: &str = "blocks-00000001.log";
const PROOFS: &str = "proofs-00000000.log";

fn scrub(store: &DiskStore) -> Vec<(Part, u32)> {
    let (mut next, mut found) = (Some(number(0)), Vec::new());
    while let Some(from) = next {
        let checked = store.scrub(from, 300).expect("must scrub");
        found.extend(checked.findings.iter().map(|finding| (finding.part, finding.number.get())));
        next = checked.next;
    }
    found
}

/// A clean store whose block 3 is damaged at that byte, counted from the start of its payload.
fn damaged_at(at: isize) -> (SimDisk, DiskStore) {
    let (disk, store) = one_proven();
    store.checkpoint().expect("must do");
    let found = disk.find(FIRST, &payload(3)).checked_add_signed(at).expect("in the file");
    disk.corrupt(FIRST, found);
    (disk, store)
}

#[test]
fn damage_lowers_what_is_published_from_its_first_reader_on_and_after_any_reopening() {
    let (disk, store) = damaged_at(5);
    assert_eq!(store.tips().published, Some(number(29)), "nobody knows yet");
    assert!(store.block(number(3)).expect_err("is damaged").is_damage());
    let (_, after_kill) = killed(&disk);
    for store in [store, after_kill, open(&disk)] {
        assert_eq!(store.damaged(), [number(3)]);
        let tips = store.tips();
        assert_eq!((tips.durable, tips.published), (Some(number(29)), Some(number(2))));
        assert_eq!(tips.proven, Some(number(1)));
        assert!(
            store.block(number(3)).expect_err("is damaged").to_string().contains("block 3 is damaged here")
        );
        assert_eq!(store.block(number(29)).expect("served"), Some(payload(29)));
        assert_eq!(store.hash_at(number(3)), Some(BlockHash::of(&payload(3))));
    }
}

#[test]
fn a_damaged_block_is_written_over_with_the_very_bytes_and_no_others() {
    let (disk, store) = damaged_at(5);
    assert!(store.block(number(3)).is_err());
    for other in [payload(4), payload(3)[1..].to_vec(), Vec::new()] {
        let refused = store.repair(number(3), &other).expect_err("must refuse");
        assert!(matches!(refused, StoreError::OtherBytes { .. }), "{refused}");
    }
    assert!(matches!(store.repair(number(30), b"x"), Err(StoreError::NoSuchBlock { .. })));
    assert_eq!(store.repair(number(3), &payload(3)).expect("must take it").published, Some(number(29)));
    check_holds(&store, 30);
    let (_, after_kill) = killed(&disk);
    assert_eq!(after_kill.damaged(), []);
    check_holds(&after_kill, 30);
    assert_eq!(scrub(&after_kill), []);
}

#[test]
fn a_block_is_repaired_whatever_of_its_record_and_its_index_entries_is_lost() {
    let places = |disk: &SimDisk| disk.corrupt(BlockIndex::PLACES, 3 * 16 + 5);
    let hashes = |disk: &SimDisk| disk.corrupt(BlockIndex::HASHES, 3 * 32 + 5);
    let header = |disk: &SimDisk| disk.corrupt(FIRST, disk.find(FIRST, &payload(2)) + 24 + 30);
    type Harm<'a> = &'a dyn Fn(&SimDisk);
    let none: Harm<'_> = &|_| {};
    let cases: [(Harm<'_>, Harm<'_>, bool); 7] = [
        (none, none, true),
        (none, &header, true),
        (&places, none, true),
        (&hashes, none, true),
        (&places, &hashes, true),
        (&places, &header, true),
        (&hashes, &header, false),
    ];
    for (index, (first, second, is_kept)) in cases.into_iter().enumerate() {
        let (disk, store) = damaged_at(5);
        drop(store);
        first(&disk);
        second(&disk);
        let store = open(&disk);
        assert!(store.block(number(3)).is_err(), "case {index}");
        let done = store.repair(number(3), &payload(3));
        if is_kept {
            assert!(store.repair(number(3), b"other").is_err(), "case {index}");
            done.unwrap_or_else(|error| panic!("case {index}: {error}"));
            check_holds(&killed(&disk).1, 30);
            assert_eq!(scrub(&killed(&disk).1), [], "case {index}");
        } else {
            assert!(matches!(done, Err(StoreError::HashLost { .. })), "case {index}: {done:?}");
        }
    }
}

/// A stopped store of 30 blocks whose index says of block 3 what another chain's would, in as many bytes.
fn at_odds() -> SimDisk {
    let (disk, store) = published(30, &[]);
    drop(store);
    let (other, store) = super::fresh();
    append(&store, 0..3);
    store.apply(number(3), &[&OTHER]).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    for (name, width) in [(BlockIndex::PLACES, 16), (BlockIndex::HASHES, 32)] {
        let mut bytes = disk.bytes(name);
        bytes[3 * width..4 * width].copy_from_slice(&other.bytes(name)[3 * width..4 * width]);
        disk.replace(name, &bytes);
    }
    disk
}

const OTHER: [u8; 23] = [9; 23];

#[test]
fn a_repair_that_is_interrupted_anywhere_can_be_done_again() {
    let mut rng = StdRng::seed_from_u64(11);
    for harms in
        [&[Harm::Payload][..], &[Harm::Record], &[Harm::PayloadAndPlace], &[Harm::Payload, Harm::Hash]]
    {
        let (disk, store) = one_proven();
        drop(store);
        harms.iter().for_each(|harm| harm.inflict(&disk, STRADDLING));
        let store = open(&disk);
        disk.record();
        store.repair(number(STRADDLING), &payload(STRADDLING)).expect("must take it");
        for state in disk.take_points() {
            for fate in Fate::ALL.repeat(8) {
                let store = open(&SimDisk::new(state.crash(fate, &mut rng)));
                let again = store.repair(number(STRADDLING), &payload(STRADDLING));
                again.unwrap_or_else(|error| panic!("{harms:?}, {fate:?}: {error}"));
                check_holds(&store, 30);
            }
        }
    }
}

#[test]
fn the_payload_decides_where_entry_and_header_disagree() {
    let disk = at_odds();
    let store = open(&disk);
    assert_eq!(store.block(number(3)).expect("by its header"), Some(payload(3)));
    check_holds(&store, 30);
    check_holds(&killed(&disk).1, 30);
    assert_eq!(scrub(&killed(&disk).1), []);
}

#[test]
fn the_header_decides_where_the_payload_confirms_neither() {
    let disk = at_odds();
    disk.corrupt(FIRST, disk.find(FIRST, &payload(3)));
    let store = open(&disk);
    assert!(store.block(number(3)).is_err());
    assert!(matches!(store.repair(number(3), &OTHER), Err(StoreError::OtherBytes { .. })));
    store.repair(number(3), &payload(3)).expect("must take it");
    check_holds(&killed(&disk).1, 30);
}

#[test]
fn what_the_disk_cannot_read_is_damaged_and_written_over() {
    let (disk, store) = one_proven();
    drop(store);
    disk.break_at(BlockIndex::PLACES, 7 * 16);
    let store = open(&disk);
    check_holds(&store, 30);
    disk.break_at(FIRST, disk.find(FIRST, &payload(3)));
    let unread = store.block(number(3)).expect_err("must fail");
    assert!(unread.to_string().contains("the disk cannot read it"), "{unread}");
    assert_eq!((store.damaged(), store.tips().published), (vec![number(3)], Some(number(2))));
    store.repair(number(3), &payload(3)).expect("must take it");
    check_holds(&store, 30);
}

#[test]
fn damaged_index_entries_are_rebuilt_from_the_log_and_are_no_damaged_blocks() {
    let (disk, store) = one_proven();
    drop(store);
    for n in 0..9 {
        disk.corrupt(BlockIndex::PLACES, n * 16 + 1);
        disk.corrupt(BlockIndex::HASHES, (n + 5) * 32 + 1);
    }
    let store = open(&disk);
    check_holds(&store, 30);
    assert_eq!((store.damaged(), store.proof(number(1)).expect("held")), (vec![], Some(payload(1))));
    drop(store);
    assert_eq!(scrub(&open(&disk)), [], "all of them are whole again");
}

#[test]
fn the_scrubber_finds_all_that_nobody_reads_and_mends_what_it_can() {
    let within = |disk: &SimDisk, file: &str, n: u32, at: isize| {
        disk.find(file, &payload(n)).checked_add_signed(at).expect("in the file")
    };
    for (file, n, at, part) in [
        (FIRST, 7, 2, Part::Block),
        (FIRST, 7, -9, Part::Header),
        (SECOND, 18, -72 - 20, Part::Head),
        (PROOFS, 1, 2, Part::Proof),
        (PROOFS, 1, -72 - 20, Part::ProofHead),
        (BlockIndex::PLACES, 9, 9 * 16, Part::Entry),
        (BlockIndex::HASHES, 9, 9 * 32, Part::Entry),
    ] {
        let (disk, store) = one_proven();
        store.checkpoint().expect("must do");
        check_holds(&store, 30); // so that index pages are cached
        let at = if part == Part::Entry {
            usize::try_from(at).expect("positive")
        } else {
            within(&disk, file, n, at)
        };
        disk.corrupt(file, at);
        assert_eq!(scrub(&store), [(part, n)], "{file}");
        let remains = if part == Part::Block { vec![(part, n)] } else { vec![] };
        assert_eq!(scrub(&store), remains, "{file} {part:?}");
        let without_power = SimDisk::new(disk.state().crash(Fate::None, &mut StdRng::seed_from_u64(1)));
        assert_eq!(scrub(&open(&without_power)), remains, "{file} {part:?}: it is durable");
        let (disk, killed_store) = killed(&disk);
        assert_eq!(scrub(&killed_store), remains, "{file} {part:?}");
        assert_eq!(killed_store.tips().proven, (part != Part::Proof).then(|| number(1)));
        assert_eq!(store.damaged(), killed_store.damaged());
        [BlockIndex::PLACES, BlockIndex::HASHES].into_iter().for_each(|name| disk.forget(name));
        let damaged = if part == Part::Block { vec![number(7)] } else { vec![] };
        assert_eq!(killed(&disk).1.damaged(), damaged, "{file} {part:?}: also when all is read from the log");
    }
}

#[test]
fn a_segment_that_is_gone_is_made_anew_and_filled_block_by_block() {
    let (disk, store) = published(60, &[]);
    drop(store);
    disk.forget(SECOND);
    let store = open(&disk);
    let found = scrub(&store);
    let lost: Vec<_> = store.damaged();
    assert!(lost.len() > 5 && found.len() == lost.len() + 1, "{found:?}");
    assert_eq!(store.tips().published, Some(number(lost[0].get() - 1)));
    drop(store);
    let store = open(&disk);
    assert_eq!(store.damaged(), lost);
    for number in lost.iter().rev() {
        store.repair(*number, &payload(number.get())).expect("must take it");
    }
    check_holds(&store, 60);
    assert_eq!(scrub(&killed(&disk).1), []);
    [BlockIndex::PLACES, BlockIndex::HASHES].into_iter().for_each(|name| disk.forget(name));
    check_holds(&killed(&disk).1, 60);
}

#[test]
fn the_last_block_of_the_checkpoint_may_be_damaged_too() {
    for at in [-30, 4] {
        let (disk, store) = published(9, &[]);
        drop(store);
        disk.corrupt(FIRST, disk.find(FIRST, &payload(8)).checked_add_signed(at).expect("in the file"));
        let store = open(&disk);
        assert_eq!(store.tips().durable, Some(number(8)), "{at}");
        append(&store, 9..12);
        store.sync().expect("must sync");
        if at > 0 {
            assert_eq!(store.damaged(), [number(8)]);
            store.repair(number(8), &payload(8)).expect("must take it");
        }
        check_holds(&killed(&disk).1, 12);
    }
}

#[test]
fn damage_is_kept_on_a_full_disk_and_written_down_later() {
    let (disk, store) = damaged_at(5);
    disk.set(|faults| faults.full = true);
    assert!(store.block(number(3)).is_err());
    assert_eq!(store.tips().published, Some(number(2)));
    append(&store, 30..31);
    assert_eq!(store.sync().expect("must sync").published, Some(number(2)));
    assert!(store.repair(number(3), &payload(3)).is_ok(), "in place, so that no space is needed");
    disk.set(|faults| faults.full = false);
    check_holds(&killed(&disk).1, 31);
}

#[test]
fn a_medium_waits_for_a_damaged_block_and_goes_on_behind_it() {
    let (disk, store) = damaged_at(5);
    drop(store);
    let (store, tally) = super::try_open_tallied(&disk, super::SMALL, Default::default()).expect("must open");
    let of = |count| {
        let blocks: Vec<_> = (0..count).map(payload).collect();
        super::tally::Tally::of(blocks.iter().map(Vec::as_slice))
    };
    append(&store, 30..32);
    store.sync().expect("must sync");
    assert_eq!((tally.after(3), tally.after(4)), (of(3), [0; 32]));
    store.repair(number(3), &payload(3)).expect("must take it");
    append(&store, 32..33);
    store.sync().expect("must sync");
    assert_eq!(tally.after(33), of(33));
}

#[test]
fn reads_are_served_while_a_block_is_repaired() {
    let (_, store) = damaged_at(5);
    prove(&store, &[2]);
    let deadline = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while store.block(number(3)).is_err() {
                assert_eq!(store.block(number(4)).expect("served"), Some(payload(4)));
                assert!(Instant::now() < deadline, "the block is never repaired");
            }
        });
        while store.damaged().is_empty() {
            assert!(Instant::now() < deadline, "the reader marks nothing");
        }
        store.repair(number(3), &payload(3)).expect("must take it");
    });
    store.sync().expect("must sync");
    assert_eq!(store.damaged(), []);
    check_holds(&store, 30);
}

#[test]
fn nobody_waits_for_what_the_scrubber_reads() {
    let (disk, store) = published(8, &[]);
    drop(store);
    let is_scrub = |call, name: &str| call == Call::Read && name.starts_with("blocks");
    let (read, store) = HeldUp::open(&disk, "scrubs", is_scrub);
    let scrubs = Arc::clone(&store);
    let scrub = thread::Builder::new().name("scrubs".to_owned()).spawn(move || scrubs.scrub(number(0), 1));
    read.wait();
    let writes = Arc::clone(&store);
    finishes(move || {
        append(&writes, 8..9);
        writes.sync().expect("must sync");
    });
    assert_eq!(store.tips().published, Some(number(8)));
    read.let_go();
    let checked = scrub.expect("a thread").join().expect("no panic").expect("must scrub");
    assert_eq!((checked.findings, checked.next), (Vec::new(), Some(number(1))));
}
