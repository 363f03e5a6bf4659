//! A registry that knows the names of what it holds, also of what has no value yet.

use prometheus_client::{
    metrics::MetricType,
    registry::{Metric, Registry},
};

const PREFIX: &str = "tidemark_follower";

pub(super) struct Listed {
    registry: Registry,
    names: Vec<String>,
}

impl Default for Listed {
    fn default() -> Self {
        Self { registry: Registry::with_prefix(PREFIX), names: Vec::new() }
    }
}

impl Listed {
    pub(super) fn register(&mut self, name: &str, help: &str, metric: impl Metric) {
        let suffix = match metric.metric_type() {
            MetricType::Counter => "_total",
            MetricType::Info => "_info",
            _ => "",
        };
        self.names.push(format!("{PREFIX}_{name}{suffix}"));
        self.registry.register(name, help, metric);
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Under what they are queried.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }
}
