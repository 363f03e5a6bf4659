//! The names and numbers judging is about, one type each, so that none is taken for another.

use std::{fmt, sync::Arc};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text of the identifier.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// `metadata.name` of a pod; a later pod may bear it again.
    PodName
);
text_id!(
    /// `metadata.uid` of a pod: never used twice.
    PodUid
);
text_id!(
    /// The UID of the claim that holds a member's data, or of the pod itself where the data dies with the pod.
    VolumeUid
);
text_id!(
    /// `containerID` of a running container as the kubelet reports it, such as `containerd://4f…`.
    ContainerId
);
text_id!(
    /// What a process makes anew at each start.
    BootId
);

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "0x{}", hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

bytes_id!(
    /// The genesis commitment of a chain: 32 bytes.
    Genesis
);
bytes_id!(
    /// BLAKE3 of a block's bytes.
    BlockHash
);

/// The number of a block; the tip of a store is the highest it has. Genesis is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockNumber(pub u32);

impl BlockNumber {
    /// How many blocks this number is behind `reference`; 0 when it is not behind.
    #[must_use]
    pub const fn behind(self, reference: Self) -> u32 {
        reference.0.saturating_sub(self.0)
    }
}

impl fmt::Display for BlockNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
