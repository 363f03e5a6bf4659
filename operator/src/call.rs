//! Calls of the API server, each of which ends.

use std::{future::Future, time::Duration};

/// The longest one call may take where nobody has less time.
pub(crate) const LONGEST: Duration = Duration::from_secs(10);

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The API server refused or failed.
    #[error(transparent)]
    Refused(Box<kube::Error>),
    /// The API server did not answer in time.
    #[error("no answer within {}", in_words(*.0))]
    Slow(Duration),
}

impl CallError {
    /// The HTTP status of the API server's own refusal.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(error) => match error.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Slow(_) => None,
        }
    }
}

/// Waits for a call, no longer than `limit`.
///
/// # Errors
/// Why there is no answer, or none that helps.
pub(crate) async fn within<T>(
    limit: Duration,
    call: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match tokio::time::timeout(limit, call).await {
        Ok(answer) => answer.map_err(|error| CallError::Refused(Box::new(error))),
        Err(_) => Err(CallError::Slow(limit)),
    }
}

fn in_words(limit: Duration) -> String {
    if limit.subsec_nanos() == 0 {
        format!("{} s", limit.as_secs())
    } else {
        format!("{} ms", limit.as_millis())
    }
}
