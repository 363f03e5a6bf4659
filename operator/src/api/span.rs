//! Spans of time as users write them: `500ms`, `1s`, `10m`, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A span of time, written as whole numbers with units `ms`, `s`, `m` or `h`, such as `1s` or `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

/// Why a text is no span of time.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a span of time: write whole numbers with units, such as 500ms, 1s or 10m")]
pub struct BadSpan(String);

impl Span {
    /// A span of this many seconds.
    pub const fn seconds(count: u64) -> Self {
        Self(Duration::from_secs(count))
    }

    /// The span as a duration.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl FromStr for Span {
    type Err = BadSpan;

    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
            let count: u64 = rest[..digits].parse().map_err(|_| bad())?;
            rest = &rest[digits..];
            let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            let millis =
                unit_in_millis(&rest[..unit]).and_then(|unit| count.checked_mul(unit)).ok_or_else(bad)?;
            total = total.checked_add(Duration::from_millis(millis)).ok_or_else(bad)?;
            rest = &rest[unit..];
        }
        if text.is_empty() { Err(bad()) } else { Ok(Self(total)) }
    }
}

fn unit_in_millis(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" => Some(60_000),
        "h" => Some(3_600_000),
        _ => None,
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let (count, unit) = match millis {
            0 => (0, "s"),
            _ if millis.is_multiple_of(3_600_000) => (millis / 3_600_000, "h"),
            _ if millis.is_multiple_of(60_000) => (millis / 60_000, "m"),
            _ if millis.is_multiple_of(1_000) => (millis / 1_000, "s"),
            _ => (millis, "ms"),
        };
        write!(out, "{count}{unit}")
    }
}

impl TryFrom<String> for Span {
    type Error = BadSpan;

    fn try_from(text: String) -> Result<Self, BadSpan> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl JsonSchema for Span {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": 32 })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Span;

    fn check(text: &str, millis: u64, canonical: &str) {
        let span: Span = text.parse().expect(text);
        assert_eq!(span.get(), Duration::from_millis(millis), "{text}");
        assert_eq!(span.to_string(), canonical);
        assert_eq!(canonical.parse(), Ok(span));
    }

    #[test]
    fn spans_are_read_and_written_back_in_their_largest_whole_unit() {
        check("500ms", 500, "500ms");
        check("1s", 1_000, "1s");
        check("1500ms", 1_500, "1500ms");
        check("1m30s", 90_000, "90s");
        check("600s", 600_000, "10m");
        check("1h", 3_600_000, "1h");
        check("0s", 0, "0s");
    }

    #[test]
    fn what_is_no_span_is_refused_without_a_panic() {
        for text in
            ["", "1", "s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999h", "9999999999999999h", "1µs"]
        {
            assert!(text.parse::<Span>().is_err(), "{text:?}");
        }
    }
}
