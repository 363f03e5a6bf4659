//! Blocks by asking: each round asks for the upstream's tip and then for every block up to it.

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tidemark_store::BlockNumber;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Trouble,
    gather::gather,
    intake::{Fetched, Intake},
    session::{Context, note_caught_up, observe, patient},
};
use crate::upstream::Upstream;

/// How many blocks are asked for at once while catching up.
const IN_FLIGHT: usize = 8;

/// Polls until something is wrong, and says what.
pub(super) async fn blocks<U: Upstream>(upstream: &U, context: &Context, mut intake: Intake) -> Trouble {
    let mut ticks = interval(context.poll_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(trouble) = round(upstream, context, &mut intake).await {
            return trouble;
        }
    }
}

async fn round<U: Upstream>(upstream: &U, context: &Context, intake: &mut Intake) -> Result<(), Trouble> {
    let status = observe(upstream, context).await?;
    let mut answers = answers(upstream, intake.next(), status.tip);
    loop {
        let group = gather(&mut answers, |answer| answer.as_ref().map_or(0, Fetched::len)).await;
        if group.is_empty() {
            note_caught_up(context, status.tip);
            return Ok(());
        }
        intake.take(group).await?;
    }
}

/// The blocks from `from` to `tip`, in order, some of them on their way at any time.
fn answers<U: Upstream>(
    upstream: &U,
    from: BlockNumber,
    tip: BlockNumber,
) -> BoxStream<'_, Result<Fetched, Trouble>> {
    let due = stream::iter(from.get()..=tip.get());
    due.map(move |number| fetch(upstream, number.into(), tip)).buffered(IN_FLIGHT).boxed()
}

async fn fetch<U: Upstream>(upstream: &U, number: BlockNumber, tip: BlockNumber) -> Result<Fetched, Trouble> {
    let answer = patient(|| upstream.block(number, true)).await?;
    Fetched::from_answer(answer).ok_or(Trouble::Hole { number, tip })
}
