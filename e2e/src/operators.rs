//! The operator's own pods, and which of them leads.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, Client, ResourceExt as _, api::ListParams};

use crate::{fault, install, scene, wait};

/// The lease that the leader holds.
const LEASE: &str = "tidemark-operator";
const LOOK: Duration = Duration::from_millis(200);
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);

/// The operator's pods.
#[must_use]
pub fn pods(client: &Client) -> Api<Pod> {
    Api::namespaced(client.clone(), install::NAMESPACE)
}

/// All of them.
///
/// # Errors
/// If they cannot be listed.
pub async fn all(client: &Client) -> Result<Vec<Pod>> {
    let list = ListParams::default().labels("app.kubernetes.io/name=tidemark-operator");
    Ok(pods(client).list(&list).await?.items)
}

/// Who holds the lease: `<pod>_<process>`, so that each process is another holder.
///
/// # Errors
/// If nobody does.
pub async fn holder(client: &Client) -> Result<String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), install::NAMESPACE);
    let spec = leases.get(LEASE).await?.spec.unwrap_or_default();
    spec.holder_identity.filter(|holder| !holder.is_empty()).context("nobody holds the lease")
}

/// The name of the pod that leads.
///
/// # Errors
/// If none does.
pub async fn leader(client: &Client) -> Result<String> {
    let holder = holder(client).await?;
    let pod = holder.rsplit_once('_').map_or(holder.as_str(), |(pod, _)| pod);
    Ok(pod.to_owned())
}

/// Kills the leading process, with SIGKILL, and says who it was.
///
/// # Errors
/// If nobody leads or its process is not on this machine.
pub async fn kill_leader(client: &Client) -> Result<String> {
    let (holder, pod) = (holder(client).await?, leader(client).await?);
    tokio::task::spawn_blocking(move || fault::kill_in_pod(install::NAMESPACE, &pod, "tidemark-operator"))
        .await??;
    Ok(holder)
}

/// Waits until another process leads than `before`.
///
/// # Errors
/// If that takes longer than a minute.
pub async fn taken_over(client: &Client, before: &str) -> Result<String> {
    wait::until("another operator to lead", TAKEN_OVER_WITHIN, async || {
        let holder = holder(client).await?;
        ensure!(holder != before, "{holder} still does");
        Ok(holder)
    })
    .await
}

/// The fleet tip by which the leader judges a set now, as its live view has it; its status follows movement more slowly.
///
/// # Errors
/// If nobody leads, or the leader has not judged the set yet.
pub async fn judged_tip(client: &Client, namespace: &str, set: &str) -> Result<u64> {
    let leader = leader(client).await?;
    let path = format!("/api/v1/namespaces/{}/pods/{leader}:8080/proxy/fleets", install::NAMESPACE);
    let request = http::Request::get(format!("{path}?namespace={namespace}&name={set}")).body(Vec::new())?;
    let fleets: serde_json::Value = client.request(request).await?;
    let found = fleets["fleets"].as_array().into_iter().flatten().find_map(|set| set["fleetTip"].as_u64());
    found.with_context(|| format!("{leader} has not judged it: {fleets}"))
}

/// How few operators were Ready at any moment that was looked at while something was done.
pub async fn fewest_ready_during<T>(client: &Client, done: impl Future<Output = T>) -> (T, usize) {
    let mut fewest = usize::MAX;
    let looking = async {
        let mut beat = tokio::time::interval(LOOK);
        loop {
            beat.tick().await;
            // What cannot be read now is read a moment later.
            if let Ok(pods) = all(client).await {
                let ready = pods.iter().filter(|pod| scene::condition(pod, "Ready") == Some(true)).count();
                fewest = fewest.min(ready);
            }
        }
    };
    let done = tokio::select! {
        done = done => done,
        () = looking => unreachable!("it looks without end"),
    };
    (done, fewest)
}

/// Waits until every operator is Ready.
///
/// # Errors
/// If that takes longer than a minute.
pub async fn all_ready(client: &Client) -> Result<()> {
    wait::until("every operator to be Ready", TAKEN_OVER_WITHIN, async || {
        for pod in all(client).await? {
            let ready = scene::condition(&pod, "Ready") == Some(true);
            ensure!(ready && pod.metadata.deletion_timestamp.is_none(), "{} is not", pod.name_any());
        }
        Ok(())
    })
    .await
}
