//! Large buffers that are read into again and again: to get one from the system anew costs about as much as to fill it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The shortest that is worth keeping; the allocator keeps what is shorter.
const SHORTEST: usize = 128 << 10;
/// Bytes that are kept at most.
const KEPT: usize = 16 << 20;

/// Where buffers are given back after use. A handle: clones share what they keep.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer of `len` bytes, with anything in it.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let Some((mut kept, at)) = self.position(len) else { return vec![0; len] };
        let mut buffer = kept.swap_remove(at);
        drop(kept);
        buffer.resize(len, 0);
        buffer
    }

    /// Where one is kept that is large enough, and not much larger.
    fn position(&self, len: usize) -> Option<(MutexGuard<'_, Vec<Vec<u8>>>, usize)> {
        if len < SHORTEST {
            return None;
        }
        let kept = self.kept();
        let fits = |buffer: &Vec<u8>| (len..=2 * len).contains(&buffer.capacity());
        let at = kept.iter().rposition(fits)?;
        Some((kept, at))
    }

    /// Takes back a buffer that nobody needs any more.
    pub fn give(&self, buffer: Vec<u8>) {
        let mut kept = self.kept();
        let held: usize = kept.iter().map(Vec::capacity).sum();
        if buffer.capacity() >= SHORTEST && held + buffer.capacity() <= KEPT {
            kept.push(buffer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(buffers: &Buffers) -> usize {
        buffers.kept().len()
    }

    #[test]
    fn a_buffer_is_used_again_where_it_fits() {
        let buffers = Buffers::default();
        buffers.give(vec![7; 2 * SHORTEST]);
        assert_eq!(buffers.take(2 * SHORTEST + 1).len(), 2 * SHORTEST + 1);
        assert_eq!(buffers.take(SHORTEST - 1).len(), SHORTEST - 1);
        assert_eq!(count(&buffers), 1, "neither took it");
        assert_eq!(buffers.take(SHORTEST), vec![7; SHORTEST], "as it was given, and shorter");
        assert_eq!(count(&buffers), 0);
        assert_eq!(buffers.take(SHORTEST), vec![0; SHORTEST]);
    }

    #[test]
    fn little_is_kept() {
        let buffers = Buffers::default();
        buffers.give(vec![0; SHORTEST - 1]);
        assert_eq!(count(&buffers), 0);
        (0..1000).for_each(|_| buffers.give(vec![0; 1 << 20]));
        assert_eq!(count(&buffers), 16);
        buffers.give(vec![0; SHORTEST]);
        assert_eq!(count(&buffers), 16);
    }
}
