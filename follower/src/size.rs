//! Sizes as people write them on a command line: `4KiB`, `1MiB`, `357`.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// Those of IEC and SI, and as Kubernetes writes them.
const UNITS: [(&str, u64); 15] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
];

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Text that is no size.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is no size: write a whole number and one of B, kB, KiB, MB, MiB, GB, GiB, or a Kubernetes quantity as in 10Gi"
)]
pub struct ParseSizeError(String);

impl FromStr for ByteSize {
    type Err = ParseSizeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unit = UNITS.into_iter().find(|(unit, _)| text.ends_with(unit));
        let (digits, factor) =
            unit.map_or((text, 1), |(unit, factor)| (&text[..text.len() - unit.len()], factor));
        let number: Option<u64> = digits.trim_end().parse().ok();
        number
            .and_then(|number| number.checked_mul(factor))
            .map(Self)
            .ok_or_else(|| ParseSizeError(text.to_owned()))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary =
            UNITS[..3].iter().rev().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor));
        match binary {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ByteSize;

    #[test]
    fn sizes_are_read_in_every_unit() {
        let sizes = [
            ("357", 357),
            ("4KiB", 4096),
            ("1 MiB", 1 << 20),
            ("2kB", 2000),
            ("0B", 0),
            ("1GiB", 1 << 30),
            ("10Gi", 10 << 30),
            ("5G", 5_000_000_000),
        ];
        for (text, bytes) in sizes {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_by_name() {
        for text in
            ["", "KiB", "-1", "4 potatoes", "1.5MiB", "99999999999999999999", "18446744073709551615GiB"]
        {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_prints_as_it_is_read() {
        for text in ["4KiB", "64MiB", "357B"] {
            assert_eq!(text.parse::<ByteSize>().expect("a size").to_string(), text);
        }
    }
}
