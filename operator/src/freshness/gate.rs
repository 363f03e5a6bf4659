//! Writes the gate condition of one fleet's pods, and no other condition.
//!
//! Every attempt takes the order as it is then, never one from before a wait. At most one write per pod is under way,
//! pods are taken out before anything else is written, and whoever undoes a gate again and again is answered ever less often.
//! Decides nothing about freshness.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use rand::RngExt as _;
use serde_json::{Value, json};
use tidemark_judge::{GateWrite, Judgement, Moment, PodName, PodUid};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    attempts::{Attempts, Ended, Written, kind},
    fleets::Fleets,
    member::SeenPod,
    permits::{Permit, Share, patient},
    state::Pods,
};
use crate::{
    call::{self, CallError},
    clock::Clock,
    lease::{Leadership, WRITE_TIMEOUT},
    metrics::Metrics,
    names::{FIELD_MANAGER, GATE},
    wait::or_never,
};

/// How many writes of one set may be under way or wait for their turn: a crowd in one must not keep another's out.
const AT_ONCE: u16 = 8;

/// One gate to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pod: SeenPod,
    write: GateWrite,
    /// When it was decided.
    at: Moment,
}

impl Order {
    /// Whether it takes out a pod that is in: a stale one must not wait behind those that return.
    fn takes_out(&self) -> bool {
        !self.write.open && self.pod.gate_status.as_deref() == Some("True")
    }
}

/// The gates of one fleet to write now.
pub(super) type Orders = BTreeMap<PodUid, Order>;

/// Pods whose gates cannot be written, and why.
pub(super) type Failing = BTreeMap<PodName, String>;

/// The orders that follow from a judgement on these pods. An order that stands keeps its time.
pub(super) fn orders(now: Moment, judgement: &Judgement, pods: &Pods, standing: &Orders) -> Orders {
    let order = |verdict: &tidemark_judge::Verdict| {
        let write = verdict.gate.clone()?;
        let pod = pods.get(&verdict.uid)?.clone();
        let before = standing.get(&verdict.uid).filter(|before| before.write.open == write.open);
        let at = before.map_or(now, |before| before.at);
        Some((verdict.uid.clone(), Order { pod, write, at }))
    };
    judgement.verdicts.iter().filter_map(order).collect()
}

/// Writes gates until the fleet ends.
pub(super) struct Writer {
    pub(super) namespace: String,
    pub(super) client: Client,
    pub(super) fleets: Arc<Fleets>,
    pub(super) permits: Share,
    pub(super) leadership: Leadership,
    /// Where to tell of gates that cannot be written.
    pub(super) failing: watch::Sender<Failing>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
}

/// What came of an attempt; None when there was nothing to write any more.
type Done = (PodUid, Option<Ended>);

impl Writer {
    /// Carries out orders as they come.
    pub(super) async fn run(self, mut orders: watch::Receiver<Orders>) {
        let mut attempts: BTreeMap<PodUid, Attempts> = BTreeMap::new();
        let mut busy: BTreeSet<PodUid> = BTreeSet::new();
        let mut writes: JoinSet<Done> = JoinSet::new();
        loop {
            let standing = orders.borrow_and_update().clone();
            let now = Instant::now();
            attempts.retain(|uid, tried| {
                standing.contains_key(uid) || busy.contains(uid) || tried.is_recent(now)
            });
            self.tell_of_failures(&standing, &attempts, now);
            let (first, then): (Vec<_>, Vec<_>) =
                standing.into_iter().partition(|(_, order)| order.takes_out());
            for (uid, order) in first.into_iter().chain(then) {
                let tried = attempts.entry(uid.clone()).or_default();
                let may_write = tried.may_write(order.pod.version, kind(&order.write), now);
                let most = if order.takes_out() { AT_ONCE } else { patient(AT_ONCE) };
                if may_write && busy.len() < most.into() && busy.insert(uid.clone()) {
                    writes.spawn(self.write(uid, orders.clone()));
                }
            }
            let idle = attempts.iter().filter(|(uid, _)| !busy.contains(*uid));
            let retry = idle.filter_map(|(_, tried)| tried.next(now));
            let retry = retry.min();
            tokio::select! {
                changed = orders.changed() => if changed.is_err() { return },
                Some(Ok((uid, ended))) = writes.join_next() => {
                    busy.remove(&uid);
                    if let Some(ended) = ended {
                        let uneven = rand::rng().random_range(0.5..=1.0);
                        attempts.entry(uid).or_default().note(ended, Instant::now(), uneven);
                    }
                }
                () = or_never(retry.map(tokio::time::sleep_until)) => {}
            }
        }
    }

