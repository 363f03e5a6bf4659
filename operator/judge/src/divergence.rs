//! Rule 3, second part: blocks of one height are one block.
//!
//! The judge asks every store for its hash at one height, waits for the answers, compares them, and asks for the next
//! height. The heights are those of the stores near the reference; with them take turns those of stores far behind, each
//! at its own tip, since one that forked and stopped there would be asked nothing else, and the floor may hold it.

use crate::{
    BlockHash, BlockNumber, Moment, Notice, PodUid,
    case::{Case, Set, Standing},
    track::Track,
};
use std::collections::{BTreeMap, BTreeSet};

/// The comparison that is under way, and what the last one found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comparison {
    question: Option<Question>,
    /// When the last question was put.
    asked_at: Option<Moment>,
    /// Whether it was about a store far behind.
    was_of_one_behind: bool,
    contested: Option<Contested>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    height: BlockNumber,
    asked_at: Moment,
}

/// A contradiction in which no side can be called right.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contested {
    height: BlockNumber,
    pods: BTreeSet<PodUid>,
}

/// Compares the answers once they are there, and takes their say from those that contradict the right side.
pub(crate) fn compare(set: &mut Set<'_>) {
    if let Some(question) = set.memory.comparison.question.filter(|question| is_answered(set, *question)) {
        set.memory.comparison.question = None;
        conclude(set, question.height);
    }
    mark_standings(set);
    report(set);
}

/// Puts the next question, unless the last one was put less than `compare_every` ago.
pub(crate) fn ask(set: &mut Set<'_>) {
    let (now, comparison) = (set.now, &set.memory.comparison);
    let due = comparison.asked_at.is_none_or(|at| now.since(at) >= set.policy.compare_every);
    if comparison.question.is_none()
        && due
        && let Some(height) = next_height(set)
    {
        let comparison = &mut set.memory.comparison;
        (comparison.question, comparison.asked_at) = (Some(Question { height, asked_at: now }), Some(now));
    }
    set.judgement.ask_height = set.memory.comparison.question.map(|question| question.height);
}

/// Those near the reference and those far behind take turns.
fn next_height(set: &mut Set<'_>) -> Option<BlockNumber> {
    let behind = if set.memory.comparison.was_of_one_behind { None } else { one_behind(set) };
    set.memory.comparison.was_of_one_behind = behind.is_some();
    let Some(at) = behind else { return height(set) };
    set.cases[at].memory.asked_about_at = Some(set.now);
    set.cases[at].counted.map(|seen| seen.tip)
}

/// The store far behind that has waited longest, of those whose own tip was not compared yet.
fn one_behind(set: &Set<'_>) -> Option<usize> {
    let is_near = is_near(set);
    let waits = |case: &Case<'_>| {
        let compared = case.memory.compared;
        case.counts() && !is_near(case) && case.counted.map(|seen| seen.tip) > compared
    };
    let waiting = (0..set.cases.len()).filter(|&at| waits(&set.cases[at]));
    waiting.min_by_key(|&at| set.cases[at].memory.asked_about_at)
}

/// The height to ask those near the reference for: the lowest tip of them. One far behind must not hide a fork of the
/// others above it. A primary that gives hashes of its own choice only is met where it gave one.
fn height(set: &Set<'_>) -> Option<BlockNumber> {
    let lowest = near(set).filter_map(|case| case.counted).chain(set.primary).map(|seen| seen.tip).min()?;
    let given = set.memory.primary.hashes.iter().map(|known| known.height).filter(|given| *given <= lowest);
    let primary = set.observed.primary.as_ref().filter(|_| set.primary.is_some());
    let chooses_itself = primary.is_some_and(|sample| sample.tip_hash.is_none());
    Some(given.max().filter(|_| chooses_itself).unwrap_or(lowest))
}

/// Whether the tip of one that counts is near the reference.
fn is_near(set: &Set<'_>) -> impl Fn(&Case<'_>) -> bool + use<> {
    let max_lag = set.policy.max_lag;
    let lowest =
        set.judgement.fleet_tip.map_or(BlockNumber(0), |tip| BlockNumber(tip.0.saturating_sub(max_lag)));
    move |case| case.counts() && case.counted.is_some_and(|seen| seen.tip >= lowest)
}

fn near<'s, 'a>(set: &'s Set<'a>) -> impl Iterator<Item = &'s Case<'a>> {
    let is_near = is_near(set);
    set.cases.iter().filter(move |case| is_near(case))
}

fn comparable<'s, 'a>(set: &'s Set<'a>) -> impl Iterator<Item = &'s Case<'a>> {
    set.cases.iter().filter(|case| {
        matches!(
            case.standing,
            Standing::Trusted | Standing::Contested | Standing::Unconfirmed | Standing::Diverged
        )
    })
}

