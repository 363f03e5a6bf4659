//! Each follower's share of what the whole fleet may ask of the primary. Pure.

use std::time::Duration;

use crate::api::StoreReplicaSetSpec;

/// Requests per second that each follower may ask for: what the operator's own polling leaves, divided among the
/// replicas, and at least one.
///
/// It is fixed when the template is made. A change of `replicas` alone makes no template and so restarts nobody; the next
/// template shares anew.
pub(super) fn share(spec: &StoreReplicaSetSpec) -> u32 {
    let left = spec.primary.requests_per_second.saturating_sub(polls(spec));
    (left / spec.replicas.max(1)).max(1)
}

/// Requests per second by which the operator observes the primary, rounded up.
fn polls(spec: &StoreReplicaSetSpec) -> u32 {
    let interval = spec.health.poll_interval.get().max(Duration::from_millis(1));
    let polls = Duration::from_secs(1).as_millis().div_ceil(interval.as_millis());
    if spec.primary.observe { u32::try_from(polls).unwrap_or(u32::MAX) } else { 0 }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::share;

    fn check(requests: u32, replicas: u32, interval: &str, observe: bool, expected: u32) {
        let spec = json!({
            "replicas": replicas, "follower": { "image": "i" }, "health": { "pollInterval": interval },
            "primary": { "url": "http://p:1", "requestsPerSecond": requests, "observe": observe },
        });
        let spec = serde_json::from_value(spec).expect("a spec");
        assert_eq!(share(&spec), expected, "{requests} {replicas} {interval} {observe}");
    }

    #[test]
    fn the_operators_own_polling_is_taken_off_first_and_nobody_gets_nothing() {
        check(12, 3, "1s", true, 3);
        check(13, 3, "1s", true, 4);
        check(12, 3, "1s", false, 4);
        check(12, 3, "400ms", true, 3);
        check(12, 3, "300ms", true, 2);
        check(12, 0, "1s", true, 11);
        check(12, 100, "1s", true, 1);
        check(1, 1, "100ms", true, 1);
    }
}
