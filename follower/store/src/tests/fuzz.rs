//! Bytes that somebody else made, in every place where the store decodes any: no panic, no endless work, and nothing is
//! served that was not published.
//!
//! Each runs some hundred inputs; `make fuzz` runs as many as it is told.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::{number, open, payload, prove, published, sim::SimDisk, try_open};
use crate::{
    BlockHash, BlockNumber, BlockStore as _, Commitment, DiskStore, Metadata, StoreReader,
    archive::Reader,
    manifest::{self, Checkpoint, Manifest},
    position::Position,
    ranges::Ranges,
    record::{HEADER, Header, HeaderBytes},
};

const COUNT: u32 = 30;
const PROVEN: [u32; 4] = [1, 2, 5, 29];

/// A directory of several segments, the last records of which the checkpoint does not cover.
fn directory() -> SimDisk {
    let (disk, store) = published(COUNT - 5, &PROVEN[..3]);
    store.checkpoint().expect("must do");
    super::append(&store, COUNT - 5..COUNT);
    prove(&store, &PROVEN[3..]);
    store.sync().expect("must sync");
    SimDisk::new(disk.state())
}

/// Something done to the bytes of a file.
#[derive(Debug, Clone)]
enum Harm {
    Flip(u8),
    Write(Vec<u8>),
    /// As many bytes of another place.
    Copy(Index, usize),
    Cut,
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (0..8_u8).prop_map(Harm::Flip),
        2 => vec(any::<u8>(), 1..100).prop_map(Harm::Write),
        1 => (1..200_usize).prop_map(|len| Harm::Write(vec![0; len])),
        2 => (any::<Index>(), 1..200_usize).prop_map(|(from, len)| Harm::Copy(from, len)),
        1 => Just(Harm::Cut),
    ]
}

fn do_harm(bytes: &mut Vec<u8>, at: Index, harm: &Harm) {
    if bytes.is_empty() {
        return;
    }
    let at = at.index(bytes.len());
    let put = |bytes: &mut Vec<u8>, new: &[u8]| {
        let end = bytes.len().min(at + new.len());
        let new = new[..end - at].to_vec();
        bytes[at..end].copy_from_slice(&new);
    };
    match harm {
        Harm::Flip(bit) => bytes[at] ^= 1 << bit,
        Harm::Write(new) => put(bytes, new),
        Harm::Copy(from, len) => {
            let from = from.index(bytes.len());
            let copied = bytes[from..bytes.len().min(from + len)].to_vec();
            put(bytes, &copied);
        }
        Harm::Cut => bytes.truncate(at),
    }
}

/// Whatever a reader of the directory is given was published once.
fn check_read(disk: &SimDisk) {
    let Ok(reader) = StoreReader::open_on(Arc::new(SimDisk::new(disk.state()))) else { return };
    let mut next = Some(BlockNumber::GENESIS);
    while let Some(from) = next {
        next = reader.verify(from, 1000).ok().and_then(|checked| checked.next);
    }
    for n in 0..COUNT + 2 {
        if let Ok(Some(block)) = reader.block(number(n)) {
            assert!(n < COUNT && block == payload(n), "block {n}");
        }
        if let Ok(Some(proof)) = reader.proof(number(n)) {
            assert!(PROVEN.contains(&n) && proof == payload(n), "proof {n}");
        }
    }
}

fn check_served(store: &DiskStore) {
    for n in 0..COUNT + 2 {
        if let Ok(Some(block)) = store.block(number(n)) {
            assert!(n < COUNT && block == payload(n), "block {n}");
        }
        if let Ok(Some(proof)) = store.proof(number(n)) {
            assert!(PROVEN.contains(&n) && proof == payload(n), "proof {n}");
        }
    }
}

/// A store that opens serves nothing but what was published, and can be written to, read and opened again.
fn check_opened(disk: &SimDisk) {
    let Ok(store) = try_open(disk) else { return };
    check_served(&store);
    let next = BlockNumber::after(store.tips().applied);
    if next < number(COUNT) && store.apply(next, &[&payload(next.get())]).is_ok() {
        drop(store.sync());
    }
    drop(store);
    if let Ok(store) = try_open(disk) {
        check_served(&store);
    }
}

fn manifests() -> impl Strategy<Value = Manifest> {
    let position = || {
        (any::<Index>(), 0..3000_u32).prop_map(|(at, offset)| {
            let segment = [0, 1, 2, u32::MAX];
            Position::new(segment[at.index(segment.len())], offset)
        })
    };
    let count = || prop_oneof![0..COUNT + 3, 0..500_u32];
    let ranges = vec((count(), count()), 0..4).prop_map(|runs| {
        let mut ranges = Ranges::default();
        runs.into_iter().for_each(|(one, other)| ranges.insert(one.min(other), one.max(other)));
        ranges
    });
    let checkpoint = (count(), position(), position(), option::of(count()));
    (0..4_u32, checkpoint, any::<(u32, bool)>(), option::of(ranges), option::of(any::<bool>())).prop_map(
        |(version, (blocks, blocks_end, proofs_end, proven), (epoch, cutting), damaged, media)| Manifest {
            version,
            checkpoint: Checkpoint { blocks, blocks_end, proofs_end, proven: proven.map(number) },
            epoch: epoch % 4,
            cutting,
            damaged,
            media: media.map(|some| {
                if some { BTreeMap::from([("mmr".to_owned(), blocks)]) } else { BTreeMap::new() }
            }),
            ..Manifest::new([0; 16])
        },
    )
}

