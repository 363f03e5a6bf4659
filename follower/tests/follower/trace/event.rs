//! What of a trace matters: records that were written, syncs that returned, names that were made, and what clients saw. Pure.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use super::{
    call::Call,
    http2::{Claim, Connection},
};

/// Something that happened, at a line of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A write returned, with the blocks and proofs whose records it began.
    Wrote { at: usize, path: PathBuf, blocks: Vec<u32>, proofs: Vec<u32> },
    /// A sync of a file or directory returned, which covers what had returned when it began.
    Synced { at: usize, began: usize, path: PathBuf },
    /// A file was made.
    Made { at: usize, path: PathBuf },
    /// A file was renamed.
    Renamed { at: usize, from: PathBuf, to: PathBuf },
    /// A client is being told of a block, or that all up to it are there.
    SawBlock { at: usize, number: u32 },
    /// A client is being told that all proofs up to this one are there.
    SawProofs { at: usize, up_to: u32 },
    /// A client is being given the proof of this one block.
    SawProof { at: usize, number: u32 },
}

/// The events in `dir` and on the connections of the server at `rpc`, in the order in which they took effect: what was
/// done when the call returned, what was shown when it began.
pub(super) fn events(calls: &[Call<'_>], dir: &Path, rpc: &str) -> Vec<Event> {
    let server = format!("TCP:[{rpc}->");
    let mut connections: HashMap<String, Connection> = HashMap::new();
    let mut sends: Vec<&Call<'_>> = calls.iter().filter(|call| is_send(call, &server)).collect();
    sends.sort_by_key(|call| call.began);
    let mut events: Vec<(usize, Event)> = Vec::new();
    for call in sends {
        let connection = connections.entry(call.descriptor().unwrap_or_default()).or_default();
        let mut bytes = call.strings().concat();
        bytes.truncate(usize::try_from(call.result).unwrap_or(0));
        let claims = connection.sent(&bytes, usize::try_from(call.result).unwrap_or(0));
        events.extend(claims.into_iter().map(|claim| (call.began, seen(claim, call.began))));
    }
    events.extend(calls.iter().filter_map(|call| Some((call.ended, on_disk(call, dir)?))));
    events.sort_by_key(|(at, _)| *at);
    events.into_iter().map(|(_, event)| event).collect()
}

fn is_send(call: &Call<'_>, server: &str) -> bool {
    matches!(call.name, "write" | "writev" | "sendto" | "sendmsg")
        && call.descriptor().is_some_and(|descriptor| descriptor.starts_with(server))
}

fn seen(claim: Claim, at: usize) -> Event {
    match claim {
        Claim::Block(number) => Event::SawBlock { at, number },
        Claim::Proof(number) => Event::SawProof { at, number },
        Claim::Proofs(up_to) => Event::SawProofs { at, up_to },
    }
}

fn on_disk(call: &Call<'_>, dir: &Path) -> Option<Event> {
    let at = call.ended;
    if call.result < 0 {
        return None;
    }
    let descriptor = || call.descriptor().map(PathBuf::from).filter(|path| path.starts_with(dir));
    let string = |index: usize| {
        let strings = call.strings();
        let path = String::from_utf8_lossy(strings.get(index)?).into_owned();
        Some(PathBuf::from(path)).filter(|path| path.starts_with(dir))
    };
    match call.name {
        "pwrite64" | "pwritev" | "write" | "writev" => {
            let (path, bytes) = (descriptor()?, call.strings().concat());
            let (blocks, proofs) = records(&bytes);
            Some(Event::Wrote { at, path, blocks, proofs })
        }
        "fdatasync" | "fsync" => Some(Event::Synced { at, began: call.began, path: descriptor()? }),
        "openat" | "creat" if call.name == "creat" || call.args.contains("O_CREAT") => {
            Some(Event::Made { at, path: string(0)? })
        }
        "rename" | "renameat" | "renameat2" => Some(Event::Renamed { at, from: string(0)?, to: string(1)? }),
        _ => None,
    }
}

/// The numbers of blocks and proofs whose records start in these bytes, one behind the other.
fn records(mut bytes: &[u8]) -> (Vec<u32>, Vec<u32>) {
    const HEADER: usize = 72;
    let (mut blocks, mut proofs) = (Vec::new(), Vec::new());
    while let Some(header) = bytes.first_chunk::<12>() {
        let word =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        match &header[..4] {
            b"TMb1" => blocks.push(word(4)),
            b"TMp1" => proofs.push(word(4)),
            _ => break,
        }
        let len = (HEADER + word(8) as usize).next_multiple_of(8);
        bytes = bytes.get(len..).unwrap_or_default();
    }
    (blocks, proofs)
}
