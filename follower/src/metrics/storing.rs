//! What is counted of publishing: how large groups are, and how long their steps take.

use std::time::Duration;

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::listed::Listed;
use crate::replica::Batch;

/// From a fast disk's sync to one that hangs.
const SECONDS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.0, 10.0];
/// A group has at most 64 blocks.
const BLOCKS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// A group is closed at 8 MiB; a single block may be larger.
const BYTES: [f64; 8] =
    [1024.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 8_388_608.0, 67_108_864.0];

pub(super) struct StoringMetrics {
    pub(super) bytes: Counter,
    apply: Histogram,
    sync: Histogram,
    group_blocks: Histogram,
    group_bytes: Histogram,
}

impl Default for StoringMetrics {
    fn default() -> Self {
        Self {
            bytes: Counter::default(),
            apply: Histogram::new(SECONDS),
            sync: Histogram::new(SECONDS),
            group_blocks: Histogram::new(BLOCKS),
            group_bytes: Histogram::new(BYTES),
        }
    }
}

impl StoringMetrics {
    pub(super) fn committed(&self, batch: &Batch, apply: Duration, sync: Duration) {
        let blocks = batch.blocks.iter().map(|block| &block.bytes);
        let bytes: usize =
            blocks.chain(batch.proofs.iter().map(|(_, bytes)| bytes)).map(|bytes| bytes.len()).sum();
        self.bytes.inc_by(bytes as u64);
        self.apply.observe(apply.as_secs_f64());
        self.sync.observe(sync.as_secs_f64());
        if !batch.blocks.is_empty() {
            self.group_blocks.observe(batch.blocks.len() as f64);
            self.group_bytes.observe(bytes as f64);
        }
    }

    pub(super) fn register(&self, registry: &mut Listed) {
        registry.register(
            "stored_bytes",
            "Bytes of blocks and proofs published since the start",
            self.bytes.clone(),
        );
        for (name, help, histogram) in [
            ("apply_seconds", "Time to write a group of blocks and proofs", &self.apply),
            ("sync_seconds", "Time to make a group durable", &self.sync),
            ("group_blocks", "Blocks that were made durable at once", &self.group_blocks),
            (
                "group_bytes",
                "Bytes of the blocks and proofs that were made durable at once",
                &self.group_bytes,
            ),
        ] {
            registry.register(name, help, histogram.clone());
        }
    }
}
