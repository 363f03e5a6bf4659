//! A fleet in virtual time: stores that answer, a kubelet that follows the gate, and the judge in between.

use crate::invariants;
use std::{collections::BTreeSet, env, panic, process, sync::Once, time::Duration};
use tidemark_judge::{
    BlockHash, BlockNumber, GateSeen, GateStatus, Genesis, HashAt, Judgement, Member, Memory, Moment, Notice,
    Observed, Policy, Reason, Remembered, Sample, Verdict, VolumeUid, judge,
};

pub(crate) const CHAIN: Genesis = Genesis([1; 32]);
pub(crate) const OTHER_CHAIN: Genesis = Genesis([2; 32]);

static FAIL_FAST: Once = Once::new();

/// With `TIDEMARK_FAIL_FAST` set, the first test that fails ends all others: a changed rule need be noticed once only.
fn fail_fast() {
    if env::var_os("TIDEMARK_FAIL_FAST").is_none() {
        return;
    }
    let told = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        told(panic);
        process::exit(101);
    }));
}

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// One store: the primary's or a follower's.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) tip: Option<u32>,
    pub(crate) genesis: Genesis,
    /// Blocks from this height on are another fork's.
    pub(crate) forks_at: Option<u32>,
    pub(crate) upstream: Option<u32>,
    /// It gives the hash at this height of its own choice, and no other.
    pub(crate) chooses: Option<u32>,
    pub(crate) answers: bool,
    pub(crate) boot: u32,
    /// What it says its tip is, whatever it has.
    pub(crate) rogue: Option<u32>,
}

impl Store {
    fn at(tip: u32) -> Self {
        Self {
            tip: Some(tip),
            genesis: CHAIN,
            forks_at: None,
            upstream: None,
            chooses: None,
            answers: true,
            boot: 0,
            rogue: None,
        }
    }

    fn hash(&self, height: u32) -> BlockHash {
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&height.to_le_bytes());
        hash[4] = u8::from(self.forks_at.is_some_and(|from| height >= from));
        BlockHash(hash)
    }

    /// The tip it reports.
    pub(crate) fn said(&self) -> Option<u32> {
        self.rogue.or(self.tip)
    }

    fn answer(&self, now: Moment, height: Option<BlockNumber>) -> Sample {
        let height = self.chooses.map(BlockNumber).or(height);
        let said = self.said();
        let held = height.filter(|height| said.is_some_and(|tip| height.0 <= tip));
        Sample {
            asked_at: now,
            received_at: now.plus(ms(1)),
            container: None,
            pod_uid: None,
            boot_id: Some(format!("boot-{}", self.boot).into()),
            published: said.map(BlockNumber),
            applied: said.map(BlockNumber),
            proven: said.map(BlockNumber),
            genesis: Some(self.genesis),
            tip_hash: said.filter(|_| self.chooses.is_none()).map(|tip| self.hash(tip)),
            hash_at: held.map(|height| HashAt { height, hash: self.hash(height.0) }),
            upstream_tip: self.upstream.map(BlockNumber),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) now: Moment,
    pub(crate) policy: Policy,
    pub(crate) primary: Store,
    pub(crate) stores: Vec<Store>,
    pub(crate) observed: Observed,
    pub(crate) memory: Memory,
    pub(crate) judgement: Judgement,
    /// The judgement before that.
    pub(crate) before: Judgement,
    /// Whether a pod's Ready follows its gate after each judgement.
    pub(crate) kubelet: bool,
    /// Whether gate writes arrive.
    pub(crate) writes_arrive: bool,
    /// Gate writes so far.
    pub(crate) writes: usize,
    /// Volumes of members that have been in sync, as some gate said.
    pub(crate) synced: BTreeSet<VolumeUid>,
    /// Whether a member is asked again when the judge wants it.
    pub(crate) asks_again: bool,
    made: u32,
}

