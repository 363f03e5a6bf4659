//! How many gates are written at the same time: so many altogether, and of one namespace a part of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lock::lock;

/// One namespace, in which writes may hang until their timeout, holds up no other.
const SHARE: usize = 4;

/// Permits to write.
#[derive(Debug)]
pub(super) struct Permits {
    all: Arc<Semaphore>,
    count: u16,
    namespaces: Mutex<BTreeMap<String, Weak<Semaphore>>>,
}

/// What the writers of one namespace share.
#[derive(Clone, Debug)]
pub(super) struct Share {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
}

impl Permits {
    pub(super) fn new(count: u16) -> Self {
        Self { all: Arc::new(Semaphore::new(count.into())), count, namespaces: Mutex::default() }
    }

    /// The share of a namespace; it lasts as long as somebody has it.
    pub(super) fn share(&self, namespace: &str) -> Share {
        let mut namespaces = lock(&self.namespaces);
        let known = namespaces.get(namespace).and_then(Weak::upgrade);
        let own = known.unwrap_or_else(|| {
            let own = Arc::new(Semaphore::new((usize::from(self.count) / SHARE).max(1)));
            namespaces.retain(|_, share| share.strong_count() > 0);
            namespaces.insert(namespace.to_owned(), Arc::downgrade(&own));
            own
        });
        Share { own, all: Arc::clone(&self.all) }
    }
}

/// A permit; dropping it gives it back.
pub(super) struct Permit(
    #[expect(dead_code, reason = "given back when dropped")] [Option<OwnedSemaphorePermit>; 2],
);

impl Share {
    /// Waits for its turn: first in the namespace, then among all.
    pub(super) async fn acquire(&self) -> Permit {
        // Nobody closes the semaphores.
        let own = Arc::clone(&self.own).acquire_owned().await.ok();
        let all = Arc::clone(&self.all).acquire_owned().await.ok();
        Permit([own, all])
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
        let hanging: Vec<_> = std::iter::from_fn(|| broken.acquire().now_or_never()).collect();
        assert_eq!(hanging.len(), 2);
        let another_set = permits.share("broken");
        assert!(another_set.acquire().now_or_never().is_none(), "its sets share");
        assert!(healthy.acquire().now_or_never().is_some());
        drop(hanging);
        assert!(another_set.acquire().now_or_never().is_some());
    }

    #[tokio::test]
    async fn few_permits_are_enough_for_everybody_in_turn() {
        let permits = Permits::new(1);
        assert!(permits.share("a").acquire().now_or_never().is_some());
        assert!(permits.share("b").acquire().now_or_never().is_some());
    }
}
