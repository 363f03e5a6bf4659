//! Writes an export file as a stream: nothing but one record is held in memory.

use std::io::{self, Write};

use super::{
    ArchiveError, Head, Part, Summary,
    layout::{MAX_PAYLOAD, Order, Sum, encode_end, encode_head, encode_start},
};
use crate::BlockNumber;

/// Writes one export file.
pub struct Writer<W> {
    out: W,
    head: Head,
    sum: Sum,
    order: Order,
    blocks: u32,
    proofs: u32,
}

impl<W: Write> Writer<W> {
    /// Begins a file; `out` should be buffered.
    ///
    /// # Errors
    /// `BadName` when the format's name does not fit; `Io`.
    pub fn begin(out: W, head: &Head) -> Result<Self, ArchiveError> {
        let bytes = encode_head(head)?;
        let (sum, order) = (Sum::default(), Order::default());
        let mut writer = Self { out, head: head.clone(), sum, order, blocks: 0, proofs: 0 };
        writer.put_checked(&bytes)?;
        Ok(writer)
    }

    /// Adds a block, whose number is higher than that of every record before.
    ///
    /// # Errors
    /// `OutOfOrder`, `TooLarge`, after which nothing was written; `Io`.
    pub fn block(&mut self, number: BlockNumber, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.record(Part::Block, number, bytes)?;
        self.blocks += 1;
        Ok(())
    }

    /// Adds the proof of the block added last, or of a higher one.
    ///
    /// # Errors
    /// As those of [`Writer::block`].
    pub fn proof(&mut self, number: BlockNumber, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.record(Part::Proof, number, bytes)?;
        self.proofs += 1;
        Ok(())
    }

    /// Ends the file and flushes it; making it durable is up to the caller.
    ///
    /// # Errors
    /// `Io`.
    pub fn finish(mut self) -> Result<(W, Summary), ArchiveError> {
        self.put(&encode_end(self.blocks, self.proofs))?;
        let hash = self.sum.hash();
        self.put(&hash)?;
        self.out.flush().map_err(|source| self.failed(source))?;
        let Self { out, sum, blocks, proofs, .. } = self;
        Ok((out, Summary { blocks, proofs, bytes: sum.bytes, hash }))
    }

    /// How many bytes were written so far.
    pub fn bytes(&self) -> u64 {
        self.sum.bytes
    }

    fn record(&mut self, part: Part, number: BlockNumber, bytes: &[u8]) -> Result<(), ArchiveError> {
        let (offset, max) = (self.sum.bytes, MAX_PAYLOAD);
        let len = u32::try_from(bytes.len()).ok().filter(|len| *len <= max);
        let len = len.ok_or(ArchiveError::TooLarge { offset, len: bytes.len() as u64, max })?;
        if !self.order.admits(&self.head, number, part) {
            return Err(ArchiveError::OutOfOrder { number });
        }
        self.put_checked(&encode_start(part, number, len))?;
        self.put_checked(bytes)
    }

    fn put_checked(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.put(bytes)?;
        let check = self.sum.check();
        self.put(&check)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.out.write_all(bytes).map_err(|source| self.failed(source))?;
        self.sum.add(bytes);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> ArchiveError {
        ArchiveError::Io { offset: self.sum.bytes, source }
    }
}
