//! A read may ask for a minimum height in its metadata: it is served once the published tip has reached it. Deciding
//! is pure.

use std::{sync::Arc, time::Duration};

use tidemark_store::BlockNumber;
use tokio::{sync::Semaphore, time::timeout};
use tonic::{Status, metadata::MetadataMap};

use crate::{
    metrics::{Limit, Open},
    replica::Replica,
};

/// The metadata that names the height, a decimal number.
const METADATA: &str = "tidemark-min-height";
/// Left for the answer to reach a client before its deadline.
const MARGIN: Duration = Duration::from_millis(50);
/// What is further ahead than this will not come in time.
const AHEAD: u32 = 100;

/// What to do about a height that was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Serve,
    Wait(Duration),
    Refuse,
}

/// `deadline` is the time the client gives in all; `longest` is the longest wait allowed here.
fn decide(
    asked: BlockNumber,
    tip: Option<BlockNumber>,
    deadline: Option<Duration>,
    longest: Duration,
) -> Decision {
    let wait = deadline.map_or(longest, |deadline| deadline.saturating_sub(MARGIN).min(longest));
    match tip {
        Some(tip) if asked <= tip => Decision::Serve,
        Some(tip) if asked.get() - tip.get() <= AHEAD && !wait.is_zero() => Decision::Wait(wait),
        _ => Decision::Refuse,
    }
}

/// The height that metadata asks for.
pub(super) fn asked(metadata: &MetadataMap) -> Result<Option<BlockNumber>, Status> {
    let mut values = metadata.get_all(METADATA).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).map(BlockNumber::new);
    let refusal = || {
        Status::invalid_argument(format!("{METADATA} is not one block number: write 0 to {}, once", u32::MAX))
    };
    number.filter(|_| values.next().is_none()).map(Some).ok_or_else(refusal)
}

/// The time that `grpc-timeout` gives, as in `100m`; none if it is not there or makes no sense.
pub(super) fn deadline(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 60 * 60)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Holds reads back until their height is reached, a bounded number at once.
pub(super) struct MinHeight {
    pub(super) longest: Duration,
    pub(super) slots: Arc<Semaphore>,
}

impl MinHeight {
    /// Returns once the height that `metadata` asks for, if any, is published.
    ///
    /// # Errors
    /// `Unavailable` when it is too far, or not reached in time; `InvalidArgument` when it is no height.
    pub(super) async fn reached(&self, metadata: &MetadataMap, replica: &Replica) -> Result<(), Status> {
        let Some(asked) = asked(metadata)? else { return Ok(()) };
        match decide(asked, replica.published(), deadline(metadata), self.longest) {
            Decision::Serve => Ok(()),
            Decision::Wait(wait) => Box::pin(self.wait(asked, wait, replica)).await,
            Decision::Refuse => Err(below(asked, replica)),
        }
    }

    async fn wait(&self, asked: BlockNumber, wait: Duration, replica: &Replica) -> Result<(), Status> {
        let Ok(_slot) = self.slots.try_acquire() else {
            replica.metrics.serving.reached(Limit::MinHeightWaiters);
            return Err(Status::unavailable("too many reads wait for their height here: ask another store"));
        };
        let _open = Open::on(&replica.metrics.serving.min_height_waiters);
        let mut tips = replica.watch_tips();
        let reached = tips.wait_for(|tips| tips.published >= Some(asked));
        match timeout(wait, reached).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(below(asked, replica)),
        }
    }
}

fn below(asked: BlockNumber, replica: &Replica) -> Status {
    let tip = replica.published().map_or_else(|| "no block".to_owned(), |tip| format!("block {tip}"));
    Status::unavailable(format!(
        "block {asked} is asked for, {tip} is the tip here: ask another store, or later"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_secs(2);

    fn check(asked: u32, tip: Option<u32>, deadline_millis: Option<u64>) -> Decision {
        let deadline = deadline_millis.map(Duration::from_millis);
        decide(asked.into(), tip.map(BlockNumber::new), deadline, LONGEST)
    }

    #[test]
    fn what_is_published_is_served_whatever_the_deadline() {
        for deadline in [None, Some(0), Some(10)] {
            assert_eq!(check(7, Some(7), deadline), Decision::Serve);
        }
    }

    #[test]
    fn what_is_near_is_waited_for_until_shortly_before_the_deadline() {
        assert_eq!(check(8, Some(7), None), Decision::Wait(LONGEST));
        assert_eq!(check(107, Some(7), Some(60_000)), Decision::Wait(LONGEST));
        assert_eq!(check(8, Some(7), Some(550)), Decision::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_far_or_cannot_come_in_time_is_refused() {
        assert_eq!(check(108, Some(7), None), Decision::Refuse);
        assert_eq!(check(u32::MAX, Some(7), None), Decision::Refuse);
        assert_eq!(check(8, Some(7), Some(50)), Decision::Refuse);
        assert_eq!(check(0, None, None), Decision::Refuse);
        assert_eq!(decide(8.into(), Some(7.into()), None, Duration::ZERO), Decision::Refuse);
    }

    fn metadata(name: &'static str, value: &str) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(name, value.parse().expect("ASCII"));
        metadata
    }

    #[test]
    fn a_height_is_a_number_or_refused() {
        assert_eq!(asked(&MetadataMap::new()).expect("none is fine"), None);
        for (text, number) in [("0", 0), ("17", 17), ("4294967295", u32::MAX)] {
            assert_eq!(asked(&metadata(METADATA, text)).expect("a number"), Some(number.into()));
        }
        for text in ["", "-1", "4294967296", "1e3", "0x10", "seven", " 7"] {
            let refused = asked(&metadata(METADATA, text)).expect_err(text);
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{text}");
        }
        let mut twice = metadata(METADATA, "17");
        twice.append(METADATA, "17".parse().expect("ASCII"));
        assert!(asked(&twice).is_err(), "which of them counts?");
    }

    #[test]
    fn deadlines_are_read_in_every_unit() {
        for (text, millis) in [("1H", 3_600_000), ("2M", 120_000), ("3S", 3000), ("4m", 4), ("5000u", 5)] {
            assert_eq!(
                deadline(&metadata("grpc-timeout", text)),
                Some(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in ["", "m", "5", "-5m", "123456789m", "5x"] {
            assert_eq!(deadline(&metadata("grpc-timeout", text)), None, "{text}");
        }
    }
}
