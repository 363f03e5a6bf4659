//! The export file: what was written comes back, and nothing else passes for it.

use std::io::{self, Read};

use proptest::{collection::vec, prelude::*};

use crate::{
    Commitment, Metadata,
    archive::{ArchiveError, Head, Part, Reader, Record, Summary, Writer},
};

/// Length of the head with its check.
const HEAD: usize = 92;

fn head(first: u32, last: Option<u32>) -> Head {
    let chain = Metadata::new("native", Commitment::from_bytes([7; 32]));
    Head { chain, first: first.into(), last: last.map(Into::into) }
}

fn record(part: Part, number: u32, bytes: &[u8]) -> Record {
    Record { part, number: number.into(), bytes: bytes.to_vec() }
}

fn write(head: &Head, records: &[Record]) -> (Vec<u8>, Summary) {
    let mut writer = Writer::begin(Vec::new(), head).expect("a good name");
    for Record { part, number, bytes } in records {
        match part {
            Part::Block => writer.block(*number, bytes),
            Part::Proof => writer.proof(*number, bytes),
        }
        .expect("in order");
    }
    writer.finish().expect("memory takes all")
}

fn read(file: impl Read) -> Result<(Head, Vec<Record>, Summary), ArchiveError> {
    let mut reader = Reader::open(file)?;
    let mut records = Vec::new();
    while let Some(record) = reader.record()? {
        records.push(record);
    }
    assert_eq!(reader.record().expect("the end stays the end"), None);
    Ok((reader.head().clone(), records, *reader.summary().expect("read to the end")))
}

fn refusal(file: &[u8]) -> ArchiveError {
    read(file).expect_err("refused")
}

/// A file with a block, a proof of 0 bytes, a block of 0 bytes, and a proof.
fn example() -> Vec<u8> {
    let records = [
        record(Part::Block, 3, b"three"),
        record(Part::Proof, 3, b""),
        record(Part::Block, 4, b""),
        record(Part::Proof, 4, b"four is proven"),
    ];
    write(&head(3, Some(4)), &records).0
}

#[test]
fn every_cut_is_refused_where_the_file_ends() {
    let file = example();
    for len in 0..file.len() {
        match refusal(&file[..len]) {
            ArchiveError::Cut { offset } => assert_eq!(offset, len as u64),
            other => panic!("cut at {len}: {other}"),
        }
    }
}

#[test]
fn every_flipped_bit_and_every_byte_more_is_refused() {
    let file = example();
    for bit in 0..file.len() * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let said = refusal(&flipped).to_string();
        assert!(said.contains("at byte "), "bit {bit}: {said}");
    }
    let longer = [&file[..], b"\0"].concat();
    assert!(matches!(refusal(&longer), ArchiveError::Altered { offset, .. } if offset == file.len() as u64));
}

#[test]
fn a_refusal_names_the_record_that_was_altered() {
    let mut file = example();
    let second = HEAD + 28 + 5;
    file[second + 4] ^= 1;
    assert!(matches!(refusal(&file), ArchiveError::Altered { offset, .. } if offset == second as u64));
}

#[test]
fn a_file_of_another_kind_or_version_says_so() {
    assert!(matches!(refusal(&[0; 200]), ArchiveError::NoArchive));
    let mut newer = example();
    newer[8] = 2;
    assert!(matches!(refusal(&newer), ArchiveError::UnknownVersion { found: 2, known: 1 }));
}

#[test]
fn a_record_from_another_file_is_none_here() {
    let two =
        |bytes| write(&head(0, None), &[record(Part::Block, 0, bytes), record(Part::Block, 1, b"one")]).0;
    let (one, other) = (two(b"zero"), two(b"ZERO"));
    let second = HEAD + 28 + 4;
    let spliced = [&one[..second], &other[second..]].concat();
    assert!(matches!(refusal(&spliced), ArchiveError::Altered { offset, .. } if offset == second as u64));
}

