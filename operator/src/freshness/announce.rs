//! Tells people about transitions, as Kubernetes events and log lines. Never on the way of a gate: what does not fit in
//! the queue is only logged.

use std::{borrow::Cow, sync::Arc, time::Duration};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{
    Client,
    runtime::events::{Event, EventType, Recorder, Reporter},
};
use tidemark_judge::PodUid;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{allowance::Allowances, snapshot::Snapshot};
use crate::{
    lease::Leadership,
    metrics::Metrics,
    names::{FIELD_MANAGER, SetKey},
};

/// Events that may wait; more at once would tell nobody anything.
const QUEUE: usize = 1_024;
/// The longest note the API server takes, in bytes.
const NOTE_LIMIT: usize = 1_024;
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// One thing to tell.
#[derive(Debug)]
pub(crate) struct Announcement {
    pub(crate) about: ObjectReference,
    pub(crate) warning: bool,
    pub(crate) reason: Cow<'static, str>,
    pub(crate) note: String,
}

/// Takes announcements.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    queue: mpsc::Sender<Announcement>,
    leadership: Leadership,
}

impl Announcer {
    /// Starts the task that publishes.
    pub(crate) fn start(
        client: Client,
        leadership: Leadership,
        metrics: Arc<Metrics>,
        token: CancellationToken,
    ) -> Self {
        let (queue, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(token.run_until_cancelled_owned(publish(client, metrics, receiver)));
        Self { queue, leadership }
    }

    /// Logs it, and has it published if the queue has room. One who stands by tells nothing: the leader does.
    pub(crate) fn tell(&self, announcement: Announcement) {
        if !self.leadership.is_leader() {
            return;
        }
        let Announcement { about, reason, note, .. } = &announcement;
        let (namespace, name) = (about.namespace.as_deref(), about.name.as_deref());
        tracing::info!(namespace, set = name, %reason, "{note}");
        // A full queue means that the API server is slow; the log line and the status remain.
        let _ = self.queue.try_send(announcement);
    }
}

async fn publish(client: Client, metrics: Arc<Metrics>, mut queue: mpsc::Receiver<Announcement>) {
    let recorder = Recorder::new(client, Reporter::from(FIELD_MANAGER));
    let mut allowances = Allowances::default();
    while let Some(Announcement { about, warning, reason, note }) = queue.recv().await {
        // What is not allowed was logged, and stands in the status.
        if !allowances.take(about.uid.as_deref().unwrap_or_default(), Instant::now()) {
            metrics.event("spared");
            continue;
        }
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.into_owned(),
            note: Some(shortened(note)),
            action: "Judge".to_owned(),
            secondary: None,
        };
        let published = tokio::time::timeout(PUBLISH_TIMEOUT, recorder.publish(&event, &about)).await;
        metrics.event(if matches!(published, Ok(Ok(()))) { "published" } else { "failed" });
        match published {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "could not publish an event"),
            Err(_) => tracing::warn!("publishing an event took too long"),
        }
    }
}

/// A note that fits: the log has it in full.
fn shortened(mut note: String) -> String {
    const MORE: &str = "…";
    if note.len() > NOTE_LIMIT {
        note.truncate(note.floor_char_boundary(NOTE_LIMIT - MORE.len()));
        note.push_str(MORE);
    }
    note
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
    let announcement = |warning, reason: &'static str, note| Announcement {
        about: about.clone(),
        warning,
        reason: reason.into(),
        note,
    };
    let old = |uid: &PodUid| before.judgement.verdicts.iter().find(|old| old.uid == *uid);
    let moved = after.judgement.verdicts.iter().filter(|verdict| match old(&verdict.uid) {
        Some(old) => old.serves != verdict.serves,
        // A judgement without a past, as after a restart, tells only what it changes.
        None => verdict.gate.as_ref().is_some_and(|gate| gate.open),
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
    let failing = after.failing.iter().filter(|(pod, _)| !before.failing.contains_key(*pod));
    let failing = failing.map(|(pod, error)| {
        announcement(true, "GateWritesFailing", format!("the gate of {pod} cannot be written: {error}"))
    });
    moved.chain(told).chain(failing).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ObjectReference;
    use tidemark_judge::{BlockNumber, Event, GateWrite, Judgement, Reason, Verdict};

    use super::{NOTE_LIMIT, Snapshot, shortened, transitions};

    fn snapshot(serves: bool, reason: Reason, gate: Option<GateWrite>) -> Snapshot {
        let verdict = Verdict { gate, ..crate::testing::verdict(serves, reason) };
        Snapshot {
            judgement: Judgement { verdicts: vec![verdict], ..Judgement::default() },
            ..Snapshot::default()
        }
    }

    fn check(before: &Snapshot, after: &Snapshot, expected: &[&str]) {
        let told = transitions(before, after, &ObjectReference::default());
        assert_eq!(told.iter().map(|told| told.note.as_str()).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_note_is_cut_to_what_the_server_takes_between_two_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let cut = shortened("é".repeat(NOTE_LIMIT));
        assert!(cut.ends_with("é…") && cut.len() <= NOTE_LIMIT, "{} bytes", cut.len());
    }

    #[test]
    fn only_who_enters_or_leaves_is_told() {
        let (inside, outside) =
            (snapshot(true, Reason::InSync, None), snapshot(false, Reason::Lagging, None));
        check(&inside, &outside, &["a-0 is out: too far behind"]);
        check(&outside, &inside, &["a-0 is in: in sync"]);
        check(&inside, &inside, &[]);
        check(&outside, &snapshot(false, Reason::CatchingUp, None), &[]);
        check(&inside, &snapshot(true, Reason::HeldUnknown, None), &[]);
    }

    #[test]
    fn an_operator_that_has_just_started_tells_only_what_it_changes() {
        let open = GateWrite { open: true, reason: Reason::InSync, message: String::new() };
        check(&Snapshot::default(), &snapshot(true, Reason::InSync, None), &[]);
        check(&Snapshot::default(), &snapshot(true, Reason::InSync, Some(open)), &["a-0 is in: in sync"]);
    }

    #[test]
    fn a_gate_that_cannot_be_written_is_told_of_once() {
        let (before, mut after) =
            (snapshot(true, Reason::InSync, None), snapshot(true, Reason::InSync, None));
        after.failing.insert("a-0".into(), "forbidden".to_owned());
        check(&before, &after, &["the gate of a-0 cannot be written: forbidden"]);
        check(&after.clone(), &after, &[]);
    }

    #[test]
    fn what_the_judge_tells_once_is_passed_on() {
        let mut after = snapshot(true, Reason::InSync, None);
        after.judgement.events.push(Event::MarkForgotten { mark: BlockNumber(9) });
        let told = transitions(&after.clone(), &after, &ObjectReference::default());
        assert_eq!((told.len(), told[0].reason.as_ref()), (1, "MarkForgotten"));
    }
}
