//! The same manifests applied again change nothing, in whichever way they are applied.

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{PersistentVolumeClaim, Pod, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
        rbac::v1::{Role, RoleBinding},
    },
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde_json::{Value, json};
use tidemark_e2e::{apiserver::ApiServer, programs};
use tidemark_operator::api::StoreReplicaSet;

use crate::{
    clients::{Clients, text},
    controller::Controller,
    replacing::all_run,
    world::{World, until},
};

const TIMES: u32 = 10;

/// A fleet as a person may write it: amounts and spans that have another usual form, defaults that are said, and lists and
/// maps that are empty.
fn manifest(world: &World) -> String {
    let set = json!({
        "apiVersion": "tidemark.dev/v1alpha1",
        "kind": "StoreReplicaSet",
        "metadata": { "name": "set", "labels": { "team": "chain" }, "annotations": { "note": "" } },
        "spec": {
            "replicas": 2,
            "primary": { "url": world.primary.url(), "fallbackUrls": [], "observe": true },
            "follower": {
                "image": "tidemark.local/follower:first",
                "args": [],
                "env": [{ "name": "REGION", "value": "north" }],
                "resources": { "requests": { "cpu": "0.5", "memory": "1024Mi" }, "limits": { "memory": "1Gi" } },
            },
            "storage": { "size": "1024Mi" },
            "health": { "pollInterval": "200ms", "staleAfter": "8000ms", "stallAfter": "1440m", "maxLagBlocks": 2 },
            "service": { "annotations": { "a": "b" } },
            "fenced": [],
            "podTemplate": {
                "metadata": { "labels": { "team": "chain" } },
                "spec": {
                    "securityContext": { "runAsUser": null, "runAsGroup": null, "fsGroup": null },
                    "tolerations": [{ "key": "chain", "operator": "Exists" }],
                    "containers": [{ "name": "log-shipper", "image": "registry.example/shipper:1", "resources": { "limits": { "cpu": "1000m" } } }],
                },
            },
        },
    });
    set.to_string()
}

/// A world in which the fleet of the manifest is to be made, with somebody who runs its pods.
async fn world(name: &str) -> (World, Controller, Clients) {
    let world = World::new(name).await;
    let controller = Controller::start(world.client.clone(), name);
    (world, controller, Clients::of(ApiServer::shared(), name))
}

/// Waits until the operator has nothing left to say or do.
async fn settled(world: &World) {
    all_run(world, 2, "first").await;
    until("the operator to be done", async || {
        let status = world.api::<StoreReplicaSet>().get("set").await?.status.unwrap_or_default();
        let ready = status.conditions.iter().any(|found| found.type_ == "Ready" && found.status == "True");
        ensure!(ready && status.in_sync_replicas == 2 && status.ready_replicas == 2, "{status:?}");
        Ok(())
    })
    .await;
}

/// What is there: of each object its version, and of a set all but its status, which is not applied.
#[derive(Debug, PartialEq)]
struct Standing(BTreeMap<String, Value>);

impl Standing {
    async fn of_fleet(world: &World) -> Self {
        let mut all = BTreeMap::new();
        versions::<StatefulSet>(world, &mut all).await;
        versions::<Service>(world, &mut all).await;
        versions::<ServiceAccount>(world, &mut all).await;
        versions::<PodDisruptionBudget>(world, &mut all).await;
        versions::<NetworkPolicy>(world, &mut all).await;
        versions::<Pod>(world, &mut all).await;
        versions::<PersistentVolumeClaim>(world, &mut all).await;
        assert!(all.len() >= 10, "{all:?}");
        let mut set = as_stored(world).await;
        set.as_object_mut().unwrap().remove("status");
        let metadata = set["metadata"].as_object_mut().unwrap();
        metadata.remove("resourceVersion");
        let managed = metadata["managedFields"].as_array_mut().unwrap();
        managed.retain(|entry| entry["subresource"] != "status");
        all.insert("the set".to_owned(), set);
        Self(all)
    }

    async fn of_operator(world: &World) -> Self {
        let mut all = BTreeMap::new();
        versions::<Deployment>(world, &mut all).await;
        versions::<ServiceAccount>(world, &mut all).await;
        versions::<PodDisruptionBudget>(world, &mut all).await;
        versions::<Role>(world, &mut all).await;
        versions::<RoleBinding>(world, &mut all).await;
        assert!(all.len() >= 7, "{all:?}");
        Self(all)
    }
}

/// The set word for word.
async fn as_stored(world: &World) -> Value {
    let kind = ApiResource::erase::<StoreReplicaSet>(&());
    let sets: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
    serde_json::to_value(sets.get("set").await.unwrap()).unwrap()
}

async fn versions<K>(world: &World, all: &mut BTreeMap<String, Value>)
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    let kind = ApiResource::erase::<K>(&());
    let objects: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), &world.namespace, &kind);
    for found in objects.list_metadata(&ListParams::default()).await.unwrap() {
        let version = json!([found.metadata.generation, found.metadata.resource_version]);
        all.insert(format!("{} {}", kind.kind, found.name_any()), version);
    }
}

