//! Sets that wait to be reconciled, each at most once, so that nobody who asks for one waits or is turned away.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard},
};

use tokio::sync::Notify;

use crate::{lock::lock, names::SetKey};

/// The sets that wait. There is one taker.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<BTreeSet<SetKey>>,
    more: Notify,
}

impl Queue {
    /// Has a set reconciled.
    pub fn push(&self, key: SetKey) {
        self.waiting().insert(key);
        self.more.notify_one();
    }

    /// Waits for the next set.
    pub(crate) async fn pop(&self) -> SetKey {
        loop {
            let next = self.waiting().pop_first();
            match next {
                Some(key) => return key,
                None => self.more.notified().await,
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeSet<SetKey>> {
        lock(&self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, future};

    use super::{Queue, SetKey};

    fn key(name: &str) -> SetKey {
        SetKey { namespace: "n".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_set_that_was_asked_for_often_is_taken_once() {
        let queue = Queue::default();
        for _ in 0..10_000 {
            queue.push(key("a"));
        }
        queue.push(key("b"));
        assert_eq!([queue.pop().await, queue.pop().await], [key("a"), key("b")]);
        assert_eq!(queue.pop().now_or_never(), None);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken() {
        let queue = Queue::default();
        let (taken, ()) = future::join(queue.pop(), async { queue.push(key("a")) }).await;
        assert_eq!(taken, key("a"));
    }
}
