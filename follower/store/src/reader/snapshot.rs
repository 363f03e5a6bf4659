//! What was published at one moment, read without a lock.

use std::sync::Arc;

use crate::{
    BlockHash, BlockNumber, Checked, StoreError, Tips,
    engine::DAMAGED_SHOWN,
    io::Disk,
    manifest::{self, Manifest},
    media::Media,
    ranges::Ranges,
};

/// Index files never grow here.
const NO_GROWTH: u32 = 1;

pub(super) struct Snapshot {
    pub(super) manifest: Manifest,
    pub(super) tips: Tips,
    pub(super) media: Media,
}

impl Snapshot {
    /// Reads manifest and indexes, again if the epoch changed meanwhile.
    pub(super) fn take(disk: &Arc<dyn Disk>) -> Result<Self, StoreError> {
        loop {
            let manifest = load(&**disk)?;
            let media = Media::open(disk, &manifest, NO_GROWTH)?;
            let tips = tips(&media, &manifest)?;
            let snapshot = Self { manifest, tips, media };
            if snapshot.is_of_this_epoch(&**disk)? {
                return Ok(snapshot);
            }
        }
    }

    pub(super) fn is_of_this_epoch(&self, disk: &dyn Disk) -> Result<bool, StoreError> {
        let now = load(disk)?;
        Ok((now.epoch, &now.id, now.cutting)
            == (self.manifest.epoch, &self.manifest.id, self.manifest.cutting))
    }

    pub(super) fn damaged(&self) -> Vec<BlockNumber> {
        let durable = self.tips.durable;
        let known = self.manifest.damaged.iter().flat_map(Ranges::iter).map(BlockNumber::new);
        known.take_while(|number| durable >= Some(*number)).take(DAMAGED_SHOWN).collect()
    }

    /// Whether no cut since `epoch` reached block `last` or one before it.
    pub(super) fn is_whole_since(&self, epoch: u32, last: BlockNumber) -> Result<bool, StoreError> {
        if self.manifest.epoch == epoch {
            return Ok(true);
        }
        if self.manifest.version == 1 || !self.holds(last) {
            return Ok(false);
        }
        let at = self.media.kept(last)?.place.at;
        Ok(!self.manifest.void_blocks.is_void(at, epoch))
    }

    fn holds(&self, number: BlockNumber) -> bool {
        self.tips.durable >= Some(number)
    }

    pub(super) fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.holds(number).then(|| self.media.read_block(number)).transpose()
    }

    pub(super) fn hash_at(&self, number: BlockNumber) -> Result<Option<BlockHash>, StoreError> {
        if !self.holds(number) {
            return Ok(None);
        }
        match self.media.index.get(number) {
            Ok(block) => Ok(Some(block.hash)),
            entry => {
                let kept = self.media.examine(number, entry)?.kept;
                kept.map(|block| Some(block.hash)).ok_or_else(|| self.media.index.damaged(number))
            }
        }
    }

    pub(super) fn has_proof(&self, number: BlockNumber) -> Result<bool, StoreError> {
        let is_proven = number > BlockNumber::GENESIS && self.tips.proven >= Some(number);
        Ok(is_proven || (self.holds(number) && self.media.has_proof(number)?))
    }

    pub(super) fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError> {
        self.has_proof(number)?.then(|| self.media.read_proof(number)).transpose()
    }

    pub(super) fn verify(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        for number in (from.get()..BlockNumber::after(self.tips.durable).get()).map(BlockNumber::new) {
            if checked.bytes >= max_bytes {
                checked.next = Some(number);
                break;
            }
            let check = self.media.check(number, self.has_proof(number)?)?;
            checked.bytes += check.bytes;
            checked.findings.extend(check.findings);
        }
        Ok(checked)
    }
}

fn load(disk: &dyn Disk) -> Result<Manifest, StoreError> {
    let missing =
        || StoreError::BadMetadata { path: disk.path(manifest::FILE), detail: "it is missing".to_owned() };
    Manifest::load(disk)?.ok_or_else(missing)
}

/// The checkpoint's, and those of blocks and proofs behind it that are indexed. While a cut is unfinished, the checkpoint's.
fn tips(media: &Media, manifest: &Manifest) -> Result<Tips, StoreError> {
    let checkpoint = &manifest.checkpoint;
    let (mut count, mut proven) = (checkpoint.blocks, checkpoint.proven);
    if !manifest.cutting {
        while count < u32::MAX && media.index.get(BlockNumber::new(count)).is_ok() {
            count += 1;
        }
        while let Some(next) = next_proven(media, proven, BlockNumber::last_of(count))? {
            proven = Some(next);
        }
    }
    let durable = BlockNumber::last_of(count);
    let lowest = manifest.damaged.as_ref().and_then(Ranges::first).filter(|lowest| *lowest < count);
    let published = lowest.map_or(durable, BlockNumber::last_of);
    Ok(Tips { applied: durable, durable, published, proven: proven.min(published) })
}

/// The number behind the proven tip, if its proof is indexed.
fn next_proven(
    media: &Media,
    proven: Option<BlockNumber>,
    durable: Option<BlockNumber>,
) -> Result<Option<BlockNumber>, StoreError> {
    let next = proven.unwrap_or(BlockNumber::GENESIS).next();
    Ok((durable >= Some(next) && media.has_proof(next)?).then_some(next))
}
