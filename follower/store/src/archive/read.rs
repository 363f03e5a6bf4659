//! Reads an export file as a stream, and refuses it where it is not as it was written.
//!
//! Nothing is given out before its check holds, and nothing is allocated for a length before the bytes are there.

use std::io::{self, Read};

use super::{
    ArchiveError, Head, Part, Record, Summary,
    layout::{
        CHECK, HEAD, MAGIC, MAX_PAYLOAD, Next, Order, START, Sum, VERSION, decode_head, decode_next, version,
    },
};
use crate::BlockNumber;

/// Reads one export file.
pub struct Reader<R> {
    file: R,
    head: Head,
    sum: Sum,
    order: Order,
    max: u32,
    blocks: u32,
    proofs: u32,
    summary: Option<Summary>,
}

impl<R: Read> Reader<R> {
    /// Reads the head; `file` should be buffered.
    ///
    /// # Errors
    /// `NoArchive`, `UnknownVersion`, or why the file is refused.
    pub fn open(mut file: R) -> Result<Self, ArchiveError> {
        let mut sum = Sum::default();
        let bytes: [u8; HEAD] = take(&mut file, &mut sum)?;
        if !bytes.starts_with(MAGIC) {
            return Err(ArchiveError::NoArchive);
        }
        if version(&bytes) != VERSION {
            return Err(ArchiveError::UnknownVersion { found: version(&bytes), known: VERSION });
        }
        check(&mut file, &mut sum, 0, "the head does not match its check")?;
        let head = decode_head(&bytes)?;
        let order = Order::default();
        Ok(Self { file, head, sum, order, max: MAX_PAYLOAD, blocks: 0, proofs: 0, summary: None })
    }

    /// Refuses records longer than `max` bytes as `TooLarge`.
    #[must_use]
    pub fn at_most(self, max: u32) -> Self {
        Self { max: max.min(MAX_PAYLOAD), ..self }
    }

    /// What the file is of.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// How many bytes were read so far.
    pub fn bytes(&self) -> u64 {
        self.sum.bytes
    }

    /// What the file holds, once its end was reached.
    pub fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    /// The next record; none once the end was reached, which vouches for the whole file.
    ///
    /// # Errors
    /// Why the file is refused, naming the byte. Records given out before are as they were written.
    pub fn record(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        let offset = self.sum.bytes;
        let start: [u8; START] = take(&mut self.file, &mut self.sum)?;
        match decode_next(&start) {
            Some(Next::Record { part, number, len }) => self.rest(offset, part, number, len).map(Some),
            Some(Next::End { blocks, proofs }) => self.end(offset, blocks, proofs).map(|()| None),
            None => Err(altered(offset, "neither a record nor the end starts there")),
        }
    }

    fn rest(
        &mut self,
        offset: u64,
        part: Part,
        number: BlockNumber,
        len: u32,
    ) -> Result<Record, ArchiveError> {
        check(&mut self.file, &mut self.sum, offset, "the start of the record does not match its check")?;
        if len > self.max {
            return Err(ArchiveError::TooLarge { offset, len: len.into(), max: self.max });
        }
        if !self.order.admits(&self.head, number, part) {
            return Err(altered(offset, &format!("block {number} has no place there")));
        }
        let bytes = take_long(&mut self.file, &mut self.sum, len)?;
        check(&mut self.file, &mut self.sum, offset, "the record does not match its check")?;
        match part {
            Part::Block => self.blocks += 1,
            Part::Proof => self.proofs += 1,
        }
        Ok(Record { part, number, bytes })
    }

    fn end(&mut self, offset: u64, blocks: u32, proofs: u32) -> Result<(), ArchiveError> {
        let hash = self.sum.hash();
        let named: [u8; 32] = take(&mut self.file, &mut self.sum)?;
        if named != hash {
            return Err(altered(offset, "the end does not match what comes before"));
        }
        if (blocks, proofs) != (self.blocks, self.proofs) {
            return Err(altered(offset, "the end counts other records than there are"));
        }
        let bytes = self.sum.bytes;
        match take::<1>(&mut self.file, &mut self.sum) {
            Err(ArchiveError::Cut { .. }) => {}
            other => return other.and(Err(altered(bytes, "bytes follow the end"))),
        }
        self.summary = Some(Summary { blocks, proofs, bytes, hash });
        Ok(())
    }
}

/// Compares the check that comes next with the sum of what came before.
fn check(file: &mut impl Read, sum: &mut Sum, offset: u64, detail: &str) -> Result<(), ArchiveError> {
    let expected = sum.check();
    let found: [u8; CHECK] = take(file, sum)?;
    if found == expected { Ok(()) } else { Err(altered(offset, detail)) }
}

fn take<const N: usize>(file: &mut impl Read, sum: &mut Sum) -> Result<[u8; N], ArchiveError> {
    let mut bytes = [0; N];
    let mut have = 0;
    while have < N {
        match file.read(&mut bytes[have..]) {
            Ok(0) => return Err(ArchiveError::Cut { offset: sum.bytes + have as u64 }),
            Ok(more) => have += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ArchiveError::Io { offset: sum.bytes, source }),
        }
    }
    sum.add(&bytes);
    Ok(bytes)
}

/// Memory grows with what is read, whatever `len` claims.
fn take_long(file: &mut impl Read, sum: &mut Sum, len: u32) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    let read = file.take(len.into()).read_to_end(&mut bytes);
    read.map_err(|source| ArchiveError::Io { offset: sum.bytes, source })?;
    if bytes.len() < len as usize {
        return Err(ArchiveError::Cut { offset: sum.bytes + bytes.len() as u64 });
    }
    sum.add(&bytes);
    Ok(bytes)
}

fn altered(offset: u64, detail: &str) -> ArchiveError {
    ArchiveError::Altered { offset, detail: detail.to_owned() }
}
