//! TLS by files, on both sides: read anew when they change, so that a rotated certificate needs no restart.
//!
//! New connections use the new files. Files that cannot be used change nothing but a metric and the log.

mod client;
mod error;
mod material;
mod reload;
mod server;

pub use self::{
    client::{ClientTls, UpstreamTlsArgs},
    error::TlsError,
    server::{ServerTls, TlsArgs},
};
