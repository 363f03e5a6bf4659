//! What is remembered of each set from one reconciliation to the next.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::apply::Ledger;
use crate::{api::StoreReplicaSetStatus, lock::lock, names::SetKey, replace::Missing};

/// What is remembered of all sets. Losing it costs some needless calls, and a wait begins anew.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<SetKey, Remembered>>);

/// What is remembered of one set.
#[derive(Clone, Debug, Default)]
pub(super) struct Remembered {
    /// Whose: another set of the same name starts with nothing.
    uid: Option<String>,
    pub(super) ledger: Ledger,
    /// Pods that are to exist and do not.
    pub(super) missing: Missing,
    /// The status written last, and when the reconciliation began that wrote it: the next one is counted from there too, so
    /// that it never comes a moment before the status may move again.
    pub(super) status: Option<(Instant, StoreReplicaSetStatus)>,
    /// Failures in a row.
    pub(super) failures: u32,
}

impl Remembered {
    /// When the status may next be written though only tips have moved, if not in the reconciliation that began at `start`.
    pub(super) fn moves_at(&self, start: Instant, refresh: Duration) -> Option<Instant> {
        self.status.as_ref().map(|(began, _)| *began + refresh).filter(|at| *at > start)
    }

    /// When the reconciliation after that of `start` is due, if nothing asks for one before.
    pub(super) fn refresh_at(&self, start: Instant, refresh: Duration) -> Instant {
        self.moves_at(start, refresh).unwrap_or(start + refresh)
    }
}

impl Memory {
    /// What is known of the set of this UID.
    pub(super) fn take(&self, key: &SetKey, uid: Option<&str>) -> Remembered {
        let mut known = self.lock();
        let remembered = known.entry(key.clone()).or_default();
        if remembered.uid.as_deref() != uid {
            *remembered = Remembered { uid: uid.map(str::to_owned), ..Remembered::default() };
        }
        remembered.clone()
    }

    /// Remembers it, unless the set was forgotten since it was taken.
    pub(super) fn put(&self, key: &SetKey, remembered: Remembered) {
        if let Some(known) = self.lock().get_mut(key).filter(|known| known.uid == remembered.uid) {
            *known = remembered;
        }
    }

    pub(super) fn failures(&self, key: &SetKey) -> u32 {
        self.lock().get(key).map_or(0, |remembered| remembered.failures)
    }

    /// Forgets a set.
    pub fn forget(&self, key: &SetKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SetKey, Remembered>> {
        lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Memory, Remembered, SetKey};

    const REFRESH: Duration = Duration::from_secs(30);

    fn key() -> SetKey {
        SetKey { namespace: "n".to_owned(), name: "a".to_owned() }
    }

    #[test]
    fn a_set_of_an_earlier_ones_name_is_taken_for_none_that_was_before() {
        let memory = Memory::default();
        let mut earlier = memory.take(&key(), Some("earlier"));
        earlier.failures = 7;
        memory.put(&key(), earlier.clone());
        assert_eq!(memory.take(&key(), Some("earlier")).failures, 7);
        assert_eq!(memory.take(&key(), Some("later")).failures, 0);
        memory.put(&key(), earlier);
        assert_eq!(memory.failures(&key()), 0, "what was under way for the earlier one");
    }

    #[test]
    fn a_set_that_is_gone_is_not_remembered_by_what_was_under_way() {
        let memory = Memory::default();
        let under_way = memory.take(&key(), Some("u"));
        memory.forget(&key());
        memory.put(&key(), under_way);
        assert!(memory.lock().is_empty());
    }

    #[test]
    fn each_reconciliation_that_comes_for_the_refresh_may_write_it() {
        let mut start = Instant::now();
        let mut remembered = Remembered::default();
        for _ in 0..3 {
            assert_eq!(remembered.moves_at(start, REFRESH), None, "it may write");
            remembered.status = Some((start, Default::default()));
            start = remembered.refresh_at(start, REFRESH);
        }
    }

    #[test]
    fn a_reconciliation_in_between_puts_the_refresh_off_no_further() {
        let start = Instant::now();
        let remembered = Remembered { status: Some((start, Default::default())), ..Remembered::default() };
        let between = start + Duration::from_secs(20);
        assert_eq!(remembered.moves_at(between, REFRESH), Some(start + REFRESH), "it may not write yet");
        assert_eq!(remembered.refresh_at(between, REFRESH), start + REFRESH);
    }
}
