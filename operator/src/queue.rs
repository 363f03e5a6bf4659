//! Sets that wait to be reconciled, each at most once, so that nobody who asks for one waits or is turned away.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use crate::{lock::lock, names::SetKey};

/// What asks for a set comes in crowds, and a gate that is to be written at the same time goes first: a status can wait.
const GATHERS_FOR: Duration = Duration::from_millis(50);

/// The sets that wait, and are taken in the order in which they were asked for. There is one taker.
#[derive(Debug, Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    more: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    keys: BTreeSet<SetKey>,
    /// From when on each may be taken.
    order: VecDeque<(Instant, SetKey)>,
}

impl Queue {
    /// Has a set reconciled.
    pub fn push(&self, key: SetKey) {
        let mut waiting = self.waiting();
        if waiting.keys.insert(key.clone()) {
            waiting.order.push_back((Instant::now() + GATHERS_FOR, key));
            self.more.notify_one();
        }
    }

    /// Waits for the next set.
    pub(crate) async fn pop(&self) -> SetKey {
        loop {
            let next = self.waiting().take(Instant::now());
            match next {
                Ok(key) => return key,
                Err(Some(due)) => tokio::time::sleep_until(due).await,
                Err(None) => self.more.notified().await,
            }
        }
    }

    /// Takes all that wait, due or not.
    #[cfg(test)]
    pub(crate) fn drain(&self) -> Vec<SetKey> {
        let Waiting { order, .. } = std::mem::take(&mut *self.waiting());
        order.into_iter().map(|(_, key)| key).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }
}

impl Waiting {
    /// The next set, or when there will be one.
    fn take(&mut self, now: Instant) -> Result<SetKey, Option<Instant>> {
        match self.order.pop_front() {
            Some((due, key)) if due <= now => {
                self.keys.remove(&key);
                Ok(key)
            }
            Some(later) => {
                let due = later.0;
                self.order.push_front(later);
                Err(Some(due))
            }
            None => Err(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::future;

    use super::{GATHERS_FOR, Queue, SetKey};

    fn key(name: &str) -> SetKey {
        SetKey { namespace: "n".to_owned(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn a_set_that_was_asked_for_often_is_taken_once() {
        let queue = Queue::default();
        for _ in 0..10_000 {
            queue.push(key("b"));
        }
        queue.push(key("a"));
        assert_eq!([queue.pop().await, queue.pop().await], [key("b"), key("a")], "as they were asked for");
        assert_eq!(queue.drain(), []);
    }

    #[tokio::test]
    async fn one_who_waits_is_woken() {
        let queue = Queue::default();
        let (taken, ()) = future::join(queue.pop(), async { queue.push(key("a")) }).await;
        assert_eq!(taken, key("a"));
    }

    #[tokio::test]
    async fn one_who_asks_without_end_delays_nobody() {
        let queue = Queue::default();
        let asking = async {
            for _ in 0..1_000 {
                queue.push(key("a"));
                tokio::time::sleep(GATHERS_FOR / 10).await;
            }
        };
        tokio::select! {
            taken = queue.pop() => assert_eq!(taken, key("a")),
            () = asking => panic!("it was never taken"),
        }
    }
}
