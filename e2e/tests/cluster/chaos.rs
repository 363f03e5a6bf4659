//! Operator, API server and kubelet die, each alone, under load, while every endpoint and its true lag is recorded.

use anyhow::Result;
use tidemark_e2e::{
    chaos::{self, Plan, Victim},
    scene::Scene,
};

pub(crate) async fn operator(scene: Scene) -> Result<()> {
    of(&scene, Victim::Operator).await
}

pub(crate) async fn api_server(scene: Scene) -> Result<()> {
    of(&scene, Victim::ApiServer).await
}

pub(crate) async fn kubelet(scene: Scene) -> Result<()> {
    of(&scene, Victim::Kubelet).await
}

async fn of(scene: &Scene, victim: Victim) -> Result<()> {
    let verdict = chaos::play(scene, Plan::of_environment(victim)?).await?;
    println!("{verdict}");
    chaos::check(&verdict)
}
