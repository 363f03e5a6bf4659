//! Replays a recorded chain: records of a u32 little-endian length and that many bytes, block 0 first.
//!
//! The recording's genesis commitment is the parent that block 1 names, in its bytes 4 to 36.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::future::BoxFuture;
use thiserror::Error;
use tidemark_store::{BlockHash, BlockNumber, Commitment};

use super::{BlockSource, ProduceError};
use crate::{
    format::{ChainCheck, FormatError},
    replica::Replica,
};

/// What is longer is no block of any chain we know, so the file is no recording.
const LARGEST_BLOCK: usize = 64 << 20;

const LENGTH: usize = 4;
const PARENT: std::ops::Range<usize> = 4..36;

/// Why a recording cannot be replayed.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// The file cannot be read.
    #[error("cannot read the recording {path}: {source}", path = path.display())]
    Io {
        /// The recording.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is no recording.
    #[error("{path} is no recording of a chain ({detail}): give a file of length-prefixed blocks", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// A block of the recording is not what its format asks for.
    #[error("{path} cannot be replayed: {reason}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why a follower would refuse the block.
        reason: FormatError,
    },
}

/// A recorded chain.
pub struct ReplaySource {
    path: PathBuf,
    file: File,
    /// Offset and length of each block.
    blocks: Vec<(u64, usize)>,
    genesis: Commitment,
    /// Checks what is read, once it is known where the chain stands.
    chain: Option<Box<dyn ChainCheck>>,
}

impl ReplaySource {
    /// Opens a recording and finds its blocks.
    ///
    /// # Errors
    /// When the file cannot be read, or is no recording of at least two blocks.
    pub fn open(path: &Path) -> Result<Self, ReplayError> {
        let io = |source| ReplayError::Io { path: path.to_owned(), source };
        let malformed = |detail| ReplayError::Malformed { path: path.to_owned(), detail };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        let blocks = index(&file, len).map_err(io)?.map_err(malformed)?;
        let mut source = Self {
            path: path.to_owned(),
            file,
            blocks,
            genesis: Commitment::from_bytes([0; 32]),
            chain: None,
        };
        source.genesis = source.named_genesis()?;
        Ok(source)
    }

    fn named_genesis(&self) -> Result<Commitment, ReplayError> {
        let second = self.block(1.into())?.unwrap_or_default();
        let named = second.get(PARENT).and_then(|parent| <[u8; 32]>::try_from(parent).ok());
        let detail = "it has no block 1 that names its parent".to_owned();
        named
            .map(Commitment::from_bytes)
            .ok_or_else(|| ReplayError::Malformed { path: self.path.clone(), detail })
    }

    fn block(&self, number: BlockNumber) -> Result<Option<Vec<u8>>, ReplayError> {
        let Some((offset, len)) = self.blocks.get(number.get() as usize) else { return Ok(None) };
        let mut bytes = vec![0; *len];
        let io = |source| ReplayError::Io { path: self.path.clone(), source };
        self.file.read_exact_at(&mut bytes, *offset).map_err(io)?;
        Ok(Some(bytes))
    }

    fn invalid(&self, reason: FormatError) -> ReplayError {
        ReplayError::Invalid { path: self.path.clone(), reason }
    }

    fn check_held(&self, replica: &Replica) -> Result<(), ProduceError> {
        let held = replica.held().map_or(0..0, |tip| 0..tip.next().get());
        for number in held.map(BlockNumber::new) {
            let recorded = self.block(number)?.map(|block| BlockHash::of(&block));
            if recorded.is_none() || recorded != replica.hash_at(number) {
                return Err(ProduceError::OtherChain { number, file: self.path.clone() });
            }
        }
        Ok(())
    }
}

/// Offset and length of every record, or what is wrong with the file.
fn index(file: &File, len: u64) -> io::Result<Result<Vec<(u64, usize)>, String>> {
    let mut blocks = Vec::new();
    let mut at = 0;
    while at < len {
        let number = blocks.len();
        let mut prefix = [0; LENGTH];
        if len - at < LENGTH as u64 {
            return Ok(Err(format!("it ends inside the length of record {number}")));
        }
        file.read_exact_at(&mut prefix, at)?;
        let size = u64::from(u32::from_le_bytes(prefix));
        at += LENGTH as u64;
        match usize::try_from(size) {
            Ok(size) if size <= LARGEST_BLOCK && size as u64 <= len - at => blocks.push((at, size)),
            _ => return Ok(Err(format!("record {number} claims {size} bytes"))),
        }
        at += size;
    }
    Ok(Ok(blocks))
}

impl BlockSource for ReplaySource {
    fn genesis(&self) -> Commitment {
        self.genesis
    }

    fn resume<'a>(&'a mut self, replica: &'a Arc<Replica>) -> BoxFuture<'a, Result<(), ProduceError>> {
        Box::pin(async move {
            self.check_held(replica)?;
            let tip = match replica.held() {
                Some(tip) => replica.block(tip).await?.map(|block| (tip, block)),
                None => None,
            };
            let tip = tip.as_ref().map(|(number, block)| (*number, block.as_ref()));
            let opened = replica.format().open(self.genesis, tip);
            self.chain = Some(opened.map_err(|refused| self.invalid(refused))?);
            Ok(())
        })
    }

    fn next(&mut self, number: BlockNumber) -> Result<Option<Vec<u8>>, ReplayError> {
        let block = self.block(number)?;
        if let (Some(chain), Some(block)) = (&mut self.chain, &block)
            && chain.next() == number
        {
            let checked = chain.check(block);
            checked.map_err(|refused| self.invalid(refused))?;
        }
        Ok(block)
    }

    fn made(&mut self, _block: &[u8]) {}

    /// The recording has no proofs; presence alone means proven.
    fn proof(&self, _block: &BlockHash) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(bytes: &[u8]) -> Result<ReplaySource, ReplayError> {
        let dir = tempfile::tempdir().expect("temp dir");
        let path = dir.path().join("chain.bin");
        fs::write(&path, bytes).expect("writable");
        ReplaySource::open(&path)
    }

    fn record(block: &[u8]) -> Vec<u8> {
        [&u32::try_from(block.len()).expect("short").to_le_bytes(), block].concat()
    }

    #[test]
    fn blocks_are_read_as_recorded_and_the_genesis_is_what_block_1_names() {
        let second: Vec<u8> = (0..40).collect();
        let mut source = open(&[record(b"zero"), record(&second)].concat()).expect("a recording");
        assert_eq!(source.genesis().as_bytes()[..], second[PARENT]);
        assert_eq!(source.next(0.into()).expect("readable"), Some(b"zero".to_vec()));
        assert_eq!(source.next(1.into()).expect("readable"), Some(second));
        assert_eq!(source.next(2.into()).expect("readable"), None);
    }

    #[test]
    fn what_is_no_recording_is_refused_by_name() {
        let good = [record(b"zero"), record(&[1; 40])].concat();
        for bad in [&good[..good.len() - 1], &good[..2], &good[..8], &[0xff; 64], b""] {
            let refused = open(bad).err().expect("refused").to_string();
            assert!(refused.contains("chain.bin is no recording"), "{refused}");
        }
    }
}
