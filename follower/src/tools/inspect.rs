//! `inspect`: says what a data directory holds, stopped or live.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use tidemark_store::{
    BlockNumber, Location, Segment, StoreError, StoreReader,
    io::{Disk as _, RealDisk},
};

use super::{ToolError, Verdict, report, store};
use crate::cli::InspectArgs;

/// What a directory holds.
#[derive(Debug, Serialize)]
struct Report {
    directory: String,
    version: u32,
    format: String,
    genesis: String,
    /// The last block held.
    last: u32,
    published: Option<u32>,
    damaged: Vec<u32>,
    proven: Option<u32>,
    file_system_bytes: u64,
    free_bytes: u64,
    block_segments: Vec<File>,
    proof_segments: Vec<File>,
    quarantine: Vec<File>,
    block: Option<Block>,
}

/// A file, with the blocks it is of where that is known.
#[derive(Debug, Serialize)]
struct File {
    name: String,
    bytes: u64,
    first: Option<u32>,
    last: Option<u32>,
}

/// One block.
#[derive(Debug, Serialize)]
struct Block {
    number: u32,
    hash: Option<String>,
    record: Record,
    proof: Record,
}

/// Where a record lies, and what is wrong with it.
#[derive(Debug, Default, Serialize)]
struct Record {
    file: Option<String>,
    offset: Option<u64>,
    len: Option<u32>,
    damage: Option<String>,
}

/// Inspects.
pub(super) fn run(args: &InspectArgs) -> Result<Verdict, ToolError> {
    let dir = &args.tool.data_dir;
    let (reader, chain, tip) = store::open_readable(dir)?;
    let (blocks, proofs) = reader.segments()?;
    let disk = RealDisk::read_only(dir);
    let measured = |source| ToolError::File { path: dir.clone(), source };
    let block = args.block.map(|number| block(&reader, number.into(), tip)).transpose()?;
    let report = Report {
        directory: dir.display().to_string(),
        version: reader.version(),
        format: chain.format,
        genesis: chain.genesis.to_string(),
        last: tip.get(),
        published: reader.tips().published.map(BlockNumber::get),
        damaged: reader.damaged().into_iter().map(BlockNumber::get).collect(),
        proven: reader.tips().proven.map(BlockNumber::get),
        file_system_bytes: disk.volume().map_err(measured)?,
        free_bytes: store::free_bytes(dir)?,
        block_segments: files(&blocks, tip),
        proof_segments: files(&proofs, tip),
        quarantine: quarantine(dir)?,
        block,
    };
    report::write(&report, args.tool.output, false)?;
    let damaged = report.block.as_ref().is_some_and(Block::is_damaged);
    Ok(if damaged { Verdict::Damaged } else { Verdict::Sound })
}

/// Each segment ends before the first block of the next.
fn files(segments: &[Segment], tip: BlockNumber) -> Vec<File> {
    let ends = segments.iter().skip(1).map(|next| next.first.map(|first| first.get().saturating_sub(1)));
    let last = |segment: &Segment, end: Option<u32>| {
        end.map(|end| end.max(segment.first.map_or(0, BlockNumber::get)))
    };
    let ends = ends.chain([Some(tip.get())]);
    let file = |(segment, end): (&Segment, Option<u32>)| File {
        name: name(&segment.path),
        bytes: segment.bytes,
        first: segment.first.map(BlockNumber::get),
        last: last(segment, end),
    };
    segments.iter().zip(ends).map(file).collect()
}

/// What was dropped from the chain and kept.
fn quarantine(dir: &Path) -> Result<Vec<File>, ToolError> {
    let path = dir.join("quarantine");
    if !path.is_dir() {
        return Ok(Vec::new());
    }
    let failed = |source| ToolError::File { path: path.clone(), source };
    let mut files = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let bytes = entry.metadata().map_err(failed)?.len();
        files.push(File { name: name(&entry.path()), bytes, first: None, last: None });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn block(reader: &StoreReader, number: BlockNumber, tip: BlockNumber) -> Result<Block, ToolError> {
    if number > tip {
        return Err(ToolError::NotHeld { from: number, to: number, tip });
    }
    let hash = damage_apart(reader.hash_at(number))?.0.flatten();
    let record = Record::new(reader.locate(number), reader.block(number).map(|_| ()))?;
    let proof = Record::new(reader.locate_proof(number), reader.proof(number).map(|_| ()))?;
    Ok(Block { number: number.get(), hash: hash.map(|hash| hash.to_string()), record, proof })
}

/// Damage is something to report; any other error ends the command.
fn damage_apart<T>(read: Result<T, StoreError>) -> Result<(Option<T>, Option<String>), ToolError> {
    match read {
        Ok(read) => Ok((Some(read), None)),
        Err(error) if error.is_damage() => Ok((None, Some(error.to_string()))),
        Err(error) => Err(error.into()),
    }
}

impl Record {
    fn new(
        at: Result<Option<Location>, StoreError>,
        read: Result<(), StoreError>,
    ) -> Result<Self, ToolError> {
        let (at, unknown) = damage_apart(at)?;
        let (_, damage) = damage_apart(read)?;
        let (at, damage) = (at.flatten(), damage.or(unknown));
        let file = at.as_ref().map(|at| name(&at.path));
        Ok(Self { file, offset: at.as_ref().map(|at| at.offset), len: at.map(|at| at.len), damage })
    }
}

impl Block {
    fn is_damaged(&self) -> bool {
        self.record.damage.is_some() || self.proof.damage.is_some()
    }
}

fn name(path: &Path) -> String {
    path.file_name().map(PathBuf::from).unwrap_or_default().display().to_string()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {} chain of genesis {}", self.directory, self.format, self.genesis)?;
        writeln!(f, "  format version {}", self.version)?;
        writeln!(f, "  blocks 0 to {}, proven up to {}", self.last, report::or_none(self.proven))?;
        if let Some(first) = self.damaged.first() {
            let published = report::or_none(self.published);
            let count = self.damaged.len();
            writeln!(
                f,
                "  damaged are {count} blocks from block {first} on, so that {published} is the published tip"
            )?;
        }
        write!(f, "  {} of {} bytes of the file system are free", self.free_bytes, self.file_system_bytes)?;
        for files in [&self.block_segments, &self.proof_segments, &self.quarantine] {
            files.iter().try_for_each(|file| write!(f, "\n  {file}"))?;
        }
        self.block.iter().try_for_each(|block| write!(f, "\n{block}"))
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes", self.name, self.bytes)?;
        match (self.first, self.last) {
            (Some(first), Some(last)) => write!(f, ", from block {first} to {last}"),
            (Some(first), None) => write!(f, ", from block {first} on"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = self.hash.as_deref().unwrap_or("unknown");
        writeln!(f, "block {}: BLAKE3 {hash}", self.number)?;
        writeln!(f, "  block: {}", self.record)?;
        write!(f, "  proof: {}", self.proof)
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.offset, self.len) {
            (Some(file), Some(offset), Some(len)) => write!(f, "{len} bytes in {file} at byte {offset}")?,
            _ if self.damage.is_none() => write!(f, "none")?,
            _ => write!(f, "its place is not known")?,
        }
        self.damage.iter().try_for_each(|damage| write!(f, "; {damage}"))
    }
}
