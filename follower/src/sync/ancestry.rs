//! Follows nobody who follows this replica.

use std::time::Duration;

use tidemark_store::BlockNumber;
use tokio::time::sleep;

use super::{Trouble, lineage, link::Link, session::Context};
use crate::upstream::{Peer, Upstream, UpstreamError};

/// How often the upstream is asked through whom it gets its blocks, which may change while it is followed.
const WATCH: Duration = Duration::from_secs(5);

/// What the upstream says of itself, and of its block at a height, if it speaks `tidemark.v1` and leads not back here.
pub(super) async fn check<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    at: Option<BlockNumber>,
) -> Result<Option<Peer>, Trouble> {
    let Some(peer) = link.peer(at).await? else {
        context.replica.follows_through(Vec::new());
        return Ok(None);
    };
    let lineage = lineage::through(&context.replica.identity().boot_id, &peer);
    context.replica.follows_through(lineage.boot_ids);
    match lineage.loop_of {
        Some(hops) => Err(Trouble::Loop { hops }),
        None => Ok(Some(peer)),
    }
}

/// Asks now and then, until the upstream leads back here.
pub(super) async fn watch<U: Upstream>(link: &Link<U>, context: &Context) -> Trouble {
    loop {
        sleep(WATCH).await;
        match check(link, context, None).await {
            Ok(Some(_)) => {}
            Ok(None) => return std::future::pending().await,
            Err(Trouble::Upstream(UpstreamError::Unanswered { .. })) => {}
            Err(trouble) => return trouble,
        }
    }
}
