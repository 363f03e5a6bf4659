//! What a server tells its clients, out of the bytes it sends them: HTTP/2 frames, gRPC messages, and what these claim. Pure.

use std::collections::HashMap;

use tidemark_wire::{
    blockchain::MaybeBlock,
    rpc::{BlockSubscriptionResponse, ProofSubscriptionResponse, RpcStatus},
    v1::TipsResponse,
};
use tonic_prost::prost::Message as _;

/// What an answer says is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// A block, or all up to it.
    Block(u32),
    /// The proof of one block.
    Proof(u32),
    /// The proofs up to this one.
    Proofs(u32),
}

const FRAME: usize = 9;
const PREFIX: usize = 5;

/// What was sent on one connection.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pending: Vec<u8>,
    /// Bytes that are to come of a frame, or of what the trace cut off.
    skip: usize,
    streams: HashMap<u32, Vec<u8>>,
}

impl Connection {
    /// Takes what one call sent: `len` bytes, of which the trace has the first.
    pub(super) fn sent(&mut self, bytes: &[u8], len: usize) -> Vec<Claim> {
        let cut = len - bytes.len();
        self.pending.extend_from_slice(bytes);
        let mut claims = Vec::new();
        while let Some((stream, data)) = self.frame(cut) {
            self.streams.entry(stream).or_default().extend(data);
            while let Some(message) = self.streams.get_mut(&stream).and_then(message) {
                claims.extend(claimed(&message));
            }
        }
        claims
    }

    /// The next whole data frame. Where the trace has not all of a call's bytes, what is lost is passed by.
    fn frame(&mut self, cut: usize) -> Option<(u32, Vec<u8>)> {
        loop {
            let skipped = self.skip.min(self.pending.len());
            self.pending.drain(..skipped);
            self.skip -= skipped;
            let header: [u8; FRAME] = *self.pending.first_chunk()?;
            let len = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            if self.pending.len() < FRAME + len {
                if cut > 0 {
                    self.pending.clear();
                }
                return None;
            }
            let frame: Vec<u8> = self.pending.drain(..FRAME + len).skip(FRAME).collect();
            if header[3] == 0 {
                return Some((u32::from_be_bytes([header[5], header[6], header[7], header[8]]), frame));
            }
        }
    }
}

/// The next whole message of a stream.
fn message(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    let prefix: [u8; PREFIX] = *stream.first_chunk()?;
    let len = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    (stream.len() >= PREFIX + len).then(|| stream.drain(..PREFIX + len).skip(PREFIX).collect())
}

/// What a message claims. Each kind is told by what only it can start with: blocks start with `TMN1`.
fn claimed(message: &[u8]) -> Vec<Claim> {
    const FIXED_1: u8 = 0x0d;
    const BYTES_1: u8 = 0x0a;
    match message.first() {
        Some(&FIXED_1) => tips(message).or_else(|| proof(message)).unwrap_or_default(),
        Some(&BYTES_1) => block(message).or_else(|| status(message)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn tips(message: &[u8]) -> Option<Vec<Claim>> {
    let tips = TipsResponse::decode(message).ok().filter(|tips| tips.genesis.len() == 32)?;
    let claims = [tips.published_tip.map(Claim::Block), tips.proven_tip.map(Claim::Proofs)];
    Some(claims.into_iter().flatten().collect())
}

fn proof(message: &[u8]) -> Option<Vec<Claim>> {
    let item = ProofSubscriptionResponse::decode(message).ok()?;
    Some(vec![Claim::Proofs(item.block_num), Claim::Proofs(item.proven_chain_tip)])
}

/// An item of a subscription has a fixed number where an answer to one question has the bytes of a proof.
fn block(message: &[u8]) -> Option<Vec<Claim>> {
    if let Ok(item) = BlockSubscriptionResponse::decode(message) {
        return Some(vec![Claim::Block(number(&item.block)?), Claim::Block(item.committed_chain_tip)]);
    }
    let answer = MaybeBlock::decode(message).ok()?;
    let number = number(answer.block.as_ref()?)?;
    let proof = answer.proof.map(|_| Claim::Proof(number));
    Some([Some(Claim::Block(number)), proof].into_iter().flatten().collect())
}

fn status(message: &[u8]) -> Option<Vec<Claim>> {
    let status = RpcStatus::decode(message).ok().filter(|status| status.genesis_commitment.is_some())?;
    Some(vec![Claim::Block(status.chain_tip)])
}

/// The number in a native block.
fn number(block: &[u8]) -> Option<u32> {
    let header: &[u8; 8] = block.first_chunk()?;
    header.starts_with(b"TMN1").then(|| u32::from_le_bytes([header[4], header[5], header[6], header[7]]))
}
