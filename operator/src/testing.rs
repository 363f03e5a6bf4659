//! What tests of several modules begin with.

use kube::{Client, client::Body};
use tidemark_judge::{Moment, Reason, Verdict};

/// A client of an API server that nobody asks.
pub(crate) fn nobody() -> Client {
    let nobody = tower::service_fn(async |_: http::Request<Body>| {
        Err::<http::Response<Body>, _>(std::io::Error::other("nobody is asked here"))
    });
    Client::new(nobody, "n")
}

/// A verdict on pod a-0, UID u, of which nothing is known.
pub(crate) fn verdict(serves: bool, reason: Reason) -> Verdict {
    Verdict {
        pod: "a-0".into(),
        uid: "u".into(),
        serves,
        reason,
        held_from: None,
        tip: None,
        proven: None,
        lag: None,
        reference: None,
        threshold: 2,
        since: Moment::default(),
        gate: None,
    }
}
