//! Who may lead: decides from what stands in the cluster and from local time alone. Pure.
//!
//! A lease has run out for those who wait when its record has not changed for its duration of *their own* time, counted
//! from when they first saw it; for its holder when that time, less a margin, has passed since it *sent* its last
//! renewal, which was before anybody saw it. So no two clocks are ever compared.

use std::time::Duration;

use jiff::Timestamp;
use tidemark_judge::Moment;

use super::{
    record::Record,
    terms::{LONGEST, Terms},
};

/// One who holds the lease or waits for it.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Unique to this process: nobody else ever writes it.
    pub(super) identity: String,
    pub(super) terms: Terms,
    /// The record as last seen, and since when it has been that.
    seen: Option<(Record, Moment)>,
    /// When the last renewal that succeeded was sent.
    held: Option<Moment>,
}

/// What to do about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Look again: this one leads; None: nobody does, and the lease that was deleted has not run out yet.
    Wait(Option<String>),
    /// Write this, on the condition that nobody has written since it was decided.
    Write(Record),
    /// Lead no longer.
    Stop(Loss),
}

/// Why one who led leads no longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Loss {
    /// Somebody else holds the lease.
    #[error("the lease is held by {0}")]
    Taken(String),
    /// The lease could not be renewed in time.
    #[error("the lease could not be renewed for {} s", .0.as_secs())]
    NotRenewed(Duration),
}

impl Candidate {
    pub(super) const fn new(identity: String, terms: Terms) -> Self {
        Self { identity, terms, seen: None, held: None }
    }

    /// Decides on what was found; `now` is when the answer had arrived, `wall` is only shown to people.
    pub(super) fn decide(&mut self, now: Moment, wall: Timestamp, found: Option<&Record>) -> Step {
        if let Some(loss) = self.loss(now, found) {
            return Step::Stop(loss);
        }
        self.observe(now, found);
        match self.must_wait(now, found) {
            true => Step::Wait(found.and_then(|record| record.holder.clone())),
            false => {
                let before = found.cloned().unwrap_or_default();
                Step::Write(before.held_by(&self.identity, self.terms.duration, wall))
            }
        }
    }

    /// Notes that the lease was written for this candidate, by a request sent at `sent`.
    pub(super) fn wrote(&mut self, sent: Moment) {
        self.held = Some(sent);
    }

    /// Until when this candidate may act; None: it does not lead.
    pub(super) fn until(&self) -> Option<Moment> {
        self.held.map(|sent| sent.plus(self.terms.valid()))
    }

    /// When it gives up unless the lease is renewed before; None: it does not lead.
    pub(super) fn gives_up_at(&self) -> Option<Moment> {
        self.held.map(|sent| sent.plus(self.terms.renew_deadline))
    }

    /// Why it leads no longer, if it did.
    pub(super) fn loss(&self, now: Moment, found: Option<&Record>) -> Option<Loss> {
        let held = self.held?;
        if now.since(held) >= self.terms.renew_deadline {
            return Some(Loss::NotRenewed(self.terms.renew_deadline));
        }
        let holder = found.and_then(|record| record.holder.clone());
        holder.filter(|holder| *holder != self.identity).map(Loss::Taken)
    }

    /// A lease that was deleted is remembered as it was: only its holder can release it.
    fn observe(&mut self, now: Moment, found: Option<&Record>) {
        let Some(found) = found else { return };
        let same = self.seen.as_ref().is_some_and(|(seen, _)| seen == found);
        if !same {
            self.seen = Some((found.clone(), now));
        }
    }

    fn must_wait(&self, now: Moment, found: Option<&Record>) -> bool {
        if self.held.is_some() || found.is_some_and(|record| record.holder.is_none()) {
            return false;
        }
        let Some((seen, since)) = &self.seen else { return false };
        let theirs = seen.holder.as_ref().is_some_and(|holder| *holder != self.identity);
        theirs && now.since(*since) < self.patience(seen)
    }