impl World {
    /// A primary and `replicas` followers at 100, never judged before.
    pub(crate) fn new(replicas: u32) -> Self {
        FAIL_FAST.call_once(fail_fast);
        let policy = Policy { replicas, ..Policy::default() };
        let mut world = Self {
            now: Moment::new(Duration::from_secs(1000)),
            policy,
            primary: Store::at(100),
            stores: Vec::new(),
            observed: Observed::default(),
            memory: Memory::default(),
            judgement: Judgement::default(),
            before: Judgement::default(),
            kubelet: true,
            writes_arrive: true,
            writes: 0,
            synced: BTreeSet::new(),
            asks_again: true,
            made: 0,
        };
        (0..replicas).for_each(|_| world.add(100));
        world
    }

    /// As `new`, with everybody in sync.
    pub(crate) fn in_sync(replicas: u32) -> Self {
        let mut world = Self::new(replicas);
        world.rounds(4);
        (0..world.stores.len())
            .for_each(|at| assert_eq!(world.reason(at), Reason::InSync, "{:?}", world.judgement));
        world
    }

    /// Adds a pod with a volume of its own.
    pub(crate) fn add(&mut self, tip: u32) {
        let at = self.stores.len();
        self.made += 1;
        let member = Member {
            name: format!("x-{at}").into(),
            uid: format!("pod-{}", self.made).into(),
            volume: format!("volume-{}", self.made).into(),
            container: Some(format!("containerd://{}", self.made).into()),
            ready: false,
            terminating: false,
            intent: None,
            gate: GateSeen::default(),
            sample: None,
        };
        self.stores.push(Store::at(tip));
        self.observed.members.push(member);
    }

    pub(crate) fn member(&mut self, at: usize) -> &mut Member {
        &mut self.observed.members[at]
    }

    /// Deletes the pod and makes another of its name, on the same volume.
    pub(crate) fn recreate(&mut self, at: usize) {
        self.made += 1;
        let made = self.made;
        let member = self.member(at);
        member.uid = format!("pod-{made}").into();
        member.container = Some(format!("containerd://{made}").into());
        (member.ready, member.terminating, member.gate, member.sample, member.intent) =
            (false, false, GateSeen::default(), None, None);
        self.stores[at].boot += 1;
    }

    /// Restarts the container of a pod.
    pub(crate) fn restart(&mut self, at: usize) {
        self.made += 1;
        let id = format!("containerd://{}", self.made);
        self.member(at).container = Some(id.into());
        self.stores[at].boot += 1;
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
    }

    pub(crate) fn set_tips(&mut self, primary: u32, tips: &[u32]) {
        self.primary.tip = Some(primary);
        self.stores.iter_mut().zip(tips).for_each(|(store, tip)| store.tip = Some(*tip));
    }

    pub(crate) fn ask_primary(&mut self) {
        if self.primary.answers {
            self.observed.primary = Some(self.primary.answer(self.now, self.judgement.ask_height));
            self.advance(ms(1));
        }
    }

    pub(crate) fn ask(&mut self, at: usize) {
        let Some(container) = self.observed.members[at].container.clone() else { return };
        if self.stores[at].answers {
            let mut sample = self.stores[at].answer(self.now, self.judgement.ask_height);
            sample.container = Some(container);
            sample.pod_uid = Some(self.observed.members[at].uid.clone());
            self.member(at).sample = Some(sample);
            self.advance(ms(1));
        }
    }

    pub(crate) fn judge(&mut self) {
        let before = std::mem::take(&mut self.memory);
        let seen = self.observed.clone();
        let (judgement, memory) = judge(self.now, &self.policy, &self.observed, before);
        self.before = std::mem::replace(&mut self.judgement, judgement);
        self.memory = memory;
        self.observed.pinned_genesis = self.judgement.genesis;
        if self.writes_arrive {
            self.write_gates();
        }
        self.note_synced();
        invariants::check(self, &seen);
        self.run_kubelet();
    }

