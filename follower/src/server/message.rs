//! Messages of gRPC: what a request says, and answers made of pieces, so that a block's bytes are not copied.

use std::collections::VecDeque;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};
use tonic::{Status, codegen::Bytes};

/// No request of `rpc.Api` needs more.
const MAX_REQUEST: usize = 4096;
/// Flag and length before each message.
const PREFIX: usize = 5;
/// What is no longer is copied, since a piece of its own costs more.
const COPIED: usize = 4096;
/// Key, length and the fields beside a block: what a message has at most around it.
pub(super) const AROUND: usize = 32;

/// The one message of a request.
///
/// # Errors
/// When there is none, more than one, or one that is too long or not of that type.
pub(super) async fn decode<T: Message + Default>(mut body: Incoming) -> Result<T, Status> {
    let mut received = Bytes::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Status::unavailable(format!("the request broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { break };
        received = joined(received, data)?;
    }
    T::decode(message_in(&received)?)
        .map_err(|error| Status::invalid_argument(format!("the request's message makes no sense: {error}")))
}

/// Almost every request is one piece.
fn joined(received: Bytes, more: Bytes) -> Result<Bytes, Status> {
    if received.len() + more.len() > MAX_REQUEST {
        return Err(Status::out_of_range(format!("a request has at most {MAX_REQUEST} bytes")));
    }
    Ok(match (received.is_empty(), more.is_empty()) {
        (true, _) => more,
        (_, true) => received,
        _ => [received, more].concat().into(),
    })
}

/// The message in the body of a request. Pure.
///
/// # Errors
/// When there is not exactly one, or it is compressed.
fn message_in(body: &[u8]) -> Result<&[u8], Status> {
    match body.split_first_chunk::<PREFIX>() {
        None => Err(Status::invalid_argument("the request has no message")),
        Some(([1, ..], _)) => Err(Status::unimplemented("compressed requests are not taken here")),
        Some(([0, len @ ..], message)) if u32::from_be_bytes(*len) as usize == message.len() => Ok(message),
        Some(_) => Err(Status::invalid_argument("the request is not one whole message")),
    }
}

/// A field of an answer.
pub(super) enum Field {
    Bytes(u32, Bytes),
    Fixed32(u32, u32),
}

impl Field {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Bytes(tag, bytes) => key_len(*tag) + encoded_len_varint(bytes.len() as u64) + bytes.len(),
            Self::Fixed32(tag, _) => key_len(*tag) + size_of::<u32>(),
        }
    }
}

/// Answers on their way out, in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    done: VecDeque<Bytes>,
    open: Vec<u8>,
}

impl Pieces {
    /// Adds a message that is encoded as a whole.
    pub(super) fn add_message(&mut self, message: &impl Message) {
        self.add_prefix(message.encoded_len());
        self.open.extend_from_slice(&message.encode_to_vec());
    }

    /// Adds a message of these fields.
    pub(super) fn add_fields(&mut self, fields: &[Field]) {
        self.add_prefix(fields.iter().map(Field::len).sum());
        fields.iter().for_each(|field| self.add_field(field));
    }

    fn add_prefix(&mut self, len: usize) {
        // A message is at most twice the largest block, which is at most 1 GiB.
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.open.push(0);
        self.open.extend_from_slice(&len.to_be_bytes());
    }

    fn add_field(&mut self, field: &Field) {
        match field {
            Field::Fixed32(tag, value) => {
                encode_key(*tag, WireType::ThirtyTwoBit, &mut self.open);
                self.open.extend_from_slice(&value.to_le_bytes());
            }
            Field::Bytes(tag, bytes) => {
                encode_key(*tag, WireType::LengthDelimited, &mut self.open);
                encode_varint(bytes.len() as u64, &mut self.open);
                self.add_bytes(bytes);
            }
        }
    }

    fn add_bytes(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED {
            return self.open.extend_from_slice(bytes);
        }
        self.close();
        self.done.push_back(bytes.clone());
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.done.push_back(std::mem::take(&mut self.open).into());
        }
    }

    /// All pieces in order.
    pub(super) fn finish(mut self) -> VecDeque<Bytes> {
        self.close();
        self.done
    }

    /// An answer that has room for small messages of this many bytes in all.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { open: Vec::with_capacity(bytes.min(COPIED) + PREFIX + AROUND), ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use tidemark_wire::{
        blockchain::MaybeBlock,
        rpc::{BlockSubscriptionResponse, RpcStatus},
    };

    use super::*;

    fn encoded(message: &impl Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        [&[0][..], &u32::try_from(body.len()).expect("short").to_be_bytes(), &body].concat()
    }

    #[test]
    fn pieces_put_together_are_what_the_codec_makes() {
        for len in [0, 1, 127, 128, COPIED, COPIED + 1, 1 << 20] {
            let block = Bytes::from(vec![7; len]);
            let (one, other) = (
                MaybeBlock { block: Some(block.clone()), proof: Some(Bytes::new()) },
                BlockSubscriptionResponse { block: block.clone(), committed_chain_tip: 9 },
            );
            let mut pieces = Pieces::with_room(len);
            pieces.add_fields(&[Field::Bytes(1, block.clone()), Field::Bytes(2, Bytes::new())]);
            let item = [Field::Bytes(1, block), Field::Fixed32(2, 9)];
            pieces.add_fields(&item[usize::from(len == 0)..]);
            let expected = [encoded(&one), encoded(&other)].concat();
            assert!(pieces.finish().into_iter().collect::<Vec<_>>().concat() == expected, "{len}");
        }
    }

    #[test]
    fn a_request_is_one_whole_message() {
        use tonic::Code;
        let code = |body: &[u8]| message_in(body).map(<[u8]>::to_vec).map_err(|status| status.code());
        assert_eq!(code(&[0, 0, 0, 0, 0]), Ok(Vec::new()));
        assert_eq!(code(&[0, 0, 0, 0, 2, 8, 9]), Ok(vec![8, 9]));
        for bad in [&[][..], &[0, 0, 0], &[0, 0, 0, 0, 2, 8], &[0, 0, 0, 0, 0, 8], &[2, 0, 0, 0, 0]] {
            assert_eq!(code(bad), Err(Code::InvalidArgument), "{bad:?}");
        }
        assert_eq!(code(&[1, 0, 0, 0, 0]), Err(Code::Unimplemented));
    }

    #[test]
    fn a_request_in_pieces_is_put_together_up_to_a_bound() {
        let piece = |len| Bytes::from(vec![7; len]);
        let put = |first, second| joined(piece(first), piece(second)).map(|joined| joined.len()).ok();
        assert_eq!([put(0, 3), put(3, 0), put(2, 3)], [Some(3), Some(3), Some(5)]);
        assert_eq!(put(MAX_REQUEST, 1), None);
    }

    #[test]
    fn a_large_block_is_not_copied() {
        let block = Bytes::from(vec![7; COPIED + 1]);
        let mut pieces = Pieces::default();
        pieces.add_fields(&[Field::Bytes(1, block.clone())]);
        let pieces = pieces.finish();
        assert_eq!((pieces.len(), pieces[1].as_ptr()), (2, block.as_ptr()));
    }

    #[test]
    fn a_whole_message_is_one_piece() {
        let status = RpcStatus { version: "1".to_owned(), chain_tip: 3, ..RpcStatus::default() };
        let mut pieces = Pieces::default();
        pieces.add_message(&status);
        assert_eq!(pieces.finish(), [encoded(&status)]);
    }
}
