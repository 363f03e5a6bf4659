//! A block's header as the wire carries it, read from the fixed places that it has in a block's bytes. Pure.
//!
//! | offset | len | field (integers little endian) |
//! |---|---|---|
//! | 0 | 4 | version |
//! | 4 | 32 | commitment of the block before |
//! | 36 | 4 | block number |
//! | 40 | 6 × 32 | chain commitment; roots of accounts, nullifiers and notes; commitments of transactions and kernel |
//! | 232 | 33 | key of the validator |
//! | 265 | 15 + 4 | faucet of the fees, and the base fee |
//! | 284 | 4 | Unix seconds |

use tidemark_wire::{
    account::AccountId,
    blockchain::{BlockHeader, FeeParameters, ValidatorPublicKey},
    primitives::Digest,
};
use tonic::codegen::Bytes;

/// Bytes of a header.
const LEN: usize = 288;

/// The header of a block; none where there are too few bytes for one.
pub(super) fn header(block: &Bytes) -> Option<BlockHeader> {
    let bytes: &[u8; LEN] = block.first_chunk()?;
    Some(BlockHeader {
        version: u32::from_le_bytes(field(bytes, 0)),
        prev_block_commitment: Some(digest(bytes, 4)),
        block_num: u32::from_le_bytes(field(bytes, 36)),
        chain_commitment: Some(digest(bytes, 40)),
        account_root: Some(digest(bytes, 72)),
        nullifier_root: Some(digest(bytes, 104)),
        note_root: Some(digest(bytes, 136)),
        tx_commitment: Some(digest(bytes, 168)),
        tx_kernel_commitment: Some(digest(bytes, 200)),
        validator_key: Some(ValidatorPublicKey { validator_key: block.slice(232..265) }),
        fee_parameters: Some(FeeParameters {
            native_asset_id: Some(AccountId { id: block.slice(265..280) }),
            verification_base_fee: u32::from_le_bytes(field(bytes, 280)),
        }),
        timestamp: u32::from_le_bytes(field(bytes, 284)),
    })
}

fn field<const N: usize>(bytes: &[u8; LEN], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

fn digest(bytes: &[u8; LEN], at: usize) -> Digest {
    Digest::from(field::<32>(bytes, at))
}