    fn tell_of_failures(&self, standing: &Orders, attempts: &BTreeMap<PodUid, Attempts>, now: Instant) {
        let failing = standing.iter().filter_map(|(uid, order)| {
            let error = attempts.get(uid)?.failing(now)?;
            Some((order.pod.name.clone(), error.to_owned()))
        });
        let failing: Failing = failing.collect();
        self.failing.send_if_modified(|told| {
            let changed = *told != failing;
            *told = failing;
            changed
        });
    }

    fn write(
        &self,
        uid: PodUid,
        mut orders: watch::Receiver<Orders>,
    ) -> impl Future<Output = Done> + Send + use<> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let (permits, fleets) = (self.permits.clone(), Arc::clone(&self.fleets));
        let leadership = self.leadership.clone();
        let (clock, metrics, namespace) = (self.clock, Arc::clone(&self.metrics), self.namespace.clone());
        async move {
            let Some(permit) = turn(&uid, &mut orders, &permits, &leadership).await else {
                return (uid, None);
            };
            let Some(order) = orders.borrow().get(&uid).cloned() else { return (uid, None) };
            let result = patch(&pods, &order).await;
            drop(permit);
            let error = result.as_ref().err();
            metrics.gate_written(error.map_or("ok", outcome), order.write.open, clock.since(order.at));
            tell(&namespace, &order, error);
            if let Ok(pod) = &result {
                fleets.pod_written(&namespace, pod);
            }
            (uid, Some(ended(&order, result)))
        }
    }
}

/// Waits for the turn of what is to be done with this pod's gate, which may change meanwhile, or end.
async fn turn(
    uid: &PodUid,
    orders: &mut watch::Receiver<Orders>,
    permits: &Share,
    leadership: &Leadership,
) -> Option<Permit> {
    let asked = |orders: &Orders| orders.get(uid).map(Order::takes_out);
    loop {
        let takes_out = asked(&orders.borrow())?;
        tokio::select! {
            permit = permit(permits, takes_out, leadership) => return Some(permit),
            other = orders.wait_for(|orders| asked(orders) != Some(takes_out)) => drop(other.ok()?),
        }
    }
}

/// A permit, while enough of the lease is left that the write ends before another may lead.
async fn permit(permits: &Share, takes_out: bool, leadership: &Leadership) -> Permit {
    loop {
        leadership.lasts(WRITE_TIMEOUT).await;
        let permit = permits.acquire(takes_out).await;
        if leadership.remaining() >= WRITE_TIMEOUT {
            return permit;
        }
    }
}

fn ended(order: &Order, result: Result<Pod, CallError>) -> Ended {
    match result {
        Ok(pod) => {
            let version = SeenPod::of(&pod).map_or(order.pod.version, |pod| pod.version);
            Ended::Wrote(Written { version, write: kind(&order.write) })
        }
        Err(error) if matches!(outcome(&error), "conflict" | "gone") => Ended::Outdated,
        Err(error) => Ended::Failed(error.to_string()),
    }
}

fn tell(namespace: &str, order: &Order, error: Option<&CallError>) {
    let (pod, open, reason) = (&order.pod.name, order.write.open, order.write.reason);
    match error {
        None => tracing::info!(namespace, %pod, open, %reason, "wrote gate"),
        Some(error) => tracing::warn!(namespace, %pod, open, %error, "could not write gate"),
    }
}

/// What came of a write that failed, in a word.
fn outcome(error: &CallError) -> &'static str {
    match (error, error.code()) {
        (CallError::Slow(_), _) => "timeout",
        (_, Some(409)) => "conflict",
        (_, Some(404)) => "gone",
        (_, Some(_)) => "refused",
        (_, None) => "error",
    }
}

