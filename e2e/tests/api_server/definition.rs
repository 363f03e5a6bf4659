//! The definition: what it refuses, in which words, and what it lets pass.

mod cases;
mod columns;
mod schema;

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

/// The smallest spec with this value at a path such as `/spec/health/mode`, a list for `/0`.
fn with_at(path: &str, value: &Value) -> Value {
    let change =
        path.trim_start_matches("/spec/").rsplit('/').fold(value.clone(), |value, field| match field {
            "0" => json!([value]),
            field => json!({ field: value }),
        });
    with(&change)
}

/// Sends an object that nothing on this side has read, without keeping it; returns it with its defaults.
async fn send(client: &Client, name: &str, spec: Value) -> Result<Value, String> {
    let body = json!({
        "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "metadata": { "name": name }, "spec": spec,
    });
    let path =
        "/apis/tidemark.dev/v1alpha1/namespaces/default/storereplicasets?dryRun=All&fieldValidation=Strict";
    let request = http::Request::post(path).header("content-type", "application/json");
    let request = request.body(serde_json::to_vec(&body).unwrap()).unwrap();
    client.request::<Value>(request).await.map_err(|error| error.to_string())
}

/// Sends what is to be refused, and returns what the server said.
async fn refusals(client: &Client) -> Vec<String> {
    let mut answers = Vec::new();
    for (change, message) in cases::refused() {
        let answer = send(client, "good-name", with(&change)).await.expect_err(&change.to_string());
        assert!(answer.contains(message), "{change}: {answer}");
        answers.push(answer);
    }
    for name in ["0-begins-with-a-digit", "has.dots", &"x".repeat(51)] {
        answers.push(send(client, name, smallest()).await.expect_err(name));
    }
    answers
}

/// Sends what is to pass, and returns it with its defaults.
async fn acceptances(client: &Client) -> Vec<Value> {
    let mut objects = vec![send(client, &"x".repeat(50), smallest()).await.unwrap()];
    for change in cases::accepted() {
        let sent = send(client, "good-name", with(&change)).await;
        objects.push(sent.unwrap_or_else(|answer| panic!("{change}: {answer}")));
    }
    objects
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_has_an_object_that_breaks_it_and_one_that_keeps_it() {
    let client = client().await;
    let (refusals, acceptances) = (refusals(&client).await, acceptances(&client).await);
    let rules: Vec<_> = schema::rules().into_iter().filter(|rule| !rule.on_change).collect();
    assert!(rules.len() > 30, "only {} rules were found", rules.len());
    for rule in rules {
        let broken = refusals.iter().any(|answer| answer.contains(&rule.message));
        assert!(broken, "nothing breaks the rule of {}: {}", rule.path, rule.message);
        let kept = acceptances.iter().any(|object| object.pointer(&rule.path).is_some());
        assert!(kept, "nothing that passes has {}", rule.path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bound_has_an_object_outside_of_it_and_one_inside() {
    let client = client().await;
    let acceptances = acceptances(&client).await;
    let bounds = schema::bounds();
    assert!(bounds.len() > 60, "only {} bounds were found", bounds.len());
    for bound in bounds {
        let field = bound.path.trim_start_matches('/').replace("/0", "[0]").replace('/', ".");
        let answer =
            send(&client, "good-name", with_at(&bound.path, &bound.outside)).await.expect_err(&field);
        let line = answer.contains(&field) && answer.contains(&bound.message);
        assert!(line, "{field}: {} is not in {answer}", bound.message);
        assert!(
            acceptances.iter().any(|object| object.pointer(&bound.path).is_some()),
            "nothing that passes has {field}"
        );
        for value in bound.inside {
            // Other fields may have something against it, but its own bound has not.
            if let Err(answer) = send(&client, "good-name", with_at(&bound.path, &value)).await {
                let complains = answer.contains(&bound.message) || answer.contains("Unsupported value");
                assert!(!complains, "{field}: {value}: {answer}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_is_refused_when_it_does_and_what_can_passes() {
    let client = client().await;
    let sets: Api<StoreReplicaSet> = Api::namespaced(client, "default");
    let set = crate::world::set("immutable", with(&cases::changeable()));
    sets.create(&PostParams::default(), &set).await.unwrap();
    let trying = PatchParams { dry_run: true, ..PatchParams::default() };
    let mut answers = Vec::new();
    for (change, message) in cases::refused_changes() {
        let patch = Patch::Merge(json!({ "spec": change }));
        let answer = sets.patch("immutable", &trying, &patch).await.expect_err(message).to_string();
        assert!(answer.contains(message), "{change}: {answer}");
        answers.push(answer);
    }
    let mut objects = Vec::new();
    for change in cases::accepted_changes() {
        let patch = Patch::Merge(json!({ "spec": change }));
        let changed = sets
            .patch("immutable", &trying, &patch)
            .await
            .unwrap_or_else(|answer| panic!("{change}: {answer}"));
        objects.push(serde_json::to_value(changed).unwrap());
    }
    for rule in schema::rules().into_iter().filter(|rule| rule.on_change) {
        assert!(
            answers.iter().any(|answer| answer.contains(&rule.message)),
            "nothing breaks: {}",
            rule.message
        );
        assert!(
            objects.iter().any(|object| object.pointer(&rule.path).is_some()),
            "no change has {}",
            rule.path
        );
    }
    sets.delete("immutable", &Default::default()).await.unwrap();
}
