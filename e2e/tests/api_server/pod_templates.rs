//! What users lay over the pods, and what makes their template anew.

use k8s_openapi::api::{
    core::v1::PodTemplateSpec, networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
};
use kube::Api;
use serde_json::json;

use crate::world::{World, until};

async fn template(world: &World) -> PodTemplateSpec {
    world.statefulset().await.spec.unwrap().template
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_no_pod_has_is_named_and_the_pods_stay_as_they_are() {
    let world = World::new("unknown-field").await;
    world.create(world.spec()).await;
    world.condition_is("Accepted", "True", "Accepted").await;
    let before = template(&world).await;
    let cases = [
        (json!({ "spec": { "nodeSelektor": {} } }), "UnknownField", "spec.podTemplate.spec.nodeSelektor: "),
        (json!({ "spec": { "$patch": "replace" } }), "UnknownField", "spec.podTemplate.spec.$patch: "),
        (json!({ "spec": { "hostNetwork": "yes" } }), "InvalidField", "spec.podTemplate.spec.hostNetwork: "),
        (
            json!({ "spec": { "containers": [{ "name": "follower", "image": "x" }] } }),
            "ProtectedField",
            "spec.podTemplate.spec.containers.image ",
        ),
    ];
    for (over, reason, start) in cases {
        world.change(json!({ "podTemplate": over })).await;
        let message = world.condition_is("Accepted", "False", reason).await;
        assert!(message.starts_with(start), "{message}");
        world.condition_is("Stalled", "True", reason).await;
        assert_eq!(template(&world).await, before);
        world.change(json!({ "podTemplate": null })).await;
        world.condition_is("Accepted", "True", "Accepted").await;
    }
    let sidecar = json!({ "spec": { "containers": [{ "name": "sidecar", "image": "s" }] } });
    world.change(json!({ "podTemplate": sidecar })).await;
    until("the sidecar", async || {
        let containers = template(&world).await.spec.unwrap().containers;
        let names: Vec<_> = containers.iter().map(|container| container.name.as_str()).collect();
        anyhow::ensure!(names == ["follower", "sidecar"], "{names:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_to_restart_makes_the_template_anew_and_taking_it_back_does_not() {
    let world = World::new("restarted").await;
    world.create(world.spec()).await;
    world.condition_is("Accepted", "True", "Accepted").await;
    world.annotate(json!({ "tidemark.dev/restartedAt": "one" })).await;
    let restarted_at = async || {
        let annotations = template(&world).await.metadata.unwrap_or_default().annotations.unwrap_or_default();
        annotations.get("tidemark.dev/restartedAt").cloned()
    };
    until("the order to reach the template", async || {
        anyhow::ensure!(restarted_at().await.as_deref() == Some("one"));
        Ok(())
    })
    .await;
    world.annotate(json!({ "tidemark.dev/restartedAt": null })).await;
    world.change(json!({ "replicas": 4 })).await;
    until("the change after it to be applied", async || {
        anyhow::ensure!(world.statefulset().await.spec.unwrap().replicas == Some(4));
        Ok(())
    })
    .await;
    assert_eq!(restarted_at().await.as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_and_a_policy_that_are_switched_off_are_deleted() {
    let world = World::new("switched-off").await;
    world.create(world.spec()).await;
    let (budgets, policies): (Api<PodDisruptionBudget>, Api<NetworkPolicy>) = (world.api(), world.api());
    until("budget and policy", async || {
        budgets.get("set").await?;
        Ok(policies.get("set").await?)
    })
    .await;
    world
        .change(json!({ "disruptionBudget": { "create": false }, "networkPolicy": { "create": false } }))
        .await;
    until("both to be gone", async || {
        let (budget, policy) = (budgets.get_opt("set").await?, policies.get_opt("set").await?);
        anyhow::ensure!(budget.is_none() && policy.is_none(), "{budget:?} {policy:?}");
        Ok(())
    })
    .await;
}
