//! What must hold after every judgement of every test.

use crate::world::World;
use tidemark_judge::{GateStatus, Member, Mode, Observed, PodUid, Reason, Sample, Verdict};

/// Checks the judgement that followed `seen`; the gates of `world` are written already.
pub(crate) fn check(world: &mut World, seen: &Observed) {
    assert_eq!(world.judgement.verdicts.len(), seen.members.len());
    for member in &seen.members {
        let verdict = verdict_on(world, member).clone();
        check_freshness(world, member, &verdict);
        check_holding(&verdict);
    }
    check_floor(world, seen);
    check_silence(world, seen);
    check_budget(world, seen);
}

/// One at a time is replaced, and none that would leave fewer than may be: what a verdict does not open is gone.
fn check_budget(world: &World, seen: &Observed) {
    let asked = |reason| matches!(reason, Reason::Replacing | Reason::Rebuilding);
    let replaced = world.judgement.verdicts.iter().filter(|verdict| asked(verdict.reason)).count();
    assert!(replaced <= 1, "two are replaced at once: {:?}", world.judgement);
    let endpoints = || seen.members.iter().filter(|member| is_endpoint(member) && member.container.is_some());
    let stays = |member: &&Member| match world.policy.mode {
        Mode::Enforce => verdict_on(world, member).serves,
        Mode::Observe => !verdict_on(world, member).reason.is_on_purpose(),
    };
    let left = endpoints().filter(stays).count();
    for member in endpoints() {
        let most = match verdict_on(world, member).reason {
            Reason::Replacing | Reason::Rebuilding => world.policy.replicas.saturating_sub(1),
            Reason::ScalingDown => world.policy.replicas,
            _ => continue,
        };
        let floor = world.policy.min_serving.min(most) as usize;
        assert!(left >= floor, "{left} are left: {:?}", world.judgement);
    }
}

fn verdict_on<'a>(world: &'a World, member: &Member) -> &'a Verdict {
    let on = |verdict: &&Verdict| verdict.uid == member.uid;
    world.judgement.verdicts.iter().find(on).expect("every member has a verdict")
}

fn is_fresh(world: &World, member: &Member) -> bool {
    let counts = |sample: &Sample| {
        sample.container == member.container && world.now.since(sample.asked_at) <= world.policy.stale_after
    };
    member.sample.as_ref().is_some_and(counts)
}

const HELD: [Reason; 3] = [Reason::HeldByFloor, Reason::HeldUnknown, Reason::HeldFirstRound];

/// No InSync and no opening without a fresh sample; no open gate without one but a held one.
fn check_freshness(world: &World, member: &Member, verdict: &Verdict) {
    let fresh = is_fresh(world, member);
    let within = verdict.lag.is_none_or(|lag| lag <= world.policy.max_lag);
    assert!(!verdict.in_sync() || (fresh && within), "in sync without proof: {verdict:?}");
    let was_open = member.gate.status == GateStatus::True;
    if world.policy.mode == Mode::Enforce && verdict.serves && !fresh {
        assert!(was_open, "opened without a fresh sample: {verdict:?}");
        assert!(HELD.contains(&verdict.reason), "open without a fresh sample: {verdict:?}");
    }
}

/// A held member says from what, and nobody is held against what the pod itself shows.
fn check_holding(verdict: &Verdict) {
    assert_eq!(verdict.held_from.is_some(), HELD.contains(&verdict.reason), "{verdict:?}");
    assert!(!HELD.contains(&verdict.reason) || verdict.serves, "{verdict:?}");
    let never =
        |from: Reason| from.is_on_purpose() || [Reason::Terminating, Reason::NotRunning].contains(&from);
    assert!(verdict.held_from.is_none_or(|from| !never(from)), "{verdict:?}");
    let not_by_floor =
        [Reason::Diverged, Reason::WrongGenesis, Reason::AwaitingFirstSample, Reason::EmptyStore];
    let by_floor = verdict.reason == Reason::HeldByFloor;
    assert!(!by_floor || verdict.held_from.is_some_and(|from| !not_by_floor.contains(&from)), "{verdict:?}");
}

fn is_endpoint(member: &Member) -> bool {
    member.ready && !member.terminating && member.gate.status == GateStatus::True
}

/// No gate write takes an endpoint below the floor for a lag or a silence.
fn check_floor(world: &World, seen: &Observed) {
    if world.policy.mode == Mode::Observe {
        return;
    }
    let endpoints = || seen.members.iter().filter(|member| is_endpoint(member));
    let left = endpoints().filter(|member| verdict_on(world, member).serves).count();
    let measured = [Reason::Lagging, Reason::Unknown, Reason::CatchingUp, Reason::BelowExitMark];
    let was_out =
        |uid: &PodUid| world.before.verdicts.iter().any(|verdict| verdict.uid == *uid && !verdict.serves);
    let meant_to_serve = |member: &&Member| world.synced.contains(&member.volume) && !was_out(&member.uid);
    for member in endpoints().filter(meant_to_serve) {
        let verdict = verdict_on(world, member);
        let measured = measured.contains(&verdict.reason) && world.is_bearable(verdict);
        let taken_out = !verdict.serves && measured && member.container.is_some();
        assert!(!taken_out || left >= world.policy.min_serving as usize, "below the floor: {verdict:?}");
    }
}

/// Silence takes only so many out at once.
fn check_silence(world: &World, seen: &Observed) {
    let was_in_sync =
        |uid: &PodUid| world.before.verdicts.iter().any(|verdict| verdict.uid == *uid && verdict.in_sync());
    let in_sync = |member: &&Member| is_endpoint(member) && was_in_sync(&member.uid);
    let silenced =
        seen.members.iter().filter(in_sync).filter(|m| verdict_on(world, m).reason == Reason::Unknown);
    let allowed = (world.policy.replicas as usize / 3).max(1);
    assert!(silenced.count() <= allowed, "too many out for silence: {:?}", world.judgement);
}
