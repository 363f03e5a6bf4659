//! Bodies: what of them a header binds, and what a stranger can put into one.

use miden_protocol::{
    MAX_BATCHES_PER_BLOCK, Word,
    account::AccountId,
    asset::FungibleAsset,
    block::{BlockBody, OutputNoteBatch},
    note::{NoteAttachments, NoteDetailsCommitment, NoteHeader, NoteMetadata, NoteType, PartialNoteMetadata},
    transaction::{InputNotes, OrderedTransactionHeaders, OutputNote, PrivateOutputNote, TransactionHeader},
};

use super::*;

fn faucet() -> AccountId {
    AccountId::read_from_bytes(&recorded()[N][265..280]).expect("an account")
}

fn note_header(number: u32) -> NoteHeader {
    let details = NoteDetailsCommitment::from_raw(Word::from([number, 0, 0, 1]));
    let metadata = PartialNoteMetadata::new(faucet(), NoteType::Private);
    NoteHeader::new(details, NoteMetadata::new(metadata, &NoteAttachments::empty()))
}

pub(super) fn note(number: u32) -> OutputNote {
    OutputNote::Private(
        PrivateOutputNote::new(note_header(number), NoteAttachments::empty()).expect("private"),
    )
}

pub(super) fn transaction(number: u32) -> TransactionHeader {
    let fee = FungibleAsset::new(faucet(), 1).expect("an asset");
    let state = Word::from([number, 0, 0, 2]);
    TransactionHeader::new(faucet(), state, state, InputNotes::default(), vec![note_header(number)], fee)
}

pub(super) fn body(notes: OutputNoteBatch, transactions: Vec<TransactionHeader>) -> BlockBody {
    let transactions = OrderedTransactionHeaders::new_unchecked(transactions);
    BlockBody::new_unchecked(vec![], vec![notes], vec![], transactions)
}

/// Block N with that body and that signature's bytes in place of its own.
fn with_body(body: &[u8]) -> Vec<u8> {
    let block = &recorded()[N];
    [&block[..HEADER], body, &block[block.len() - SIGNATURE..]].concat()
}

/// Block N with that body, which its header commits to and the validator signed.
pub(super) fn made(body: &BlockBody) -> Vec<u8> {
    let mut block = with_body(&body.to_bytes());
    block[136..168].copy_from_slice(&body.compute_block_note_tree().root().as_bytes());
    block[168..200].copy_from_slice(&body.transaction_commitment().as_bytes());
    signed(&block, &validator())
}

/// The block with another body behind its header, and its own signature.
fn swapped(block: &[u8], other: &BlockBody) -> Vec<u8> {
    [&block[..HEADER], &other.to_bytes(), &block[block.len() - SIGNATURE..]].concat()
}

#[test]
fn notes_and_transactions_are_those_the_header_commits_to() {
    let number = u32::try_from(N).expect("small").into();
    let block = made(&body(vec![(0, note(1)), (5, note(2))], vec![transaction(1), transaction(2)]));
    assert!(offer(&block).is_ok());
    let notes = [
        vec![(0, note(1))],
        vec![(0, note(2)), (5, note(1))],
        vec![(0, note(1)), (6, note(2))],
        vec![(0, note(1)), (5, note(3))],
    ];
    for notes in notes {
        let refused = offer(&swapped(&block, &body(notes, vec![transaction(1), transaction(2)])));
        assert!(
            matches!(refused, Err(FormatError::WrongBody { number: n, part: "notes", .. }) if n == number)
        );
    }
    let transactions =
        [vec![transaction(1)], vec![transaction(2), transaction(1)], vec![transaction(1), transaction(3)]];
    for transactions in transactions {
        let refused = offer(&swapped(&block, &body(vec![(0, note(1)), (5, note(2))], transactions)));
        assert!(
            matches!(refused, Err(FormatError::WrongBody { number: n, part: "transactions", .. }) if n == number)
        );
    }
}

/// Two notes at one place, and places that no batch has: the crate panics where it is to hash them.
#[test]
fn notes_that_cannot_be_are_refused() {
    for notes in
        [vec![(0, note(1)), (0, note(2))], vec![(1 << 20, note(1))], vec![(usize::MAX >> 8, note(1))]]
    {
        let refused = offer(&with_body(&body(notes, vec![]).to_bytes())).expect_err("refused");
        assert!(matches!(refused, FormatError::WrongBody { part: "notes", .. }), "{refused}");
    }
}

/// An empty batch is one byte of a block, and two dozen in memory.
#[test]
fn more_batches_than_a_block_can_have_are_not_even_read() {
    let empty = |batches: usize| {
        let nothing = OrderedTransactionHeaders::new_unchecked(vec![]);
        BlockBody::new_unchecked(vec![], vec![vec![]; batches], vec![], nothing)
    };
    assert!(offer(&with_body(&empty(MAX_BATCHES_PER_BLOCK).to_bytes())).is_ok());
    let refused = offer(&with_body(&empty(1 << 20).to_bytes())).expect_err("refused").to_string();
    assert!(refused.contains("1048576 batches are too many"), "{refused}");
}

/// 256 slots of an account are cleared: the crate reads that, and panics where it is to write it.
#[test]
fn an_account_update_that_cannot_be_is_refused() {
    let block = &recorded()[N];
    let faucet = &block[265..280];
    let name = |n: u32| {
        let name = format!("tidemark::slot{n}");
        [&[u8::try_from(name.len()).expect("short")], name.as_bytes()].concat()
    };
    let cleared: Vec<u8> = (0..255).flat_map(name).collect();
    let storage = [&[255], &cleared[..], &[1], &name(255), &[0; 32], &[0]].concat();
    let nothing_else = [&[1, 1, 1, 0][..], &1_u64.to_le_bytes()].concat();
    let update = [&[3], faucet, &[0; 32], &[1], faucet, &storage, &nothing_else].concat();
    let block = with_body(&[&update[..], &[1; 3]].concat());
    assert!(SignedBlock::read_from_bytes(&block).is_ok(), "it decodes");
    let refused = offer(&block).expect_err("refused").to_string();
    assert!(refused.contains("its body cannot be"), "{refused}");
}

/// Whoever checks no state cannot tell: these are bound by `account_root` and `nullifier_root` alone.
#[test]
fn account_updates_and_nullifiers_are_not_bound_by_the_block() {
    let blocks = recorded();
    let (header, body) = (&blocks[N][..HEADER], &blocks[0][HEADER..blocks[0].len() - SIGNATURE]);
    assert!(body.len() > 10_000, "the accounts of genesis");
    let swapped = [header, body, &blocks[N][blocks[N].len() - SIGNATURE..]].concat();
    assert!(offer(&swapped).is_ok());
    let spent = miden_protocol::note::Nullifier::from_raw(Word::from([1_u32, 2, 3, 4]));
    let nothing = OrderedTransactionHeaders::new_unchecked(vec![]);
    let spends = BlockBody::new_unchecked(vec![], vec![], vec![spent], nothing);
    assert!(offer(&with_body(&spends.to_bytes())).is_ok());
}
