//! What a store promises, whatever it is made of.

use crate::{BlockHash, BlockNumber, Buffers, Checked, Metadata, StoreError};

/// How far a store has come. `proven ≤ published ≤ durable ≤ applied`, where none is below every number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tips {
    /// Highest block that is written; its sync may be outstanding. Internal: no reader may see it.
    pub applied: Option<BlockNumber>,
    /// Highest block that is synced here, so that the next one to fetch follows it. Those up to it are served by number.
    pub durable: Option<BlockNumber>,
    /// What is reported, and lag is measured on: the durable tip, or, while a block up to there is damaged, the one before
    /// the lowest of these.
    pub published: Option<BlockNumber>,
    /// Highest number up to which every proof is synced (genesis has none); none before the first proof.
    pub proven: Option<BlockNumber>,
}

/// A block to be written.
#[derive(Debug, Clone, Copy)]
pub struct HashedBlock<'a> {
    bytes: &'a [u8],
    hash: BlockHash,
}

impl<'a> HashedBlock<'a> {
    /// A block whose hash is not known yet.
    #[must_use]
    pub fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, hash: BlockHash::of(bytes) }
    }

    /// A block that was hashed already. A hash that is not BLAKE3 of the bytes makes a block that no reader gets.
    #[must_use]
    pub fn hashed(bytes: &'a [u8], hash: BlockHash) -> Self {
        debug_assert_eq!(hash, BlockHash::of(bytes), "the hash is that of the bytes");
        Self { bytes, hash }
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// BLAKE3 of them.
    #[must_use]
    pub fn hash(&self) -> BlockHash {
        self.hash
    }
}

/// A gapless chain of blocks from genesis on, and the proofs that came after them.
///
/// Reads see published data only, verify it, and never wait for a sync. Writes are taken one at a time.
pub trait BlockStore: Send + Sync + 'static {
    /// The format and genesis this store is pinned to; none for a fresh one.
    fn metadata(&self) -> Option<Metadata>;

    /// Pins format and genesis, durably. Pinning what is pinned already is no error; a store without any block
    /// may be pinned anew.
    ///
    /// # Errors
    /// `OtherFormat` or `OtherGenesis` when blocks of another chain are held; file errors.
    fn initialise(&self, metadata: Metadata) -> Result<(), StoreError>;

    /// Writes `blocks`, the first of which has the number `first`. They are published by the next `sync`; one call and
    /// one sync for many blocks is what makes writing fast.
    ///
    /// # Errors
    /// `NotNext` unless `first` follows the applied tip; `DiskFull`, after which nothing was applied; poison.
    fn apply(&self, first: BlockNumber, blocks: &[&[u8]]) -> Result<(), StoreError> {
        let blocks: Vec<_> = blocks.iter().map(|bytes| HashedBlock::of(bytes)).collect();
        self.apply_hashed(first, &blocks)
    }

    /// The same for blocks whose hashes are known already.
    ///
    /// # Errors
    /// As those of `apply`.
    fn apply_hashed(&self, first: BlockNumber, blocks: &[HashedBlock<'_>]) -> Result<(), StoreError>;

    /// Writes the proof of an applied block, which may be 0 bytes long. A proof held already is kept as it is.
    ///
    /// # Errors
    /// `ProofWithoutBlock` for genesis or a block that is not applied; `DiskFull`; poison.
    fn put_proof(&self, number: BlockNumber, proof: &[u8]) -> Result<(), StoreError>;

    /// Publishes what was applied and put so far, once the disk has it.
    ///
    /// # Errors
    /// `SyncFailed` or `WriteFailed`, which are poison: the process must exit.
    fn sync(&self) -> Result<Tips, StoreError>;

    /// How far this store has come, from memory.
    fn tips(&self) -> Tips;

    /// The bytes of a published block; none when there is none of that number.
    ///
    /// # Errors
    /// `Damaged` when the bytes on disk are not those that were published, from then until they are repaired; file
    /// errors.
    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError>;

    /// The bytes of a published proof; none when there is none of that number.
    ///
    /// # Errors
    /// `Damaged` when the bytes on disk are not those that were published; it counts as not held from then on, so that it
    /// can be put again. File errors.
    fn proof(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, StoreError>;

    /// Where the bytes of blocks and proofs are given back after use, which saves reading the next ones much of their time.
    fn buffers(&self) -> Buffers {
        Buffers::default()
    }

    /// The bytes of a published block of at most `longest` bytes, verified like any, if no disk need be waited for; none
    /// does not mean that there is no such block.
    fn block_at_hand(&self, _number: BlockNumber, _longest: u32) -> Option<Vec<u8>> {
        None
    }

    /// How many bytes a published block has; none when there is none of that number.
    ///
    /// # Errors
    /// As those of `block`; not all damage shows.
    fn block_len(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        Ok(self.block(number)?.map(len_of))
    }

    /// How many bytes a published proof has; none when there is none of that number.
    ///
    /// # Errors
    /// As those of `proof`; not all damage shows.
    fn proof_len(&self, number: BlockNumber) -> Result<Option<u32>, StoreError> {
        Ok(self.proof(number)?.map(len_of))
    }

    /// Whether the proof of that number is published, from memory.
    fn has_proof(&self, number: BlockNumber) -> bool;

    /// The hash of a published block: that of the tip from memory, any other by two small reads at most. None too where
    /// the indexes are damaged.
    fn hash_at(&self, number: BlockNumber) -> Option<BlockHash>;

    /// The damaged blocks that are known, lowest first, a thousand at most.
    fn damaged(&self) -> Vec<BlockNumber>;

    /// The failure after which no more writes are taken, once there was one, whoever met it: the process must exit. From
    /// memory.
    fn poison(&self) -> Option<StoreError>;

    /// Puts the bytes of a damaged block back in place, durably, if they are those that were published; afterwards the
    /// published tip rises again. Putting back what is not damaged writes the same bytes once more.
    ///
    /// # Errors
    /// `OtherBytes` when the hash is not the one kept; `HashLost` when none is; `NoSuchBlock`; `DiskFull`; file errors;
    /// poison.
    fn repair(&self, number: BlockNumber, bytes: &[u8]) -> Result<Tips, StoreError>;

    /// Reads and checks everything on disk from block `from` on, about `max_bytes` of it, so that a caller can pace it:
    /// call it again with `next` until there is none. Damaged blocks are marked, damaged proofs forgotten, index entries,
    /// headers and heads of segments made anew; all are reported.
    ///
    /// # Errors
    /// File errors; poison. Damage is none.
    fn scrub(&self, from: BlockNumber, max_bytes: u64) -> Result<Checked, StoreError>;

    /// Durably drops every block and proof above `last`, and keeps them in an export file in `quarantine/` first.
    ///
    /// # Errors
    /// `DiskFull`, after which nothing was dropped; `Damaged` when nothing knows where `last` ends; file errors; poison.
    fn truncate(&self, last: BlockNumber) -> Result<Tips, StoreError>;
}

/// No record is longer than 1 GiB.
#[expect(clippy::needless_pass_by_value, reason = "it is mapped over what was read")]
pub(crate) fn len_of(bytes: Vec<u8>) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}