async fn patch(pods: &Api<Pod>, order: &Order) -> Result<Pod, CallError> {
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let body = Patch::Strategic(body(order, Timestamp::now()));
    call::within(WRITE_TIMEOUT, pods.patch_status(order.pod.name.as_str(), &params, &body)).await
}

/// The patch: our condition alone, for this pod's UID alone; to open, against the version that was judged alone.
fn body(order: &Order, now: Timestamp) -> Value {
    let status = if order.write.open { "True" } else { "False" };
    let mut metadata = json!({ "uid": order.pod.uid.as_str() });
    if order.write.open {
        metadata["resourceVersion"] = json!(order.pod.resource_version);
    }
    let mut condition = json!({
        "type": GATE,
        "status": status,
        "reason": order.write.reason.as_str(),
        "message": order.write.message,
    });
    if order.pod.gate_status.as_deref() != Some(status) {
        condition["lastTransitionTime"] = json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    }
    json!({ "metadata": metadata, "status": { "conditions": [condition] } })
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use jiff::Timestamp;
    use kube::{Client, client::Body};
    use serde_json::{Value, json};
    use tidemark_judge::{GateWrite, Judgement, Moment, Reason, Verdict};
    use tokio::sync::{mpsc, watch};
    use tokio_util::sync::CancellationToken;

    use super::{Order, Orders, SeenPod, WRITE_TIMEOUT, Writer, body, orders};
    use crate::{
        clock::Clock,
        freshness::{Fleets, Shared, permits::Permits},
        lease::Leadership,
        metrics::Metrics,
        options::Options,
    };

    fn pod(gate: Option<&str>) -> SeenPod {
        let conditions = gate.map(|status| json!([{ "type": "tidemark.dev/in-sync", "status": status }]));
        let pod = json!({
            "metadata": { "name": "a-0", "uid": "u", "resourceVersion": "17" },
            "status": { "conditions": conditions },
        });
        SeenPod::of(&serde_json::from_value(pod).expect("a pod")).expect("it has a UID")
    }

    fn order(open: bool, gate: Option<&str>) -> Order {
        let write = GateWrite { open, reason: Reason::InSync, message: "words".to_owned() };
        Order { pod: pod(gate), write, at: Moment::default() }
    }

    #[test]
    fn closing_holds_for_this_pod_alone_and_opening_for_what_was_judged_alone() {
        let closing = body(&order(false, Some("True")), Timestamp::UNIX_EPOCH);
        assert_eq!(closing["metadata"], json!({ "uid": "u" }));
        let opening = body(&order(true, Some("False")), Timestamp::UNIX_EPOCH);
        assert_eq!(opening["metadata"], json!({ "uid": "u", "resourceVersion": "17" }));
    }

    #[test]
    fn nothing_but_our_condition_is_in_the_patch() {
        let condition = json!({
            "type": "tidemark.dev/in-sync", "status": "False", "reason": "InSync", "message": "words",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        });
        let patch = body(&order(false, None), Timestamp::UNIX_EPOCH);
        assert_eq!(patch["status"], json!({ "conditions": [condition] }));
        assert_eq!(patch.as_object().map(serde_json::Map::len), Some(2));
    }

    #[test]
    fn a_change_of_words_is_no_transition() {
        let patch = body(&order(true, Some("True")), Timestamp::UNIX_EPOCH);
        assert_eq!(patch["status"]["conditions"][0].get("lastTransitionTime"), None);
    }

    /// An API server that tells what is asked of it, and finds everything in conflict, or answers nothing.
    fn server(asked: mpsc::UnboundedSender<Value>, answers: bool) -> Client {
        let answer = move |request: http::Request<Body>| {
            let asked = asked.clone();
            async move {
                let body = request.into_body().collect_bytes().await.expect("a body");
                asked.send(serde_json::from_slice(&body).expect("JSON")).expect("somebody listens");
                if !answers {
                    std::future::pending::<()>().await;
                }
                let status =
                    json!({ "kind": "Status", "apiVersion": "v1", "code": 409, "status": "Failure" });
                let body = Body::from(serde_json::to_vec(&status).expect("JSON"));
                Ok::<_, Infallible>(http::Response::builder().status(409).body(body).expect("a response"))
            }
        };
        Client::new(tower::service_fn(answer), "n")
    }

    fn writer(client: Client, permits: &Permits, leadership: &Leadership) -> Writer {
        let (clock, metrics) = (Clock::start(), Arc::new(Metrics::new()));
        let (options, leadership) = (Options::default(), leadership.clone());
        let token = CancellationToken::new();
        let shared = Shared::new(&client, clock, Arc::clone(&metrics), &options, leadership.clone(), token);
        let fleets = Fleets::new(client.clone(), shared, Arc::default());
        let (permits, failing) = (permits.share("n"), watch::Sender::default());
        Writer { namespace: "n".to_owned(), client, fleets, permits, leadership, failing, clock, metrics }
    }

    #[tokio::test]
    async fn an_order_that_waited_for_its_turn_is_carried_out_as_it_is_then() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let permits = Permits::new(1);
        let taken = permits.share("another").acquire(true).await;
        let (orders, seen) = watch::channel(Orders::from([("u".into(), order(true, Some("False")))]));
        let running = tokio::spawn(writer(server(told, true), &permits, &Leadership::alone()).run(seen));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        orders.send_replace(Orders::from([("u".into(), order(false, Some("True")))]));
        drop(taken);
        assert_eq!(status(&asked.recv().await.expect("a write")), "False");
        running.abort();
    }

    #[tokio::test]
    async fn a_pod_is_taken_out_while_a_crowd_that_opens_hangs() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let permits = Permits::new(32);
        let opening = (0..20).map(|n| (format!("a{n}").as_str().into(), order(true, Some("False"))));
        let opening: Orders = opening.collect();
        let (orders, seen) = watch::channel(opening.clone());
        let running = tokio::spawn(writer(server(told, false), &permits, &Leadership::alone()).run(seen));
        for _ in 0..6 {
            assert_eq!(status(&asked.recv().await.expect("a write")), "True");
        }
        let closing = [("z".into(), order(false, Some("True")))];
        orders.send_replace(opening.into_iter().chain(closing).collect());
        assert_eq!(status(&asked.recv().await.expect("a write")), "False");
        running.abort();
    }

    fn status(patch: &Value) -> &str {
        patch["status"]["conditions"][0]["status"].as_str().expect("a status")
    }

    #[tokio::test]
    async fn no_write_is_begun_with_less_of_the_lease_left_than_it_may_take() {
        let (told, mut asked) = mpsc::unbounded_channel();
        let (permits, leadership) = (Permits::new(1), Leadership::standby());
        let (_orders, seen) = watch::channel(Orders::from([("u".into(), order(false, Some("True")))]));
        let running = tokio::spawn(writer(server(told, true), &permits, &leadership).run(seen));
        for left in [None, Some(Duration::ZERO), Some(WRITE_TIMEOUT - Duration::from_millis(1))] {
            left.into_iter().for_each(|left| leadership.extend_by(left));
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            assert!(asked.try_recv().is_err(), "{left:?} left");
        }
        leadership.extend_by(WRITE_TIMEOUT * 2);
        assert!(asked.recv().await.is_some());
        running.abort();
    }

    #[test]
    fn an_order_that_stands_keeps_the_time_of_its_verdict() {
        let write = GateWrite { open: false, reason: Reason::Lagging, message: String::new() };
        let verdict = Verdict { gate: Some(write), ..crate::testing::verdict(false, Reason::Lagging) };
        let judgement = Judgement { verdicts: vec![verdict], ..Judgement::default() };
        let pods = [("u".into(), pod(Some("True")))].into();
        let at = |seconds| Moment::new(Duration::from_secs(seconds));
        let first = orders(at(1), &judgement, &pods, &Orders::new());
        assert_eq!(orders(at(2), &judgement, &pods, &first), first);
        assert!(orders(at(3), &Judgement::default(), &pods, &first).is_empty());
    }
}
