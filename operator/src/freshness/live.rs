//! What the freshness path knows at this moment, for people and programs that ask. Reads snapshots and nothing else, so
//! that no number of questions delays a judgement.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tidemark_judge::{GateSeen, GateStatus, Mode, Moment, Verdict};

use super::{policy::FleetSpec, sight::Sight, snapshot::Snapshot};
use crate::names::SetKey;

/// Which sets are asked about.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    namespace: Option<String>,
    name: Option<String>,
}

impl Filter {
    /// Reads the query of a URL: `namespace` and `name`, each at most once; others are ignored.
    pub fn of(query: &str) -> Self {
        let value = |wanted: &str| {
            let mut pairs = url::form_urlencoded::parse(query.as_bytes());
            pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned())
        };
        Self { namespace: value("namespace"), name: value("name") }
    }

    /// Whether this set is asked about.
    pub fn takes(&self, key: &SetKey) -> bool {
        self.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
            && self.name.as_ref().is_none_or(|name| *name == key.name)
    }
}

/// One set.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FleetView {
    namespace: String,
    name: String,
    mode: &'static str,
    /// False until the set is judged for the first time.
    judged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet_tip: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proven_tip: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    genesis: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    primary_error: Option<String>,
    notices: Vec<NoticeView>,
    members: Vec<MemberView>,
}

#[derive(Debug, Serialize)]
struct NoticeView {
    condition: &'static str,
    reason: &'static str,
    message: String,
}

/// One member; what is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberView {
    pod: String,
    uid: String,
    verdict: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_from: Option<&'static str>,
    since: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proven: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<u32>,
    threshold: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_age_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample_error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<u64>,
    gate: GateView,
    ready: bool,
    terminating: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream: Option<UpstreamView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct GateView {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct UpstreamView {
    state: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl FleetView {
    /// The set as it was judged last.
    pub(super) fn of(key: &SetKey, spec: &FleetSpec, snapshot: Option<&Snapshot>, now: Moment) -> Self {
        let nothing = Snapshot::default();
        let seen = snapshot.unwrap_or(&nothing);
        let judgement = &seen.judgement;
        let members = judgement.verdicts.iter().zip(&seen.since).zip(&seen.sights);
        Self {
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            mode: match spec.policy.mode {
                Mode::Enforce => "Enforce",
                Mode::Observe => "Observe",
            },
            judged: snapshot.is_some(),
            fleet_tip: judgement.fleet_tip.map(|tip| tip.0),
            proven_tip: judgement.proven_tip.map(|tip| tip.0),
            genesis: judgement.genesis.map(|genesis| genesis.to_string()),
            primary_error: seen.primary_error.clone(),
            notices: judgement.notices.iter().map(notice).collect(),
            members: members.map(|((verdict, since), sight)| member(verdict, *since, sight, now)).collect(),
        }
    }
}

fn notice(notice: &tidemark_judge::Notice) -> NoticeView {
    NoticeView {
        condition: notice.condition().as_str(),
        reason: notice.reason(),
        message: notice.to_string(),
    }
}

fn member(verdict: &Verdict, since: Timestamp, sight: &Sight, now: Moment) -> MemberView {
    MemberView {
        pod: verdict.pod.to_string(),
        uid: verdict.uid.to_string(),
        verdict: if verdict.serves { "In" } else { "Out" },
        reason: verdict.reason.as_str(),
        held_from: verdict.held_from.map(|reason| reason.as_str()),
        since,
        tip: verdict.tip.map(|tip| tip.0),
        proven: verdict.proven.map(|tip| tip.0),
        lag: verdict.lag,
        reference: verdict.reference.map(|tip| tip.0),
        threshold: verdict.threshold,
        sample_age_seconds: sight.sampled_at.map(|at| rounded(now.since(at))),
        sample_error: sight.unheard.clone(),
        rate: sight.rate.map(|rate| (rate * 100.0).round() / 100.0),
        eta_seconds: sight.eta.map(|eta| eta.as_secs()),
        gate: gate(&sight.gate),
        ready: sight.ready,
        terminating: sight.terminating,
        upstream: sight.upstream.clone().map(|(state, detail)| UpstreamView { state, detail }),
        trouble: sight.trouble.clone(),
    }
}

/// To the millisecond.
fn rounded(age: Duration) -> f64 {
    Duration::from_millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}

fn gate(seen: &GateSeen) -> GateView {
    let status = match seen.status {
        GateStatus::True => "True",
        GateStatus::False => "False",
        GateStatus::Absent => "Absent",
    };
    GateView { status, reason: seen.reason.map(|reason| reason.as_str()) }
}

#[cfg(test)]
mod tests {
    use super::Filter;
    use crate::names::SetKey;

    #[test]
    fn a_question_names_a_set_a_namespace_or_nothing() {
        let takes = |query: &str, namespace: &str, name: &str| {
            Filter::of(query).takes(&SetKey { namespace: namespace.to_owned(), name: name.to_owned() })
        };
        assert!(takes("", "n", "a"));
        assert!(takes("namespace=n", "n", "a") && !takes("namespace=n", "m", "a"));
        assert!(takes("name=a", "m", "a") && !takes("name=a", "n", "b"));
        assert!(takes("name=a&namespace=n%61", "na", "a") && !takes("name=a&namespace=n", "m", "a"));
    }
}
