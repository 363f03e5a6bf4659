//! Reads the values of flags.

use std::time::Duration;

use url::Url;

use crate::size::{ByteSize, ParseSizeError};

/// The longest time a flag takes: whoever writes more has mistaken the unit.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a whole number above 0".to_owned()),
        Ok(count) => Ok(count),
    }
}

/// A time that every clock can add to now.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > LONGEST { Err("write at most 1day".to_owned()) } else { Ok(duration) }
}

/// The same for what is done rarely.
pub(crate) fn long_duration(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration > YEAR { Err("write at most 365days".to_owned()) } else { Ok(duration) }
}

/// Bytes per second, at least enough to get anywhere.
pub(crate) fn rate(text: &str) -> Result<ByteSize, String> {
    const LEAST: ByteSize = ByteSize(64 << 10);
    let rate: ByteSize = text.parse().map_err(|error: ParseSizeError| error.to_string())?;
    if rate < LEAST { Err(format!("a rate is at least {LEAST} per second")) } else { Ok(rate) }
}

/// An interval that no loop spins on.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration(text)?;
    if interval < Duration::from_millis(1) {
        return Err("an interval is at least 1ms".to_owned());
    }
    Ok(interval)
}

pub(super) fn body_size(text: &str) -> Result<ByteSize, String> {
    const LARGEST: ByteSize = ByteSize(60 << 20);
    let size: ByteSize = text.parse().map_err(|error: ParseSizeError| error.to_string())?;
    if size > LARGEST { Err(format!("a body has at most {LARGEST}")) } else { Ok(size) }
}

pub(crate) fn upstream_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{error}: write it as http://host:port"))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(_)) if url.path() == "/" && url.query().is_none() => Ok(url),
        _ => Err("write it as http://host:port or https://host:port".to_owned()),
    }
}
