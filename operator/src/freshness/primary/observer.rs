//! One set's view of its primary: the Secrets it is reached with, and what it answers.

use std::{sync::Arc, time::Duration};

use tidemark_judge::BlockNumber;

use super::{super::secrets::Watched, Primaries, PrimaryAt, Seen, Subscription, dial::Way};
use crate::wait::or_never;

/// Watches a primary; dropping it ends the interest.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) at: PrimaryAt,
    hub: Arc<Primaries>,
    secrets: Option<Watched>,
    /// None until there is content to reach it with.
    subscription: Option<Subscription>,
    interval: Duration,
    height: Option<BlockNumber>,
    /// The latest that was seen, also over an earlier way.
    last: Seen,
}

impl Observer {
    pub(crate) fn new(hub: &Arc<Primaries>, at: PrimaryAt, interval: Duration) -> Self {
        let secrets = at.tls.as_ref().map(|tls| hub.secrets.watch(tls));
        let hub = Arc::clone(hub);
        let mut observer =
            Self { at, hub, secrets, subscription: None, interval, height: None, last: Seen::default() };
        observer.take_way();
        observer
    }

    /// Changes what is wanted: how often, and the height whose hash is to be asked for.
    pub(crate) fn want(&mut self, interval: Duration, height: Option<BlockNumber>) {
        (self.interval, self.height) = (interval, height);
        if let Some(subscription) = &self.subscription {
            subscription.want(interval, height);
        }
    }

    /// Waits for the next answer or failure.
    pub(crate) async fn changed(&mut self) {
        tokio::select! {
            () = or_never(self.subscription.as_mut().map(Subscription::changed)) => {}
            () = or_never(self.secrets.as_mut().map(Watched::changed)) => self.take_way(),
        }
    }

    /// What is known now. A changed way is no reason to forget what was seen over the old one.
    pub(crate) fn seen(&mut self) -> Seen {
        let now = self.subscription.as_mut().map(Subscription::seen).unwrap_or_default();
        let sample = now.sample.or(self.last.sample.take());
        self.last = Seen { sample, error: now.error, secret_error: self.secret_error() };
        self.last.clone()
    }

    /// What is wrong with the Secrets, though the primary may still be reached with their earlier content.
    fn secret_error(&self) -> Option<String> {
        let error = self.secrets.as_ref()?.known().error?;
        Some(format!("the primary {} is not reached as asked: {error}", self.at.url))
    }

    fn take_way(&mut self) {
        let tls = self.secrets.as_ref().map(|secrets| secrets.known().tls);
        let way = match tls {
            None => Way { url: self.at.url.clone(), tls: None },
            Some(Some(tls)) => Way { url: self.at.url.clone(), tls: Some(tls) },
            Some(None) => return,
        };
        if self.subscription.as_ref().is_none_or(|subscription| subscription.way != way) {
            let subscription = self.hub.subscribe(way, self.interval);
            subscription.want(self.interval, self.height);
            self.subscription = Some(subscription);
        }
    }
}
