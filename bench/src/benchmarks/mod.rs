//! The benchmarks, one a file. Their names and goals are fixed, so that figures can be compared over time.

mod catchup;
mod fanout;
#[cfg(feature = "miden")]
mod miden;
mod open;
mod serve;

use anyhow::Result;
use clap::ValueEnum;
use tidemark_report::Figure;

use crate::{bench::Bench, load::Kind};

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Name {
    /// Catching up on blocks of 16 KiB of the development chain.
    #[value(name = "catchup_native_16k")]
    CatchupNative16k,
    /// Catching up on blocks of 357 bytes that are not looked into.
    #[value(name = "catchup_opaque_357")]
    CatchupOpaque357,
    /// Catching up on the recorded Miden chain.
    #[cfg(feature = "miden")]
    CatchupMiden,
    /// Single blocks of 357 bytes, for each second of the server's CPU.
    #[value(name = "serve_unary_357")]
    ServeUnary357,
    /// Single blocks of 16 KiB.
    #[value(name = "serve_unary_16k")]
    ServeUnary16k,
    /// Single blocks of 1 MiB.
    #[value(name = "serve_unary_1m")]
    ServeUnary1m,
    /// Subscriptions to blocks of 16 KiB.
    #[value(name = "serve_stream_16k")]
    ServeStream16k,
    /// A block each second to 1,000 subscribers.
    #[value(name = "fanout_1000")]
    Fanout1000,
    /// Opening a store of ten million blocks.
    #[value(name = "open_10m")]
    Open10m,
}

impl Name {
    /// Measures; nothing of it is left on the disk.
    ///
    /// # Errors
    /// If something could not be measured; a goal that is missed is none.
    pub async fn run(self, bench: &Bench) -> Result<Vec<Figure>> {
        const KIB: usize = 1 << 10;
        let name = self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        match self {
            Self::CatchupNative16k => catchup::native(bench, &name, 16 * KIB).await,
            Self::CatchupOpaque357 => catchup::opaque(bench, &name, 357).await,
            #[cfg(feature = "miden")]
            Self::CatchupMiden => miden::run(bench, &name).await,
            Self::ServeUnary357 => serve::run(bench, &name, Kind::Unary, 357).await,
            Self::ServeUnary16k => serve::run(bench, &name, Kind::Unary, 16 * KIB).await,
            Self::ServeUnary1m => serve::run(bench, &name, Kind::Unary, KIB * KIB).await,
            Self::ServeStream16k => serve::run(bench, &name, Kind::Stream, 16 * KIB).await,
            Self::Fanout1000 => fanout::run(bench, &name).await,
            Self::Open10m => open::run(bench, &name).await,
        }
    }
}