/// The operator has looked at the fleet some more times, and nothing of it has changed.
async fn nothing_changed(world: &World, before: &Standing) {
    world.primary.asked(5).await.unwrap();
    assert_eq!(&Standing::of_fleet(world).await, before);
    world.condition_is("Degraded", "False", "AsExpected").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_applied_ten_times_by_kubectl_is_what_it_was() {
    let (world, _controller, user) = world("applied-kubectl").await;
    let file = user.write("fleet.json", &manifest(&world));
    let apply = || user.kubectl(&["apply", "-f", text(&file)]).unwrap();
    assert!(apply().ends_with("set created\n"));
    settled(&world).await;
    let before = Standing::of_fleet(&world).await;
    for _ in 0..TIMES {
        assert!(apply().ends_with("set unchanged\n"));
    }
    assert_eq!(user.kubectl(&["diff", "-f", text(&file)]).unwrap(), "");
    nothing_changed(&world, &before).await;
    let user = as_stored(&world).await["spec"]["podTemplate"]["spec"]["securityContext"].clone();
    assert_eq!(user, json!({}), "the client does not send what is null, as docs/install.md says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_applied_ten_times_on_the_server_is_what_it_was() {
    let (world, _controller, user) = world("applied-server").await;
    let file = user.write("fleet.json", &manifest(&world));
    let apply = || user.kubectl(&["apply", "--server-side", "-f", text(&file)]).unwrap();
    apply();
    settled(&world).await;
    let before = Standing::of_fleet(&world).await;
    for _ in 0..TIMES {
        apply();
    }
    assert_eq!(user.kubectl(&["diff", "--server-side", "-f", text(&file)]).unwrap(), "");
    nothing_changed(&world, &before).await;
    let pod = world.statefulset().await.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.security_context.unwrap().run_as_user, None, "what is null is left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_upgraded_ten_times_by_helm_is_what_it_was() {
    let (world, _controller, user) = world("applied-helm").await;
    user.write("chart/templates/fleet.json", &manifest(&world));
    let chart = user.write("chart/Chart.yaml", "{ apiVersion: v2, name: fleet, version: 0.1.0 }");
    let chart = chart.parent().unwrap();
    let upgrade = || user.helm(&["upgrade", "--install", "fleet", text(chart)]).unwrap();
    upgrade();
    settled(&world).await;
    let before = Standing::of_fleet(&world).await;
    for _ in 0..TIMES {
        upgrade();
    }
    nothing_changed(&world, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_that_leaves_its_replicas_to_another_keeps_them() {
    let (world, _controller, user) = world("applied-scaled").await;
    let mut set: Value = serde_json::from_str(&manifest(&world)).unwrap();
    set["spec"].as_object_mut().unwrap().remove("replicas");
    // These would be new to the server: the client does not send it what is null.
    set["spec"]["podTemplate"]["spec"].as_object_mut().unwrap().remove("securityContext");
    let file = user.write("fleet.json", &set.to_string());
    user.kubectl(&["apply", "-f", text(&file)]).unwrap();
    all_run(&world, 3, "first").await;
    user.kubectl(&["scale", "storereplicaset", "set", "--replicas=2"]).unwrap();
    settled(&world).await;
    let spec = as_stored(&world).await["spec"].clone();
    assert_eq!(spec["replicas"], 2);
    for how in [&["apply", "-f", text(&file)][..], &["apply", "--server-side", "-f", text(&file)]] {
        user.kubectl(how).unwrap();
        assert_eq!(as_stored(&world).await["spec"], spec, "kubectl {how:?}");
    }
    let before = Standing::of_fleet(&world).await;
    nothing_changed(&world, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_applied_ten_times_is_what_it_was() {
    let mut world = World::new("applied-operator").await;
    world.operator = None;
    let user = Clients::of(ApiServer::shared(), &world.namespace);
    let overlay = user.overlay("namespaced", &world.namespace);
    for how in [&["-k", text(&overlay)][..], &["--server-side", "-k", text(&overlay)]] {
        let with = |verb: &str| user.kubectl(&[&[verb][..], how].concat()).unwrap();
        with("apply");
        let before = Standing::of_operator(&world).await;
        for _ in 0..TIMES {
            with("apply");
        }
        assert_eq!(with("diff"), "");
        assert_eq!(Standing::of_operator(&world).await, before);
    }
    user.kubectl(&["delete", "-k", text(&overlay)]).unwrap();

    let namespaces = format!("namespaces={{{}}}", world.namespace);
    let chart = programs::checkout().join("charts/tidemark");
    let upgrade = || {
        user.helm(&["upgrade", "--install", "tidemark", text(&chart), "--set", &namespaces]).unwrap();
    };
    upgrade();
    let before = Standing::of_operator(&world).await;
    for _ in 0..TIMES {
        upgrade();
    }
    assert_eq!(Standing::of_operator(&world).await, before);
}
