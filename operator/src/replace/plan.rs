//! Who is to leave and which pods are to be deleted now. Pure.
//!
//! What does not serve anyway goes first, and what is broken at once. Whatever else is replaced or rebuilt goes one at a
//! time: the next follows when all that run the present template are in sync, so that a bad template takes no good pod
//! but one.

use std::time::Duration;

use jiff::Timestamp;
use tidemark_judge::Intent;

use super::fleet::{Fleet, Replica};
use crate::freshness::{Claim, Intents};

/// What follows from the objects and the latest judgement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Whom the judge is to take out, or to keep out.
    pub(crate) intents: Intents,
    /// What is to be deleted now.
    pub(crate) steps: Vec<Step>,
    /// What people are told.
    pub(crate) progress: Progress,
    /// After how long the plan is another one although nothing has changed.
    pub(crate) again: Option<Duration>,
}

/// One deletion.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The pod, to be made anew from the present template.
    Replace(Doomed),
    /// The pod and its volume.
    Rebuild(Doomed),
}

/// A pod to be deleted if it is still what was judged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Doomed {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) claim: Option<Claim>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// What is waited for, in words.
    pub(crate) waiting: Option<String>,
    /// Why it goes no further, in words.
    pub(crate) stalled: Option<String>,
}

/// Makes the plan. `deadline` is how long a replacement may take to be in sync.
pub(crate) fn plan(fleet: &Fleet<'_>, deadline: Duration, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    leave_for_good(fleet, &mut plan);
    let wishes = wishes(fleet);
    let pending = Pending::of(fleet, &wishes);
    let idle = pending.is_nobody();
    for (replica, intent) in wishes.iter().filter(|(replica, intent)| goes_at_once(replica, *intent, idle)) {
        plan.intend(replica, *intent);
        plan.steps.push(step(replica, *intent));
    }
    if plan.steps.is_empty() && idle {
        one_of(&wishes, &mut plan);
    }
    pending.watch_late(fleet, !wishes.is_empty(), deadline, now, &mut plan);
    pending.watch_missing(fleet, deadline, now, &mut plan);
    plan
}

impl Plan {
    fn look_again(&mut self, after: Option<Duration>) {
        self.again = self.again.into_iter().chain(after).min();
    }

    fn intend(&mut self, replica: &Replica<'_>, intent: Intent) {
        self.intents.insert(replica.verdict.uid.clone(), intent);
    }
}

/// Who is beyond the StatefulSet's replicas will be deleted by its controller; the last within them is next.
fn leave_for_good(fleet: &Fleet<'_>, plan: &mut Plan) {
    let last = fleet.kept.saturating_sub(u32::from(fleet.kept > fleet.wanted));
    let leaving = fleet.replicas.iter().filter(|replica| replica.ordinal >= last.max(fleet.wanted));
    for replica in leaving.filter(|replica| !replica.pod.terminating) {
        plan.intend(replica, Intent::ScaleDown);
        if !replica.is_out() {
            let waiting =
                format!("{} replicas are wanted; waiting until {} is out", fleet.wanted, replica.pod.name);
            plan.progress.waiting.get_or_insert(waiting);
        }
    }
}

type Wish<'f, 'a> = (&'f Replica<'a>, Intent);

/// Who of those that stay is to be made anew.
fn wishes<'f, 'a>(fleet: &'f Fleet<'a>) -> Vec<Wish<'f, 'a>> {
    let stays =
        |replica: &&Replica<'_>| fleet.staying().contains(&replica.ordinal) && !replica.pod.terminating;
    let wish = |replica: &'f Replica<'a>| {
        let intent = if replica.pod.rebuild {
            Intent::Rebuild
        } else if fleet.is_outdated(replica) {
            Intent::Replace
        } else {
            return None;
        };
        Some((replica, intent))
    };
    fleet.replicas.iter().filter(stays).filter_map(wish).collect()
}

/// One that is broken loses nothing by being made anew, unless it may come back by itself and the present template has
/// not shown yet that it is better. To be rebuilt is asked of this very pod.
fn goes_at_once(replica: &Replica<'_>, intent: Intent, idle: bool) -> bool {
    let asked = intent == Intent::Rebuild && replica.is_out() && !replica.is_begun();
    asked || (replica.is_broken() && (idle || replica.pod.trouble.is_some()))
}

