//! What a gRPC status means to a follower. Pure.

use std::{error::Error, io, time::Duration};

use tonic::{Code, Status};

use super::UpstreamError;

/// The longest pause between calls that an upstream can impose.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The longest time without subscriptions that an upstream can impose: a ban of the Miden node lasts 10 minutes.
const LONGEST_BAN: Duration = Duration::from_secs(600);

/// The meaning of a status that ended a call or a stream.
pub(super) fn classify(status: &Status) -> UpstreamError {
    let detail = describe(status);
    match status.code() {
        _ if is_closed(status) => UpstreamError::Closed(detail),
        Code::Unavailable | Code::Aborted | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled => {
            UpstreamError::Unreachable(detail)
        }
        Code::ResourceExhausted => exhausted(status.message(), detail),
        Code::Unimplemented => UpstreamError::Unimplemented(detail),
        Code::OutOfRange if status.message().contains("message length too large") => {
            UpstreamError::TooLarge(detail)
        }
        Code::OutOfRange => UpstreamError::OutOfRange(detail),
        Code::Internal | Code::DataLoss if status.source().is_none() => UpstreamError::Broken(detail),
        Code::Internal => UpstreamError::Unreachable(detail),
        _ => UpstreamError::Failed(detail),
    }
}

/// A limit of calls and a ban say for how long; without a time, or where it is said, no slot is free.
fn exhausted(message: &str, detail: String) -> UpstreamError {
    let seconds = |marker| number_after(message, marker).map(Duration::from_secs);
    if let Some(wait) = seconds("Wait for ") {
        return UpstreamError::RateLimited(wait.min(LONGEST_WAIT));
    }
    match seconds("retry in ") {
        Some(wait) => UpstreamError::Banned { wait: wait.min(LONGEST_BAN), detail },
        None => UpstreamError::NoSlot(detail),
    }
}

fn number_after(message: &str, marker: &str) -> Option<u64> {
    let rest = &message[message.find(marker)? + marker.len()..];
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

/// Whether the peer itself said goodbye, or had done so before the call could be sent: what the transport cancels was
/// not sent.
fn is_closed(status: &Status) -> bool {
    match status.source() {
        None => matches!(status.code(), Code::Unavailable | Code::Aborted | Code::Unknown),
        Some(cause) => status.code() == Code::Cancelled || causes(cause).any(is_goodbye),
    }
}

/// A GOAWAY that names no error, or what the connector says to whoever wants a second connection of it.
fn is_goodbye(cause: &(dyn Error + 'static)) -> bool {
    let go_away = cause.downcast_ref::<h2::Error>();
    let no_connection = cause.downcast_ref::<io::Error>();
    go_away.is_some_and(|error| error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
        || no_connection.is_some_and(|error| error.kind() == io::ErrorKind::NotConnected)
}

fn causes<'a>(first: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(first), |cause| (*cause).source())
}

/// The status with the causes a transport error hides.
fn describe(status: &Status) -> String {
    let mut text = format!("{:?}", status.code());
    if !status.message().is_empty() {
        text = format!("{text}: {}", status.message());
    }
    for cause in status.source().into_iter().flat_map(causes).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limit_says_how_long_to_wait() {
        let limited = Status::resource_exhausted("Too Many Requests! Wait for 3s");
        assert_eq!(classify(&limited), UpstreamError::RateLimited(Duration::from_secs(3)));
    }

    #[test]
    fn a_ban_and_taken_slots_are_refusals_of_subscriptions() {
        let banned = Status::resource_exhausted("temporarily banned for being slow, retry in 540 seconds");
        let UpstreamError::Banned { wait, .. } = classify(&banned) else { panic!("{banned}") };
        assert_eq!(wait, Duration::from_secs(540));
        let taken = Status::resource_exhausted("maximum subscriptions reached");
        assert!(matches!(classify(&taken), UpstreamError::NoSlot(_)), "{taken}");
    }

    #[test]
    fn no_upstream_can_impose_a_wait_without_end() {
        let limited = Status::resource_exhausted("Wait for 99999999999s");
        assert_eq!(classify(&limited), UpstreamError::RateLimited(LONGEST_WAIT));
    }

    #[test]
    fn a_goodbye_is_told_from_a_connection_that_broke() {
        let broken = |kind: io::ErrorKind| Status::from_error(Box::new(io::Error::from(kind)));
        let said = [Status::unavailable("stopping"), Status::aborted("x"), Status::unknown("x")];
        for goodbye in said.into_iter().chain([broken(io::ErrorKind::NotConnected)]) {
            assert!(matches!(classify(&goodbye), UpstreamError::Closed(_)), "{goodbye}");
        }
        let reset = classify(&broken(io::ErrorKind::ConnectionReset));
        assert!(matches!(reset, UpstreamError::Unreachable(_)), "{reset}");
    }

    #[test]
    fn every_other_end_has_its_meaning() {
        for status in [Status::deadline_exceeded("x"), Status::cancelled("x")] {
            assert!(matches!(classify(&status), UpstreamError::Unreachable(_)), "{status}");
        }
        for status in [Status::internal("x"), Status::data_loss("x")] {
            assert!(matches!(classify(&status), UpstreamError::Broken(_)), "{status}");
        }
        for status in [Status::invalid_argument("x"), Status::not_found("x"), Status::unauthenticated("x")] {
            assert!(matches!(classify(&status), UpstreamError::Failed(_)), "{status}");
        }
        assert!(matches!(classify(&Status::unimplemented("x")), UpstreamError::Unimplemented(_)));
        assert!(matches!(classify(&Status::out_of_range("ahead")), UpstreamError::OutOfRange(_)));
        let large = Status::out_of_range(
            "Error, decoded message length too large: found 9 bytes, the limit is: 8 bytes",
        );
        assert!(matches!(classify(&large), UpstreamError::TooLarge(_)));
    }
}
