//! Thousands of scripted stores behind one wildcard listener, told apart by the address they are asked at.
//!
//! All stores of a set have the same blocks, made at a steady pace by the clock alone, unless one is told to hold. They
//! notice when each follower is asked for the first time after its primary told of a block: from then on it is judged
//! against that block.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use tidemark_report::percentile;
use tidemark_wire::v1::{ReplicaState, TipsRequest, TipsResponse};

use super::layout::Place;

/// The tip of every set at the start.
const FIRST_TIP: u32 = 100;

/// What the crowd can be told.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// The pod at this address has this UID.
    Name(Ipv4Addr, String),
    /// The store at this address takes no further blocks, and from now on tells of each of its answers.
    Hold(Ipv4Addr),
    /// It has all blocks again.
    Release(Ipv4Addr),
    /// Tell what was counted since the last report.
    Report,
}

/// What the crowd tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// It listens.
    Listening,
    /// A store that was held once answered with this tip, so many microseconds after the epoch.
    Answered(Ipv4Addr, u32, u64),
    /// What was asked for.
    Report(Report),
}

/// What was counted since the last report.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Requests to followers.
    pub followers_asked: u64,
    /// Requests to primaries.
    pub primaries_asked: u64,
    /// From a block to the first request to a follower after its primary told of the block: how often, in milliseconds.
    pub judged: usize,
    /// The middle of these times.
    pub judged_p50: u32,
    /// Their 99th percentile.
    pub judged_p99: u32,
    /// The longest.
    pub judged_max: u32,
    /// Followers that were asked for no block of the primary's for longer than that when the report was made.
    pub waiting_max: u32,
}

struct Store {
    uid: Mutex<String>,
    /// The tip it does not go beyond.
    held: AtomicU32,
    /// Whether each of its answers is told.
    watched: AtomicU32,
    /// The highest block its primary had told of when it was asked.
    judged: AtomicU32,
}

/// All stores.
pub struct Crowd {
    start: Instant,
    interval: Duration,
    sets: Vec<Set>,
    followers_asked: AtomicU64,
    primaries_asked: AtomicU64,
    judged: Mutex<Vec<u32>>,
}

struct Set {
    /// The highest block of which its primary has told.
    told: AtomicU32,
    stores: Vec<Store>,
}

impl Crowd {
    /// So many sets of so many followers, with a block each `interval`.
    #[must_use]
    pub fn new(sets: u32, followers: u32, interval: Duration) -> Self {
        let store = |_| Store {
            uid: Mutex::default(),
            held: AtomicU32::new(u32::MAX),
            watched: AtomicU32::new(0),
            judged: AtomicU32::new(0),
        };
        let set = |_| Set { told: AtomicU32::new(0), stores: (0..followers).map(store).collect() };
        Self {
            start: Instant::now(),
            interval,
            sets: (0..sets).map(set).collect(),
            followers_asked: AtomicU64::new(0),
            primaries_asked: AtomicU64::new(0),
            judged: Mutex::default(),
        }
    }

    /// Carries out a command, and answers a report if that was one.
    pub fn obey(&self, command: Command) -> Option<Report> {
        self.obey_at(self.start.elapsed(), command)
    }

    fn obey_at(&self, at: Duration, command: Command) -> Option<Report> {
        match command {
            Command::Name(address, uid) => {
                self.change(at, address, |store, _| *lock(&store.uid) = uid);
            }
            Command::Hold(address) => self.change(at, address, |store, tip| {
                store.held.store(tip, Ordering::Relaxed);
                store.watched.store(1, Ordering::Relaxed);
            }),
            Command::Release(address) => {
                self.change(at, address, |store, _| store.held.store(u32::MAX, Ordering::Relaxed));
            }
            Command::Report => return Some(self.report(at)),
        }
        None
    }

    fn change(&self, at: Duration, address: Ipv4Addr, change: impl FnOnce(&Store, u32)) {
        if let Some(place) = Place::at(address)
            && let (Some(store), tip) = (self.store(place), self.tip(place.set, at))
        {
            change(store, tip);
        }
    }

    fn store(&self, place: Place) -> Option<&Store> {
        self.sets.get(place.set as usize)?.stores.get(place.ordinal? as usize)
    }

    /// Answers a request that came to `address`, and what is to be told of it; None if nobody is there.
    pub fn answer(&self, address: IpAddr, request: TipsRequest) -> Option<(TipsResponse, Option<Told>)> {
        self.answer_at(self.start.elapsed(), address, request)
    }

    fn answer_at(
        &self,
        at: Duration,
        address: IpAddr,
        request: TipsRequest,
    ) -> Option<(TipsResponse, Option<Told>)> {
        let IpAddr::V4(address) = address else { return None };
        let place = Place::at(address)?;
        let set = self.sets.get(place.set as usize)?;
        let tip = self.tip(place.set, at);
        let Some(ordinal) = place.ordinal else {
            self.primaries_asked.fetch_add(1, Ordering::Relaxed);
            set.told.fetch_max(tip, Ordering::Relaxed);
            return Some((tips(place.set, tip, String::new(), request), None));
        };
        let store = set.stores.get(ordinal as usize)?;
        self.followers_asked.fetch_add(1, Ordering::Relaxed);
        self.note(place.set, store, set.told.load(Ordering::Relaxed), at);
        let tip = tip.min(store.held.load(Ordering::Relaxed));
        let told =
            (store.watched.load(Ordering::Relaxed) > 0).then(|| Told::Answered(address, tip, epoch_micros()));
        Some((tips(place.set, tip, lock(&store.uid).clone(), request), told))
    }

