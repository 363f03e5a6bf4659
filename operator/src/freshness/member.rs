//! A pod as judging sees it. Pure.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod, PodCondition};
use kube::ResourceExt as _;
use tidemark_judge::{ContainerId, GateSeen, PodName, PodUid};

use super::{
    dial::Line,
    secrets::TlsSecrets,
    trouble::{Trouble, trouble},
};
use crate::{
    names::{CONTAINER, FOLLOWER_TLS, GATE, REBUILD, REVISION_LABEL, VOLUME},
    over_tls::OverTls,
};

/// What of a pod counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenPod {
    pub(super) name: PodName,
    pub(super) uid: PodUid,
    /// Orders two sights of one pod; 0 when the server's text is no number.
    pub(super) version: u64,
    /// The server's own text of the version, for preconditions.
    pub(super) resource_version: String,
    /// The claim that holds the data; None when the data goes with the pod.
    pub(super) claim: Option<String>,
    pub(super) address: Option<IpAddr>,
    /// How it is spoken to.
    pub(super) line: Line,
    pub(super) container: Option<ContainerId>,
    pub(super) ready: bool,
    pub(super) terminating: bool,
    /// It ended for good, as an evicted one: its StatefulSet makes another of its name.
    pub(super) ended: bool,
    pub(super) gate: GateSeen,
    pub(super) trouble: Option<Trouble>,
    /// The revision of the template it was made from.
    pub(super) revision: Option<String>,
    /// Whether it is to be rebuilt.
    pub(super) rebuild: bool,
    pub(super) created: Option<Timestamp>,
    /// When `Ready` last changed.
    pub(super) ready_changed: Option<Timestamp>,
    /// The gate's status as written, to tell a change of status from a change of words.
    pub(super) gate_status: Option<String>,
}

impl SeenPod {
    /// Reads a pod; None for what has no UID, which the API server never sends.
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let resource_version = pod.resource_version().unwrap_or_default();
        let gate = condition(pod, GATE);
        Some(Self {
            name: pod.name_any().into(),
            uid: pod.uid()?.into(),
            version: resource_version.parse().unwrap_or_default(),
            resource_version,
            claim: claim(pod),
            address: pod.status.as_ref().and_then(|status| status.pod_ip.as_deref()?.parse().ok()),
            line: line(pod),
            container: running_container(pod),
            ready: condition(pod, "Ready").is_some_and(|ready| ready.status == "True"),
            terminating: pod.metadata.deletion_timestamp.is_some(),
            ended: has_ended(pod),
            gate: gate.map(seen_gate).unwrap_or_default(),
            trouble: trouble(pod),
            revision: pod.labels().get(REVISION_LABEL).cloned(),
            rebuild: pod.annotations().get(REBUILD).is_some_and(|value| value != "false"),
            created: pod.metadata.creation_timestamp.as_ref().map(|created| created.0),
            ready_changed: condition(pod, "Ready")
                .and_then(|ready| ready.last_transition_time.as_ref())
                .map(|changed| changed.0),
            gate_status: gate.map(|gate| gate.status.clone()),
        })
    }
}

/// As the template says that the pod was made of, whatever the set says by now.
fn line(pod: &Pod) -> Line {
    match OverTls::read(pod.annotations()) {
        None => Line::Plain,
        Some(Ok(over_tls)) => {
            Line::Tls(Arc::new(TlsSecrets::of_followers(&pod.namespace().unwrap_or_default(), over_tls)))
        }
        Some(Err(error)) => Line::Unreadable(
            format!(
                "its annotation {FOLLOWER_TLS} does not say how it is asked over TLS ({error}): delete the pod"
            )
            .into(),
        ),
    }
}

fn condition<'a>(pod: &'a Pod, type_: &str) -> Option<&'a PodCondition> {
    pod.status.as_ref()?.conditions.as_ref()?.iter().find(|condition| condition.type_ == type_)
}

