//! Waits until one who watches pods has seen all that the API server has to show.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt as _, api::ListParams};

use crate::world::until;

/// The pods that are seen, by UID, in their versions.
pub(crate) type Versions = BTreeMap<String, String>;

/// Notes a pod that is there.
pub(crate) fn note(versions: &mut Versions, pod: &Pod) {
    versions.insert(pod.uid().unwrap(), pod.resource_version().unwrap());
}

/// Waits until what is seen is what there is. While there is no API server, that is all that anybody can see.
pub(crate) async fn caught_up(pods: &Api<Pod>, seen: impl Fn() -> Versions) {
    until("the watch of pods to have caught up", async || {
        let Ok(listed) = pods.list(&ListParams::default()).await else { return Ok(()) };
        let mut there = Versions::new();
        listed.items.iter().for_each(|pod| note(&mut there, pod));
        anyhow::ensure!(seen() == there, "{:?} of {there:?}", seen());
        Ok(())
    })
    .await;
}
