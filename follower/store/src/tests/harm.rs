//! What a failing medium does to a store, chosen by a workload.

use std::sync::Arc;

use rand::{RngExt as _, rngs::StdRng};

use super::{number, sim::SimDisk};
use crate::{index::BlockIndex, io::Disk, manifest::Manifest, media::Media, place::Place, record::HEADER};

/// What of a block is harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Harm {
    Payload,
    Header,
    Record,
    Place,
    Hash,
    PayloadAndPlace,
    Proof,
}

impl Harm {
    const ALL: [Self; 7] = [
        Self::Payload,
        Self::Header,
        Self::Record,
        Self::Place,
        Self::Hash,
        Self::PayloadAndPlace,
        Self::Proof,
    ];

    pub(super) fn draw(rng: &mut StdRng) -> Self {
        Self::ALL[rng.random_range(0..Self::ALL.len())]
    }

    /// Whether the block's bytes are gone with it.
    pub(super) fn takes_bytes(self) -> bool {
        matches!(self, Self::Payload | Self::Record | Self::PayloadAndPlace)
    }

    /// Changes the bytes of block `n`, which are all durable.
    pub(super) fn inflict(self, disk: &SimDisk, n: u32) {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let manifest = Manifest::load(disk).expect("readable").expect("there");
        let media = Media::open(&shared, &manifest, 1).expect("opens");
        let block = media.kept(number(n)).expect("known");
        let within = |place: Place, at: u32| (place.at.offset + at) as usize;
        let segment = |log: &str, place: Place| format!("{log}-{:08}.log", place.at.segment);
        let blocks = segment("blocks", block.place);
        let payload = within(block.place, HEADER + block.place.len / 2);
        let place_entry = n as usize * 16 + 3;
        match self {
            Self::Payload => disk.corrupt(&blocks, payload),
            Self::Header => disk.corrupt(&blocks, within(block.place, 40)),
            Self::Record => {
                disk.corrupt(&blocks, within(block.place, 40));
                disk.corrupt(&blocks, payload);
            }
            Self::Place => disk.corrupt(BlockIndex::PLACES, place_entry),
            Self::Hash => disk.corrupt(BlockIndex::HASHES, n as usize * 32 + 9),
            Self::PayloadAndPlace => {
                disk.corrupt(&blocks, payload);
                disk.corrupt(BlockIndex::PLACES, place_entry);
            }
            Self::Proof => {
                let (place, _) = media.reread_proof(&block).expect("held");
                disk.corrupt(&segment("proofs", place), within(place, 45));
            }
        }
    }
}
