//! The freshness path: collects tips, has them judged, and writes the gates. Driven by tips, in milliseconds.
//!
//! Must not wait for the reconcile path, nor reconcile: it reads sets and pods, and writes one pod condition.

mod allowance;
mod announce;
mod answer;
mod ask;
mod attempts;
mod block_hash;
mod dial;
mod fleet;
mod fleets;
mod gate;
mod hashes;
mod live;
mod member;
mod pace;
mod permits;
mod policy;
mod primary;
mod read_block;
mod roll;
mod roster;
mod round;
mod sampler;
mod secrets;
mod sight;
mod snapshot;
mod state;
mod tls;
mod trouble;
mod ways;

pub use ask::Protocol;
pub use fleets::{Fleets, Shared};
pub use live::{Filter, FleetView};
pub use policy::FleetSpec;
pub use primary::PrimaryAt;
pub use roster::{watch_claims, watch_pods};
pub use secrets::TlsSecrets;
pub use sight::Sight;
pub use snapshot::{Claim, PodFacts, Snapshot};
pub use trouble::Trouble;

pub(crate) use announce::{Announcement, set_reference};
pub(crate) use state::Intents;
