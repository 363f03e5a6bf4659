//! What users, the StatefulSet controller and kubelet write of a set: the set itself, claims, pods and their status.
//!
//! Pods are those of a recorded one, under its writers' own names, so that the server makes of them what it made of it.

use anyhow::{Context as _, Result};
use k8s_openapi::api::{
    apps::v1::StatefulSet,
    core::v1::{Namespace, PersistentVolumeClaim, Pod},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, ObjectMeta},
};
use serde_json::{Value, json};

use super::layout::{PORT, Place};

/// A pod of a StatefulSet of the operator's, as `kubectl get --output json --show-managed-fields` gave it.
const RECORDED: &str = include_str!("../../data/pod.json");
const SETS_PER_NAMESPACE: u32 = 100;
const CONTROLLER: &str = "kube-controller-manager";
const KUBELET: &str = "kubelet";

/// The namespace of a set.
pub(super) fn namespace(set: u32) -> String {
    format!("scale-{}", set / SETS_PER_NAMESPACE)
}

/// Makes the namespaces of so many sets.
pub(super) async fn make_namespaces(client: &Client, sets: u32) -> Result<()> {
    let api: Api<Namespace> = Api::all(client.clone());
    for first in (0..sets).step_by(SETS_PER_NAMESPACE as usize) {
        let metadata = ObjectMeta { name: Some(namespace(first)), ..ObjectMeta::default() };
        api.create(&PostParams::default(), &Namespace { metadata, ..Namespace::default() }).await?;
    }
    Ok(())
}

/// Makes a set of so many followers.
pub(super) async fn make_set(client: &Client, set: u32, followers: u32) -> Result<()> {
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("tidemark.dev", "v1alpha1", "StoreReplicaSet"));
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace(set), &kind);
    let object = json!({
        "apiVersion": "tidemark.dev/v1alpha1",
        "kind": "StoreReplicaSet",
        "metadata": { "name": Place::set_name(set) },
        "spec": {
            "replicas": followers,
            "primary": { "url": format!("http://{}:{PORT}", Place::primary(set).address()) },
            "follower": { "image": "tidemark.local/tidemark-follower:test", "port": PORT },
            "storage": { "size": "10Gi" },
            "health": { "pollInterval": "1s" },
        },
    });
    api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    Ok(())
}

/// The StatefulSet the operator made for a set.
///
/// # Errors
/// If there is none yet.
pub(super) async fn statefulset(client: &Client, set: u32) -> Result<StatefulSet> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &namespace(set));
    Ok(api.get(&Place::set_name(set)).await?)
}

/// A running pod.
pub(super) struct Made {
    pub(super) place: Place,
    pub(super) uid: String,
    status: Value,
}

/// Makes a follower's claim and pod, as the StatefulSet's controller does.
pub(super) async fn make_pod(client: &Client, owner: &StatefulSet, place: Place) -> Result<Made> {
    let namespace = namespace(place.set);
    let params = PostParams { field_manager: Some(CONTROLLER.to_owned()), ..PostParams::default() };
    let mut recorded = recorded(place)?;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    claims.create(&params, &claim(owner, place)?).await?;
    recorded["metadata"]["ownerReferences"][0]["uid"] = json!(owner.uid());
    let status = recorded["status"].take();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    let pod = pods.create(&params, &serde_json::from_value(recorded)?).await?;
    Ok(Made { place, uid: pod.uid().context("the server gives a UID")?, status })
}

/// Writes what kubelet writes of a pod that runs and waits for its gate.
pub(super) async fn run_pod(client: &Client, made: Made) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace(made.place.set));
    let params = PatchParams { field_manager: Some(KUBELET.to_owned()), ..PatchParams::default() };
    let patch = Patch::Strategic(json!({ "metadata": { "uid": made.uid }, "status": made.status }));
    pods.patch_status(&made.place.pod(), &params, &patch).await?;
    Ok(())
}

