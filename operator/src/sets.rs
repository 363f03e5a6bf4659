//! Takes in the sets: into the store, to the fleets, and into the queue of those to reconcile.
//!
//! A set that cannot be read stalls no other: it stays what it was when it last could be, and people are told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt as _, pin_mut};
use kube::{
    Api,
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt as _,
        reflector::{ObjectRef, store::Writer},
        watcher::{self, Event, watcher},
    },
};

use crate::{
    api::StoreReplicaSet,
    freshness::{Announcement, FleetSpec, set_reference},
    names::SetKey,
    patience::patience,
    queue::Queue,
    reconcile::Context,
    scope::PAGE,
};

/// A set, or why it cannot be read.
pub(crate) type Guarded = DeserializeGuard<StoreReplicaSet>;

/// What of a set calls for reconciling when it changes: not its status, which is this program's own.
type Asked = (Option<String>, Option<i64>, Option<BTreeMap<String, String>>);

/// The sets as the watch shows them.
pub(crate) struct Sets {
    writer: Writer<StoreReplicaSet>,
    context: Arc<Context>,
    queue: Arc<Queue>,
    listed: BTreeSet<SetKey>,
    asked: BTreeMap<SetKey, Asked>,
}

impl Sets {
    pub(crate) fn new(writer: Writer<StoreReplicaSet>, context: Arc<Context>, queue: Arc<Queue>) -> Self {
        Self { writer, context, queue, listed: BTreeSet::new(), asked: BTreeMap::new() }
    }

    /// Watches until the future is dropped.
    pub(crate) async fn watch(mut self, api: Api<Guarded>) {
        let events = watcher(api, watcher::Config::default().page_size(PAGE)).backoff(patience());
        pin_mut!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let Some(event) = self.readable(event) else { continue };
                    self.writer.apply_watcher_event(&event);
                    self.take(event);
                }
                Err(error) => tracing::warn!(
                    %error,
                    "the watch of StoreReplicaSets was interrupted and is taken up again; is the CRD installed?"
                ),
            }
        }
    }

    /// The event with the set as last read, if it cannot be read now; None if it never could.
    fn readable(&self, event: Event<Guarded>) -> Option<Event<StoreReplicaSet>> {
        Some(match event {
            Event::Init => Event::Init,
            Event::InitApply(set) => Event::InitApply(self.read(set)?),
            Event::InitDone => Event::InitDone,
            Event::Apply(set) => Event::Apply(self.read(set)?),
            Event::Delete(DeserializeGuard(set)) => {
                Event::Delete(set.or_else(|unreadable| self.last_read(&unreadable).ok_or(())).ok()?)
            }
        })
    }

    fn read(&self, DeserializeGuard(set): Guarded) -> Option<StoreReplicaSet> {
        match set {
            Ok(mut set) => {
                // Nobody here asks who owns which field of a set, and by the thousand that is most of what is kept.
                set.metadata.managed_fields = None;
                Some(set)
            }
            Err(unreadable) => {
                self.tell(&unreadable);
                self.last_read(&unreadable)
            }
        }
    }

    fn last_read(&self, unreadable: &InvalidObject) -> Option<StoreReplicaSet> {
        let SetKey { namespace, name } = key_of(unreadable);
        let known = self.writer.as_reader().get(&ObjectRef::new(&name).within(&namespace))?;
        Some(StoreReplicaSet::clone(&known))
    }

    fn tell(&self, unreadable: &InvalidObject) {
        let about =
            set_reference(&key_of(unreadable), unreadable.metadata.uid.as_deref().unwrap_or_default());
        let note = format!(
            "this StoreReplicaSet cannot be read and stays what it was when it last could be: {}: correct the field, \
             or install the definition that belongs to this version",
            unreadable.error
        );
        self.context.fleets.tell(Announcement { about, warning: true, reason: "Unreadable".into(), note });
    }

    fn take(&mut self, event: Event<StoreReplicaSet>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(set) => {
                self.seen(&set);
                self.listed.insert(SetKey::of(&set));
            }
            Event::InitDone => self.synced(),
            Event::Apply(set) => {
                if self.seen(&set) {
                    self.queue.push(SetKey::of(&set));
                }
            }
            Event::Delete(set) => self.gone(&SetKey::of(&set)),
        }
    }

    /// Has the set judged as it is now; says whether it is to be reconciled.
    fn seen(&mut self, set: &StoreReplicaSet) -> bool {
        let key = SetKey::of(set);
        self.context.fleets.set_seen(&key, FleetSpec::of(set, &self.context.rules.aim));
        let metadata = &set.metadata;
        let asked = (metadata.uid.clone(), metadata.generation, metadata.annotations.clone());
        self.asked.insert(key, asked.clone()) != Some(asked)
    }

    fn synced(&mut self) {
        for key in self.context.fleets.sets() {
            if !self.listed.contains(&key) {
                self.gone(&key);
            }
        }
        std::mem::take(&mut self.listed).into_iter().for_each(|key| self.queue.push(key));
    }

    fn gone(&mut self, key: &SetKey) {
        self.asked.remove(key);
        self.context.fleets.set_gone(key);
        self.context.memory.forget(key);
    }
}

