//! Tells people about transitions, as Kubernetes events and log lines. Never on the way of a gate: what does not fit in
//! the queue is only logged.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tidemark_judge::PodUid;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::snapshot::Snapshot;
use crate::names::{FIELD_MANAGER, SetKey};

/// Events that may wait; more at once would tell nobody anything.
const QUEUE: usize = 1_024;
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// One thing to tell.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) about: ObjectReference,
    pub(crate) warning: bool,
    pub(crate) reason: &'static str,
    pub(crate) note: String,
}

/// Takes announcements.
#[derive(Clone, Debug)]
pub(crate) struct Announcer(mpsc::Sender<Announcement>);

impl Announcer {
    /// Starts the task that publishes.
    pub(crate) fn start(client: Client, token: CancellationToken) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(token.run_until_cancelled_owned(publish(client, receiver)));
        Self(sender)
    }

    /// Logs it, and has it published if the queue has room.
    pub(crate) fn tell(&self, announcement: Announcement) {
        let Announcement { about, reason, note, .. } = &announcement;
        let (namespace, name) = (about.namespace.as_deref(), about.name.as_deref());
        tracing::info!(namespace, set = name, reason, "{note}");
        // A full queue means that the API server is slow; the log line and the status remain.
        let _ = self.0.try_send(announcement);
    }
}

async fn publish(client: Client, mut queue: mpsc::Receiver<Announcement>) {
    let recorder = Recorder::new(client, Reporter::from(FIELD_MANAGER));
    while let Some(Announcement { about, warning, reason, note }) = queue.recv().await {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.to_owned(),
            note: Some(note),
            action: "Judge".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(PUBLISH_TIMEOUT, recorder.publish(&event, &about)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not publish an event"),
            Err(_) => tracing::warn!("publishing an event took too long"),
        }
    }
}

/// Refers to a set.
pub(crate) fn set_reference(key: &SetKey, uid: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("tidemark.dev/v1alpha1".to_owned()),
        kind: Some("StoreReplicaSet".to_owned()),
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    }
}

/// What changed from one judgement to the next: members that entered or left, and what the judge tells once.
pub(super) fn transitions(before: &Snapshot, after: &Snapshot, about: &ObjectReference) -> Vec<Announcement> {
    let announcement = |warning, reason, note| Announcement { about: about.clone(), warning, reason, note };
    let old = |uid: &PodUid| before.judgement.verdicts.iter().find(|old| old.uid == *uid);
    let moved = after.judgement.verdicts.iter().filter(|verdict| match old(&verdict.uid) {
        Some(old) => old.serves != verdict.serves,
        None => verdict.serves,
    });
    let moved = moved.map(|verdict| {
        let way = if verdict.serves { "in" } else { "out" };
        announcement(
            !verdict.serves,
            verdict.reason.as_str(),
            format!("{} is {way}: {}", verdict.pod, verdict.text()),
        )
    });
    let told =
        after.judgement.events.iter().map(|event| announcement(true, "MarkForgotten", event.to_string()));
    moved.chain(told).collect()
}
