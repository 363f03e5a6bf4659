//! The definition: what it refuses, in which words, and what it lets pass.

use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tidemark_e2e::apiserver::ApiServer;
use tidemark_operator::api::StoreReplicaSet;

use crate::world::install;

async fn client() -> Client {
    let client = ApiServer::shared().client().unwrap();
    install(&client).await.unwrap();
    client
}

fn smallest() -> Value {
    json!({ "primary": { "url": "http://primary:57291" }, "follower": { "image": "i" } })
}

/// The smallest spec with these fields on top.
fn with(change: &Value) -> Value {
    let mut spec = smallest();
    merge(&mut spec, change);
    spec
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}

/// Sends an object that nothing on this side has read, without keeping it.
async fn send(client: &Client, name: &str, spec: Value) -> Result<(), String> {
    let body = json!({
        "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "metadata": { "name": name }, "spec": spec,
    });
    let path =
        "/apis/tidemark.dev/v1alpha1/namespaces/default/storereplicasets?dryRun=All&fieldValidation=Strict";
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&body).unwrap()).unwrap();
    client.request::<Value>(request).await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_value_of_every_field_is_refused_with_a_message_that_names_it() {
    let client = client().await;
    let nested = "spec.follower.args must not repeat what the operator sets";
    let span = |field: &str| format!("spec.health.{field} must be a span of time");
    let cases = [
        (json!({ "replicas": -1 }), "spec.replicas in body should be greater than or equal to 0"),
        (json!({ "replicas": 101 }), "spec.replicas in body should be less than or equal to 100"),
        (json!({ "replicas": "three" }), "spec.replicas in body must be of type integer"),
        (json!({ "primary": null }), "spec.primary"),
        (json!({ "primary": { "url": "ftp://primary:1" } }), "spec.primary.url must be http://HOST:PORT"),
        (json!({ "primary": { "url": "http://primary" } }), "spec.primary.url must be http://HOST:PORT"),
        (
            json!({ "primary": { "url": "http://user@primary:1" } }),
            "spec.primary.url must be http://HOST:PORT",
        ),
        (
            json!({ "primary": { "fallbackUrls": ["ftp://x:1"] } }),
            "spec.primary.fallbackUrls must each be http://HOST:PORT",
        ),
        (
            json!({ "primary": { "fallbackUrls": ["http://primary:57291"] } }),
            "must not repeat spec.primary.url",
        ),
        (json!({ "primary": { "observe": "yes" } }), "spec.primary.observe in body must be of type boolean"),
        (json!({ "primary": { "genesis": "0x12" } }), "spec.primary.genesis must be 0x and 64"),
        (json!({ "follower": null }), "spec.follower"),
        (json!({ "follower": { "image": "" } }), "spec.follower.image must name a container image"),
        (
            json!({ "follower": { "imagePullPolicy": "Sometimes" } }),
            "spec.follower.imagePullPolicy: Unsupported value",
        ),
        (
            json!({ "follower": { "imagePullSecrets": "one" } }),
            "spec.follower.imagePullSecrets in body must be of type array",
        ),
        (
            json!({ "follower": { "port": 80 } }),
            "spec.follower.port in body should be greater than or equal to 1024",
        ),
        (json!({ "follower": { "port": 57292 } }), "spec.follower.port must not be 57292"),
        (json!({ "follower": { "sync": "push" } }), "spec.follower.sync: Unsupported value"),
        (json!({ "follower": { "format": "json" } }), "spec.follower.format: Unsupported value"),
        (json!({ "follower": { "args": ["--listen=0.0.0.0:1"] } }), nested),
        (json!({ "follower": { "args": ["--upstream"] } }), nested),
        (json!({ "follower": { "env": [{ "value": "x" }] } }), "spec.follower.env[0].name"),
        (
            json!({ "follower": { "resources": { "limits": { "cpu": [] } } } }),
            "spec.follower.resources.limits.cpu",
        ),
        (json!({ "storage": {} }), "spec.storage needs exactly one of size"),
        (json!({ "storage": { "size": "1Gi", "emptyDir": {} } }), "spec.storage needs exactly one of size"),
        (json!({ "storage": { "size": "big" } }), "spec.storage.size must be a quantity above 0"),
        (json!({ "storage": { "size": "0" } }), "spec.storage.size must be a quantity above 0"),
        (
            json!({ "storage": { "emptyDir": {}, "storageClassName": "fast" } }),
            "spec.storage.storageClassName has no effect",
        ),
        (
            json!({ "storage": { "size": "1Gi", "storageClassName": "No Such" } }),
            "spec.storage.storageClassName must be the name",
        ),
        (
            json!({ "storage": { "size": "1Gi", "retention": "Maybe" } }),
            "spec.storage.retention: Unsupported value",
        ),
        (
            json!({ "storage": { "emptyDir": { "sizeLimit": "-1" } } }),
            "spec.storage.emptyDir.sizeLimit must be a quantity above 0",
        ),
        (
            json!({ "health": { "maxLagBlocks": -1 } }),
            "spec.health.maxLagBlocks in body should be greater than or equal to 0",
        ),
        (json!({ "health": { "readmitLagBlocks": 3 } }), "spec.health.readmitLagBlocks must be at most"),
        (
            json!({ "health": { "readmitAfter": 0 } }),
            "spec.health.readmitAfter in body should be greater than or equal to 1",
        ),
        (json!({ "health": { "hardMaxLagBlocks": 2 } }), "spec.health.hardMaxLagBlocks must be greater than"),
        (
            json!({ "health": { "minServing": 101 } }),
            "spec.health.minServing in body should be less than or equal to 100",
        ),
        (json!({ "health": { "pollInterval": "soon" } }), &span("pollInterval")),
        (json!({ "health": { "pollInterval": "99ms" } }), &span("pollInterval")),
        (json!({ "health": { "staleAfter": "1500ms" } }), "spec.health.staleAfter must be at least twice"),
        (json!({ "health": { "staleAfter": "1d" } }), &span("staleAfter")),
        (json!({ "health": { "stallAfter": "25h" } }), &span("stallAfter")),
        (json!({ "health": { "stallAfter": "1s" } }), "spec.health.stallAfter must be longer than"),
        (json!({ "health": { "forgetAfter": "4s" } }), "spec.health.forgetAfter must be at least"),
        (json!({ "health": { "forgetAfter": "" } }), &span("forgetAfter")),
        (json!({ "health": { "mode": "Watch" } }), "spec.health.mode: Unsupported value"),
        (json!({ "service": { "type": "ExternalName" } }), "spec.service.type: Unsupported value"),
        (
            json!({ "service": { "annotations": { "a": 1 } } }),
            "spec.service.annotations.a in body must be of type string",
        ),
        (json!({ "fenced": ["other-0"] }), "spec.fenced must name pods of this set"),
        (json!({ "fenced": ["good-name-x"] }), "spec.fenced must name pods of this set"),
        (
            json!({ "podTemplate": { "metadata": { "labels": { "app.kubernetes.io/instance": "x" } } } }),
            "spec.podTemplate.metadata.labels must not set",
        ),
        (
            json!({ "podTemplate": { "metadata": { "annotations": 1 } } }),
            "spec.podTemplate.metadata.annotations in body must be of type object",
        ),
        (json!({ "unheardOf": 1 }), "unknown field \"spec.unheardOf\""),
    ];
    for (change, message) in &cases {
        let answer = send(&client, "good-name", with(change)).await.expect_err(&change.to_string());
        assert!(answer.contains(*message), "{change}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_service_names_of_at_most_fifty_characters() {
    let client = client().await;
    for name in ["0-begins-with-a-digit", "has.dots", &"x".repeat(51)] {
        let answer = send(&client, name, smallest()).await.expect_err(name);
        assert!(
            answer.contains("metadata.name must be a DNS-1035 label of at most 50 characters"),
            "{answer}"
        );
    }
    send(&client, &"x".repeat(50), smallest()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn values_at_their_bounds_pass() {
    let client = client().await;
    let passing = [
        json!({}),
        json!({ "replicas": 0 }),
        json!({ "replicas": 100 }),
        json!({ "primary": { "url": "http://[fd00::1]:57291/", "genesis": format!("0x{}", "a".repeat(64)), "observe": false } }),
        json!({ "primary": { "genesis": null, "fallbackUrls": ["http://other:1"] } }),
        json!({ "follower": { "args": ["--poll-interval=1s"], "port": 1024, "resources": { "limits": { "cpu": 1 } } } }),
        json!({ "storage": { "emptyDir": {} } }),
        json!({ "storage": { "size": "1Gi", "storageClassName": "fast", "retention": "Delete" } }),
        json!({ "health": { "maxLagBlocks": 0, "readmitLagBlocks": 0, "hardMaxLagBlocks": 1, "minServing": 0 } }),
        json!({ "health": { "pollInterval": "100ms", "staleAfter": "200ms" } }),
        json!({ "health": { "pollInterval": "1m", "staleAfter": "2m", "stallAfter": "1h30m", "forgetAfter": "2m" } }),
        json!({ "fenced": ["good-name-0", "good-name-12"] }),
    ];
    for change in passing {
        send(&client, "good-name", with(&change)).await.unwrap_or_else(|answer| panic!("{change}: {answer}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_refused_when_it_does() {
    let client = client().await;
    let sets: Api<StoreReplicaSet> = Api::namespaced(client.clone(), "default");
    let genesis = format!("0x{}", "a".repeat(64));
    let spec = with(
        &json!({ "primary": { "genesis": genesis }, "storage": { "size": "1Gi", "storageClassName": "fast" } }),
    );
    sets.create(&PostParams::default(), &crate::world::set("immutable", spec)).await.unwrap();
    let cases = [
        (json!({ "primary": { "genesis": null } }), "spec.primary.genesis is immutable once set"),
        (
            json!({ "primary": { "genesis": format!("0x{}", "b".repeat(64)) } }),
            "spec.primary.genesis is immutable once set",
        ),
        (json!({ "follower": { "port": 6000 } }), "spec.follower.port is immutable"),
        (json!({ "follower": { "format": "native" } }), "spec.follower.format is immutable"),
        (json!({ "storage": { "size": "1023Mi" } }), "spec.storage.size may grow and never shrink"),
        (json!({ "storage": { "storageClassName": "slow" } }), "spec.storage.storageClassName is immutable"),
        (
            json!({ "storage": { "size": null, "storageClassName": null, "emptyDir": {} } }),
            "cannot change between size and emptyDir",
        ),
    ];
    for (change, message) in &cases {
        let patch = Patch::Merge(json!({ "spec": change }));
        let answer = sets.patch("immutable", &PatchParams::default(), &patch).await.expect_err(message);
        assert!(answer.to_string().contains(*message), "{change}: {answer}");
    }
    let patch = Patch::Merge(
        json!({ "spec": { "replicas": 5, "follower": { "image": "j" }, "storage": { "retention": "Delete" } } }),
    );
    sets.patch("immutable", &PatchParams::default(), &patch).await.unwrap();
    sets.delete("immutable", &Default::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_scales_by_its_subresource() {
    let client = client().await;
    let sets: Api<StoreReplicaSet> = Api::namespaced(client, "default");
    sets.create(&PostParams::default(), &crate::world::set("scales", smallest())).await.unwrap();
    let patch = Patch::Merge(json!({ "spec": { "replicas": 4 } }));
    let scale = sets.patch_scale("scales", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(scale.spec.and_then(|spec| spec.replicas), Some(4));
    let set = sets.get("scales").await.unwrap();
    assert_eq!(
        set.status.and_then(|status| status.observed_generation),
        Some(-1),
        "nobody has looked at it yet"
    );
    sets.delete("scales", &Default::default()).await.unwrap();
}
