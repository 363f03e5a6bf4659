//! Blocks by asking: each round asks for the upstream's tip and then for every block up to it.

use std::time::Instant;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidemark_store::BlockNumber;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Trouble,
    absent::absent,
    admit::observe,
    gather::gather,
    intake::{Fetched, Intake},
    link::Link,
    queue::Queue,
    session::{Context, note_caught_up},
};
use crate::upstream::Upstream;

/// How many blocks are asked for at once while catching up.
const IN_FLIGHT: usize = 8;

/// Polls until something is wrong, and says what.
pub(super) async fn blocks<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    mut intake: Intake,
    queue: &Queue,
) -> Trouble {
    let mut ticks = interval(context.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(trouble) = round(link, context, &mut intake, queue).await {
            return trouble;
        }
    }
}

async fn round<U: Upstream>(
    link: &Link<U>,
    context: &Context,
    intake: &mut Intake,
    queue: &Queue,
) -> Result<(), Trouble> {
    let status = observe(link, context).await?;
    let first = intake.next();
    let mut answers = answers(link, first, status.tip);
    loop {
        let group = gather(&mut answers, |answer| answer.as_ref().map_or(0, Fetched::len)).await;
        if group.is_empty() {
            note_caught_up(context, status.tip);
            return Ok(());
        }
        context.pulse().arrived(first == status.tip, Instant::now());
        intake.queue(queue, group).await?;
    }
}

/// The blocks from `from` to `tip`, in order, some of them on their way at any time.
fn answers<U: Upstream>(
    link: &Link<U>,
    from: BlockNumber,
    tip: BlockNumber,
) -> BoxStream<'_, Result<Fetched, Trouble>> {
    let due = stream::iter(from.get()..=tip.get());
    due.map(move |number| fetch(link, number.into(), tip)).buffered(IN_FLIGHT).boxed()
}

async fn fetch<U: Upstream>(
    link: &Link<U>,
    number: BlockNumber,
    tip: BlockNumber,
) -> Result<Fetched, Trouble> {
    let answer = link.block(number, true).await.map_err(Trouble::at(number))?;
    match Fetched::from_answer(answer) {
        Some(fetched) => Ok(fetched),
        None => Err(absent(link, number, tip).await),
    }
}