fn answer(track: &Track, height: BlockNumber) -> Option<BlockHash> {
    track.hashes.iter().find(|known| known.height == height).map(|known| known.hash)
}

/// Everybody who could answer has, or has had its time.
fn is_answered(set: &Set<'_>, question: Question) -> bool {
    let holds = |case: &&Case<'_>| case.counted.is_some_and(|seen| seen.tip >= question.height);
    let members =
        comparable(set).filter(holds).all(|case| answer(&case.memory.track, question.height).is_some());
    let primary = set.primary.is_none() || answer(&set.memory.primary, question.height).is_some();
    (members && primary) || set.now.since(question.asked_at) > set.policy.stale_after
}

/// Groups the answers and names the wrong side.
fn conclude(set: &mut Set<'_>, height: BlockNumber) {
    let answers: Vec<(usize, BlockHash)> = (0..set.cases.len())
        .filter(|&at| set.cases[at].standing == Standing::Trusted)
        .filter_map(|at| Some((at, answer(&set.cases[at].memory.track, height)?)))
        .collect();
    let primary = set.primary.and_then(|_| answer(&set.memory.primary, height));
    let right = right_side(&answers, primary);
    let wrong: Vec<usize> =
        answers.iter().filter(|(_, hash)| Some(*hash) != right).map(|(at, _)| *at).collect();
    for (at, _) in answers.iter().filter(|(_, hash)| Some(*hash) == right) {
        clear(&mut set.cases[*at], height);
    }
    if answers.len() + usize::from(primary.is_some()) > 1 {
        for (at, _) in &answers {
            let compared = &mut set.cases[*at].memory.compared;
            *compared = (*compared).max(Some(height));
        }
    }
    settle_contested(set, height);
    condemn(set, height, right.is_some(), &wrong);
}

/// The primary's side, else the strictly larger one; None when there is a tie.
fn right_side(answers: &[(usize, BlockHash)], primary: Option<BlockHash>) -> Option<BlockHash> {
    if primary.is_some() {
        return primary;
    }
    let mut sides = BTreeMap::<BlockHash, usize>::new();
    answers.iter().for_each(|(_, hash)| *sides.entry(*hash).or_default() += 1);
    let most = *sides.values().max()?;
    let mut leaders = sides.into_iter().filter(|(_, count)| *count == most).map(|(hash, _)| hash);
    leaders.next().filter(|_| leaders.next().is_none())
}

/// Agreement at a height speaks for all heights below it, since each block names its parent.
fn clear(case: &mut Case<'_>, height: BlockNumber) {
    if case.memory.diverged.is_some_and(|diverged| diverged <= height) {
        case.memory.diverged = None;
    }
}

/// What was contested at a height is so until the stores agree there or above, or none has a block there any more.
fn settle_contested(set: &mut Set<'_>, height: BlockNumber) {
    let Some(contested) = &set.memory.comparison.contested else { return };
    let holds = |case: &Case<'_>| case.counted.is_some_and(|seen| seen.tip >= contested.height);
    if contested.height <= height || !comparable(set).any(holds) {
        set.memory.comparison.contested = None;
    }
}

/// Marks `wrong` as diverged, unless no side is right or that would make most of the set so.
fn condemn(set: &mut Set<'_>, height: BlockNumber, right_is_known: bool, wrong: &[usize]) {
    let is_wrong = |at: &usize| wrong.contains(at) || set.cases[*at].memory.diverged.is_some();
    let all = (0..set.cases.len()).filter(|at| set.cases[*at].is_present()).filter(is_wrong).count();
    if right_is_known && !set.is_majority(all) {
        wrong.iter().for_each(|&at| set.cases[at].memory.diverged = Some(height));
    } else if !wrong.is_empty() {
        let pods = wrong.iter().map(|&at| set.cases[at].member.uid.clone()).collect();
        set.memory.comparison.contested = Some(Contested { height, pods });
    }
}

fn mark_standings(set: &mut Set<'_>) {
    let contested = set.memory.comparison.contested.as_ref();
    for case in set.cases.iter_mut().filter(|case| case.standing == Standing::Trusted) {
        if case.memory.diverged.is_some() {
            case.standing = Standing::Diverged;
        } else if contested.is_some_and(|contested| contested.pods.contains(&case.member.uid)) {
            case.standing = Standing::Contested;
        }
    }
}

fn report(set: &mut Set<'_>) {
    let contested = set.names(|case| case.standing == Standing::Contested);
    if let Some(Contested { height, .. }) = set.memory.comparison.contested
        && !contested.is_empty()
    {
        set.judgement.notices.push(Notice::Divergence { height, pods: contested });
    }
    let pods = set.names(|case| case.memory.diverged.is_some());
    if let Some(height) = set.cases.iter().filter_map(|case| case.memory.diverged).max() {
        set.judgement.notices.push(Notice::MembersDiverged { height, pods });
    }
}
