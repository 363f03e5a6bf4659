//! Takes an export file in: every block is checked as if it came from an upstream.

use std::{io::Read, sync::Arc};

use thiserror::Error;
use tidemark_store::{
    BlockHash, BlockNumber, StoreError,
    archive::{ArchiveError, Part, Reader, Record, Summary},
};
use tokio::{sync::mpsc, task::spawn_blocking};
use tonic::codegen::Bytes;

use super::{
    Trouble,
    intake::{Fetched, Intake},
};
use crate::replica::{Batch, Replica, ReplicaError};

/// A group closes at this many records…
const ITEMS: usize = 64;
/// … or once it holds this many bytes.
const BYTES: usize = 8 << 20;
/// Groups that are read ahead.
const AHEAD: usize = 2;

/// Why an export file is not taken, or not to its end. What was taken before is held.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file is no sound export file.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A block is refused, or the store fails.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// What lies before the file's first block is not held.
    #[error(
        "the export file begins at block {first}, but block {due} is due here: import one that begins there or before"
    )]
    Gap {
        /// The first block in the file that has no place.
        first: BlockNumber,
        /// The block due here.
        due: BlockNumber,
    },
    /// The file holds another block than the store.
    #[error(
        "block {number} of the export file hashes to {theirs}, the one held here to {ours}: it is another chain's; use another data directory, or rewind below it first"
    )]
    OtherBlock {
        /// The number of both.
        number: BlockNumber,
        /// The hash here.
        ours: BlockHash,
        /// The hash in the file.
        theirs: BlockHash,
    },
}

impl From<ReplicaError> for LoadError {
    fn from(error: ReplicaError) -> Self {
        Self::Trouble(error.into())
    }
}

impl LoadError {
    /// Whether it is the file that is refused, rather than something here that fails.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Archive(ArchiveError::Io { .. }) => false,
            Self::Trouble(Trouble::Replica(ReplicaError::Store(error))) => {
                matches!(error, StoreError::OtherFormat { .. } | StoreError::OtherGenesis { .. })
            }
            Self::Trouble(Trouble::Replica(_)) => false,
            _ => true,
        }
    }
}

/// What became of the records of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// What the file holds.
    pub file: Summary,
    /// Blocks that were added.
    pub blocks: u32,
    /// Proofs that were added.
    pub proofs: u32,
}

/// Takes the file of `reader` into `replica`, which must be of its chain or hold no block yet; `seen` is told how far the file is
/// read, in bytes.
///
/// # Errors
/// Why it is not taken. What was taken before is held; loading again goes on behind it.
pub async fn load<R: Read + Send + 'static>(
    reader: Reader<R>,
    replica: &Arc<Replica>,
    seen: impl Fn(u64),
) -> Result<Loaded, LoadError> {
    let chain = reader.head().chain.clone();
    if chain.format != replica.format().name() {
        let held = replica.format().name().to_owned();
        return Err(ReplicaError::from(StoreError::OtherFormat { held, asked: chain.format }).into());
    }
    replica.pin(chain.genesis).await?;
    let mut intake = Intake::open(replica, chain.genesis).await?;
    let (mut groups, reading) = read_ahead(reader);
    let (mut blocks, mut proofs) = (0, 0);
    while let Some((group, bytes)) = groups.recv().await {
        let taken = take(replica, &mut intake, group).await?;
        (blocks, proofs) = (blocks + taken.0, proofs + taken.1);
        seen(bytes);
    }
    let file = reading.await.map_err(|_| ReplicaError::ShuttingDown)??;
    Ok(Loaded { file, blocks, proofs })
}

type Groups = mpsc::Receiver<(Vec<Record>, u64)>;
type Reading = tokio::task::JoinHandle<Result<Summary, ArchiveError>>;

/// Reads on a thread of its own, some groups ahead.
fn read_ahead<R: Read + Send + 'static>(mut reader: Reader<R>) -> (Groups, Reading) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let reading = spawn_blocking(move || {
        loop {
            let (group, end) = next_group(&mut reader);
            let gone = !group.is_empty() && sender.blocking_send((group, reader.bytes())).is_err();
            match end {
                Some(end) => return end,
                None if gone => return Err(ArchiveError::Cut { offset: reader.bytes() }),
                None => {}
            }
        }
    });
    (receiver, reading)
}

/// The next records, up to the bounds, and how the file ended if it did.
fn next_group<R: Read>(reader: &mut Reader<R>) -> (Vec<Record>, Option<Result<Summary, ArchiveError>>) {
    let (mut group, mut bytes) = (Vec::new(), 0);
    while group.len() < ITEMS && bytes < BYTES {
        match reader.record() {
            Ok(Some(record)) => {
                bytes += record.bytes.len();
                group.push(record);
            }
            Ok(None) => return (group, reader.summary().copied().map(Ok)),
            Err(error) => return (group, Some(Err(error))),
        }
    }
    (group, None)
}

/// Takes a group: blocks held already are compared, the others checked and added. Gives how many blocks and proofs were added.
async fn take(
    replica: &Arc<Replica>,
    intake: &mut Intake,
    group: Vec<Record>,
) -> Result<(u32, u32), LoadError> {
    let (mut new, mut late): (Vec<Fetched>, Vec<(BlockNumber, Bytes)>) = (Vec::new(), Vec::new());
    let due = intake.next();
    let mut next = due;
    for Record { part, number, bytes } in group {
        match part {
            Part::Block if number < due => same(replica, number, &bytes)?,
            Part::Block if number > next => return Err(LoadError::Gap { first: number, due: next }),
            Part::Block => {
                next = next.next();
                new.push(Fetched { block: bytes.into(), proof: None });
            }
            Part::Proof if number < next && !replica.has_proof(number) => late.push((number, bytes.into())),
            Part::Proof if number < next => {}
            Part::Proof => return Err(LoadError::Gap { first: number, due: next }),
        }
    }
    let blocks = u32::try_from(new.len()).unwrap_or(u32::MAX);
    if !new.is_empty() {
        intake.take(new.into_iter().map(Ok).collect()).await?;
    }
    late.retain(|(number, _)| *number != BlockNumber::GENESIS);
    let proofs = u32::try_from(late.len()).unwrap_or(u32::MAX);
    if !late.is_empty() {
        replica.commit(Batch { proofs: late, ..Batch::default() }).await?;
    }
    Ok((blocks, proofs))
}

/// A block held already is the one in the file.
fn same(replica: &Replica, number: BlockNumber, bytes: &[u8]) -> Result<(), LoadError> {
    let theirs = BlockHash::of(bytes);
    match replica.hash_at(number) {
        Some(ours) if ours != theirs => Err(LoadError::OtherBlock { number, ours, theirs }),
        _ => Ok(()),
    }
}
