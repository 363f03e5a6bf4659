//! What the follower counts, and how it is written as OpenMetrics text.

mod listed;
mod serving;
mod storing;
mod upkeep;

use std::{fmt, sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
};
use tidemark_store::{BlockNumber, Tips};

pub use self::serving::{Limit, Open, ServingMetrics};
use self::{listed::Listed, storing::StoringMetrics, upkeep::UpkeepMetrics};
use crate::{replica::Batch, state::State, volume::Room};

pub(crate) type Labels = Vec<(&'static str, &'static str)>;

/// Calls of upstreams, by their names.
pub type UpstreamCalls = Family<Labels, Counter>;

/// Every metric of one follower. Tips appear once they are known: an empty store is not a store at 0.
pub struct Metrics {
    /// Bytes of blocks and proofs received from upstreams.
    pub bytes_fetched: Counter,
    /// Bytes among them that were held already.
    pub bytes_redundant: Counter,
    /// Blocks published since the process started.
    pub blocks: Counter,
    /// Proofs published since the process started.
    pub proofs: Counter,
    /// What is counted of serving.
    pub serving: ServingMetrics,
    storing: StoringMetrics,
    /// What is counted of keeping the disk sound.
    pub upkeep: UpkeepMetrics,
    /// What upstreams were asked.
    pub upstream_calls: UpstreamCalls,
    tips: Family<Labels, Gauge>,
    sessions_ended: Family<Labels, Counter>,
    state: Family<Labels, Gauge>,
    upstream: Family<Vec<(&'static str, String)>, Gauge>,
    tls_reloads: Family<Labels, Counter>,
    free_bytes: Gauge<u64, AtomicU64>,
    volume_bytes: Gauge<u64, AtomicU64>,
    days_to_full: Family<Labels, Gauge<f64, AtomicU64>>,
    registry: Listed,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            bytes_fetched: Counter::default(),
            bytes_redundant: Counter::default(),
            blocks: Counter::default(),
            proofs: Counter::default(),
            serving: ServingMetrics::default(),
            storing: StoringMetrics::default(),
            upkeep: UpkeepMetrics::default(),
            upstream_calls: UpstreamCalls::default(),
            tips: Family::default(),
            sessions_ended: Family::default(),
            state: Family::default(),
            upstream: Family::default(),
            tls_reloads: Family::default(),
            free_bytes: Gauge::default(),
            volume_bytes: Gauge::default(),
            days_to_full: Family::default(),
            registry: Listed::default(),
        };
        metrics.registry = metrics.registered();
        metrics
    }
}

impl Metrics {
    /// Counts a session with an upstream that ended, by the state it left behind.
    pub fn session_ended(&self, because: State) {
        self.sessions_ended.get_or_create(&vec![("reason", because.name())]).inc();
    }

    /// Notes which upstream blocks come from, from now on.
    pub fn follows(&self, url: &str) {
        self.upstream.clear();
        self.upstream.get_or_create(&vec![("url", url.to_owned())]).set(1);
    }

    /// Counts a batch that was published, and how long its two steps took.
    pub(crate) fn committed(&self, batch: &Batch, apply: Duration, sync: Duration) {
        self.blocks.inc_by(batch.blocks.len() as u64);
        self.proofs.inc_by(batch.proofs.len() as u64);
        self.storing.committed(batch, apply, sync);
    }