/// Writes what the StatefulSet's controller writes when all pods are made.
pub(super) async fn finish_set(client: &Client, owner: &StatefulSet, followers: u32) -> Result<()> {
    let api: Api<StatefulSet> = Api::namespaced(client.clone(), &owner.namespace().unwrap_or_default());
    let params = PatchParams { field_manager: Some(CONTROLLER.to_owned()), ..PatchParams::default() };
    let revision = recorded(Place::follower(0, 0))?["metadata"]["labels"]["controller-revision-hash"].take();
    let revision = revision.as_str().unwrap_or_default().replace(&Place::set_name(0), &owner.name_any());
    let status = json!({
        "observedGeneration": owner.metadata.generation, "replicas": followers, "currentReplicas": followers,
        "updatedReplicas": followers, "readyReplicas": followers, "availableReplicas": followers,
        "currentRevision": revision, "updateRevision": revision, "collisionCount": 0,
    });
    let _: StatefulSet =
        api.patch_status(&owner.name_any(), &params, &Patch::Merge(json!({ "status": status }))).await?;
    Ok(())
}

fn claim(owner: &StatefulSet, place: Place) -> Result<PersistentVolumeClaim> {
    let templates = owner.spec.as_ref().and_then(|spec| spec.volume_claim_templates.as_ref());
    let mut claim =
        templates.and_then(|claims| claims.first()).context("a set with volumes has a claim")?.clone();
    claim.metadata.name = Some(format!("{}-{}", claim.name_any(), place.pod()));
    claim.metadata.labels = owner.spec.as_ref().and_then(|spec| spec.selector.match_labels.clone());
    claim.status = None;
    Ok(claim)
}

/// The recorded pod as it would be at this place: under its names and addresses, and before its gate was opened.
fn recorded(place: Place) -> Result<Value> {
    let mut pod: Value = serde_json::from_str(RECORDED)?;
    let (name, set) =
        (text(&pod["metadata"]["name"])?, text(&pod["metadata"]["labels"]["app.kubernetes.io/instance"])?);
    let (address, own) = (text(&pod["status"]["podIP"])?, place.address().to_string());
    let (new_name, new_set) = (place.pod(), Place::set_name(place.set));
    rename(&mut pod, &[(&name, &new_name), (&set, &new_set), (&address, &own)]);
    let metadata = pod["metadata"].as_object_mut().context("a pod has metadata")?;
    for given in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        metadata.remove(given);
    }
    pod["metadata"]["namespace"] = json!(namespace(place.set));
    let id = format!("{:064x}", place.address().to_bits());
    pod["status"]["containerStatuses"][0]["containerID"] = json!(format!("containerd://{id}"));
    let conditions = pod["status"]["conditions"].as_array_mut().context("a running pod has conditions")?;
    conditions.retain(|condition| condition["type"] != "tidemark.dev/in-sync");
    for ready in conditions.iter_mut().filter(|condition| condition["type"] == "Ready") {
        ready["status"] = json!("False");
        ready["reason"] = json!("ReadinessGatesNotReady");
    }
    Ok(pod)
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("the recorded pod lacks a name")?.to_owned())
}

/// Puts new names in place of old ones, all at once: new ones may hold old ones.
fn rename(value: &mut Value, names: &[(&str, &str)]) {
    match value {
        Value::String(text) => {
            let marks = || names.iter().zip('\u{1}'..);
            let marked =
                marks().fold(text.clone(), |text, ((old, _), mark)| text.replace(old, &mark.to_string()));
            *text = marks().fold(marked, |text, ((_, new), mark)| text.replace(mark, new));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| rename(value, names)),
        Value::Object(fields) => fields.values_mut().for_each(|value| rename(value, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, RECORDED, recorded};

    #[test]
    fn the_recorded_pod_takes_its_place() {
        let place = Place::follower(7, 3);
        let pod = recorded(place).expect("a recorded pod");
        assert_eq!(pod["metadata"]["name"], "fleet0007-3");
        assert_eq!(pod["metadata"]["labels"]["app.kubernetes.io/instance"], "fleet0007");
        assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "fleet0007");
        assert_eq!(pod["status"]["podIP"], place.address().to_string());
        let size = pod.to_string().len();
        assert!(size > RECORDED.len() / 8, "{size} bytes are no pod");
    }
}
