//! The media beside the log and its indexes: rolled forward, cut and rebuilt from the log.
//!
//! One may be behind, where a block that it needs is damaged or its disk is full; it is handed nothing until it has caught
//! up.

use std::sync::Arc;

use crate::{
    BlockNumber, HashedBlock, LoggedBlock, Medium, StoreError, index::Applied, manifest::Manifest,
    media::Media,
};

/// A group that a medium is handed at once while it catches up.
const BLOCKS: usize = 64;
const BYTES: usize = 8 << 20;

/// A medium, and how many blocks it was handed.
struct Further {
    medium: Arc<dyn Medium>,
    count: u32,
}

/// All of them, and the bytes of the blocks that wait for the next sync.
#[derive(Default)]
pub(super) struct FurtherMedia {
    media: Vec<Further>,
    pending: Vec<u8>,
}

impl FurtherMedia {
    /// Takes the media in. What they hold counts up to as many blocks of this very chain as the manifest says.
    pub(super) fn open(media: Vec<Arc<dyn Medium>>, manifest: &Manifest) -> Result<Self, StoreError> {
        let media = media.into_iter().map(|medium| {
            let count = medium.durable().unwrap_or(0).min(manifest.trusted(medium.name()));
            medium.cut(count)?;
            Ok(Further { medium, count })
        });
        Ok(Self { media: media.collect::<Result<_, StoreError>>()?, pending: Vec::new() })
    }

    /// Hands over what the log has and a medium has not, as far as it can be read.
    ///
    /// # Errors
    /// `DiskFull`; what a medium says.
    pub(super) fn catch_up(&mut self, logs: &Media, count: u32) -> Result<(), StoreError> {
        self.media.iter_mut().filter(|further| further.count < count).try_for_each(|further| {
            further.medium.reserve(count)?;
            while further.count < count {
                let group = group(logs, further.count, count);
                if group.is_empty() {
                    break;
                }
                let blocks: Vec<_> =
                    group.iter().map(|(block, bytes)| logged(block, bytes.as_slice())).collect();
                further.take(&blocks)?;
            }
            Ok(())
        })
    }

    pub(super) fn reserve(&self, count: u32) -> Result<(), StoreError> {
        self.media.iter().try_for_each(|further| further.medium.reserve(count))
    }

    /// By name, how many of the first `count` blocks each holds.
    pub(super) fn held(&self, count: u32) -> impl Iterator<Item = (String, u32)> + '_ {
        self.media.iter().map(move |further| (further.medium.name().to_owned(), further.count.min(count)))
    }

    /// Keeps the bytes of blocks that were written until they are synced.
    pub(super) fn keep(&mut self, blocks: &[HashedBlock<'_>]) {
        if !self.media.is_empty() {
            blocks.iter().for_each(|block| self.pending.extend_from_slice(block.bytes()));
        }
    }

    /// Hands over the blocks that were kept, which are these and are synced now.
    pub(super) fn apply(&mut self, blocks: &[Applied]) -> Result<(), StoreError> {
        if self.media.is_empty() || blocks.is_empty() {
            return Ok(());
        }
        let mut rest = self.pending.as_slice();
        let logged: Vec<_> = blocks.iter().map(|block| logged(block, cut_off(&mut rest, block))).collect();
        let next = blocks[0].number.get();
        let current = self.media.iter_mut().filter(|further| further.count == next);
        current.into_iter().try_for_each(|further| further.take(&logged))?;
        self.pending.clear();
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.media.iter().try_for_each(|further| further.medium.sync().map_err(failed(&further.medium)))
    }

    pub(super) fn cut(&mut self, count: u32) -> Result<(), StoreError> {
        self.media.iter_mut().filter(|further| further.count > count).try_for_each(|further| {
            further.medium.cut(count).map_err(failed(&further.medium))?;
            further.count = count;
            Ok(())
        })
    }
}

impl Further {
    fn take(&mut self, blocks: &[LoggedBlock<'_>]) -> Result<(), StoreError> {
        self.medium.apply(blocks).map_err(failed(&self.medium))?;
        self.count = blocks.last().map_or(self.count, |last| last.number.next().get());
        Ok(())
    }
}

/// Blocks from number `from` on, up to the first that cannot be read.
fn group(logs: &Media, from: u32, count: u32) -> Vec<(Applied, Vec<u8>)> {
    let read = |n| {
        let block = logs.kept(BlockNumber::new(n)).ok()?;
        Some((block, logs.blocks.read_block(&block).ok()?))
    };
    let mut bytes = 0;
    let fits = |(_, block): &(Applied, Vec<u8>)| {
        let has_room = bytes < BYTES;
        bytes += block.len();
        has_room
    };
    (from..count).take(BLOCKS).map_while(read).take_while(fits).collect()
}

fn logged<'a>(block: &Applied, bytes: &'a [u8]) -> LoggedBlock<'a> {
    LoggedBlock { number: block.number, hash: block.hash, bytes }
}

fn cut_off<'a>(rest: &mut &'a [u8], block: &Applied) -> &'a [u8] {
    let (bytes, behind) = rest.split_at((block.place.len as usize).min(rest.len()));
    *rest = behind;
    bytes
}

fn failed(medium: &Arc<dyn Medium>) -> impl FnOnce(StoreError) -> StoreError {
    let name = medium.name().to_owned();
    move |source| {
        if source.is_poison() { source } else { StoreError::MediumFailed { name, source: Box::new(source) } }
    }
}
