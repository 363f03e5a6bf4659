//! How many gates are written at the same time: so many altogether, of one namespace a part of them, and of each only a
//! part for anything but taking pods out: a crowd that opens keeps nobody in that must be out.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// One namespace, in which writes may hang until their timeout, holds up no other.
const SHARE: u16 = 4;

/// Permits to write.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Lanes>,
    count: u16,
    namespaces: Mutex<BTreeMap<String, Weak<Lanes>>>,
}

/// What the writers of one namespace share.
#[derive(Clone, Debug)]
pub(super) struct Share {
    own: Arc<Lanes>,
    all: Arc<Lanes>,
}

#[derive(Debug)]
struct Lanes {
    any: Arc<Semaphore>,
    /// For what takes no pod out.
    patient: Arc<Semaphore>,
}

impl Permits {
    pub(super) fn new(count: u16) -> Self {
        Self { all: Arc::new(Lanes::new(count)), count, namespaces: Mutex::default() }
    }

    /// The share of a namespace; it lasts as long as somebody has it.
    pub(super) fn share(&self, namespace: &str) -> Share {
        let mut namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            let own = Arc::new(Lanes::new((self.count / SHARE).max(1)));
            namespaces.retain(|_, share| share.strong_count() > 0);
            namespaces.insert(namespace.to_owned(), Arc::downgrade(&own));
            own
        });
        Share { own, all: Arc::clone(&self.all) }
    }
}

impl Lanes {
    fn new(count: u16) -> Self {
        let semaphore = |count: u16| Arc::new(Semaphore::new(count.into()));
        Self { any: semaphore(count), patient: semaphore(patient(count)) }
    }

    async fn acquire(&self, takes_out: bool) -> [Option<OwnedSemaphorePermit>; 2] {
        // Nobody closes the semaphores.
        let patient = if takes_out { None } else { Arc::clone(&self.patient).acquire_owned().await.ok() };
        [patient, Arc::clone(&self.any).acquire_owned().await.ok()]
    }
}

/// Of so many writes, how many may do something else than take a pod out: three quarters, so that there is room for that.
pub(super) fn patient(count: u16) -> u16 {
    (count - count.div_ceil(4)).max(1)
}

/// A permit; dropping it gives it back.
pub(super) struct Permit(
    #[expect(dead_code, reason = "given back when dropped")] [[Option<OwnedSemaphorePermit>; 2]; 2],
);

impl Share {
    /// Waits for its turn, with those that take a pod out or with all others: first in the namespace, then among all.
    pub(super) async fn acquire(&self, takes_out: bool) -> Permit {
        Permit([self.own.acquire(takes_out).await, self.all.acquire(takes_out).await])
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::Permits;

    #[tokio::test]
    async fn a_namespace_whose_writes_hang_leaves_room_for_others() {
        let permits = Permits::new(8);
        let (broken, healthy) = (permits.share("broken"), permits.share("healthy"));
        let hanging: Vec<_> = std::iter::from_fn(|| broken.acquire(true).now_or_never()).collect();
        assert_eq!(hanging.len(), 2);
        let another_set = permits.share("broken");
        assert!(another_set.acquire(true).now_or_never().is_none(), "its sets share");
        assert!(healthy.acquire(true).now_or_never().is_some());
        drop(hanging);
        assert!(another_set.acquire(true).now_or_never().is_some());
    }

    #[tokio::test]
    async fn few_permits_are_enough_for_everybody_in_turn() {
        let permits = Permits::new(1);
        assert!(permits.share("a").acquire(true).now_or_never().is_some());
        assert!(permits.share("b").acquire(true).now_or_never().is_some());
    }

    #[tokio::test]
    async fn those_that_can_wait_leave_room_for_one_that_takes_a_pod_out() {
        let permits = Permits::new(32);
        let crowds: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| permits.share(name)).into();
        let waiting = crowds.iter().map(|crowd| {
            let held: Vec<_> = std::iter::from_fn(|| crowd.acquire(false).now_or_never()).collect();
            assert!(crowd.acquire(true).now_or_never().is_some(), "in its namespace, and among all");
            held
        });
        let held: Vec<_> = waiting.collect();
        assert_eq!(held.iter().map(Vec::len).collect::<Vec<_>>(), [6, 6, 6, 6, 0]);
    }
}
