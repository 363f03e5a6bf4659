//! How messages become bytes.

use std::marker::PhantomData;

use prost::Message;
use tonic::codec::{BufferSettings, Codec};
use tonic_prost::{ProstCodec, ProstDecoder, ProstEncoder};

/// How large a buffer begins, in bytes: most messages here are questions and answers about tips, which have a few hundred,
/// and what is longer gets its whole room at once. The library's own 8 KiB for each direction of each call cost an operator
/// of ten thousand followers more than the messages do.
const BEGINS_WITH: usize = 512;
/// A stream that has so many bytes ready hands them on, as by default.
const YIELDS_AT: usize = 32 * 1024;

fn settings() -> BufferSettings {
    BufferSettings::new(BEGINS_WITH, YIELDS_AT)
}

/// The codec of protocol buffers, with buffers that begin small.
#[derive(Debug)]
pub(crate) struct SmallBuffers<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for SmallBuffers<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for SmallBuffers<T, U>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(settings())
    }
}
