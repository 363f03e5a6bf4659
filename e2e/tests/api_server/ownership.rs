//! Whose field, whose object: what is put back, what is left alone, what is deleted, and what a pause stops.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::Service, events::v1::Event};
use kube::{
    Api, Resource as _, ResourceExt as _,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tidemark_operator::{api::StoreReplicaSet, names};
use tokio::task::JoinHandle;

use crate::world::{World, set, until};

async fn service(world: &World, name: &str) -> Service {
    world.api().get(name).await.unwrap()
}

async fn event(world: &World, reason: &str) -> Event {
    until(&format!("an event {reason}"), async || {
        let events = world.api::<Event>().list(&ListParams::default()).await?.items;
        events.into_iter().find(|event| event.reason.as_deref() == Some(reason)).context("no event yet")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_in_the_dry_run_leaves_nothing_half_changed() {
    let world = World::new("half").await;
    world.create(world.spec()).await;
    world.statefulset().await;
    world.condition_is("Accepted", "True", "Accepted").await;
    let before = service(&world, "set").await.resource_version();
    let half = json!({
        "service": { "annotations": { "new": "yes" } },
        "podTemplate": { "spec": { "activeDeadlineSeconds": 60 } },
    });
    world.change(half).await;
    let message = world.condition_is("Accepted", "False", "ObjectRefused").await;
    assert!(
        message.contains("StatefulSet set is refused") && message.contains("activeDeadlineSeconds"),
        "{message}"
    );
    assert_eq!(
        service(&world, "set").await.resource_version(),
        before,
        "the Service comes first and is not touched"
    );
    event(&world, "Refused").await;
    world.change(json!({ "podTemplate": { "spec": { "activeDeadlineSeconds": null } } })).await;
    world.condition_is("Accepted", "True", "Accepted").await;
    assert_eq!(service(&world, "set").await.annotations().get("new").map(String::as_str), Some("yes"));
    event(&world, "Accepted").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_others_that_are_not_rendered_are_left_alone() {
    let world = World::new("theirs").await;
    world.create(world.spec()).await;
    world.statefulset().await;
    let theirs = json!({ "metadata": { "annotations": { "team": "a" }, "labels": { "team": "a" } } });
    let params = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
    for name in ["set", "set-peers"] {
        let _: Service = world.api().patch(name, &params, &Patch::Merge(&theirs)).await.unwrap();
    }
    let _: StatefulSet = world.api().patch("set", &params, &Patch::Merge(&theirs)).await.unwrap();
    world.change(json!({ "service": { "annotations": { "ours": "b" } } })).await;
    let read = until("the change to be applied", async || {
        let read: Service = world.api().get("set").await?;
        ensure!(read.annotations().get("ours").is_some(), "{:?}", read.annotations());
        Ok(read)
    })
    .await;
    let statefulset = world.statefulset().await;
    for metadata in [read.meta(), statefulset.meta(), service(&world, "set-peers").await.meta()] {
        let team =
            |map: &Option<std::collections::BTreeMap<String, String>>| map.as_ref().unwrap()["team"].clone();
        assert_eq!((team(&metadata.annotations), team(&metadata.labels)), ("a".to_owned(), "a".to_owned()));
    }
}

/// Sets the StatefulSet's replicas to 7 whenever they are something else; ends with this value.
struct Rival {
    wins: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Rival {
    fn start(statefulsets: Api<StatefulSet>) -> Self {
        let wins = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&wins);
        let task = tokio::spawn(async move {
            let params = PatchParams { field_manager: Some("rival".to_owned()), ..PatchParams::default() };
            let seven = Patch::Merge(json!({ "spec": { "replicas": 7 } }));
            loop {
                let found = statefulsets.get("set").await.unwrap();
                if found.spec.unwrap().replicas != Some(7) {
                    statefulsets.patch("set", &params, &seven).await.unwrap();
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Self { wins, task }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_fought_over_is_named_with_the_rival_and_judging_goes_on() {
    let world = World::with_fleet("rival", 3, |_| {}).await;
    let rival = Rival::start(world.api());
    let message = world.condition_is("Degraded", "True", "FieldConflict").await;
    assert!(message.contains("rival keeps changing spec.replicas of StatefulSet set"), "{message}");
    assert!(event(&world, "FieldConflict").await.note.unwrap().contains("rival"));
    let wins = rival.wins.load(Ordering::Relaxed);
    assert!(wins >= 3, "{wins}");
    world.primary.say(|primary| primary.tip = Some(200));
    world.follower(0).say(|follower| follower.tip = Some(200));
    world.follower(1).say(|follower| follower.tip = Some(200));
    world.gate_is(2, "False", "Lagging").await;
    // At full speed it would have been dozens by now.
    assert!(rival.wins.load(Ordering::Relaxed) <= wins + 2, "the field is put back ever less often");
    drop(rival);
    until("the field to be put back once the rival is gone", async || {
        let replicas = world.statefulset().await.spec.unwrap().replicas;
        ensure!(replicas == Some(3), "{replicas:?}");
        Ok(())
    })
    .await;
}

async fn make_service(world: &World, name: &str, owner: Option<&str>) {
    let owner = owner.map(|uid| {
        json!([{
            "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet", "name": "set", "uid": uid,
            "controller": true,
        }])
    });
    let service = json!({
        "metadata": { "name": name, "labels": names::labels("set"), "ownerReferences": owner },
        "spec": { "ports": [{ "port": 80 }] },
    });
    let service: Service = serde_json::from_value(service).unwrap();
    world.api().create(&PostParams::default(), &service).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_rendered_is_deleted_if_this_very_set_controls_it() {
    let world = World::new("orphans").await;
    world.create(world.spec()).await;
    world.statefulset().await;
    let uid = world.api::<StoreReplicaSet>().get("set").await.unwrap().uid().unwrap();
    make_service(&world, "of-another", Some("00000000-0000-0000-0000-000000000000")).await;
    make_service(&world, "of-nobody", None).await;
    make_service(&world, "of-an-earlier-version", Some(&uid)).await;
    until("the orphan to be deleted", async || {
        let left = world.api::<Service>().get_opt("of-an-earlier-version").await?;
        ensure!(left.is_none(), "it is still there");
        Ok(())
    })
    .await;
    for name in ["of-another", "of-nobody", "set", "set-peers"] {
        service(&world, name).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_set_is_judged_and_nothing_of_it_is_written_but_status_and_gates() {
    let world = World::with_fleet("paused", 3, |_| {}).await;
    world.annotate(json!({ names::PAUSED: "true" })).await;
    world.condition_is("Progressing", "Unknown", "Paused").await;
    world.condition_is("Reconciling", "False", "Paused").await;
    event(&world, "Paused").await;
    world.change(json!({ "replicas": 5 })).await;
    let seven = Patch::Merge(json!({ "spec": { "replicas": 7 } }));
    let _: StatefulSet = world.api().patch("set", &PatchParams::default(), &seven).await.unwrap();
    world.api::<Service>().delete("set", &Default::default()).await.unwrap();
    world.primary.say(|primary| primary.tip = Some(200));
    for ordinal in [0, 1] {
        world.follower(ordinal).say(|follower| follower.tip = Some(200));
    }
    world.gate_is(2, "False", "Lagging").await;
    let status = until("the status to tell of the laggard", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        let status = set.status.unwrap_or_default();
        ensure!(status.in_sync_replicas == 2, "{status:?}");
        Ok(status)
    })
    .await;
    assert_eq!(status.observed_generation, Some(1), "the spec that was followed last");
    assert_eq!(world.statefulset().await.spec.unwrap().replicas, Some(7));
    assert!(world.api::<Service>().get_opt("set").await.unwrap().is_none());
    world.annotate(json!({ names::PAUSED: null })).await;
    until("everything to be made up for", async || {
        ensure!(world.statefulset().await.spec.context("a spec")?.replicas == Some(5), "replicas");
        world.api::<Service>().get("set").await?;
        Ok(())
    })
    .await;
    event(&world, "Resumed").await;
    until("the spec to be observed", async || {
        let set: StoreReplicaSet = world.api().get("set").await?;
        ensure!(set.status.and_then(|status| status.observed_generation) == Some(2), "not yet");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_deleted_while_paused_is_forgotten_and_one_of_its_name_starts_anew() {
    let world = World::with_fleet("forgotten", 1, |_| {}).await;
    world.annotate(json!({ names::PAUSED: "true" })).await;
    world.condition_is("Progressing", "Unknown", "Paused").await;
    assert!(world.admin("/metrics").await.contains("namespace=\"forgotten\""));
    world.api::<StoreReplicaSet>().delete("set", &Default::default()).await.unwrap();
    until("the operator to forget the set", async || {
        let (metrics, fleets) = (world.admin("/metrics").await, world.admin("/fleets").await);
        ensure!(!metrics.contains("namespace=\"forgotten\"") && !fleets.contains("forgotten"), "{fleets}");
        Ok(())
    })
    .await;
    assert_eq!(world.gate(0).await.unwrap().status, "True", "gates stay as they are");
    // No garbage collector runs here: what the first one made stays, and belongs to somebody else now.
    world.api().create(&PostParams::default(), &set("set", world.spec())).await.unwrap();
    world.condition_is("Accepted", "False", "NameConflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_waits_for_its_dependents_to_be_deleted_makes_none_of_them_again() {
    let world = World::with_fleet("foreground", 1, |_| {}).await;
    world.api::<StoreReplicaSet>().delete("set", &kube::api::DeleteParams::foreground()).await.unwrap();
    world.primary.say(|primary| primary.tip = Some(103));
    until("the operator to make none of them again", async || {
        // What the garbage collector would do; the operator may hear of the set's end a moment after that of the Service.
        if world.api::<Service>().get_opt("set").await?.is_some() {
            world.api::<Service>().delete("set", &Default::default()).await?;
        }
        world.follower(0).asked(10).await?;
        ensure!(world.api::<Service>().get_opt("set").await?.is_none(), "made again");
        Ok(())
    })
    .await;
    let release = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    let _: StoreReplicaSet = world.api().patch("set", &PatchParams::default(), &release).await.unwrap();
    until("the operator to forget the set", async || {
        let fleets = world.admin("/fleets").await;
        ensure!(!fleets.contains("foreground"), "{fleets}");
        Ok(())
    })
    .await;
    assert!(world.api::<Service>().get_opt("set").await.unwrap().is_none());
}