    fn note(&self, set: u32, store: &Store, told: u32, at: Duration) {
        let before = store.judged.fetch_max(told, Ordering::Relaxed);
        if before != 0 && before < told {
            // Every block counts from its own time on, those that were passed over too.
            let waited = at.saturating_sub(self.made_at(set, before + 1));
            lock(&self.judged).push(millis(waited));
        }
    }

    /// The tip of a set so long after the start: sets make their blocks out of step.
    fn tip(&self, set: u32, at: Duration) -> u32 {
        let blocks = (at + self.phase(set)).as_micros() / self.interval.as_micros();
        FIRST_TIP + u32::try_from(blocks).unwrap_or(u32::MAX - FIRST_TIP)
    }

    fn made_at(&self, set: u32, block: u32) -> Duration {
        (self.interval * (block - FIRST_TIP)).saturating_sub(self.phase(set))
    }

    fn phase(&self, set: u32) -> Duration {
        self.interval * (set * 37 % 100) / 100
    }

    fn report(&self, at: Duration) -> Report {
        let judged = std::mem::take(&mut *lock(&self.judged));
        let of = |percent| percentile(&judged, percent).unwrap_or(0);
        Report {
            followers_asked: self.followers_asked.swap(0, Ordering::Relaxed),
            primaries_asked: self.primaries_asked.swap(0, Ordering::Relaxed),
            judged: judged.len(),
            judged_p50: of(50),
            judged_p99: of(99),
            judged_max: of(100),
            waiting_max: self.waiting(at),
        }
    }

    /// How long the follower has waited that has waited longest to be asked after its primary's latest block.
    fn waiting(&self, at: Duration) -> u32 {
        let waiting = (0..).zip(&self.sets).flat_map(|(number, set)| {
            let tip = self.tip(number, at);
            set.stores.iter().filter_map(move |store| {
                let judged = store.judged.load(Ordering::Relaxed);
                (judged != 0 && judged < tip).then(|| at.saturating_sub(self.made_at(number, judged + 1)))
            })
        });
        waiting.max().map_or(0, millis)
    }
}

fn tips(set: u32, tip: u32, pod_uid: String, request: TipsRequest) -> TipsResponse {
    let hash = |height: u32| [&set.to_le_bytes()[..], &height.to_le_bytes(), &[7; 24]].concat().into();
    let is_primary = pod_uid.is_empty();
    TipsResponse {
        published_tip: Some(tip),
        applied_tip: Some(tip),
        proven_tip: Some(tip.saturating_sub(1)),
        genesis: vec![1; 32].into(),
        tip_hash: hash(tip),
        hash_at_height: request.at_height.filter(|height| *height <= tip).map(hash).unwrap_or_default(),
        pod_uid,
        boot_id: "6f1b2a0c-5a57-4a0e-9a3e-2f1d1c5b7e11".to_owned(),
        upstream_tip: (!is_primary).then_some(tip),
        state: if is_primary { ReplicaState::Producing } else { ReplicaState::Syncing }.into(),
        state_detail: String::new(),
        upstream_boot_ids: Vec::new(),
    }
}

fn epoch_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Command, Crowd, Duration, Place, TipsRequest, Told};

    fn ms(at: u64) -> Duration {
        Duration::from_millis(at)
    }

    fn tip(crowd: &Crowd, at: u64, place: Place) -> Option<u32> {
        crowd.answer_at(ms(at), place.address().into(), TipsRequest::default())?.0.published_tip
    }

    #[test]
    fn a_store_that_is_held_stays_where_it_is_and_tells_of_its_answers() {
        let crowd = Crowd::new(2, 2, ms(1));
        let (held, other) = (Place::follower(1, 0), Place::follower(1, 1));
        crowd.obey_at(ms(0), Command::Hold(held.address()));
        let before = tip(&crowd, 0, held);
        assert_eq!(tip(&crowd, 3, held), before);
        assert!(tip(&crowd, 3, other) > before);
        let told = |place: Place| {
            let answer = crowd.answer_at(ms(3), place.address().into(), TipsRequest::default());
            answer.and_then(|(_, told)| told)
        };
        assert!(matches!(told(held), Some(Told::Answered(..))) && told(other).is_none());
        crowd.obey_at(ms(3), Command::Release(held.address()));
        assert!(tip(&crowd, 3, held) > before);
        assert_eq!(tip(&crowd, 3, Place::follower(2, 0)), None);
    }

    #[test]
    fn a_follower_is_judged_from_its_first_request_after_its_primary_told() {
        let crowd = Crowd::new(1, 1, ms(20));
        let ask = |at, place| assert!(tip(&crowd, at, place).is_some());
        ask(0, Place::primary(0));
        ask(0, Place::follower(0, 0));
        ask(30, Place::follower(0, 0));
        assert_eq!(crowd.report(ms(30)).judged, 0, "the primary told of nothing new");
        ask(30, Place::primary(0));
        ask(30, Place::follower(0, 0));
        let report = crowd.report(ms(30));
        assert_eq!((report.judged, report.followers_asked, report.primaries_asked), (1, 1, 1));
        assert!(report.judged_max >= 10, "{report:?}");
    }
}
