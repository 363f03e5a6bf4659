//! Checks blocks of the Miden chain, each against all blocks before it.

use std::{num::NonZero, panic::resume_unwind, thread};

use miden_protocol::{Word, crypto::dsa::ecdsa_k256_keccak::PublicKey, utils::serde::Serializable as _};
use tidemark_store::{BlockNumber, Commitment};
use tonic::codegen::Bytes;

use super::{
    block::{Block, commitment},
    peaks::Peaks,
};
use crate::format::{BlockFacts, ChainCheck, FormatError, links::check_genesis};

/// Blocks that are worth a thread of their own.
const SHARE: usize = 4;

/// The last block of the chain.
struct Head {
    number: BlockNumber,
    commitment: Word,
    /// Who signs the next block.
    validator: PublicKey,
}

/// The chain up to a block that was checked.
pub(super) struct Chain {
    genesis: Commitment,
    head: Option<Head>,
    /// Above the commitments of all its blocks.
    peaks: Peaks,
}

impl Chain {
    /// A chain of which nothing is held.
    pub(super) fn new(genesis: Commitment) -> Self {
        Self { genesis, head: None, peaks: Peaks::default() }
    }

    /// The chain that ends with `tip`, where `peaks` are above all blocks before it.
    pub(super) fn continued(genesis: Commitment, tip: &Block, peaks: Peaks) -> Result<Self, FormatError> {
        let mut chain = Self { genesis, head: None, peaks };
        chain.check_before(tip)?;
        chain.follow(tip);
        Ok(chain)
    }

    /// The peaks above all its blocks.
    pub(super) fn peaks(&self) -> &Peaks {
        &self.peaks
    }

    /// Takes a block that is sound in itself, if it is the one that follows.
    fn link(&mut self, block: &Block) -> Result<BlockFacts, FormatError> {
        let (facts, asked) = (block.facts(), self.next());
        if facts.number != asked {
            return Err(FormatError::WrongNumber { asked, found: facts.number });
        }
        self.check_signer(block)?;
        match &self.head {
            Some(head) => check_parent(block, head)?,
            None => check_genesis(facts.commitment, Some(self.genesis))?,
        }
        self.check_before(block)?;
        self.follow(block);
        Ok(facts)
    }

    /// The key that made the signature is that of the validator, whom the block before names, and the block as well.
    /// A signature of that key verifies, so that nothing else is to be verified.
    fn check_signer(&self, block: &Block) -> Result<(), FormatError> {
        let named = block.header.validator_key();
        let validator = self.head.as_ref().map_or(named, |head| &head.validator);
        if block.signer.as_ref().is_some_and(|signer| signer == validator && signer == named) {
            return Ok(());
        }
        Err(FormatError::WrongSigner {
            number: block.facts().number,
            signer: block.signer.as_ref().map_or_else(|| "no key".to_owned(), key),
            validator: key(validator),
            named: key(named),
        })
    }

    fn check_before(&self, block: &Block) -> Result<(), FormatError> {
        let (held, named) = (self.peaks.commitment().unwrap_or_default(), block.header.chain_commitment());
        if held == named {
            return Ok(());
        }
        let (held, named) = (commitment(held), commitment(named));
        Err(FormatError::WrongChain { number: block.facts().number, held, named })
    }

    fn follow(&mut self, block: &Block) {
        let commitment = block.header.commitment();
        self.peaks.push(commitment);
        let validator = block.header.validator_key().clone();
        self.head = Some(Head { number: block.facts().number, commitment, validator });
    }
}

impl ChainCheck for Chain {
    fn next(&self) -> BlockNumber {
        BlockNumber::after(self.head.as_ref().map(|head| head.number))
    }

    fn check(&mut self, bytes: &[u8]) -> Result<BlockFacts, FormatError> {
        let block = Block::read(self.next(), bytes)?;
        self.link(&block)
    }

    /// What a block says of itself is checked on all processors at once.
    fn check_all(&mut self, blocks: &[Bytes]) -> (Vec<BlockFacts>, Result<(), FormatError>) {
        let mut facts = Vec::with_capacity(blocks.len());
        let checked = read_all(self.next(), blocks).into_iter().try_for_each(|block| {
            facts.push(self.link(&block?)?);
            Ok(())
        });
        (facts, checked)
    }
}

fn check_parent(block: &Block, head: &Head) -> Result<(), FormatError> {
    let named = block.header.prev_block_commitment();
    if named == head.commitment {
        return Ok(());
    }
    let (held, named) = (commitment(head.commitment), commitment(named));
    Err(FormatError::WrongParent { number: block.facts().number, held, named })
}

fn key(key: &PublicKey) -> String {
    key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_all(first: BlockNumber, blocks: &[Bytes]) -> Vec<Result<Block, FormatError>> {
    let numbers = std::iter::successors(Some(first), |number| Some(number.next()));
    let numbered: Vec<_> = numbers.zip(blocks).collect();
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = processors.min(blocks.len() / SHARE);
    if threads < 2 {
        return read_share(&numbered);
    }
    thread::scope(|scope| {
        let shares = numbered.chunks(blocks.len().div_ceil(threads));
        let running: Vec<_> = shares.map(|share| scope.spawn(move || read_share(share))).collect();
        running
            .into_iter()
            .flat_map(|share| share.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .collect()
    })
}

fn read_share(share: &[(BlockNumber, &Bytes)]) -> Vec<Result<Block, FormatError>> {
    share.iter().map(|(number, bytes)| Block::read(*number, bytes)).collect()
}