#[test]
fn records_out_of_order_or_range_are_not_written() {
    let mut writer = Writer::begin(Vec::new(), &head(3, Some(5))).expect("a good name");
    let refused = |result| matches!(result, Err(ArchiveError::OutOfOrder { .. }));
    assert!(refused(writer.block(2.into(), b"below the range")));
    writer.block(3.into(), b"three").expect("in order");
    assert!(refused(writer.block(3.into(), b"twice")));
    writer.proof(3.into(), b"").expect("in order");
    assert!(refused(writer.proof(3.into(), b"")));
    assert!(refused(writer.block(6.into(), b"above the range")));
    let (file, summary) = writer.finish().expect("memory takes all");
    assert_eq!((summary.blocks, summary.proofs, summary.bytes), (1, 1, file.len() as u64));
    assert_eq!(read(&file[..]).expect("sound").1.len(), 2);
}

#[test]
fn a_name_that_does_not_fit_is_refused() {
    for name in ["", "a\0b", &"long".repeat(9)] {
        let chain = Metadata::new(name, Commitment::from_bytes([0; 32]));
        let head = Head { chain, first: 0.into(), last: None };
        assert!(matches!(Writer::begin(Vec::new(), &head), Err(ArchiveError::BadName { .. })), "{name:?}");
    }
}

#[test]
fn a_record_larger_than_taken_is_refused_before_it_is_read() {
    let file = write(&head(0, None), &[record(Part::Block, 0, b"zero")]).0;
    let mut reader = Reader::open(&file[..]).expect("a head").at_most(3);
    let refused = reader.record().expect_err("refused");
    assert!(matches!(refused, ArchiveError::TooLarge { offset: 92, len: 4, max: 3 }), "{refused}");
}

/// Gives out bytes, and remembers the largest buffer it was to fill.
struct Greedy<'a> {
    bytes: &'a [u8],
    largest: usize,
}

impl Read for Greedy<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.largest = self.largest.max(into.len());
        self.bytes.read(into)
    }
}

#[test]
fn a_length_that_lies_allocates_nothing() {
    let mut file = write(&head(0, None), &[]).0;
    file.truncate(HEAD);
    let start = [&b"TMxb"[..], &0_u32.to_le_bytes(), &(1_u32 << 30).to_le_bytes()].concat();
    file.extend_from_slice(&start);
    let check = blake3::hash(&file);
    file.extend_from_slice(&check.as_bytes()[..8]);
    file.extend_from_slice(b"but a few bytes");
    let mut greedy = Greedy { bytes: &file, largest: 0 };
    assert!(matches!(read(&mut greedy), Err(ArchiveError::Cut { offset }) if offset == file.len() as u64));
    assert!(greedy.largest <= 1 << 16, "{} bytes were allocated", greedy.largest);
}

fn records() -> impl Strategy<Value = Vec<Record>> {
    let payloads = || (vec(any::<u8>(), 0..200), proptest::option::of(vec(any::<u8>(), 0..50)), 0..3_u32);
    vec(payloads(), 0..20).prop_map(|blocks| {
        let mut number = 5;
        let mut records = Vec::new();
        for (block, proof, gap) in blocks {
            number += 1 + gap;
            records.push(record(Part::Block, number, &block));
            records.extend(proof.map(|proof| record(Part::Proof, number, &proof)));
        }
        records
    })
}

proptest! {
    #[test]
    fn what_was_written_comes_back(records in records()) {
        let head = head(5, None);
        let (file, summary) = write(&head, &records);
        prop_assert_eq!(read(&file[..]).expect("sound"), (head, records, summary));
    }

    #[test]
    fn no_altered_file_is_read_to_its_end(records in records(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let file = write(&head(5, None), &records).0;
        let at = at.index(file.len());
        prop_assert!(read(&file[..at]).is_err());
        let mut flipped = file;
        flipped[at] ^= 1_u8 << bit;
        prop_assert!(read(&flipped[..]).is_err());
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in vec(any::<u8>(), 0..300), intact in 0..200_usize) {
        let file = example();
        let spliced = [&file[..intact.min(file.len())], &bytes[..]].concat();
        prop_assert!(read(&spliced[..]).is_err() || spliced == file);
    }
}
