//! An operator of another version takes over what it finds.

use anyhow::ensure;
use k8s_openapi::api::apps::v1::StatefulSet;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tidemark_e2e::scripted::Script;
use tidemark_operator::api::StoreReplicaSet;

use crate::world::{World, until};

const RECORD: &str = "tidemark.dev/recorded-template";

/// Changes the template as an operator would have rendered it whose probes and environment are others.
fn render_otherwise(template: &mut Value) {
    let container = &mut template["spec"]["containers"][0];
    container["livenessProbe"]["periodSeconds"] = json!(77);
    container.as_object_mut().unwrap().remove("startupProbe");
    let env = container["env"].as_array_mut().unwrap();
    env.push(json!({ "name": "OF_AN_EARLIER_VERSION", "value": "yes" }));
}

/// Leaves the StatefulSet, live template and record, as the other operator applied it.
async fn apply_as_another_operator(world: &World) {
    let found: Value = serde_json::to_value(world.statefulset().await).unwrap();
    let mut record: Value =
        serde_json::from_str(found["metadata"]["annotations"][RECORD].as_str().unwrap()).unwrap();
    render_otherwise(&mut record["template"]);
    let mut spec = found["spec"].clone();
    spec["template"] = record["template"].clone();
    let applied = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": "set", "labels": found["metadata"]["labels"],
            "ownerReferences": found["metadata"]["ownerReferences"],
            "annotations": { RECORD: record.to_string() },
        },
        "spec": spec,
    });
    let params = PatchParams::apply("tidemark-operator").force();
    let _: StatefulSet = world.api().patch("set", &params, &Patch::Apply(applied)).await.unwrap();
}

async fn uids(world: &World) -> Vec<Option<String>> {
    let mut uids = Vec::new();
    for ordinal in 0..3 {
        uids.push(world.pod(ordinal).await.uid());
    }
    uids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_other_probes_and_environment_takes_over_a_running_set_and_scales_it_without_replacing_a_pod()
 {
    let mut world = World::with_fleet("another-version", 3, |_| {}).await;
    world.operator = None;
    apply_as_another_operator(&world).await;
    let (found, before) = (world.statefulset().await, uids(&world).await);
    let template = found.spec.unwrap().template;
    let container = &template.spec.as_ref().unwrap().containers[0];
    assert!(container.startup_probe.is_none(), "this one renders otherwise");

    world.start_operator();
    world.change(json!({ "replicas": 4 })).await;
    let scaled = until("the set to be scaled", async || {
        let found = world.statefulset().await;
        ensure!(found.spec.as_ref().unwrap().replicas == Some(4), "not yet");
        Ok(found)
    })
    .await;
    assert_eq!(scaled.spec.unwrap().template, template, "what makes no revision replaces no pod");
    world.start_follower(3, Script { tip: Some(100), ..Script::default() }).await;
    world.gate_is(3, "True", "InSync").await;
    for ordinal in 0..3 {
        world.gate_is(ordinal, "True", "InSync").await;
    }
    assert_eq!(uids(&world).await, before);

    // A change of what makes the template brings the new operator's own probes.
    world.change(json!({ "follower": { "image": "tidemark.local/tidemark-follower:next" } })).await;
    until("the template to be made anew", async || {
        let template = world.statefulset().await.spec.unwrap().template.spec.unwrap();
        ensure!(template.containers[0].startup_probe.is_some(), "not yet");
        Ok(())
    })
    .await;
    let set: StoreReplicaSet = world.api().get("set").await.unwrap();
    assert_eq!(set.spec.replicas, 4);
}
