//! What the follower counts, and how it is written as OpenMetrics text.

use std::fmt;

use prometheus_client::{
    encoding::text::encode,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tidemark_store::{BlockNumber, Tips};

use crate::state::State;

type Labels = Vec<(&'static str, &'static str)>;

/// Every metric of one follower. Tips appear once they are known: an empty store is not a store at 0.
#[derive(Default)]
pub struct Metrics {
    /// Bytes of blocks and proofs received from upstreams.
    pub bytes_fetched: Counter,
    /// Bytes among them that were held already.
    pub bytes_redundant: Counter,
    /// Blocks published since the process started.
    pub blocks: Counter,
    /// Proofs published since the process started.
    pub proofs: Counter,
    tips: Family<Labels, Gauge>,
    sessions_ended: Family<Labels, Counter>,
    state: Family<Labels, Gauge>,
}

impl Metrics {
    /// Counts a session with an upstream that ended, by the state it left behind.
    pub fn session_ended(&self, because: State) {
        self.sessions_ended.get_or_create(&vec![("reason", because.name())]).inc();
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
        encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(&self) -> Registry {
        let mut registry = Registry::with_prefix("tidemark_follower");
        registry.register(
            "tip",
            "Highest block of each kind; upstream is what the upstream reported last",
            self.tips.clone(),
        );
        registry.register("state", "1 for the state the follower is in", self.state.clone());
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
}
