//! A response that its client takes at its own pace: what is left untaken too long is dropped, and the response ends.
//!
//! The transport asks for the next piece when the client has room; nothing asks while it has none. So a task of its own
//! looks whether what was handed over last is still untaken.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, codegen::Bytes};

use super::{body::next_piece, progress::Progress};
use crate::{
    metrics::{Limit, Open},
    replica::Replica,
};

/// Pieces until the end, which is a status: `Ok` if all is said.
pub(super) type Source = BoxStream<'static, Result<VecDeque<Bytes>, Status>>;

type OnEnd = Box<dyn FnOnce(&Status) + Send>;

/// Something that is held until the response ends, however it ends.
pub(super) type Slot = (tokio::sync::OwnedSemaphorePermit, Open);

/// What the response and its watch share.
#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Since when the client has not asked for more, though it was handed something.
    untaken: Option<Instant>,
    /// The end, if it was decided from outside.
    end: Option<Status>,
    slot: Option<Slot>,
}

/// The response's own end.
pub(super) struct Outlet {
    state: Arc<Mutex<State>>,
    source: Option<Source>,
    ended: Option<OnEnd>,
    progress: Progress,
    _watch: AbortOnDropHandle<()>,
}

/// How long a client may leave something untaken, and what is told of it.
pub(super) struct Patience {
    pub(super) wait: Duration,
    /// That of the connection.
    pub(super) progress: Progress,
    pub(super) replica: Arc<Replica>,
}

impl Outlet {
    /// Hands out `pieces` and then those of `source`. `slot` is given back at the end.
    pub(super) fn new(
        pieces: VecDeque<Bytes>,
        source: Option<Source>,
        slot: Option<Slot>,
        patience: Patience,
    ) -> Self {
        let state = Arc::new(Mutex::new(State { pieces, slot, ..State::default() }));
        let progress = patience.progress.clone();
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(Arc::clone(&state), patience)));
        Self { state, source, ended: None, progress, _watch: watch }
    }

    /// Has `ended` told the status that ends the response.
    pub(super) fn on_end(mut self, ended: impl FnOnce(&Status) + Send + 'static) -> Self {
        self.ended = Some(Box::new(ended));
        self
    }

    /// The next piece, or the status that ends the response.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        let next = ready!(self.poll_next(context));
        if let Err(status) = &next {
            self.ended.take().into_iter().for_each(|ended| ended(status));
        }
        Poll::Ready(next)
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Status>> {
        loop {
            let next = lock(&self.state).take();
            if let Some(next) = next {
                self.progress.moved();
                return Poll::Ready(next);
            }
            let Some(source) = &mut self.source else { return Poll::Ready(Err(Status::ok(""))) };
            match ready!(source.poll_next_unpin(context)) {
                Some(Ok(pieces)) => lock(&self.state).pieces = pieces,
                Some(Err(status)) => return Poll::Ready(Err(status)),
                None => return Poll::Ready(Err(Status::ok(""))),
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    /// What there is for a client that asks for more.
    fn take(&mut self) -> Option<Result<Bytes, Status>> {
        self.untaken = None;
        if let Some(end) = self.end.take() {
            return Some(Err(end));
        }
        let piece = next_piece(&mut self.pieces)?;
        self.untaken = Some(Instant::now());
        Some(Ok(piece))
    }

    /// Drops what is held if it was left untaken for `wait`; else says when to look again.
    fn look(&mut self, now: Instant, wait: Duration) -> Option<Instant> {
        let due = self.untaken.unwrap_or(now) + wait;
        if due > now {
            return Some(due);
        }
        self.pieces.clear();
        self.slot = None;
        self.end = Some(Status::resource_exhausted(format!(
            "the client is too slow: it took nothing for {wait:?}; ask again once it keeps up"
        )));
        None
    }
}

/// Ends the response when it is left untaken; its end is then held for the client, too.
async fn watch(state: Arc<Mutex<State>>, patience: Patience) {
    let Patience { wait, progress, replica } = patience;
    loop {
        let next = lock(&state).look(Instant::now(), wait);
        match next {
            Some(due) => sleep_until(due).await,
            None => break,
        }
    }
    replica.metrics.serving.reached(Limit::SendWait);
    tracing::debug!("a response was left untaken for {wait:?}: it ends");
    let _held = progress.hold();
    std::future::pending::<()>().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn state() -> State {
        State { pieces: [Bytes::from_static(b"a"), Bytes::from_static(b"b")].into(), ..State::default() }
    }

    #[tokio::test]
    async fn what_is_left_untaken_is_dropped_and_the_client_told() {
        let (mut state, now) = (state(), Instant::now());
        assert_eq!(state.look(now, WAIT), Some(now + WAIT), "nothing was handed over yet");
        assert!(state.take().is_some());
        let due = state.look(now, WAIT).expect("not yet");
        assert_eq!(state.look(due, WAIT), None);
        assert!(state.pieces.is_empty());
        let end = state.take().expect("an end").expect_err("no piece");
        assert_eq!(end.code(), tonic::Code::ResourceExhausted);
    }

    #[tokio::test]
    async fn a_client_that_takes_everything_may_wait_for_more_as_long_as_it_likes() {
        let (mut state, now) = (state(), Instant::now());
        assert!(state.take().is_some() && state.take().is_some());
        assert!(state.take().is_none(), "it asks for more");
        assert_eq!(state.look(now + WAIT * 100, WAIT), Some(now + WAIT * 101));
    }
}
