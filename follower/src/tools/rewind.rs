//! `rewind`: drops all blocks above a height; the store keeps them in `quarantine/` first, in an export file.

use std::{collections::BTreeSet, fmt, fs, path::PathBuf};

use serde::Serialize;
use tidemark_store::{BlockNumber, BlockStore as _};

use super::{ToolError, Verdict, report, store};
use crate::cli::RewindArgs;

/// What a rewind did.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    held_before: u32,
    held: u32,
    dropped: u32,
    quarantine: Vec<String>,
}

/// Rewinds.
pub(super) fn run(args: &RewindArgs) -> Result<Verdict, ToolError> {
    let dir = &args.tool.data_dir;
    let store = store::open_held(dir)?;
    let before = store.tips().durable.map_or(0, BlockNumber::get);
    let kept = quarantined(args)?;
    if args.to < before {
        store.truncate(args.to.into())?;
    }
    let held = store.tips().durable.map_or(0, BlockNumber::get);
    let quarantine = quarantined(args)?.difference(&kept).map(|path| path.display().to_string()).collect();
    let (directory, dropped) = (dir.display().to_string(), before - held);
    let report = Report { directory, held_before: before, held, dropped, quarantine };
    report::write(&report, args.tool.output, false)?;
    Ok(Verdict::Sound)
}

/// The files that are in quarantine.
fn quarantined(args: &RewindArgs) -> Result<BTreeSet<PathBuf>, ToolError> {
    let path = args.tool.data_dir.join("quarantine");
    if !path.is_dir() {
        return Ok(BTreeSet::new());
    }
    let failed = |source| ToolError::File { path: path.clone(), source };
    fs::read_dir(&path).map_err(failed)?.map(|entry| Ok(entry.map_err(failed)?.path())).collect()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: the last block is {}", self.directory, self.held)?;
        if self.dropped == 0 {
            return write!(f, ", as before");
        }
        write!(f, ", it was {}; {} blocks were dropped", self.held_before, self.dropped)?;
        self.quarantine.iter().try_for_each(|file| write!(f, "\n  import brings them back from {file}"))
    }
}
