//! From version 1 to 2: interrupted, crashed, used in between, and committed.

use std::sync::Arc;

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    SMALL,
    fixtures::{self, COUNT, DAMAGED},
    number, payload,
    sim::{Fate, SimDisk},
    try_open,
};
use crate::{
    BlockStore as _, DiskStore, FORMAT_VERSION, Migration, StoreError, StoreReader,
    manifest::{self, Manifest},
    migrate::{BESIDE, PROGRESS},
};

fn old() -> SimDisk {
    fixtures::load("v1")
}

fn migrate(disk: &SimDisk) -> Result<Migration, StoreError> {
    let shared = Arc::new(disk.clone());
    Migration::of(shared.clone(), DiskStore::open_on(shared, SMALL, Vec::new(), None)?)
}

fn version(disk: &SimDisk) -> u32 {
    Manifest::load(disk).expect("readable").expect("there").version
}

/// Every block but the damaged one is held, and that one is known if `is_known`.
fn check(store: &DiskStore, count: u32, is_known: bool) {
    assert_eq!(store.tips().durable, Some(number(count - 1)));
    assert_eq!(store.damaged(), if is_known { vec![number(DAMAGED)] } else { vec![] });
    for n in (0..count).filter(|n| *n != DAMAGED) {
        assert_eq!(store.block(number(n)).expect("readable"), Some(payload(n)));
    }
}

#[test]
fn everything_is_verified_before_the_new_metadata_is_written_beside_the_old() {
    let disk = old();
    let mut migration = migrate(&disk).expect("must begin");
    let mut found = Vec::new();
    loop {
        let migrated = migration.step(300).expect("must go on");
        found.extend(migrated.findings.iter().map(|finding| finding.number));
        assert_eq!((migrated.blocks, version(&disk)), (COUNT, 1));
        assert_eq!(disk.names("").contains(&BESIDE.to_owned()), migrated.is_done());
        if migrated.is_done() {
            break;
        }
    }
    assert_eq!(found, [number(DAMAGED)]);
    drop(migration);
    let store = try_open(&disk).expect("the old one is of use still");
    check(&store, COUNT, false);
    store.apply(number(COUNT), &[&payload(COUNT)]).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    assert_eq!(version(&disk), 1);
    migrate(&disk).expect("must go on").commit().expect("must commit");
    assert_eq!(version(&disk), FORMAT_VERSION);
    assert!(!disk.names("").iter().any(|name| name == BESIDE || name == PROGRESS));
    let reader = StoreReader::open_on(Arc::new(disk.clone())).expect("must open");
    assert_eq!((reader.version(), reader.damaged()), (FORMAT_VERSION, vec![number(DAMAGED)]));
    let store = try_open(&disk).expect("must open");
    check(&store, COUNT + 1, true);
    assert_eq!(store.tips().published, Some(number(DAMAGED - 1)));
    assert!(matches!(migrate(&disk), Err(StoreError::NothingToMigrate { version: FORMAT_VERSION, .. })));
}

#[test]
fn an_interrupted_migration_goes_on_where_it_was() {
    let disk = old();
    let mut migration = migrate(&disk).expect("must begin");
    let before = migration.step(1500).expect("must go on");
    assert!(!before.is_done() && before.verified > DAMAGED);
    drop(migration);
    let mut migration = migrate(&disk).expect("must go on");
    let after = migration.step(u64::MAX).expect("must go on");
    assert!(after.is_done() && after.findings.is_empty(), "what was verified is not verified again");
    migration.commit().expect("must commit");
    check(&try_open(&disk).expect("must open"), COUNT, true);
}

#[test]
fn what_was_cut_or_repaired_in_between_is_verified_again() {
    let disk = old();
    migrate(&disk).expect("must begin").step(u64::MAX).expect("must go on");
    let store = try_open(&disk).expect("must open");
    store.repair(number(DAMAGED), &payload(DAMAGED)).expect("must take it");
    store.truncate(number(20)).expect("must cut");
    store.apply(number(21), &[b"another block 21", b"another block 22"]).expect("must apply");
    store.sync().expect("must sync");
    drop(store);
    let found = disk.find("blocks-00000001.log", b"another block 21");
    disk.corrupt("blocks-00000001.log", found);
    migrate(&disk).expect("must begin").commit().expect("must commit");
    assert_eq!(try_open(&disk).expect("must open").damaged(), [number(21)]);
}

#[test]
fn what_was_repaired_before_the_commit_is_not_listed() {
    let disk = old();
    migrate(&disk).expect("must begin").step(u64::MAX).expect("must go on");
    let store = try_open(&disk).expect("must open");
    store.repair(number(DAMAGED), &payload(DAMAGED)).expect("must take it");
    drop(store);
    migrate(&disk).expect("must begin").commit().expect("must commit");
    assert_eq!(try_open(&disk).expect("must open").damaged(), []);
}

#[test]
fn whenever_the_power_goes_it_is_the_old_store_or_the_new_one() {
    let mut rng = StdRng::seed_from_u64(3);
    let disk = old();
    disk.record();
    let mut migration = migrate(&disk).expect("must begin");
    while !migration.step(2000).expect("must go on").is_done() {}
    migration.commit().expect("must commit");
    let mut versions = [0, 0];
    for state in disk.take_points() {
        for fate in Fate::ALL {
            let disk = SimDisk::new(state.crash(fate, &mut rng));
            let version = version(&disk);
            versions[version as usize - 1] += 1;
            check(&try_open(&disk).expect("must open"), COUNT, version == FORMAT_VERSION);
            if version < FORMAT_VERSION {
                migrate(&disk).expect("must begin").commit().expect("must commit");
                check(&try_open(&disk).expect("must open"), COUNT, true);
            }
        }
    }
    assert!(versions[0] > 100 && versions[1] > 5, "{versions:?}");
}

#[test]
fn a_full_disk_stops_a_migration_softly() {
    let disk = old();
    let mut migration = migrate(&disk).expect("must begin");
    disk.set(|faults| faults.full = true);
    assert!(migration.step(u64::MAX).expect_err("must refuse").is_disk_full());
    disk.set(|faults| faults.full = false);
    assert!(migration.step(u64::MAX).expect("must go on").is_done());
}

#[test]
fn old_metadata_is_written_as_the_release_before_wrote_it() {
    let disk = old();
    let before = disk.bytes(manifest::FILE);
    Manifest::load(&disk).expect("readable").expect("there").replace(&disk).expect("must write");
    assert_eq!(disk.bytes(manifest::FILE), before);
    drop(try_open(&disk).expect("must open"));
    let text = String::from_utf8(disk.bytes(manifest::FILE)).expect("is text");
    assert!(
        text.contains("\"version\": 1") && !text.contains("damaged") && !text.contains("media"),
        "{text}"
    );
}

#[test]
fn versions_of_no_known_release_are_refused_by_everything() {
    for found in [0, FORMAT_VERSION + 1] {
        let disk = old();
        let text = String::from_utf8(disk.bytes(manifest::FILE)).expect("is text");
        disk.replace(
            manifest::FILE,
            text.replace("\"version\": 1", &format!("\"version\": {found}")).as_bytes(),
        );
        let reader = StoreReader::open_on(Arc::new(disk.clone())).err();
        for refused in [try_open(&disk).err(), migrate(&disk).err(), reader] {
            let refused = refused.expect("must refuse");
            let StoreError::UnknownVersion { found: named, .. } = refused else { panic!("{refused}") };
            assert_eq!(named, u64::from(found));
        }
    }
}
