//! `migrate`: verifies a directory of an earlier format version, and with `--commit` makes it one of this release.
//!
//! Until it is committed, the directory stays of use to the release before; interrupted, it goes on where it was.

use std::fmt;

use serde::Serialize;
use tidemark_store::{BlockNumber, FORMAT_VERSION, Migration, StoreError, StoreReader};

use super::{ToolError, Verdict, damage::Damage, progress::Progress, report};
use crate::cli::MigrateArgs;

/// How much is verified before progress is made durable.
const STEP: u64 = 64 << 20;

/// What a migration did.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    version_before: u32,
    version: u32,
    blocks: u32,
    /// Found by this run.
    damage: Vec<Damage>,
    /// Every damaged block, found by earlier runs too.
    damaged_blocks: Vec<u32>,
    committed: bool,
}

/// Migrates.
pub(super) fn run(args: &MigrateArgs) -> Result<Verdict, ToolError> {
    let version = StoreReader::open(&args.tool.data_dir)?.version();
    let (blocks, damage, damaged_blocks) = match Migration::open(&args.tool.data_dir) {
        Err(StoreError::NothingToMigrate { .. }) => (0, Vec::new(), Vec::new()),
        migration => migrate(migration?, args.commit)?,
    };
    let report = Report {
        directory: args.tool.data_dir.display().to_string(),
        version_before: version,
        version: if args.commit { FORMAT_VERSION } else { version },
        blocks,
        committed: args.commit || version == FORMAT_VERSION,
        damage,
        damaged_blocks,
    };
    report::write(&report, args.tool.output, false)?;
    Ok(if report.damage.is_empty() && report.damaged_blocks.is_empty() {
        Verdict::Sound
    } else {
        Verdict::Damaged
    })
}

/// How many blocks there are, what this run found damaged, and the blocks that any run did.
fn migrate(mut migration: Migration, commit: bool) -> Result<(u32, Vec<Damage>, Vec<u32>), ToolError> {
    let mut progress: Option<Progress> = None;
    let mut damage = Vec::new();
    loop {
        let step = migration.step(STEP)?;
        damage.extend(step.findings.iter().map(Damage::from));
        progress.get_or_insert_with(|| Progress::blocks(step.blocks.into())).reached(step.verified.into());
        if step.is_done() {
            let damaged = migration.damaged().into_iter().map(BlockNumber::get).collect();
            if commit {
                migration.commit()?;
            }
            return Ok((step.blocks, damage, damaged));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.version_before == FORMAT_VERSION {
            return write!(f, "{}: of format version {FORMAT_VERSION} already", self.directory);
        }
        self.damage.iter().try_for_each(|damage| writeln!(f, "  damaged: {damage}"))?;
        if !self.damaged_blocks.is_empty() {
            writeln!(f, "  damaged blocks: {:?}", self.damaged_blocks)?;
        }
        write!(f, "{}: {} blocks were verified; ", self.directory, self.blocks)?;
        if self.committed {
            write!(f, "it is of format version {FORMAT_VERSION} now, which the release before does not read")
        } else {
            write!(f, "it stays of version {} until the same command is given with --commit", self.version)
        }
    }
}
