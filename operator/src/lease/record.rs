//! The lease as it stands in the cluster, read without trust: anybody may have written it. Pure.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};

/// What a lease says. Two records are the same only if nobody wrote in between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// Who holds it; None: it was released, or never held.
    pub(super) holder: Option<String>,
    /// For how long after each renewal; None: the record does not say, or nonsense.
    pub(super) duration: Option<Duration>,
    pub(super) acquired: Option<Timestamp>,
    /// The holder's wall clock, which only has to differ from renewal to renewal: nobody compares it with his own.
    pub(super) renewed: Option<Timestamp>,
    /// How often it has changed hands.
    pub(super) transitions: i32,
    /// The server's own text of the version it was read at: what was written in between, and written back, differs.
    pub(super) version: Option<String>,
}

impl Record {
    pub(super) fn of(lease: &Lease) -> Self {
        let version = lease.metadata.resource_version.clone();
        let Some(spec) = &lease.spec else { return Self { version, ..Self::default() } };
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            holder: spec.holder_identity.clone().filter(|holder| !holder.is_empty()),
            duration: seconds.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            acquired: spec.acquire_time.as_ref().map(|time| time.0),
            renewed: spec.renew_time.as_ref().map(|time| time.0),
            transitions: spec.lease_transitions.unwrap_or_default().max(0),
            version,
        }
    }

    /// The record as it follows this one: a renewal by its holder, or another's term.
    pub(super) fn held_by(&self, identity: &str, duration: Duration, wall: Timestamp) -> Self {
        let same = self.holder.as_deref() == Some(identity);
        let renewed = to_micros(wall);
        // A clock that was set back, or stands still, must not make a renewal look like none.
        let renewed = if self.renewed == Some(renewed) { next_micro(renewed) } else { renewed };
        Self {
            holder: Some(identity.to_owned()),
            duration: Some(duration),
            acquired: self.acquired.filter(|_| same).or(Some(renewed)),
            renewed: Some(renewed),
            transitions: self.transitions.saturating_add(i32::from(!same)),
            version: None,
        }
    }

    /// The record after its holder has let it go.
    pub(super) fn released(&self, wall: Timestamp) -> Self {
        Self { holder: None, renewed: Some(to_micros(wall)), ..self.clone() }
    }

    /// Puts the record into the lease it was read from, whose other fields and labels stay.
    pub(super) fn write_to(&self, lease: &mut Lease) {
        let kept = lease.spec.take().unwrap_or_default();
        let seconds = self.duration.map(|duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX));
        lease.spec = Some(LeaseSpec {
            holder_identity: self.holder.clone(),
            lease_duration_seconds: seconds,
            acquire_time: self.acquired.map(MicroTime),
            renew_time: self.renewed.map(MicroTime),
            lease_transitions: Some(self.transitions),
            ..kept
        });
    }
}

/// To what the API server keeps of a time.
fn to_micros(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn next_micro(time: Timestamp) -> Timestamp {
    time.checked_add(SignedDuration::from_micros(1)).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use k8s_openapi::api::coordination::v1::Lease;
    use serde_json::{Value, json};

    use super::Record;

    const FIFTEEN: Duration = Duration::from_secs(15);

    fn lease(spec: Value) -> Lease {
        serde_json::from_value(json!({ "metadata": { "name": "l", "labels": { "a": "b" } }, "spec": spec }))
            .expect("a lease")
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_not_there() {
        let nothing = Record::default();
        for spec in [
            json!(null),
            json!({}),
            json!({ "holderIdentity": "", "leaseDurationSeconds": 0 }),
            json!({ "leaseDurationSeconds": -5, "leaseTransitions": -1 }),
        ] {
            assert_eq!(Record::of(&lease(spec.clone())), nothing, "{spec}");
        }
    }

    #[test]
    fn a_record_survives_the_way_to_the_server_and_back_and_leaves_the_rest_of_the_lease_alone() {
        let wall: Timestamp = "2026-01-02T03:04:05.123456789Z".parse().expect("a time");
        let record = Record::default().held_by("me", FIFTEEN, wall);
        let mut written = lease(json!({ "strategy": "OldestEmulationVersion" }));
        record.write_to(&mut written);
        let read: Lease =
            serde_json::from_value(serde_json::to_value(&written).expect("JSON")).expect("a lease");
        assert_eq!(Record::of(&read), record);
        assert_eq!(read.metadata.labels.as_ref().map(|labels| labels["a"].as_str()), Some("b"));
        assert_eq!(read.spec.and_then(|spec| spec.strategy).as_deref(), Some("OldestEmulationVersion"));
    }

    #[test]
    fn every_renewal_differs_from_the_one_before_even_if_the_wall_clock_stands_still() {
        let wall = Timestamp::UNIX_EPOCH;
        let first = Record::default().held_by("me", FIFTEEN, wall);
        let second = first.held_by("me", FIFTEEN, wall);
        assert_ne!(first, second);
        assert_eq!((first.transitions, second.transitions, second.acquired), (1, 1, first.acquired));
        let theirs = second.held_by("another", FIFTEEN, wall);
        assert_eq!((theirs.transitions, theirs.acquired), (2, theirs.renewed));
        assert_eq!(
            Record { transitions: i32::MAX, ..theirs }.held_by("me", FIFTEEN, wall).transitions,
            i32::MAX
        );
    }
}
