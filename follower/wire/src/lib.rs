//! The gRPC contract: `rpc.Api` as the Miden node 0.15 speaks it, and `tidemark.v1` beside it.
//!
//! Owns the .proto files and the code generated from them; holds no behaviour but conversions of its own types.

mod codec;

/// Generated from `proto/account.proto`.
#[allow(missing_docs, clippy::all)]
pub mod account {
    tonic::include_proto!("account");
}

/// Generated from `proto/primitives.proto`.
#[allow(missing_docs, clippy::all)]
pub mod primitives {
    tonic::include_proto!("primitives");
}

/// Generated from `proto/blockchain.proto`.
#[allow(missing_docs, clippy::all)]
pub mod blockchain {
    tonic::include_proto!("blockchain");
}

/// Generated from `proto/rpc.proto`.
#[allow(missing_docs, clippy::all)]
pub mod rpc {
    tonic::include_proto!("rpc");
}

/// Generated from `proto/tidemark/v1/replica.proto`.
#[allow(missing_docs, clippy::all)]
pub mod v1 {
    tonic::include_proto!("tidemark.v1");
}

/// The encoded `FileDescriptorSet` of every .proto file, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

impl From<[u8; 32]> for primitives::Digest {
    fn from(bytes: [u8; 32]) -> Self {
        let [d0, d1, d2, d3] = [0, 8, 16, 24].map(|at| {
            let mut element = [0; 8];
            element.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(element)
        });
        Self { d0, d1, d2, d3 }
    }
}

impl From<primitives::Digest> for [u8; 32] {
    fn from(digest: primitives::Digest) -> Self {
        let mut bytes = [0; 32];
        for (at, element) in [digest.d0, digest.d1, digest.d2, digest.d3].into_iter().enumerate() {
            bytes[at * 8..at * 8 + 8].copy_from_slice(&element.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::primitives::Digest;

    #[test]
    fn digests_print_their_elements_little_endian_and_survive_a_round_trip() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).expect("below 32"));
        let digest = Digest::from(bytes);
        assert_eq!(digest.d0, 0x0706_0504_0302_0100);
        assert_eq!(<[u8; 32]>::from(digest), bytes);
    }
}
