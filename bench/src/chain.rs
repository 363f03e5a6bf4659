//! Chains to be followed and served, written straight into a store's directory.

use std::path::Path;

use anyhow::Result;
use tidemark_follower::format::NativeBlock;
use tidemark_store::{BlockHash, BlockNumber, BlockStore as _, Commitment, DiskStore, Metadata};
use tonic::codegen::Bytes;

/// A batch is written and synced once it has this many blocks or bytes.
const BATCH: usize = 1 << 14;
const BATCH_BYTES: usize = 16 << 20;
/// Any will do for a chain whose blocks are bytes.
pub const GENESIS: Commitment = Commitment::from_bytes([7; 32]);

/// A chain that grows.
pub struct Chain {
    /// What a follower is told its blocks are.
    pub format: &'static str,
    genesis: Commitment,
    next: Box<dyn FnMut(BlockNumber) -> Bytes>,
}

impl Chain {
    /// The same bytes in each block.
    #[must_use]
    pub fn opaque(size: usize) -> Self {
        let block = payload(size);
        Self { format: "opaque", genesis: GENESIS, next: Box::new(move |_| block.clone()) }
    }

    /// The development chain, with bodies of that many bytes.
    #[must_use]
    pub fn native(body: usize) -> Self {
        let body = payload(body);
        let make = move |number, parent| NativeBlock { number, parent, unix_millis: 0, body: &body }.encode();
        let mut parent = Commitment::from_bytes([0; 32]);
        let genesis = commitment(&make(BlockNumber::GENESIS, parent));
        let next = move |number| {
            let block = make(number, parent);
            parent = commitment(&block);
            Bytes::from(block)
        };
        Self { format: "native", genesis, next: Box::new(next) }
    }

    /// A chain that was recorded, as bytes; it cannot grow beyond the recording.
    #[must_use]
    pub fn recorded(blocks: Vec<Bytes>, genesis: Commitment) -> Self {
        let next = move |number: BlockNumber| blocks.get(number.get() as usize).cloned().unwrap_or_default();
        Self { format: "opaque", genesis, next: Box::new(next) }
    }

    /// Makes the chain in `dir` grow to `count` blocks.
    ///
    /// # Errors
    /// What the store says, as when `dir` holds another chain.
    pub fn fill(&mut self, dir: &Path, count: u32) -> Result<()> {
        let store = DiskStore::open(dir)?;
        store.initialise(Metadata::new(self.format, self.genesis))?;
        let mut first = BlockNumber::after(store.tips().published);
        while first.get() < count {
            let batch = self.batch(first, count);
            let blocks: Vec<&[u8]> = batch.iter().map(Bytes::as_ref).collect();
            store.apply(first, &blocks)?;
            first = BlockNumber::after(store.sync()?.published);
        }
        Ok(())
    }

    fn batch(&mut self, first: BlockNumber, count: u32) -> Vec<Bytes> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for number in (first.get()..count).take(BATCH) {
            let block = (self.next)(number.into());
            bytes += block.len();
            batch.push(block);
            if bytes >= BATCH_BYTES {
                break;
            }
        }
        batch
    }
}

/// Bytes that no disk and no wire makes smaller; the same for the same size.
#[must_use]
pub fn payload(size: usize) -> Bytes {
    let number = |at: usize| BlockHash::of(&at.to_le_bytes());
    let hashes = (0..size.div_ceil(32)).flat_map(|at| *number(at).as_bytes());
    hashes.take(size).collect()
}

fn commitment(block: &[u8]) -> Commitment {
    Commitment::from_bytes(*BlockHash::of(block).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_on_where_it_was_left() {
        let dir = tempfile::tempdir().expect("temp dir");
        let mut chain = Chain::native(100);
        chain.fill(dir.path(), 5).expect("fills");
        chain.fill(dir.path(), 9).expect("goes on");
        let store = DiskStore::open(dir.path()).expect("opens");
        assert_eq!(store.tips().published, Some(8.into()));
        let block = |number: u32| store.block(number.into()).expect("reads").expect("there");
        assert_eq!(&block(8)[8..40], commitment(&block(7)).as_bytes(), "each names the one before");
    }

    #[test]
    fn a_payload_is_as_long_as_asked_and_always_the_same() {
        assert_eq!(payload(357).len(), 357);
        assert_eq!(payload(357), payload(400).slice(..357));
    }
}
