//! What `kubectl get` shows, what `kubectl scale` and autoscalers use, and how pods are merged.

use std::collections::BTreeSet;

use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_operator::{api::StoreReplicaSet, names, reconcile::MERGE_KEYS};

use super::{client, smallest};
use crate::world::{World, until};

/// What the server would print of the sets of a namespace: the columns with their priorities, and the first row's cells.
async fn table(client: &kube::Client, namespace: &str) -> (Vec<(String, i64)>, Vec<Value>) {
    let path = format!("/apis/tidemark.dev/v1alpha1/namespaces/{namespace}/storereplicasets");
    let request = http::Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table: Value = client.request(request.body(Vec::new()).unwrap()).await.unwrap();
    let columns = table["columnDefinitions"].as_array().unwrap().iter();
    let columns = columns.map(|column| {
        (column["name"].as_str().unwrap_or_default().to_uppercase(), column["priority"].as_i64().unwrap_or(0))
    });
    (columns.collect(), table["rows"][0]["cells"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_tell_the_story() {
    let world = World::with_fleet("columns", 2, |_| {}).await;
    world.follower(0).say(|script| script.tip = Some(90));
    world.gate_is(0, "False", "Lagging").await;
    let (columns, cells) = until("the status to show the lag", async || {
        let (columns, cells) = table(&world.client, &world.namespace).await;
        anyhow::ensure!(cells.get(2) == Some(&json!(1)), "{cells:?}");
        Ok((columns, cells))
    })
    .await;
    let shown = |wide: bool| {
        columns.iter().filter(move |(_, priority)| (*priority > 0) == wide).map(|(name, _)| name.as_str())
    };
    let narrow = ["NAME", "READY", "IN-SYNC", "REPLICAS", "TIP", "MAX-LAG", "AGE"];
    assert_eq!(shown(false).collect::<Vec<_>>(), narrow);
    assert_eq!(shown(true).collect::<Vec<_>>(), ["REASON", "SERVING", "ALLOWED-LAG", "PROVEN", "PRIMARY"]);
    assert_eq!(
        (&cells[0], &cells[2], &cells[3], &cells[4], &cells[5]),
        (&json!("set"), &json!(1), &json!(2), &json!(100), &json!(10))
    );
    assert!(cells[1] == json!("True") || cells[1] == json!("False"), "{cells:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_scales_by_its_subresource() {
    let sets: Api<StoreReplicaSet> = Api::namespaced(client().await, "default");
    sets.create(&PostParams::default(), &crate::world::set("scales", smallest())).await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    let scale = sets.patch_scale("scales", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(4));
    let set = sets.get("scales").await.unwrap();
    let observed = set.status.and_then(|status| status.observed_generation);
    assert_eq!(observed, Some(-1), "nobody has looked at it yet");
    sets.delete("scales", &Default::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoscaler_finds_replicas_and_pods_by_the_scale() {
    let world = World::with_fleet("autoscaled", 2, |_| {}).await;
    let sets: Api<StoreReplicaSet> = world.api();
    until("the scale to show the fleet", async || {
        let status = sets.get_scale("set").await?.status.unwrap_or_default();
        anyhow::ensure!(status.replicas == 2, "{status:?}");
        anyhow::ensure!(status.selector == Some(names::selector("set")), "{status:?}");
        Ok(())
    })
    .await;
}

/// The lists of a pod template and the keys by which the server merges them, read from what it publishes.
async fn published(client: &kube::Client) -> BTreeSet<(String, String)> {
    let request = http::Request::get("/openapi/v3/api/v1").body(Vec::new()).unwrap();
    let document: Value = client.request(request).await.unwrap();
    let schemas = &document["components"]["schemas"];
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut due = vec!["io.k8s.api.core.v1.PodTemplateSpec".to_owned()];
    while let Some(name) = due.pop() {
        for (field, schema) in schemas[&name]["properties"].as_object().into_iter().flatten() {
            if let Some(key) = schema["x-kubernetes-patch-merge-key"].as_str() {
                found.insert((field.clone(), key.to_owned()));
            }
            let text = schema.to_string();
            let names = text.split("#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
            due.extend(names.map(str::to_owned).filter(|name| seen.insert(name.clone())));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_templates_are_merged_by_the_keys_the_server_merges_them_by() {
    let ours = MERGE_KEYS.iter().map(|(list, key)| ((*list).to_owned(), (*key).to_owned()));
    let ours: BTreeSet<_> = ours.filter(|(list, _)| list != "readinessGates").collect();
    assert_eq!(published(&client().await).await, ours);
}
