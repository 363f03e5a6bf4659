//! Sizes as Kubernetes writes them. Pure.

/// The bytes of a quantity such as `10Gi`, `1.5G` or `1e9`, rounded up; None for what is none or has no size.
pub(super) fn bytes(text: &str) -> Option<u128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let divisor = 10_u128.checked_pow(fraction.len().try_into().ok()?)?;
    Some(digits.checked_mul(multiplier(suffix)?)?.div_ceil(divisor))
}

fn multiplier(suffix: &str) -> Option<u128> {
    let power = |letters: &str, base: u128| {
        let at = "kMGTPE".find(letters)?;
        base.checked_pow(u32::try_from(at).ok()? + 1)
    };
    match suffix {
        "" => Some(1),
        "Ki" => Some(1_024),
        _ if suffix.len() == 1 => power(suffix, 1_000),
        _ => match suffix.strip_suffix('i') {
            Some(letter) if letter.len() == 1 && letter != "k" => power(letter, 1_024),
            Some(_) => None,
            None => {
                10_u128.checked_pow(suffix.strip_prefix(['e', 'E'])?.trim_start_matches('+').parse().ok()?)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn one_size_in_two_spellings_is_one_size() {
        let check = |text: &str, expected: u128| assert_eq!(bytes(text), Some(expected), "{text}");
        check("0", 0);
        check("1024", 1_024);
        check("1Ki", 1_024);
        check("1k", 1_000);
        check("10Gi", 10 << 30);
        check("10240Mi", 10 << 30);
        check("1.5Gi", 3 << 29);
        check("1.5", 2);
        check("1E", 10_u128.pow(18));
        check("1Ei", 1 << 60);
        check("2e3", 2_000);
        check("2E+3", 2_000);
    }

    #[test]
    fn what_is_no_size_is_none() {
        for text in ["", "Gi", "1Xi", "1ki", "-1", "1.2.3", "1GiB", "1e", "1e99"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
