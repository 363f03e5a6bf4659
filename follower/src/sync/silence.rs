//! What it means when a subscription brings nothing for longer than usual: a second connection decides.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};

use super::{
    Trouble,
    admit::check_status,
    link::Link,
    session::{Context, note_caught_up},
};
use crate::upstream::{Connector, Upstream as _, UpstreamError, UpstreamStatus};

/// How long the upstream may take to answer over the second connection.
const LIMIT: Duration = Duration::from_secs(2);
/// How often it is looked whether anything came.
const LOOK: Duration = Duration::from_millis(250);
/// Fewer bytes of an unfinished message than this, in all the time that a block may take, are silence.
const PROGRESS: u64 = 4 << 10;

/// Waits for silences and asks about each, until one of them ends the session.
pub(super) async fn watch<C: Connector>(
    connector: &C,
    link: &Link<C::Upstream>,
    context: &Context,
) -> Trouble {
    match listen(connector, link, context).await {
        Ok(never) => match never {},
        Err(trouble) => trouble,
    }
}

async fn listen<C: Connector>(
    connector: &C,
    link: &Link<C::Upstream>,
    context: &Context,
) -> Result<Infallible, Trouble> {
    let (mut heard, mut bytes) = (Instant::now(), link.streamed_bytes());
    loop {
        sleep(LOOK).await;
        let (arrived, patience) = rhythm(context);
        if arrived > heard {
            (heard, bytes) = (arrived, link.streamed_bytes());
        } else if link.streamed_bytes() >= bytes + PROGRESS {
            (heard, bytes) = (Instant::now(), link.streamed_bytes());
        }
        if heard.elapsed() >= patience {
            ask(connector, context).await?;
            heard = Instant::now();
        }
    }
}

/// When the last block came, and how long none may come.
fn rhythm(context: &Context) -> (Instant, Duration) {
    let pulse = context.pulse();
    (pulse.last(), pulse.patience())
}

/// Asks over a connection of its own, since what is wrong may be this one.
async fn ask<C: Connector>(connector: &C, context: &Context) -> Result<(), Trouble> {
    let held = context.replica.held();
    let status = match second_opinion(connector).await {
        Err(error @ UpstreamError::Unanswered { .. }) => return Err(Trouble::Frozen(error)),
        // Whoever asks us to wait is alive; the next silence asks again.
        Err(UpstreamError::RateLimited(_)) => return Ok(()),
        answered => answered?,
    };
    check_status(context, held, status).await?;
    if Some(status.tip) > context.replica.held() {
        return Err(Trouble::Silent { tip: status.tip });
    }
    note_caught_up(context, status.tip);
    Ok(())
}

async fn second_opinion<C: Connector>(connector: &C) -> Result<UpstreamStatus, UpstreamError> {
    let upstream = connector.connect().await?;
    let unanswered = UpstreamError::Unanswered { call: "Status", limit: LIMIT };
    timeout(LIMIT, upstream.status()).await.unwrap_or(Err(unanswered))
}
