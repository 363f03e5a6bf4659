//! How large a segment is. Pure.

const SMALLEST: u64 = 8 << 20;
const LARGEST: u64 = 256 << 20;

/// Bytes of a segment on a volume of so many bytes: a 64th of it, at least 8 MiB and at most 256 MiB.
pub(crate) fn segment_size(volume: u64) -> u32 {
    let size = (volume / 64).clamp(SMALLEST, LARGEST);
    u32::try_from(size).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::segment_size;

    #[test]
    fn a_segment_is_a_64th_of_its_volume_within_bounds() {
        let sizes = [0, 512 << 20, 1 << 30, 10 << 30, 1 << 40].map(segment_size);
        assert_eq!(sizes, [8 << 20, 8 << 20, 16 << 20, 160 << 20, 256 << 20]);
    }
}
