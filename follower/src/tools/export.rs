//! `export`: writes blocks and their proofs to an export file, from a data directory that is stopped or live.
//!
//! The file has its name only once it is whole and synced. A damaged record ends the export: no file is better than one
//! with a hole.

use std::{
    ffi::OsString,
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use tidemark_store::{
    BlockNumber, StoreReader,
    archive::{Head, Summary, Writer},
};

use super::{ToolError, Verdict, progress::Progress, report, store};
use crate::cli::ExportArgs;

const BUFFER: usize = 1 << 20;

/// What an export wrote.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    format: String,
    genesis: String,
    first: u32,
    last: u32,
    blocks: u32,
    proofs: u32,
    bytes: u64,
    hash: String,
}

/// Exports.
pub(super) fn run(args: &ExportArgs) -> Result<Verdict, ToolError> {
    let (reader, chain, tip) = store::open_readable(&args.tool.data_dir)?;
    let (from, to) = (BlockNumber::new(args.from), args.to.map_or(tip, BlockNumber::new));
    if from > to || to > tip {
        return Err(ToolError::NotHeld { from, to, tip });
    }
    let head = Head { chain, first: from, last: Some(to) };
    let to_stdout = args.file.as_os_str() == "-";
    let summary = if to_stdout {
        write(&reader, &head, io::stdout().lock(), to)?.1
    } else {
        write_file(&reader, &head, &args.file, to)?
    };
    report::write(&Report::new(&args.file, &head, to, &summary), args.tool.output, to_stdout)?;
    Ok(Verdict::Sound)
}

fn write<W: Write>(
    reader: &StoreReader,
    head: &Head,
    out: W,
    to: BlockNumber,
) -> Result<(W, Summary), ToolError> {
    let mut writer = Writer::begin(BufWriter::with_capacity(BUFFER, out), head)?;
    let progress = Progress::blocks(u64::from(to.get() - head.first.get()) + 1);
    for number in (head.first.get()..=to.get()).map(BlockNumber::new) {
        let block = reader.block(number)?.ok_or(ToolError::CutMeanwhile { number })?;
        writer.block(number, &block)?;
        if let Some(proof) = reader.proof(number)? {
            writer.proof(number, &proof)?;
        }
        progress.add(1);
    }
    if !reader.is_of_one_chain(to)? {
        return Err(ToolError::CutMeanwhile { number: to });
    }
    let (out, summary) = writer.finish()?;
    let out = out.into_inner().map_err(|error| ToolError::Report(error.into_error()))?;
    Ok((out, summary))
}

/// Writes beside the file, syncs, and gives the name.
fn write_file(reader: &StoreReader, head: &Head, path: &Path, to: BlockNumber) -> Result<Summary, ToolError> {
    let unfinished = unfinished(path);
    let written = write_unfinished(reader, head, path, &unfinished, to);
    if written.is_err() {
        drop(fs::remove_file(&unfinished));
    }
    written
}

fn write_unfinished(
    reader: &StoreReader,
    head: &Head,
    path: &Path,
    unfinished: &Path,
    to: BlockNumber,
) -> Result<Summary, ToolError> {
    let failed = |source| ToolError::File { path: path.to_owned(), source };
    let file = File::create(unfinished).map_err(failed)?;
    let (file, summary) = write(reader, head, file, to)?;
    file.sync_all().map_err(failed)?;
    fs::rename(unfinished, path).map_err(failed)?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
    Ok(summary)
}

fn unfinished(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    name.into()
}

impl Report {
    fn new(file: &Path, head: &Head, last: BlockNumber, summary: &Summary) -> Self {
        Self {
            file: file.display().to_string(),
            format: head.chain.format.clone(),
            genesis: head.chain.genesis.to_string(),
            first: head.first.get(),
            last: last.get(),
            blocks: summary.blocks,
            proofs: summary.proofs,
            bytes: summary.bytes,
            hash: hex::encode(summary.hash),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} chain of genesis {}", self.file, self.format, self.genesis)?;
        writeln!(f, "  blocks {} to {}, with {} proofs", self.first, self.last, self.proofs)?;
        write!(f, "  {} bytes, BLAKE3 {}", self.bytes, self.hash)
    }
}