fn seen_gate(gate: &PodCondition) -> GateSeen {
    let (reason, message) = (gate.reason.as_deref(), gate.message.as_deref());
    GateSeen::read(&gate.status, reason.unwrap_or_default(), message.unwrap_or_default())
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

fn running_container(pod: &Pod) -> Option<ContainerId> {
    if has_ended(pod) {
        return None;
    }
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    let status: &ContainerStatus = statuses.iter().find(|status| status.name == CONTAINER)?;
    status.state.as_ref()?.running.as_ref()?;
    status.container_id.as_deref().filter(|id| !id.is_empty()).map(ContainerId::from)
}

fn claim(pod: &Pod) -> Option<String> {
    let volumes = pod.spec.as_ref()?.volumes.as_ref()?;
    let data = volumes.iter().find(|volume| volume.name == VOLUME)?;
    Some(data.persistent_volume_claim.as_ref()?.claim_name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use tidemark_judge::GateStatus;

    use super::{Line, SeenPod};

    fn pod(status: Value) -> SeenPod {
        let pod = json!({
            "metadata": { "name": "a-0", "uid": "u", "resourceVersion": "17" },
            "spec": { "containers": [], "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data-a-0" } }] },
            "status": status,
        });
        SeenPod::of(&serde_json::from_value(pod).expect("a pod")).expect("it has a UID")
    }

    fn container(name: &str, state: Value) -> Value {
        json!({ "containerStatuses": [{
            "name": name, "containerID": "containerd://1", "state": state,
            "image": "i", "imageID": "", "ready": true, "restartCount": 0,
        }] })
    }

    #[test]
    fn only_the_running_container_of_the_followers_name_counts() {
        let running = json!({ "running": {} });
        assert!(pod(container("follower", running.clone())).container.is_some());
        assert!(pod(container("sidecar", running)).container.is_none());
        let waiting = json!({ "waiting": { "reason": "CrashLoopBackOff" } });
        assert!(pod(container("follower", waiting)).container.is_none());
        assert!(pod(container("follower", json!({ "terminated": { "exitCode": 1 } }))).container.is_none());
        assert!(pod(json!({})).container.is_none());
    }

    #[test]
    fn nothing_runs_in_a_pod_that_ended_whatever_its_containers_last_were() {
        let phase = |phase: &str| {
            let mut status = container("follower", json!({ "running": {} }));
            status["phase"] = json!(phase);
            pod(status)
        };
        for (name, ended) in [("Failed", true), ("Succeeded", true), ("Running", false), ("Unknown", false)] {
            let seen = phase(name);
            assert_eq!((seen.ended, seen.container.is_none()), (ended, ended), "{name}");
        }
    }

    #[test]
    fn an_absent_gate_is_absent_and_anything_but_true_is_closed() {
        let gate = |status: &str| {
            let gate = json!({ "type": "tidemark.dev/in-sync", "status": status });
            pod(json!({ "conditions": [{ "type": "Ready", "status": "True" }, gate] }))
        };
        assert_eq!(pod(json!({})).gate.status, GateStatus::Absent);
        assert_eq!(gate("True").gate.status, GateStatus::True);
        assert_eq!(gate("False").gate.status, GateStatus::False);
        assert_eq!(gate("Unknown").gate.status, GateStatus::False);
        assert!(gate("False").ready);
    }

    fn annotated(annotations: &Value) -> Line {
        let metadata = json!({ "name": "a-0", "namespace": "n", "uid": "u", "annotations": annotations });
        let pod = serde_json::from_value(json!({ "metadata": metadata })).expect("a pod");
        SeenPod::of(&pod).expect("it has a UID").line
    }

    #[test]
    fn a_pod_is_spoken_to_as_its_own_template_says_and_never_without_tls_when_that_cannot_be_read() {
        assert_eq!(annotated(&json!({ "other": "x" })), Line::Plain);
        let stamp = r#"{"caSecret":"ca","clientSecret":"id","serverName":"a.n.svc"}"#;
        let Line::Tls(secrets) = annotated(&json!({ "tidemark.dev/follower-tls": stamp })) else {
            panic!("it says TLS");
        };
        assert_eq!((secrets.field, secrets.namespace.as_str()), ("spec.follower.tls", "n"));
        let names = [&secrets.ca_secret, &secrets.client_secret, &secrets.server_name];
        assert_eq!(names.map(Option::as_deref), [Some("ca"), Some("id"), Some("a.n.svc")]);
        for nonsense in ["", "false", "{}"] {
            let line = annotated(&json!({ "tidemark.dev/follower-tls": nonsense }));
            assert!(matches!(line, Line::Unreadable(_)), "{nonsense}: {line:?}");
        }
    }

    #[test]
    fn a_sight_has_its_version_and_claim() {
        let seen = pod(json!({ "podIP": "10.0.0.7" }));
        assert_eq!((seen.version, seen.claim.as_deref()), (17, Some("data-a-0")));
        assert_eq!(seen.address, Some([10, 0, 0, 7].into()));
    }
}
