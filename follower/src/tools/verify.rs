//! `verify`: reads every record of a data directory, stopped or live, and names each one that is damaged.
//!
//! Checked are each record's place, header and bytes, the index entries against the log, the owner of each proof, the
//! heads of segments, and the chain by its format's own rules.

use std::fmt;

use serde::Serialize;
use tidemark_store::{BlockNumber, Metadata, Part, StoreReader};

use super::{ToolError, Verdict, damage::Damage, progress::Progress, report, store};
use crate::{
    cli::VerifyArgs,
    format::{ChainCheck, Format, FormatError},
};

/// How much is checked at a time.
const STEP: u64 = 16 << 20;

/// What verifying found.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    format: String,
    genesis: String,
    blocks: u64,
    proven: Option<u32>,
    bytes: u64,
    damage: Vec<Damage>,
    sound: bool,
}

/// Verifies.
pub(super) fn run(args: &VerifyArgs) -> Result<Verdict, ToolError> {
    let (reader, chain, tip) = store::open_readable(&args.tool.data_dir)?;
    let format = store::named(&chain.format)?;
    let progress = Progress::blocks(u64::from(tip.get()) + 1);
    let mut check =
        Check { reader: &reader, chain: Chain::open(&*format, &chain), damage: Vec::new(), bytes: 0 };
    let mut from = Some(BlockNumber::GENESIS).filter(|_| tip.get() < u32::MAX);
    while let Some(first) = from {
        from = check.step(first, tip)?;
        progress.reached(from.map_or(u64::from(tip.get()) + 1, |next| next.get().into()));
    }
    drop(progress);
    let Check { damage, bytes, .. } = check;
    let report = Report {
        directory: args.tool.data_dir.display().to_string(),
        format: chain.format,
        genesis: chain.genesis.to_string(),
        blocks: u64::from(tip.get()) + 1,
        proven: reader.tips().proven.map(BlockNumber::get),
        bytes,
        sound: damage.is_empty(),
        damage,
    };
    report::write(&report, args.tool.output, false)?;
    Ok(if report.sound { Verdict::Sound } else { Verdict::Damaged })
}

struct Check<'a> {
    reader: &'a StoreReader,
    chain: Chain<'a>,
    damage: Vec<Damage>,
    bytes: u64,
}

impl Check<'_> {
    /// Checks some blocks from `first` on; gives the one to go on with.
    fn step(&mut self, first: BlockNumber, tip: BlockNumber) -> Result<Option<BlockNumber>, ToolError> {
        let checked = self.reader.verify(first, STEP)?;
        self.bytes += checked.bytes;
        let next = checked.next.filter(|next| *next <= tip);
        let last = next.map_or(tip.get(), |next| next.get() - 1);
        for number in (first.get()..=last).map(BlockNumber::new) {
            let of_block = checked.findings.iter().filter(|finding| finding.number == number);
            let lost = of_block.clone().any(|finding| finding.part == Part::Block);
            self.damage.extend(of_block.map(Damage::from));
            self.follow(number, lost)?;
        }
        Ok(next)
    }

    /// Checks that the block follows the one before, unless its bytes are lost.
    fn follow(&mut self, number: BlockNumber, lost: bool) -> Result<(), ToolError> {
        if lost {
            self.chain.skip();
            return Ok(());
        }
        let block = self.reader.block(number)?.ok_or(ToolError::CutMeanwhile { number })?;
        if let Err(error) = self.chain.check(number, &block) {
            if !self.reader.is_of_one_chain(number)? {
                return Err(ToolError::CutMeanwhile { number });
            }
            let at = self.reader.locate(number)?;
            self.damage.push(Damage {
                what: "chain",
                number: number.get(),
                file: at.as_ref().map(|at| at.path.display().to_string()).unwrap_or_default(),
                offset: at.map_or(0, |at| at.offset),
                detail: error.to_string(),
            });
        }
        Ok(())
    }
}

/// The chain as far as it was followed; taken up again behind a block that is lost or does not follow.
struct Chain<'a> {
    format: &'a dyn Format,
    metadata: &'a Metadata,
    check: Option<Box<dyn ChainCheck>>,
    is_begun: bool,
}

impl<'a> Chain<'a> {
    fn open(format: &'a dyn Format, metadata: &'a Metadata) -> Self {
        Self { format, metadata, check: None, is_begun: false }
    }

    fn skip(&mut self) {
        (self.check, self.is_begun) = (None, true);
    }

    fn check(&mut self, number: BlockNumber, block: &[u8]) -> Result<(), FormatError> {
        if !self.is_begun {
            (self.check, self.is_begun) = (Some(self.format.open(self.metadata.genesis, None)?), true);
        }
        let followed = self.check.as_mut().map_or(Ok(()), |check| check.check(block).map(|_| ()));
        if self.check.is_none() || followed.is_err() {
            self.check = self.format.open(self.metadata.genesis, Some((number, block))).ok();
        }
        followed
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} chain of genesis {}", self.directory, self.format, self.genesis)?;
        for damage in &self.damage {
            writeln!(f, "  damaged: {damage}")?;
        }
        let (blocks, bytes, proven) = (self.blocks, self.bytes, report::or_none(self.proven));
        writeln!(f, "  {blocks} blocks, proven up to {proven}, {bytes} bytes of records were read")?;
        match self.damage.len() {
            0 => write!(f, "sound"),
            count => write!(f, "{count} damaged"),
        }
    }
}
