//! Which records of a batch go into which segment. Pure.

use std::ops::Range;

use crate::{
    position::Position,
    record::{HEADER, record_len},
};

/// Records that are written in one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// Length of the new segment that starts with these records; none: they go into the segment that is there.
    pub(crate) new_segment: Option<u32>,
    /// Which records of the batch.
    pub(crate) records: Range<usize>,
    /// Where each of them starts.
    pub(crate) at: Vec<Position>,
}

/// How a batch of payloads of these lengths continues a log that ends at `end`, in a segment of `capacity` bytes.
pub(crate) fn plan(end: Position, capacity: u32, segment_size: u32, lens: &[u32]) -> Vec<Run> {
    let mut runs = Vec::new();
    let (mut next, mut capacity) = (end, capacity);
    let mut run = Run { new_segment: None, records: 0..0, at: Vec::new() };
    for (index, len) in lens.iter().map(|len| record_len(*len)).enumerate() {
        if len > capacity.saturating_sub(next.offset) {
            capacity = segment_size.max(HEADER.saturating_add(len));
            next = Position::new(if is_without_segments(next) { 0 } else { next.segment + 1 }, HEADER);
            runs.push(std::mem::replace(&mut run, new_run(capacity, index)));
        }
        run.at.push(next);
        run.records.end = index + 1;
        next.offset += len;
    }
    runs.push(run);
    runs.retain(|run| !run.records.is_empty());
    runs
}

/// Whether the log has no segment yet.
fn is_without_segments(next: Position) -> bool {
    next == Position::ORIGIN
}

fn new_run(size: u32, first: usize) -> Run {
    Run { new_segment: Some(size), records: first..first, at: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(new_segment: Option<u32>, records: Range<usize>, at: &[(u32, u32)]) -> Run {
        let at = at.iter().map(|(segment, offset)| Position::new(*segment, *offset)).collect();
        Run { new_segment, records, at }
    }

    #[test]
    fn records_fill_a_segment_to_its_last_byte_and_then_roll() {
        let end = Position::new(2, 72);
        let planned = plan(end, 72 + 2 * 80, 1024, &[8, 8, 8]);
        assert_eq!(planned, [run(None, 0..2, &[(2, 72), (2, 152)]), run(Some(1024), 2..3, &[(3, 72)])]);
    }

    #[test]
    fn the_first_record_makes_the_first_segment() {
        assert_eq!(plan(Position::ORIGIN, 0, 1024, &[8]), [run(Some(1024), 0..1, &[(0, 72)])]);
    }

    #[test]
    fn a_record_larger_than_a_segment_gets_one_of_its_own_size() {
        let planned = plan(Position::new(0, 72), 1024, 1024, &[4096, 8]);
        let own = run(Some(72 + 72 + 4096), 0..1, &[(1, 72)]);
        assert_eq!(planned, [own, run(Some(1024), 1..2, &[(2, 72)])]);
    }
}