proptest! {
    #[test]
    fn a_harmed_directory_serves_nothing_that_was_not_published(
        harms in vec((any::<Index>(), any::<Index>(), harm()), 1..6),
    ) {
        let disk = directory();
        let names = disk.names("");
        for (file, at, harm) in &harms {
            let name = &names[file.index(names.len())];
            let mut bytes = disk.bytes(name);
            do_harm(&mut bytes, *at, harm);
            disk.replace(name, &bytes);
        }
        check_read(&disk);
        check_opened(&disk);
    }

    #[test]
    fn metadata_of_any_content_under_a_right_checksum_does_no_harm(manifest in manifests(), keep_id in any::<bool>()) {
        let disk = directory();
        let held = Manifest::load(&disk).expect("readable").expect("there");
        let id = if keep_id { held.id } else { manifest.id.clone() };
        Manifest { id, chain: held.chain, ..manifest }.replace(&disk).expect("must write");
        check_read(&disk);
        check_opened(&disk);
    }

    #[test]
    fn metadata_that_was_altered_is_the_same_or_refused(at in any::<Index>(), harm in harm()) {
        let disk = directory();
        let held = Manifest::load(&disk).expect("readable");
        let mut bytes = disk.bytes(manifest::FILE);
        do_harm(&mut bytes, at, &harm);
        disk.replace(manifest::FILE, &bytes);
        if let Ok(found) = Manifest::load(&disk) {
            prop_assert_eq!(found, held);
        }
    }

    #[test]
    fn a_header_is_decoded_from_nothing_but_its_own_encoding(bytes in vec(any::<u8>(), HEADER as usize), kind in 0..4_usize, right in any::<bool>()) {
        let mut bytes: HeaderBytes = bytes.try_into().expect("as long as a header");
        bytes[..4].copy_from_slice([b"TMb1", b"TMp1", b"TMs1", b"TMx1"][kind]);
        let (id, at) = ([7; 16], Position::new(1, 72));
        if right {
            seal(&mut bytes, &id, at);
        }
        let decoded = Header::decode(&bytes, &id, at);
        prop_assert_eq!(decoded.map(|header| header.encode(&id, at)), (right && kind < 3).then_some(bytes));
    }

    #[test]
    fn an_export_file_of_any_pieces_with_right_checks_is_read_or_refused(
        pieces in vec((0..4_usize, 0..6_u32, 0..40_u32, vec(any::<u8>(), 0..30)), 0..12),
        first in 0..3_u32, last in 0..6_u32, bytes_behind in 0..2_usize,
    ) {
        let mut file = head(first, last);
        for (kind, number, len, payload) in &pieces {
            let kind = [b"TMxb", b"TMxp", b"TMxe", b"TMxz"][*kind];
            file.extend([&kind[..], &number.to_le_bytes(), &len.to_le_bytes()].concat());
            check(&mut file, 8);
            file.extend(payload);
            check(&mut file, 8);
        }
        file.extend([&b"TMxe"[..], &1_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat());
        check(&mut file, 32);
        file.extend(vec![0; bytes_behind]);
        let Ok(mut reader) = Reader::open(&file[..]) else { return Ok(()) };
        let mut before = None;
        while let Ok(Some(record)) = reader.record() {
            let now = Some((record.number, record.part));
            prop_assert!(before < now && record.number.get() >= first && record.number.get() <= last);
            before = now;
        }
        if let Some(summary) = reader.summary() {
            prop_assert_eq!((summary.blocks, summary.proofs, summary.bytes), (1, 0, file.len() as u64));
        }
    }
}

/// The check that a header must end with.
fn seal(bytes: &mut HeaderBytes, id: &[u8; 16], at: Position) {
    let place = [at.segment.to_le_bytes(), at.offset.to_le_bytes()].concat();
    let hash = blake3::hash(&[&id[..], &place, &bytes[..64]].concat());
    bytes[64..].copy_from_slice(&hash.as_bytes()[..8]);
}

fn head(first: u32, last: u32) -> Vec<u8> {
    let chain = Metadata::new("native", Commitment::from_bytes(*BlockHash::of(b"chain").as_bytes()));
    let mut name = chain.format.into_bytes();
    name.resize(32, 0);
    let numbers = [first.to_le_bytes(), last.to_le_bytes()].concat();
    let mut head =
        [b"TMexport", &1_u32.to_le_bytes()[..], &name, chain.genesis.as_bytes(), &numbers].concat();
    check(&mut head, 8);
    head
}

/// Ends a piece as every piece of an export file ends.
fn check(file: &mut Vec<u8>, len: usize) {
    let hash = blake3::hash(file);
    file.extend_from_slice(&hash.as_bytes()[..len]);
}

#[test]
fn a_directory_that_is_not_harmed_is_served_whole() {
    let store = open(&directory());
    check_served(&store);
    assert_eq!(store.tips().published, Some(number(COUNT - 1)));
    assert!(PROVEN.iter().all(|n| store.has_proof(number(*n))));
}
