//! Watches what goes and comes over one connection: which calls, how many bytes, as they arrive and not only when a message
//! is complete, and how many more calls the upstream says it takes.

use std::sync::{
    Arc,
    atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

use http_body_util::BodyExt as _;
use tonic::{
    body::Body,
    codegen::http::{HeaderMap, Request, Response},
    transport::{self, Channel},
};
use tower::{ServiceExt as _, util::BoxCloneSyncService};

use crate::{metrics::UpstreamCalls, server::Rpc};

/// A channel whose answers are watched.
pub(super) type Metered = BoxCloneSyncService<Request<Body>, Response<Body>, transport::Error>;

/// What rate limiters in front of a store answer with.
const REMAINING: &str = "x-ratelimit-remaining";
const UNSAID: i64 = -1;

/// What was seen so far.
#[derive(Debug)]
pub(super) struct Meter {
    bytes: AtomicU64,
    remaining: AtomicI64,
}

impl Default for Meter {
    fn default() -> Self {
        Self { bytes: AtomicU64::new(0), remaining: AtomicI64::new(UNSAID) }
    }
}

impl Meter {
    /// Bytes of bodies that have arrived.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many more calls the upstream took when it answered last; none when it did not say.
    pub(super) fn remaining(&self) -> Option<u32> {
        u32::try_from(self.remaining.load(Relaxed)).ok()
    }

    fn see(&self, headers: &HeaderMap) {
        let said = headers.get(REMAINING).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        self.remaining.store(said.map_or(UNSAID, i64::from), Relaxed);
    }

    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }
}

/// The channel, with `meter` watching and `calls` counting.
pub(super) fn metered(channel: Channel, meter: &Arc<Meter>, calls: UpstreamCalls) -> Metered {
    let meter = Arc::clone(meter);
    let counted = channel.map_request(move |request: Request<Body>| {
        calls.get_or_create(&vec![("rpc", name(request.uri().path()))]).inc();
        request
    });
    let watched = counted.map_response(move |response: Response<Body>| {
        meter.see(response.headers());
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                meter.add(frame.data_ref().map_or(0, |data| data.len()));
                frame
            }))
        })
    });
    BoxCloneSyncService::new(watched)
}

/// The name of a call; what is not of `rpc.Api` asks a replica for its tips.
fn name(path: &str) -> &'static str {
    Rpc::from_path(path).map_or("Tips", Rpc::name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_what_was_said_last() {
        let meter = Meter::default();
        assert_eq!(meter.remaining(), None);
        let said = |text: &'static str| {
            HeaderMap::from_iter([(
                tonic::codegen::http::HeaderName::from_static(REMAINING),
                tonic::codegen::http::HeaderValue::from_static(text),
            )])
        };
        meter.see(&said("7"));
        assert_eq!(meter.remaining(), Some(7));
        meter.see(&said("many"));
        assert_eq!(meter.remaining(), None);
        meter.see(&said("0"));
        assert_eq!(meter.remaining(), Some(0));
        meter.see(&HeaderMap::new());
        assert_eq!(meter.remaining(), None);
    }
}