    /// Bytes of blocks and proofs published since the process started.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.storing.bytes.get()
    }

    /// Counts that TLS files were read anew, or could not be used.
    pub(crate) fn tls_reloaded(&self, side: &'static str, used: bool) {
        let result = if used { "used" } else { "refused" };
        self.tls_reloads.get_or_create(&vec![("side", side), ("result", result)]).inc();
    }

    /// Notes how much room there is, and for how many days, if that can be said.
    pub(crate) fn room(&self, Room { free, size }: Room, days: Option<f64>) {
        self.free_bytes.set(free);
        self.volume_bytes.set(size);
        match days {
            Some(days) => drop(self.days_to_full.get_or_create(&Labels::new()).set(days)),
            None => self.days_to_full.clear(),
        }
    }

    /// Remembers the last block in common with an upstream that holds another chain; none has no sample.
    pub fn forked(&self, common: Option<BlockNumber>) {
        set(&self.tips, vec![("kind", "common")], common);
    }

    /// All metrics as OpenMetrics text, with the tips and the state as they are now.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn render(
        &self,
        tips: Tips,
        upstream: Option<BlockNumber>,
        state: State,
    ) -> Result<String, fmt::Error> {
        let Tips { applied, durable, published, proven } = tips;
        let kinds = [
            ("applied", applied),
            ("durable", durable),
            ("published", published),
            ("proven", proven),
            ("upstream", upstream),
        ];
        kinds.into_iter().for_each(|(kind, tip)| set(&self.tips, vec![("kind", kind)], tip));
        for each in State::ALL {
            self.state.get_or_create(&vec![("state", each.name())]).set(i64::from(each == state));
        }
        let mut text = String::new();
        encode(&mut text, self.registry.registry())?;
        Ok(text)
    }

    /// The names of all metrics, also of those that have no value yet.
    #[must_use]
    pub fn names(&self) -> &[String] {
        self.registry.names()
    }

    fn registered(&self) -> Listed {
        let mut registry = Listed::default();
        let version = vec![("version", env!("CARGO_PKG_VERSION"))];
        registry.register("build", "The version that runs", Info::new(version));
        registry.register(
            "tip",
            "Highest block of each kind; upstream is what the upstream reported last, common the last block shared with an upstream that diverged",
            self.tips.clone(),
        );
        registry.register("state", "1 for the state the follower is in", self.state.clone());
        registry.register("upstream", "1 for the upstream that blocks come from", self.upstream.clone());
        registry.register(
            "upstream_requests",
            "Calls of upstreams, by name; a subscription is one",
            self.upstream_calls.clone(),
        );
        registry.register(
            "sessions_ended",
            "Sessions with upstreams that ended, by reason",
            self.sessions_ended.clone(),
        );
        registry.register("fetched_bytes", "Bytes of blocks and proofs received", self.bytes_fetched.clone());
        registry.register(
            "redundant_bytes",
            "Bytes received that were held already",
            self.bytes_redundant.clone(),
        );
        registry.register("blocks", "Blocks published since the start", self.blocks.clone());
        registry.register("proofs", "Proofs published since the start", self.proofs.clone());
        registry.register(
            "tls_reloads",
            "TLS files that changed, by the side that uses them and whether they are used",
            self.tls_reloads.clone(),
        );
        registry.register(
            "free_bytes",
            "Bytes that the volume has left for this store",
            self.free_bytes.clone(),
        );
        registry.register(
            "volume_bytes",
            "Bytes of the volume, or of the part of it that this store may use",
            self.volume_bytes.clone(),
        );
        registry.register(
            "days_to_full",
            "Days until the volume is full if it goes on like this; absent while nothing grows",
            self.days_to_full.clone(),
        );
        self.storing.register(&mut registry);
        self.serving.register(&mut registry);
        self.upkeep.register(&mut registry);
        registry
    }
}

fn set(gauge: &Family<Labels, Gauge>, labels: Labels, tip: Option<BlockNumber>) {
    if let Some(tip) = tip {
        gauge.get_or_create(&labels).set(i64::from(tip.get()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_tip_is_absent_and_a_known_one_is_there() {
        let metrics = Metrics::default();
        let text = metrics.render(Tips::default(), None, State::Syncing).expect("renders");
        assert!(!text.contains("tip{kind=\"published\"}"), "{text}");
        let tips = Tips { published: Some(0.into()), ..Tips::default() };
        let text = metrics.render(tips, Some(7.into()), State::Diverged).expect("renders");
        assert!(text.contains("tidemark_follower_tip{kind=\"published\"} 0"), "{text}");
        assert!(text.contains("tidemark_follower_tip{kind=\"upstream\"} 7"), "{text}");
        assert!(text.contains("tidemark_follower_state{state=\"Diverged\"} 1"), "{text}");
        assert!(text.contains("tidemark_follower_state{state=\"Syncing\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn only_the_upstream_in_use_is_named_and_days_only_where_they_are_known() {
        let metrics = Metrics::default();
        let text = || metrics.render(Tips::default(), None, State::Syncing).expect("renders");
        metrics.follows("http://a:1");
        metrics.follows("http://b:2");
        metrics.room(Room { free: 7, size: 9 }, Some(1.5));
        assert!(text().contains("upstream{url=\"http://b:2\"} 1") && !text().contains("http://a:1"));
        assert!(text().contains("free_bytes 7\n") && text().contains("volume_bytes 9\n"), "{}", text());
        assert!(text().contains("days_to_full{} 1.5\n"), "{}", text());
        metrics.room(Room { free: 7, size: 9 }, None);
        assert!(!text().contains("days_to_full{}"), "{}", text());
    }
}
