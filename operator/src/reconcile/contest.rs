//! Fields that somebody else keeps changing: how often that happened, and when they are put back again. Pure.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

/// An object by kind and name.
pub(super) type Id = (String, String);

/// A field taken this often within [`WINDOW`] is contested.
const STRIKES: usize = 3;
const WINDOW: Duration = Duration::from_secs(60);
/// A contested field is put back first after this long, then twice as long each time.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LAST_WAIT: Duration = Duration::from_secs(120);
/// One that is left alone for twice its wait, and for at least this long, is contested no more.
const SHORTEST_CALM: Duration = Duration::from_secs(60);

/// A field that another manager keeps changing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) object: Id,
    pub(super) path: String,
    pub(super) manager: String,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { object: (kind, name), path, manager } = self;
        write!(
            out,
            "{manager} keeps changing {path} of {kind} {name}, which is put back ever less often: stop it, or say in \
             the StoreReplicaSet what it wants"
        )
    }
}

/// What is remembered of the fields of one set that were taken. Bounded by the fields that are rendered.
#[derive(Clone, Debug, Default)]
pub(super) struct Contests(BTreeMap<(Id, String), Contest>);

#[derive(Clone, Debug)]
struct Contest {
    manager: String,
    strikes: Vec<Instant>,
    /// How long the field is left as it is; None while it is not contested.
    wait: Option<Duration>,
}

impl Contests {
    /// These fields of an object, each with its taker, were put back.
    pub(super) fn put_back(&mut self, object: &Id, taken: BTreeMap<String, String>, now: Instant) {
        for (path, manager) in taken {
            let contest = self.0.entry((object.clone(), path)).or_insert_with(|| Contest {
                manager: String::new(),
                strikes: Vec::new(),
                wait: None,
            });
            contest.strike(manager, now);
        }
    }

    /// When the object may be put right again; None: at once.
    pub(super) fn not_before(&self, object: &Id, now: Instant) -> Option<Instant> {
        let of_object = self.0.iter().filter(|((id, _), _)| id == object);
        let due = of_object.filter_map(|(_, contest)| Some(contest.last()? + contest.wait?)).max()?;
        (due > now).then_some(due)
    }

    /// The fields that are contested now; what has calmed down is forgotten.
    pub(super) fn conflicts(&mut self, now: Instant) -> Vec<Conflict> {
        self.0.retain(|_, contest| contest.last().is_some_and(|last| now < last + contest.calm()));
        let contested = self.0.iter().filter(|(_, contest)| contest.wait.is_some());
        let conflict = |((object, path), contest): (&(Id, String), &Contest)| Conflict {
            object: object.clone(),
            path: path.clone(),
            manager: contest.manager.clone(),
        };
        contested.map(conflict).collect()
    }
}

impl Contest {
    fn strike(&mut self, manager: String, now: Instant) {
        self.manager = manager;
        self.strikes.retain(|strike| now.duration_since(*strike) < WINDOW);
        self.strikes.push(now);
        self.wait = match self.wait {
            Some(wait) => Some((wait * 2).min(LAST_WAIT)),
            None => (self.strikes.len() >= STRIKES).then_some(FIRST_WAIT),
        };
    }

    fn last(&self) -> Option<Instant> {
        self.strikes.last().copied()
    }

    fn calm(&self) -> Duration {
        self.wait.map_or(WINDOW, |wait| (wait * 2).max(SHORTEST_CALM))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Contests, Id};

    struct Fight {
        contests: Contests,
        start: Instant,
        object: Id,
    }

    impl Fight {
        fn new() -> Self {
            let object = ("StatefulSet".to_owned(), "a".to_owned());
            Self { contests: Contests::default(), start: Instant::now(), object }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn strike(&mut self, seconds: u64) {
            let taken = [("spec.replicas".to_owned(), "rival".to_owned())].into();
            self.contests.put_back(&self.object, taken, self.at(seconds));
        }

        fn waits_until(&self, seconds: u64) -> Option<u64> {
            let due = self.contests.not_before(&self.object, self.at(seconds))?;
            Some(due.duration_since(self.start).as_secs())
        }

        fn contested(&mut self, seconds: u64) -> bool {
            let now = self.at(seconds);
            !self.contests.conflicts(now).is_empty()
        }
    }

    #[test]
    fn the_third_time_within_a_minute_is_a_conflict_and_the_second_is_not() {
        let mut fight = Fight::new();
        fight.strike(0);
        fight.strike(59);
        assert!(!fight.contested(59));
        assert_eq!(fight.waits_until(59), None);
        fight.strike(60);
        assert!(!fight.contested(60), "the first is a minute old");
        fight.strike(61);
        assert!(fight.contested(61));
        let conflict = fight.contests.conflicts(fight.at(61)).remove(0).to_string();
        assert!(conflict.starts_with("rival keeps changing spec.replicas of StatefulSet a"), "{conflict}");
    }

    #[test]
    fn a_contested_field_is_put_back_ever_less_often_and_other_objects_at_once() {
        let mut fight = Fight::new();
        [0, 1, 2].into_iter().for_each(|at| fight.strike(at));
        assert_eq!(fight.waits_until(2), Some(12));
        assert_eq!(fight.waits_until(12), None);
        fight.strike(12);
        assert_eq!(fight.waits_until(12), Some(32));
        [32, 72, 152, 272].into_iter().for_each(|at| fight.strike(at));
        assert_eq!(fight.waits_until(272), Some(392), "two minutes at most");
        let other = ("Service".to_owned(), "a".to_owned());
        assert_eq!(fight.contests.not_before(&other, fight.at(272)), None);
    }

    #[test]
    fn a_conflict_ends_when_the_field_is_left_alone() {
        let mut fight = Fight::new();
        [0, 1, 2].into_iter().for_each(|at| fight.strike(at));
        assert!(fight.contested(61));
        assert!(!fight.contested(62));
        assert_eq!(fight.waits_until(62), None);
        fight.strike(63);
        assert!(!fight.contested(63), "it starts over");
    }
}
