//! How long a primary is left alone because it has enough to do. Pure.

use std::time::Duration;

use tonic::{Code, Status, metadata::MetadataMap};

use super::super::ask::{Answer, AskError, number};

/// The longest pause that the operator chooses by itself.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest pause that a primary can impose: a ban of the Miden node lasts 10 minutes.
const LONGEST_TOLD: Duration = Duration::from_secs(600);
/// In which the seconds stand after which another request is taken.
const AFTER: [&str; 2] = ["retry-after", "x-ratelimit-after"];

/// The pause after this result, beside the interval: none, unless the primary says that it is exhausted. Then it is twice
/// as long each time, and never shorter than what the primary asks for.
pub(super) fn next(last: Duration, interval: Duration, result: &Result<Answer, AskError>) -> Duration {
    match result {
        Ok(answer) if answer.spent => interval * 2,
        Err(AskError::Refused(status)) if status.code() == Code::ResourceExhausted => {
            let chosen = (last.max(interval) * 2).min(LONGEST);
            told(status).map_or(chosen, |told| told.min(LONGEST_TOLD).max(chosen))
        }
        _ => Duration::ZERO,
    }
}

/// What a refusal asks for.
fn told(status: &Status) -> Option<Duration> {
    let in_words =
        ["Wait for ", "retry in "].iter().filter_map(|words| number_after(status.message(), words));
    let seconds = in_words.chain(in_metadata(status.metadata())).max();
    seconds.map(Duration::from_secs)
}

fn in_metadata(metadata: &MetadataMap) -> impl Iterator<Item = u64> + '_ {
    AFTER.iter().filter_map(|name| number(metadata, name))
}

fn number_after(text: &str, words: &str) -> Option<u64> {
    let rest = text.split_once(words)?.1;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Status;

    use super::{AskError, next};

    const SECOND: Duration = Duration::from_secs(1);

    fn after(last: u32, status: Status) -> Duration {
        next(last * SECOND, SECOND, &Err(AskError::from(status)))
    }

    #[test]
    fn only_an_exhausted_primary_is_asked_less_often_and_by_itself_never_less_than_every_half_minute() {
        let exhausted = || Status::resource_exhausted("Too Many Requests!");
        assert_eq!(after(0, exhausted()), 2 * SECOND);
        assert_eq!(after(2, exhausted()), 4 * SECOND);
        assert_eq!(after(20, exhausted()), 30 * SECOND);
        assert_eq!(after(8, Status::unavailable("gone; Wait for 9s")), Duration::ZERO);
        assert_eq!(next(8 * SECOND, SECOND, &Err(AskError::Late(SECOND))), Duration::ZERO);
    }

    #[test]
    fn it_is_left_alone_for_as_long_as_it_asks() {
        let told = |text: &str| after(0, Status::resource_exhausted(text));
        assert_eq!(told("Too Many Requests! Wait for 7s"), 7 * SECOND);
        assert_eq!(told("Too Many Requests! Wait for 1s"), 2 * SECOND, "and no less than is right anyway");
        assert_eq!(told("temporarily banned … retry in 300 seconds"), 300 * SECOND);
        assert_eq!(told("Wait for 99999999999s"), 600 * SECOND);
        assert_eq!(told("Wait for 99999999999999999999999s"), 2 * SECOND);
        let mut status = Status::resource_exhausted("");
        status.metadata_mut().insert("x-ratelimit-after", "5".parse().expect("ascii"));
        assert_eq!(after(0, status), 5 * SECOND);
    }
}
