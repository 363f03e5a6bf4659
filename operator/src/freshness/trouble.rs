//! What keeps a pod from starting, in kubelet's and the scheduler's words. Pure.

use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};

/// Why a pod does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Kubelet's or the scheduler's reason, such as `ImagePullBackOff` or `Unschedulable`.
    pub reason: String,
    /// A sentence naming the container, with what kubelet or the scheduler says.
    pub text: String,
}

/// What every container waits for before it has ever been in trouble.
const PATIENCE: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Reads a pod's trouble.
pub(super) fn trouble(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    containers.filter_map(container).next().or_else(|| unschedulable(pod))
}

fn container(status: &ContainerStatus) -> Option<Trouble> {
    let waiting = status.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone().filter(|reason| !PATIENCE.contains(&reason.as_str()))?;
    let mut text = format!("container {}: {reason}", status.name);
    let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
    let words = last.map(ended).or_else(|| waiting.message.clone());
    if let Some(words) = words {
        text.push_str(&format!(": {}", words.trim()));
    }
    Some(Trouble { reason, text })
}

/// How the last run ended; unlike kubelet's back-off message it does not change with every attempt.
fn ended(last: &ContainerStateTerminated) -> String {
    let reason = last.reason.as_deref().unwrap_or("Error");
    let message = last.message.as_deref().unwrap_or("see kubectl logs --previous");
    format!("it ended with exit code {} ({reason}): {message}", last.exit_code)
}

fn unschedulable(pod: &Pod) -> Option<Trouble> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let scheduled = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let reason = scheduled.reason.clone().filter(|_| scheduled.status == "False")?;
    let message = scheduled.message.as_deref().unwrap_or("no node takes it");
    Some(Trouble { text: format!("{reason}: {message}"), reason })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::trouble;

    fn check(status: Value, expected: Option<(&str, &str)>) {
        let pod = json!({ "metadata": {}, "status": status });
        let found = trouble(&serde_json::from_value(pod).expect("a pod"));
        assert_eq!(found.as_ref().map(|found| (found.reason.as_str(), found.text.as_str())), expected);
    }

    fn waiting(reason: &str, last: Value) -> Value {
        json!({ "containerStatuses": [{
            "name": "follower", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "waiting": { "reason": reason, "message": "back-off" } }, "lastState": last,
        }] })
    }

    #[test]
    fn a_container_that_is_only_being_made_is_in_no_trouble() {
        check(json!({}), None);
        check(waiting("ContainerCreating", json!({})), None);
    }

    #[test]
    fn trouble_names_the_container_and_says_what_kubelet_says() {
        let image = ("ImagePullBackOff", "container follower: ImagePullBackOff: back-off");
        check(waiting("ImagePullBackOff", json!({})), Some(image));
        let last = json!({ "terminated": { "exitCode": 2, "reason": "Error", "message": "no such flag\n" } });
        let crash = "container follower: CrashLoopBackOff: it ended with exit code 2 (Error): no such flag";
        check(waiting("CrashLoopBackOff", last), Some(("CrashLoopBackOff", crash)));
    }

    #[test]
    fn a_pod_no_node_takes_says_why() {
        let scheduled = json!({ "conditions": [
            { "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes fit" }
        ] });
        check(scheduled, Some(("Unschedulable", "Unschedulable: 0/2 nodes fit")));
    }
}