    /// At least this candidate's own duration: a record that promises less may have been tampered with.
    fn patience(&self, seen: &Record) -> Duration {
        seen.duration.unwrap_or_default().clamp(self.terms.duration, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use tidemark_judge::Moment;

    use super::{Candidate, Loss, Record, Step, Terms};

    fn at(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    fn candidate(identity: &str) -> Candidate {
        let terms = Terms {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        };
        Candidate::new(identity.to_owned(), terms)
    }

    fn decide(candidate: &mut Candidate, millis: u64, found: Option<&Record>) -> Step {
        candidate.decide(at(millis), Timestamp::UNIX_EPOCH, found)
    }

    fn held_by(holder: &str, seconds: Option<u64>) -> Record {
        Record {
            holder: Some(holder.to_owned()),
            duration: seconds.map(Duration::from_secs),
            transitions: 4,
            ..Record::default()
        }
    }

    fn waits_for(holder: &str) -> Step {
        Step::Wait(Some(holder.to_owned()))
    }

    fn takes(step: &Step) -> bool {
        matches!(step, Step::Write(record) if record.holder.as_deref() == Some("me"))
    }

    /// A candidate that has held the lease since second 0, and its record.
    fn leader() -> (Candidate, Record) {
        let mut me = candidate("me");
        let Step::Write(record) = decide(&mut me, 0, None) else { panic!("a free lease is taken") };
        me.wrote(at(0));
        (me, record)
    }

    #[test]
    fn a_lease_that_is_free_or_was_released_is_taken_at_once() {
        assert!(takes(&decide(&mut candidate("me"), 0, None)));
        let released = Record { holder: None, ..held_by("they", Some(15)) };
        let step = decide(&mut candidate("me"), 0, Some(&released));
        assert!(takes(&step) && matches!(step, Step::Write(record) if record.transitions == 5));
        let mut waiting = candidate("me");
        assert_eq!(decide(&mut waiting, 0, Some(&held_by("they", Some(15)))), waits_for("they"));
        assert!(takes(&decide(&mut waiting, 1, Some(&released))));
    }

    #[test]
    fn a_holder_that_vanished_is_waited_for_from_when_its_record_was_first_seen() {
        let (mut me, theirs) = (candidate("me"), held_by("they", Some(15)));
        assert_eq!(decide(&mut me, 7_000, Some(&theirs)), waits_for("they"));
        assert_eq!(decide(&mut me, 21_999, Some(&theirs)), waits_for("they"));
        assert!(takes(&decide(&mut me, 22_000, Some(&theirs))));
    }

    #[test]
    fn any_change_of_the_record_starts_the_wait_anew_whatever_its_clock_says() {
        let (mut me, mut theirs) = (candidate("me"), held_by("they", Some(15)));
        for (turn, second) in (0..50_u64).zip([2, 1_000_000, 0].into_iter().cycle()) {
            theirs.renewed = Timestamp::from_second(i64::try_from(second + turn).expect("small")).ok();
            assert_eq!(decide(&mut me, turn * 14_000, Some(&theirs)), waits_for("they"));
        }
        // Even one that is what it was before, if it was written in between.
        theirs.version = Some("2".to_owned());
        assert_eq!(decide(&mut me, 50 * 14_000, Some(&theirs)), waits_for("they"));
        assert!(takes(&decide(&mut me, 50 * 14_000 + 15_000, Some(&theirs))));
    }

    #[test]
    fn a_record_that_promises_nonsense_is_waited_for_no_less_than_ones_own_time_and_not_for_ever() {
        for (promised, patience) in [(None, 15), (Some(1), 15), (Some(60), 60), (Some(1_000_000), 120)] {
            let (mut me, theirs) = (candidate("me"), held_by("they", promised));
            assert_eq!(decide(&mut me, 0, Some(&theirs)), waits_for("they"));
            assert_eq!(
                decide(&mut me, patience * 1_000 - 1, Some(&theirs)),
                waits_for("they"),
                "{promised:?}"
            );
            assert!(takes(&decide(&mut me, patience * 1_000, Some(&theirs))), "{promised:?}");
        }
    }

    #[test]
    fn a_lease_that_was_deleted_was_not_released() {
        let mut me = candidate("me");
        assert_eq!(decide(&mut me, 0, Some(&held_by("they", Some(15)))), waits_for("they"));
        assert_eq!(decide(&mut me, 14_999, None), Step::Wait(None));
        assert!(takes(&decide(&mut me, 15_000, None)));
        let (mut me, _) = leader();
        assert!(takes(&decide(&mut me, 2_000, None)), "its holder makes it again");
    }

    #[test]
    fn a_leader_renews_keeps_its_term_and_may_act_from_when_it_sent_the_renewal() {
        let (mut me, record) = leader();
        assert_eq!(me.until(), Some(at(14_850)));
        let Step::Write(renewed) = decide(&mut me, 2_000, Some(&record)) else { panic!("renewed") };
        assert_eq!((renewed.transitions, renewed.acquired), (record.transitions, record.acquired));
        assert_ne!(renewed, record);
        assert_eq!(me.until(), Some(at(14_850)), "a renewal that has not succeeded counts for nothing");
        me.wrote(at(2_000));
        assert_eq!((me.until(), me.gives_up_at()), (Some(at(16_850)), Some(at(12_000))));
    }

    #[test]
    fn one_whose_first_write_was_answered_to_nobody_leads_only_once_a_write_is_answered() {
        let mut me = candidate("me");
        let Step::Write(unanswered) = decide(&mut me, 0, None) else { panic!("a free lease is taken") };
        assert_eq!(me.until(), None);
        let Step::Write(again) = decide(&mut me, 9_000, Some(&unanswered)) else { panic!("renewed") };
        assert_eq!((again.transitions, me.until()), (unanswered.transitions, None));
        me.wrote(at(9_000));
        assert_eq!(me.until(), Some(at(23_850)));
    }

    #[test]
    fn a_leader_stops_when_another_holds_the_lease_or_it_was_not_renewed() {
        let (mut me, record) = leader();
        let taken = Step::Stop(Loss::Taken("they".to_owned()));
        assert_eq!(decide(&mut me, 1_000, Some(&held_by("they", None))), taken);
        let (mut me, _) = leader();
        assert!(takes(&decide(&mut me, 9_999, Some(&record))));
        let late = Step::Stop(Loss::NotRenewed(Duration::from_secs(10)));
        assert_eq!(decide(&mut me, 10_000, Some(&record)), late);
        assert_eq!(me.loss(at(10_000), None), Some(Loss::NotRenewed(Duration::from_secs(10))));
    }

    #[test]
    fn a_holder_of_the_same_name_in_an_earlier_life_is_somebody_else() {
        let (mut me, theirs) = (candidate("pod_2"), held_by("pod_1", Some(15)));
        assert_eq!(decide(&mut me, 0, Some(&theirs)), waits_for("pod_1"));
    }
}
