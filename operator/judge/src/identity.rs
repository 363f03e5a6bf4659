//! Rule 1: a sample counts for the process it was taken from, and a restart starts over.

use crate::{
    GateStatus, Judgement, Member, Memory, Moment, Observed, Policy, Reason, Sample,
    case::{Case, Claim, Set, Standing},
    mark,
    memory::{MemberMemory, SetMemory},
};

/// Brings members and what is remembered of them together. Members that are gone are forgotten.
pub(crate) fn gather<'a>(now: Moment, policy: &'a Policy, observed: &'a Observed, memory: Memory) -> Set<'a> {
    let Memory { mut members, set: mut memory } = memory;
    let mut sorted: Vec<&Member> = observed.members.iter().collect();
    sorted.sort_by(|a, b| (&a.name, &a.uid).cmp(&(&b.name, &b.uid)));
    let cases = sorted
        .into_iter()
        .map(|member| {
            let known = members.remove(&member.uid).unwrap_or_else(|| recall(now, member, &mut memory));
            identify(member, known, memory.round.done)
        })
        .collect();
    Set {
        now,
        policy,
        observed,
        cases,
        memory,
        primary: None,
        primary_heard: false,
        judgement: Judgement::default(),
    }
}

/// What the gate tells of a pod that is not in memory.
fn recall(now: Moment, member: &Member, memory: &mut SetMemory) -> MemberMemory {
    let gate = &member.gate;
    let serves = gate.status == GateStatus::True;
    let fit = serves && gate.reason != Some(Reason::HeldByFloor);
    if was_synced(member) {
        memory.synced.insert(member.volume.clone(), now);
    }
    if let (false, Some(mark)) = (fit, gate.remembered.mark) {
        mark::recall(now, mark, memory);
    }
    let of_volume = memory.diverged.get(&member.volume).map(|(height, _)| *height);
    let same_process = gate.remembered.container == member.container;
    MemberMemory {
        container: gate.remembered.container.clone(),
        heard: same_process && gate.reason != Some(Reason::AwaitingFirstSample),
        serves,
        fit,
        exit: gate.reason.filter(|_| !serves),
        entered_at: serves.then_some(now),
        diverged: of_volume.max(gate.remembered.diverged),
        ..MemberMemory::default()
    }
}

/// A gate found open as InSync is proof of its own; any other must name the volume.
fn was_synced(member: &Member) -> bool {
    let gate = &member.gate;
    let open_in_sync = gate.status == GateStatus::True && gate.reason == Some(Reason::InSync);
    open_in_sync || gate.remembered.synced.as_ref() == Some(&member.volume)
}

fn identify<'a>(member: &'a Member, mut memory: MemberMemory, round_done: bool) -> Case<'a> {
    note_container(member, &mut memory, round_done);
    let last = member.sample.as_ref().filter(|sample| is_of(sample, member));
    if last.is_some_and(|sample| memory.track.is_other_process(sample)) {
        memory.restart();
        memory.serves = false;
    }
    let new_sample = last.is_some_and(|sample| memory.track.record(sample));
    memory.heard |= last.is_some();
    // A tip that falls takes back what was compared above it.
    memory.compared =
        memory.compared.filter(|compared| last.is_none_or(|sample| sample.published >= Some(*compared)));
    Case {
        member,
        memory,
        last,
        fresh: false,
        new_sample,
        standing: Standing::Mute,
        counted: None,
        reference: None,
        claim: Claim::out(Reason::AwaitingFirstSample),
    }
}

/// A leader in its first round keeps a gate as found even if the process behind it changed in between.
fn note_container(member: &Member, memory: &mut MemberMemory, round_done: bool) {
    let Some(running) = &member.container else { return };
    if memory.container.as_ref() == Some(running) {
        return;
    }
    let as_found = !round_done && memory.fit;
    memory.restart();
    memory.serves &= !round_done;
    memory.fit = as_found;
    memory.container = Some(running.clone());
}

/// Whether `sample` was given by the process that runs in `member` now, and is complete enough to be one.
fn is_of(sample: &Sample, member: &Member) -> bool {
    let same_container = member.container.is_some() && sample.container == member.container;
    let same_pod = sample.pod_uid.as_ref().is_none_or(|uid| *uid == member.uid);
    same_container && same_pod && (sample.genesis.is_some() || sample.published.is_none())
}