    fn write_gates(&mut self) {
        for verdict in &self.judgement.verdicts {
            let Some(write) = &verdict.gate else { continue };
            let of = |member: &&mut Member| member.uid == verdict.uid;
            let member = self.observed.members.iter_mut().find(of).expect("a verdict is about a member");
            let status = if write.open { "True" } else { "False" };
            member.gate = GateSeen::read(status, write.reason.as_str(), &write.message);
            self.writes += 1;
        }
    }

    /// What no gate says a next leader cannot know.
    fn note_synced(&mut self) {
        for member in &self.observed.members {
            let open_in_sync =
                member.gate.status == GateStatus::True && member.gate.reason == Some(Reason::InSync);
            if open_in_sync || member.gate.remembered.synced.as_ref() == Some(&member.volume) {
                self.synced.insert(member.volume.clone());
            }
        }
    }

    fn run_kubelet(&mut self) {
        for member in self.observed.members.iter_mut().filter(|_| self.kubelet) {
            member.ready = member.container.is_some() && member.gate.status == GateStatus::True;
        }
    }

    /// A poll of everybody, primary first, each answer judged as it comes, one poll interval after the last one.
    pub(crate) fn round(&mut self) {
        let start = self.now;
        self.ask_primary();
        self.judge();
        for at in 0..self.stores.len() {
            self.ask(at);
            self.judge();
            self.serve_asks();
        }
        self.now = start.plus(self.policy.poll_interval);
        self.judge();
    }

    pub(crate) fn rounds(&mut self, count: usize) {
        (0..count).for_each(|_| self.round());
    }

    fn serve_asks(&mut self) {
        for uid in std::mem::take(&mut self.judgement.ask_again) {
            let at =
                self.observed.members.iter().position(|member| member.uid == uid).expect("a member is asked");
            if self.asks_again {
                self.ask(at);
                self.judge();
            }
        }
    }

    /// Another operator takes over: nothing is known but what the objects say.
    /// One who has judged while another led, and seen the same, becomes the leader.
    pub(crate) fn standby_takes_over(&mut self) {
        self.memory = std::mem::take(&mut self.memory).taken_over();
    }

    pub(crate) fn change_leader(&mut self) {
        self.memory = Memory::default();
        self.synced.clear();
        self.note_synced();
        self.observed.primary = None;
        self.observed.members.iter_mut().for_each(|member| member.sample = None);
    }

    pub(crate) fn verdict(&self, at: usize) -> &Verdict {
        let uid = &self.observed.members[at].uid;
        self.judgement
            .verdicts
            .iter()
            .find(|verdict| verdict.uid == *uid)
            .expect("every member has a verdict")
    }

    /// Whether its lag is within the ceiling, if there is one.
    pub(crate) fn is_bearable(&self, verdict: &Verdict) -> bool {
        self.policy.hard_max_lag.is_none_or(|ceiling| verdict.lag.is_some_and(|lag| lag <= ceiling))
    }

    /// Whether the latest judgement, if it was about this very pod, found it in sync.
    pub(crate) fn was_in_sync(&self, at: usize) -> bool {
        let uid = &self.observed.members[at].uid;
        self.judgement.verdicts.iter().any(|verdict| verdict.uid == *uid && verdict.in_sync())
    }

    pub(crate) fn reason(&self, at: usize) -> Reason {
        self.verdict(at).reason
    }

    pub(crate) fn reasons(&self) -> Vec<Reason> {
        (0..self.stores.len()).map(|at| self.reason(at)).collect()
    }

    pub(crate) fn is_open(&self, at: usize) -> bool {
        self.observed.members[at].gate.status == GateStatus::True
    }

    pub(crate) fn open_gates(&self) -> usize {
        (0..self.stores.len()).filter(|at| self.is_open(*at)).count()
    }

    pub(crate) fn has_notice(&self, reason: &str) -> bool {
        self.judgement.notices.iter().any(|notice| Notice::reason(notice) == reason)
    }

    pub(crate) fn remembered(&self, at: usize) -> &Remembered {
        &self.observed.members[at].gate.remembered
    }
}
