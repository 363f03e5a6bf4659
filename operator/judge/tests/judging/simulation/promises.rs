//! What is promised to users, checked against what the simulation alone knows: the truth.

use crate::world::{CHAIN, World};
use tidemark_judge::{ContainerId, Mode, Reason};

/// Who was what before a second.
pub(super) struct Before {
    open: Vec<bool>,
    in_sync: Vec<bool>,
    answered: Vec<bool>,
    /// Whether it was truly close to the chain's end.
    near: Vec<bool>,
    processes: Vec<Option<ContainerId>>,
}

impl Before {
    pub(super) fn of(world: &World) -> Self {
        let all = || 0..world.stores.len();
        let members = &world.observed.members;
        Self {
            open: all().map(|at| world.is_open(at)).collect(),
            in_sync: all().map(|at| world.was_in_sync(at)).collect(),
            answered: world.stores.iter().map(|store| store.answers).collect(),
            near: all().map(|at| is_near(world, at, world.primary.tip.unwrap_or(0))).collect(),
            processes: members.iter().map(|member| member.container.clone()).collect(),
        }
    }

    /// Whether it was in sync with an open gate and answered, and is the same process now.
    fn is_in_still(&self, world: &World, at: usize) -> bool {
        let same = self.processes[at] == world.observed.members[at].container;
        same && self.answered[at] && self.near[at] && self.in_sync[at] && self.open[at]
    }
}

/// Seconds in a row in which a floor that could be kept was not.
#[derive(Default)]
pub(super) struct Promises {
    below_floor: u32,
}

/// Long enough for a first round, a first sample, a decision, a write and a kubelet, one second each, twice over.
const FLOOR_WITHIN: u32 = 15;

impl Promises {
    /// Checks one second: `height` is where the chain truly is, `schism` whether any
    /// store followed another chain of late.
    pub(super) fn check(&mut self, world: &World, before: &Before, height: u32, schism: bool) {
        no_laggard_is_in_sync(world, height);
        if !schism {
            no_healthy_member_is_taken_out(world, before, height);
        }
        self.the_floor_is_kept(world, schism);
    }

    /// At least the floor serves, or as many as could.
    fn the_floor_is_kept(&mut self, world: &World, schism: bool) {
        let can_act = world.kubelet && world.writes_arrive;
        let bearable = |at: usize| world.is_bearable(world.verdict(at));
        let able = (0..world.stores.len())
            .filter(|at| is_able(world, *at) && !is_doubted(world, *at, schism) && bearable(*at));
        let able = able.count();
        let serving = (0..world.stores.len()).filter(|at| world.observed.members[*at].ready).count();
        let kept = serving >= able.min(world.policy.min_serving as usize);
        self.below_floor = if kept || !can_act { 0 } else { self.below_floor + 1 };
        assert!(self.below_floor < FLOOR_WITHIN, "{serving} serve, {able} could: {:?}", world.judgement);
    }
}

/// With a primary that answers, nobody whose answer of this second shows more than the allowed lag is in sync.
fn no_laggard_is_in_sync(world: &World, height: u32) {
    let primary_counts = world.policy.observe_primary && world.primary.answers;
    for at in (0..world.stores.len()).filter(|at| primary_counts && world.stores[*at].answers) {
        let behind = world.stores[at].said().map_or(u32::MAX, |tip| height.saturating_sub(tip));
        let in_sync = world.verdict(at).in_sync();
        assert!(!in_sync || behind <= world.policy.max_lag, "{behind} behind: {:?}", world.verdict(at));
    }
}

fn is_near(world: &World, at: usize, height: u32) -> bool {
    world.stores[at].said().is_some_and(|tip| tip + world.policy.max_lag >= height)
}

/// One that was in sync and close to the chain's truth, is close still, runs on and answers stays in, whatever befalls the
/// others.
fn no_healthy_member_is_taken_out(world: &World, before: &Before, height: u32) {
    for at in (0..world.stores.len()).filter(|at| before.is_in_still(world, *at)) {
        let healthy = is_near(world, at, height) && is_able(world, at);
        assert!(!healthy || world.verdict(at).serves, "healthy and out: {:?}", world.judgement);
    }
}

/// Nobody newly in sync is below what the primary was known to have.
pub(super) fn nobody_entered_below(world: &World, before: &Before, known: u32) {
    let enters = |at: &usize| !before.in_sync[*at] && !before.open[*at] && world.verdict(*at).in_sync();
    for at in (0..world.stores.len()).filter(enters) {
        let tip = world.stores[at].tip.unwrap_or(0);
        assert!(tip + world.policy.readmit_lag >= known, "{tip} of {known}: {:?}", world.verdict(at));
    }
}

/// Whether nothing confirms what it says, or it followed another chain of late.
fn is_doubted(world: &World, at: usize, schism: bool) -> bool {
    let accused = matches!(world.reason(at), Reason::Diverged | Reason::WrongGenesis);
    world.reason(at) == Reason::Unconfirmed || (schism && accused)
}

/// Whether nothing keeps a member from serving but its lag.
fn is_able(world: &World, at: usize) -> bool {
    let (store, member) = (&world.stores[at], &world.observed.members[at]);
    let runs = member.container.is_some() && !member.terminating && store.answers && store.said().is_some();
    let honest = store.genesis == CHAIN && store.forks_at.is_none() && store.rogue.is_none();
    let asked_to_go = member.intent.is_some() || world.policy.fenced.contains(&member.name);
    let wanted = !asked_to_go && world.policy.mode == Mode::Enforce;
    runs && honest && wanted && world.synced.contains(&member.volume)
}
