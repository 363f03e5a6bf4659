//! How much room the volume has left, and for how long. Deciding is pure; one task measures.

use std::{
    collections::VecDeque,
    io,
    os::unix::fs::MetadataExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::statvfs;
use tokio::{task::spawn_blocking, time::sleep};

use crate::replica::Replica;

/// Between two measurements.
const EVERY: Duration = Duration::from_secs(10);
/// Growth is judged over this long: long enough for a burst of blocks not to cry wolf.
const WINDOW: Duration = Duration::from_secs(6 * 60 * 60);
/// Nothing is said of growth before this long.
const SHORTEST: Duration = Duration::from_secs(60);
/// Samples that are kept at most: one each `WINDOW / SAMPLES`.
const SAMPLES: u32 = 360;
const DAY: f64 = 24.0 * 60.0 * 60.0;

/// How many bytes a store may use, and how many of them are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) free: u64,
    pub(crate) size: u64,
}

/// Bytes stored over time.
#[derive(Debug, Default)]
struct Growth {
    samples: VecDeque<(Instant, u64)>,
}

impl Growth {
    /// Takes the bytes stored so far; says for how many days `free` bytes last, if that can be said.
    fn observe(&mut self, now: Instant, stored: u64, free: u64) -> Option<f64> {
        let days = self.samples.front().and_then(|first| days(*first, (now, stored), free));
        let due = self.samples.back().is_none_or(|(last, _)| now.duration_since(*last) >= WINDOW / SAMPLES);
        if due {
            self.samples.push_back((now, stored));
        }
        while self.samples.front().is_some_and(|(first, _)| now.duration_since(*first) > WINDOW) {
            self.samples.pop_front();
        }
        days
    }
}

fn days(first: (Instant, u64), last: (Instant, u64), free: u64) -> Option<f64> {
    let (elapsed, grown) = (last.0.duration_since(first.0), last.1.saturating_sub(first.1));
    if elapsed < SHORTEST || grown == 0 {
        return None;
    }
    let rate = grown as f64 / elapsed.as_secs_f64();
    Some(free as f64 / rate / DAY)
}

/// The room on a file system of `total` bytes, of which `available` are left, for a store that has `used` of the `volume`
/// it may use.
fn room(total: u64, available: u64, volume: Option<u64>, used: u64) -> Room {
    Room {
        free: volume.map_or(available, |volume| volume.saturating_sub(used).min(available)),
        size: volume.map_or(total, |volume| volume.min(total)),
    }
}

/// Keeps the metrics of the volume up to date, for as long as it is polled.
pub(crate) async fn watch(replica: Arc<Replica>, dir: std::path::PathBuf, volume: Option<u64>) {
    let mut growth = Growth::default();
    loop {
        let at = dir.clone();
        match spawn_blocking(move || measure(&at, volume)).await {
            Ok(Ok(room)) => {
                let days = growth.observe(Instant::now(), replica.metrics.stored_bytes(), room.free);
                replica.metrics.room(room, days);
            }
            Ok(Err(error)) => tracing::warn!(dir = %dir.display(), "cannot measure the volume: {error}"),
            Err(_) => return,
        }
        sleep(EVERY).await;
    }
}

fn measure(dir: &Path, volume: Option<u64>) -> io::Result<Room> {
    let system = statvfs(dir)?;
    let used = if volume.is_some() { used(dir)? } else { 0 };
    let bytes = |blocks: u64| blocks.saturating_mul(system.f_frsize);
    Ok(room(bytes(system.f_blocks), bytes(system.f_bavail), volume, used))
}

/// Bytes that the directory's files really have.
fn used(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in dir.read_dir()? {
        let entry = entry?;
        bytes += match entry.metadata() {
            Ok(found) if found.is_dir() => used(&entry.path())?,
            Ok(found) => found.blocks() * 512,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn room_lasts_as_long_as_the_growth_of_the_last_hours_allows() {
        let start = Instant::now();
        let hour = |hours: u64| start + Duration::from_secs(hours * 3600);
        let mut growth = Growth::default();
        assert_eq!(growth.observe(start, 0, 48 * GIB), None, "nothing is known yet");
        let days = growth.observe(hour(1), GIB, 48 * GIB).expect("it grows");
        assert!((days - 2.0).abs() < 1e-9, "{days}");
        for hours in 2..=12 {
            growth.observe(hour(hours), GIB, 48 * GIB);
        }
        assert_eq!(growth.observe(hour(13), GIB, 48 * GIB), None, "it stopped growing");
    }

    #[test]
    fn a_burst_at_the_start_says_nothing() {
        let start = Instant::now();
        let mut growth = Growth::default();
        growth.observe(start, 0, GIB);
        assert_eq!(growth.observe(start + Duration::from_secs(30), GIB, GIB), None);
    }

    #[test]
    fn samples_are_bounded() {
        let start = Instant::now();
        let mut growth = Growth::default();
        for n in 0..10_000 {
            growth.observe(start + EVERY * n, n.into(), GIB);
        }
        assert!(growth.samples.len() <= SAMPLES as usize + 1, "{}", growth.samples.len());
    }

    #[test]
    fn a_store_has_no_more_than_its_volume_nor_than_the_disk() {
        let check = |available, volume, free, size| {
            assert_eq!(room(200, available, volume, 70), Room { free, size });
        };
        check(100, None, 100, 200);
        check(100, Some(120), 50, 120);
        check(30, Some(120), 30, 120);
        check(100, Some(50), 0, 50);
        check(100, Some(300), 100, 200);
    }
}
