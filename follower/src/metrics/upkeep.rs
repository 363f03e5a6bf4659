//! What is counted of keeping the disk sound: scrubbing, and healing what is damaged.

use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

use super::listed::Listed;

/// The scrubber's and the healer's metrics.
#[derive(Default)]
pub struct UpkeepMetrics {
    /// Damaged blocks that were put back in place.
    pub healed_blocks: Counter,
    /// Bytes that the scrubber has checked.
    pub scrubbed_bytes: Counter,
    /// Things that the scrubber found damaged.
    pub scrub_findings: Counter,
    /// Passes over everything that the scrubber has finished.
    pub scrub_passes: Counter,
    /// The block that the scrubber checks next.
    pub scrub_position: Gauge,
}

impl UpkeepMetrics {
    pub(super) fn register(&self, registry: &mut Listed) {
        registry.register(
            "healed_blocks",
            "Damaged blocks that were fetched again and put back in place",
            self.healed_blocks.clone(),
        );
        registry.register("scrubbed_bytes", "Bytes checked by the scrubber", self.scrubbed_bytes.clone());
        registry.register(
            "scrub_findings",
            "Damaged records, entries and heads that the scrubber found",
            self.scrub_findings.clone(),
        );
        registry.register(
            "scrub_passes",
            "Passes over everything that the scrubber finished",
            self.scrub_passes.clone(),
        );
        registry.register(
            "scrub_position",
            "The block that the scrubber checks next",
            self.scrub_position.clone(),
        );
    }
}
