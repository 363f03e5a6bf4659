//! What is counted of serving: requests by call and code, what is open, and which limits were reached.

use std::{
    sync::{OnceLock, atomic::AtomicI64},
    time::Duration,
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};
use tonic::Code;

use super::{Labels, listed::Listed};
use crate::server::Rpc;

/// Up to the longest wait a limit allows by default.
const SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];
/// One more than the highest gRPC code.
const CODES: usize = 17;

/// A bound that a client can run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// A connection had to wait for a slot.
    Connections,
    /// A connection opened as many streams as it may.
    StreamsPerConnection,
    /// A subscription was refused.
    Subscriptions,
    /// A response ended since its client left it untaken.
    SendWait,
    /// A read was refused, or a subscription had to wait, since too many bytes of responses are in memory.
    ResponseBytes,
    /// A read was refused since as many as may wait for their height.
    MinHeightWaiters,
    /// A block or proof is larger than what is served.
    BlockSize,
}

impl Limit {
    const ALL: [Self; 7] = [
        Self::Connections,
        Self::StreamsPerConnection,
        Self::Subscriptions,
        Self::SendWait,
        Self::ResponseBytes,
        Self::MinHeightWaiters,
        Self::BlockSize,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::StreamsPerConnection => "streams_per_connection",
            Self::Subscriptions => "subscriptions",
            Self::SendWait => "send_wait",
            Self::ResponseBytes => "response_bytes",
            Self::MinHeightWaiters => "min_height_waiters",
            Self::BlockSize => "block_size",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    rpc: &'static str,
    code: &'static str,
}

/// What the read port counts.
pub struct ServingMetrics {
    /// Connections of the read port that are open.
    pub connections: Gauge<i64, AtomicI64>,
    /// Calls and subscriptions in flight.
    pub streams: Gauge<i64, AtomicI64>,
    /// Subscriptions that are open.
    pub subscriptions: Gauge<i64, AtomicI64>,
    /// Reads that wait for their height.
    pub min_height_waiters: Gauge<i64, AtomicI64>,
    /// Bytes of responses in memory.
    pub response_bytes: Gauge<i64, AtomicI64>,
    requests: Family<Outcome, Histogram, fn() -> Histogram>,
    /// The histograms of calls that came, by call and code: looking one up costs nothing.
    seen: [[OnceLock<Histogram>; CODES]; Rpc::ALL.len()],
    streams_ended: Family<Outcome, Counter>,
    reached: Family<Labels, Counter>,
}

impl Default for ServingMetrics {
    fn default() -> Self {
        let reached = Family::<Labels, Counter>::default();
        Limit::ALL.into_iter().for_each(|limit| drop(reached.get_or_create(&vec![("limit", limit.name())])));
        Self {
            connections: Gauge::default(),
            streams: Gauge::default(),
            subscriptions: Gauge::default(),
            min_height_waiters: Gauge::default(),
            response_bytes: Gauge::default(),
            requests: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            seen: Default::default(),
            streams_ended: Family::default(),
            reached,
        }
    }
}

impl ServingMetrics {
    /// Counts a call that was answered, a subscription when it began.
    pub fn answered(&self, rpc: Rpc, code: Code, took: Duration) {
        let outcome = Outcome { rpc: rpc.name(), code: code_name(code) };
        let histogram = self.seen[rpc as usize][code as usize]
            .get_or_init(|| self.requests.get_or_create(&outcome).clone());
        histogram.observe(took.as_secs_f64());
    }

    /// Counts a subscription that ended.
    pub fn ended(&self, rpc: Rpc, code: Code) {
        self.streams_ended.get_or_create(&Outcome { rpc: rpc.name(), code: code_name(code) }).inc();
    }

    /// Counts that a client ran into a limit.
    pub fn reached(&self, limit: Limit) {
        self.reached.get_or_create(&vec![("limit", limit.name())]).inc();
    }

    pub(super) fn register(&self, registry: &mut Listed) {
        registry.register(
            "request_seconds",
            "Time from a request of rpc.Api to the head of its answer, by call and code",
            self.requests.clone(),
        );
        registry.register(
            "subscriptions_ended",
            "Subscriptions that ended, by call and code",
            self.streams_ended.clone(),
        );
        registry.register(
            "limit_reached",
            "How often a client ran into a limit, and was refused or had to wait",
            self.reached.clone(),
        );
        for (name, help, gauge) in [
            ("open_connections", "Connections of the read port that are open", &self.connections),
            ("open_streams", "Calls and subscriptions in flight", &self.streams),
            ("open_subscriptions", "Subscriptions that are open", &self.subscriptions),
            ("response_bytes", "Bytes of responses that are in memory", &self.response_bytes),
            ("min_height_waiters", "Reads that wait for their height", &self.min_height_waiters),
        ] {
            registry.register(name, help, gauge.clone());
        }
    }
}

/// The code as gRPC spells it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Counts something as open for as long as it lives.
#[derive(Debug)]
pub struct Open(Gauge<i64, AtomicI64>);

impl Open {
    /// One more on `gauge`.
    #[must_use]
    pub fn on(gauge: &Gauge<i64, AtomicI64>) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
