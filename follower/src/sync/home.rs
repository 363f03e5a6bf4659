//! Finds out when an upstream that is named earlier in the list answers again, so that a failover is not for ever.

use std::time::Duration;

use super::{Trouble, backoff::Backoff, mode::Subscriptions};
use crate::{
    replica::Replica,
    upstream::{Connector, Upstream as _, UpstreamStatus},
};

/// The first pause between two questions; they double while there is no good answer, or none that lasted.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(4);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Waits until one of `upstreams` is worth returning to; for ever if there is none.
pub(super) async fn preferred<C: Connector>(
    upstreams: &[(C, Subscriptions)],
    replica: &Replica,
    pauses: &mut Backoff,
) -> Trouble {
    if upstreams.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(pauses.failed(LONGEST_PAUSE, rand::random())).await;
        for (at, (connector, _)) in upstreams.iter().enumerate() {
            if status(connector).await.is_some_and(|status| is_worth_it(status, replica)) {
                return Trouble::Preferred { at, upstream: connector.name().to_owned() };
            }
        }
    }
}

async fn status<C: Connector>(connector: &C) -> Option<UpstreamStatus> {
    connector.connect().await.ok()?.status().await.ok()
}

/// Whether the session that begins there could go on where this one ends.
fn is_worth_it(status: UpstreamStatus, replica: &Replica) -> bool {
    replica.genesis() == Some(status.genesis) && Some(status.tip) >= replica.published()
}