fn key_of(unreadable: &InvalidObject) -> SetKey {
    let metadata = &unreadable.metadata;
    SetKey {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::{ResourceExt as _, runtime::reflector::store};
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::{Event, Guarded, Queue, Sets, StoreReplicaSet};
    use crate::{
        clock::Clock,
        freshness::{Fleets, Shared},
        lease::Leadership,
        metrics::Metrics,
        options::Options,
        reconcile::{Context, Memory, Rules, Watched},
    };

    fn sets(queue: &Arc<Queue>) -> Sets {
        let (client, metrics) = (crate::testing::nobody(), Arc::new(Metrics::new()));
        let shared = Shared::new(
            &client,
            Clock::start(),
            Arc::clone(&metrics),
            &Options::default(),
            Leadership::alone(),
            CancellationToken::new(),
        );
        let fleets = Fleets::new(client.clone(), shared, Arc::default());
        let watched = Watched {
            accounts: store().0,
            services: store().0,
            budgets: store().0,
            policies: store().0,
            statefulsets: store().0,
        };
        let (rules, memory) = (Rules::default(), Memory::default());
        let context = Arc::new(Context { client, watched, fleets, rules, metrics, memory });
        Sets::new(store().1, context, Arc::clone(queue))
    }

    fn set(generation: u32, annotations: &Value, status: &Value) -> Event<StoreReplicaSet> {
        let set = json!({
            "metadata": { "name": "a", "namespace": "n", "uid": "u", "generation": generation, "annotations": annotations },
            "spec": { "primary": { "url": "http://p:1" }, "follower": { "image": "i" } },
            "status": status,
        });
        Event::Apply(serde_json::from_value(set).expect("a set"))
    }

    #[test]
    fn what_can_be_read_is_read_behind_the_guard_as_without_it() {
        let set = json!({
            "metadata": { "name": "a", "namespace": "n", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": {
                "primary": { "url": "http://p:1", "genesis": format!("0x{}", "a".repeat(64)) },
                "follower": { "image": "i", "sync": "poll", "resources": { "limits": { "cpu": 1, "memory": "1Gi" } } },
                "storage": { "emptyDir": {} },
                "health": { "pollInterval": "500ms", "hardMaxLagBlocks": 9 },
                "podTemplate": { "spec": { "tolerations": [{ "operator": "Exists", "tolerationSeconds": 30 }] } },
            },
            "status": { "observedGeneration": -1, "members": [{ "name": "a-0", "tip": 7 }], "conditions": [{
                "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }] },
        });
        let plain: StoreReplicaSet = serde_json::from_value(set.clone()).expect("a set");
        let guarded: Guarded = serde_json::from_value(set).expect("metadata");
        assert_eq!(guarded.0.expect("a set"), plain);
    }

    #[tokio::test]
    async fn a_set_is_reconciled_for_what_its_owner_changes_and_not_for_its_status() {
        let queue = Arc::new(Queue::default());
        let mut sets = sets(&queue);
        let mut asks = |event| {
            sets.take(event);
            !queue.drain().is_empty()
        };
        assert!(asks(set(1, &json!({}), &json!({}))));
        assert!(!asks(set(1, &json!({}), &json!({ "replicas": 3 }))));
        assert!(asks(set(2, &json!({}), &json!({}))));
        assert!(asks(set(2, &json!({ "a": "b" }), &json!({}))));
    }

    #[test]
    fn one_that_cannot_be_read_is_known_by_its_name_in_a_list_too() {
        let set = |name: &str, tip: u64| {
            json!({
                "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSet",
                "metadata": { "name": name, "namespace": "n", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z" },
                "spec": { "primary": { "url": "http://p:1" }, "follower": { "image": "i" } },
                "status": { "fleetTip": tip },
            })
        };
        let list = json!({
            "apiVersion": "tidemark.dev/v1alpha1", "kind": "StoreReplicaSetList", "metadata": { "resourceVersion": "1" },
            "items": [set("bad", 5_000_000_000), set("good", 5)],
        });
        let list: kube::core::ObjectList<Guarded> = serde_json::from_str(&list.to_string()).expect("a list");
        let read: Vec<_> = list.items.iter().map(|set| (set.name_any(), set.0.is_ok())).collect();
        assert_eq!(read, [("bad".to_owned(), false), ("good".to_owned(), true)]);
    }
}
