//! The recorded real chain that the demo replays, read independently of the product's own reader.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::programs;

/// The recorded file.
#[must_use]
pub fn path() -> PathBuf {
    programs::checkout().join("e2e/data/miden-0.15-chain.bin")
}

/// The bytes of every recorded block, by number.
///
/// # Errors
/// If the file is missing or cut short.
pub fn blocks() -> Result<Vec<Vec<u8>>> {
    let file = path();
    let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut rest = bytes.as_slice();
    let mut blocks = Vec::new();
    while !rest.is_empty() {
        let (block, after) =
            split_record(rest).with_context(|| format!("record {} is cut short", blocks.len()))?;
        blocks.push(block.to_vec());
        rest = after;
    }
    Ok(blocks)
}

/// A record is a u32 little-endian length and that many bytes.
fn split_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_recorded_chain_has_a_thousand_and_one_blocks() {
        let blocks = super::blocks().expect("the recorded chain");
        assert_eq!(blocks.len(), 1001);
        assert!(blocks[1..].iter().all(|block| block.len() == 357), "all but genesis are empty blocks");
    }
}