/// The one that goes next: what has begun, then one that is out, then the highest ordinal.
fn one_of(wishes: &[Wish<'_, '_>], plan: &mut Plan) {
    let order = |replica: &Replica<'_>| (replica.is_begun(), replica.is_out(), replica.ordinal);
    let Some((replica, intent)) = wishes.iter().max_by_key(|(replica, _)| order(replica)) else { return };
    plan.intend(replica, *intent);
    let name = &replica.pod.name;
    if replica.is_out() {
        plan.steps.push(step(replica, *intent));
    } else if replica.verdict.serves {
        let needed = format!("waiting until enough others serve for {name} to leave");
        plan.progress.waiting.get_or_insert(needed);
    } else {
        plan.progress.waiting.get_or_insert(format!("waiting until {name} is out"));
    }
}

fn step(replica: &Replica<'_>, intent: Intent) -> Step {
    let pod = replica.pod;
    let doomed = Doomed {
        name: pod.name.clone(),
        uid: pod.uid.clone(),
        version: pod.resource_version.clone(),
        claim: pod.claim.clone(),
    };
    if intent == Intent::Rebuild { Step::Rebuild(doomed) } else { Step::Replace(doomed) }
}

/// Those that the next one waits for.
struct Pending<'f, 'a> {
    /// Pods that do not exist, are being deleted, or have not been judged.
    absent: Vec<u32>,
    /// Pods that run what they are to run and are not in sync.
    late: Vec<&'f Replica<'a>>,
}

impl<'f, 'a> Pending<'f, 'a> {
    fn of(fleet: &'f Fleet<'a>, wishes: &[Wish<'_, '_>]) -> Self {
        let mut pending = Self { absent: Vec::new(), late: Vec::new() };
        for ordinal in fleet.staying().filter(|at| !wishes.iter().any(|(wish, _)| wish.ordinal == *at)) {
            match fleet.replica(ordinal) {
                Some(replica) if replica.pod.terminating => pending.absent.push(ordinal),
                Some(replica) if !replica.is_done() => pending.late.push(replica),
                Some(_) => {}
                None => pending.absent.push(ordinal),
            }
        }
        pending
    }

    fn is_nobody(&self) -> bool {
        self.absent.is_empty() && self.late.is_empty()
    }

    /// Says who of them is waited for, and whether that has been for too long.
    fn watch_late(
        &self,
        fleet: &Fleet<'_>,
        others_wait: bool,
        deadline: Duration,
        now: Timestamp,
        plan: &mut Plan,
    ) {
        let since =
            self.late.iter().map(|replica| (replica.late_since(), *replica)).min_by_key(|late| late.0);
        let Some((since, replica)) = since else { return };
        let name = &replica.pod.name;
        plan.progress.waiting.get_or_insert(format!("waiting for {name} to be in sync"));
        let age = age(since, now);
        let serves = |replica: &Replica<'_>| !fleet.is_outdated(replica) && replica.verdict.serves;
        let matters = others_wait || !fleet.replicas.iter().any(serves);
        if age < deadline {
            plan.look_again(matters.then(|| deadline - age));
        } else if matters {
            let (age, why) = (age.as_secs(), replica.verdict.text());
            let stalled = format!("{name} has not been in sync for {age} s ({why}); no other is replaced");
            plan.progress.stalled.get_or_insert(stalled);
        }
    }

    /// One that is never made, as where a quota is used up, holds up all the others.
    fn watch_missing(&self, fleet: &Fleet<'_>, deadline: Duration, now: Timestamp, plan: &mut Plan) {
        if let Some(absent) = self.absent.first() {
            plan.progress.waiting.get_or_insert(format!("waiting for pod {absent} to be made"));
        }
        let Some((ordinal, since)) = fleet.missing.iter().min_by_key(|(_, since)| **since) else { return };
        let age = age(*since, now);
        if age < deadline {
            plan.look_again(Some(deadline - age));
        } else {
            let age = age.as_secs();
            plan.progress.stalled.get_or_insert(format!(
                "pod {ordinal} has not been made for {age} s (the events of the StatefulSet say why); no other is replaced"
            ));
        }
    }
}

fn age(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}
