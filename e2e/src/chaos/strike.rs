//! Kills a victim and brings it back.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt as _, api::ListParams};
use rand::{RngExt as _, rngs::StdRng};

use super::{Plan, Victim, canary::Canary, record::Outage};
use crate::{fault, operators, scene::Scene, wait};

/// From one return to the next death: beyond the aftermath, so that there is time in which nothing is excused.
const CALM_MS: Range<u64> = 7_000..14_000;
/// The last death must leave time to be seen to be over.
const LAST_BEFORE_END: Duration = Duration::from_secs(30);
/// How long a daemon stays dead before it is started: as long as whatever keeps it needs to notice.
const DEAD_MS: Range<u64> = 0..3_000;
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// Kills the victim at random moments until the time is over, and says when it was down.
pub(super) async fn again_and_again(
    scene: &Scene,
    canary: &Canary,
    plan: Plan,
    mut dice: StdRng,
) -> Result<Vec<Outage>> {
    let end = Instant::now() + plan.length;
    let mut outages = Vec::new();
    loop {
        let calm = Duration::from_millis(dice.random_range(CALM_MS));
        if Instant::now() + calm + LAST_BEFORE_END >= end {
            tokio::time::sleep_until(end.into()).await;
            return Ok(outages);
        }
        tokio::time::sleep(calm).await;
        outages.push(strike(scene, canary, plan.victim, &mut dice).await?);
    }
}

async fn strike(scene: &Scene, canary: &Canary, victim: Victim, dice: &mut StdRng) -> Result<Outage> {
    match victim {
        Victim::Operator => operator(scene).await,
        Victim::ApiServer => daemon(canary, victim, "kube-apiserver".to_owned(), dice).await,
        Victim::Kubelet => {
            daemon(canary, victim, format!("kubelet-{}", dice.random_range(1..=2)), dice).await
        }
    }
}

async fn daemon(canary: &Canary, victim: Victim, name: String, dice: &mut StdRng) -> Result<Outage> {
    let dead = Duration::from_millis(dice.random_range(DEAD_MS));
    let from = Instant::now();
    let killed = name.clone();
    tokio::task::spawn_blocking(move || fault::kill_daemon(&killed)).await??;
    tokio::time::sleep(dead).await;
    tokio::task::spawn_blocking(move || fault::start_daemon(&name)).await??;
    let well = Instant::now();
    canary.carried().await?;
    Ok(Outage { victim, from, well, to: Instant::now() })
}

/// Another one leads when the lease of the killed one has run out; it is Ready again long before.
async fn operator(scene: &Scene) -> Result<Outage> {
    let from = Instant::now();
    let killed = operators::kill_leader(&scene.client).await?;
    operators::taken_over(&scene.client, &killed).await?;
    let to = Instant::now();
    operators::all_ready(&scene.client).await?;
    Ok(Outage { victim: Victim::Operator, from, well: to, to })
}

/// Waits until every operator and every node is Ready.
pub(super) async fn all_well(scene: &Scene) -> Result<()> {
    operators::all_ready(&scene.client).await?;
    let nodes: Api<Node> = Api::all(scene.client.clone());
    wait::until("every node to be Ready", BACK_WITHIN, async || {
        for node in nodes.list(&ListParams::default()).await? {
            let conditions = node.status.clone().unwrap_or_default().conditions.unwrap_or_default();
            let ready =
                conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
            ensure!(ready, "{} is not", node.name_any());
        }
        Ok(())
    })
    .await
}
