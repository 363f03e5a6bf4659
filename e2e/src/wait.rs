//! Waiting on conditions: nothing in the tests waits on time alone.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition that cannot be watched is looked at.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` yields a value, and returns it.
///
/// `look` answers `Err(why)` while the condition does not hold yet, so that a wait in vain can say what it last saw.
///
/// # Errors
/// If the condition does not hold within `limit`; the message names it and what was seen last.
pub async fn until<T>(what: &str, limit: Duration, mut look: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match tokio::time::timeout(limit, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(last)) => format!("{last:#}"),
            Err(_) => "the look itself did not end".to_owned(),
        };
        if start.elapsed() >= limit {
            bail!("waited {} s in vain for {what}; last seen: {last}", limit.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
