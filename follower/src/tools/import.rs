//! `import`: adds the blocks and proofs of an export file, each block checked as if it came from an upstream.
//!
//! What is held is synced group by group, so that a process that is killed can be run again and goes on.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use serde::Serialize;
use tidemark_store::{
    BlockNumber,
    archive::{Head, Reader},
};

use super::{ToolError, Verdict, progress::Progress, report, store};
use crate::{
    cli::ImportArgs,
    sync::{Loaded, load},
};

const BUFFER: usize = 1 << 20;

/// What an import did.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: String,
    genesis: String,
    first: u32,
    last: Option<u32>,
    blocks_in_file: u32,
    proofs_in_file: u32,
    blocks_added: u32,
    proofs_added: u32,
    published: Option<u32>,
    proven: Option<u32>,
}

/// Imports.
pub(super) async fn run(args: &ImportArgs) -> Result<Verdict, ToolError> {
    let (file, len) = open(&args.file)?;
    let reader = Reader::open(BufReader::with_capacity(BUFFER, file))?;
    let head = reader.head().clone();
    let replica = store::open_writable(&args.tool.data_dir, args.volume_size, &head.chain.format)?;
    let progress = Progress::bytes(len);
    let loaded = load(reader, &replica, |bytes| progress.reached(bytes)).await?;
    drop(progress);
    let tips = replica.tips();
    let tips = (tips.published.map(BlockNumber::get), tips.proven.map(BlockNumber::get));
    report::write(&Report::new(&args.file, &head, loaded, tips), args.tool.output, false)?;
    Ok(Verdict::Sound)
}

/// The file, and its length if it has one.
fn open(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), ToolError> {
    if path.as_os_str() == "-" {
        return Ok((Box::new(io::stdin()), None));
    }
    let failed = |source| ToolError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let len = file.metadata().map_err(failed)?.len();
    Ok((Box::new(file), Some(len)))
}

impl Report {
    fn new(
        file: &Path,
        head: &Head,
        loaded: Loaded,
        (published, proven): (Option<u32>, Option<u32>),
    ) -> Self {
        Self {
            file: file.display().to_string(),
            format: head.chain.format.clone(),
            genesis: head.chain.genesis.to_string(),
            first: head.first.get(),
            last: head.last.map(BlockNumber::get),
            blocks_in_file: loaded.file.blocks,
            proofs_in_file: loaded.file.proofs,
            blocks_added: loaded.blocks,
            proofs_added: loaded.proofs,
            published,
            proven,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} chain of genesis {}", self.file, self.format, self.genesis)?;
        let (blocks, proofs) = (self.blocks_in_file, self.proofs_in_file);
        writeln!(
            f,
            "  {blocks} blocks and {proofs} proofs, from block {} on, whole and unaltered",
            self.first
        )?;
        writeln!(
            f,
            "  {} blocks and {} proofs were added, the others are held already",
            self.blocks_added, self.proofs_added
        )?;
        let (published, proven) = (report::or_none(self.published), report::or_none(self.proven));
        write!(f, "  the last block held is {published}, proven up to {proven}")
    }
}
