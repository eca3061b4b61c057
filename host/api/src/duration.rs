//! Durations as Go writes them: `1h30m`, `400s`, `1.5m`.

use std::time::Duration;

/// Units and their nanoseconds. Longer names come before names they begin with.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Digits after the point that count; a nanosecond needs no more than these, even in hours.
const FRACTION_DIGITS_MAX: usize = 18;

/// Parses a duration. A negative one is `None` like any other text that is no time to wait.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut nanoseconds: u128 = 0;
    let mut parts = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(number_end)?;
        let (unit, per_unit) = UNITS.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        nanoseconds = nanoseconds.checked_add(scaled(number, per_unit)?)?;
        rest = after.get(unit.len()..)?;
        parts += 1;
    }
    // Go holds a duration in 63 bits.
    let nanoseconds = u64::try_from(nanoseconds).ok().filter(|n| *n <= i64::MAX as u64)?;
    (parts > 0).then(|| Duration::from_nanos(nanoseconds))
}

fn scaled(number: &str, per_unit: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.get(..FRACTION_DIGITS_MAX.min(fraction.len()))?;
    let part = match fraction {
        "" => 0,
        digits => digits.parse::<u128>().ok()?.checked_mul(per_unit)? / 10_u128.pow(u32::try_from(digits.len()).ok()?),
    };
    whole.checked_mul(per_unit)?.checked_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_takes() {
        assert_eq!(parse("1500m"), Some(Duration::from_secs(90_000)));
        assert_eq!(parse("5m30s"), Some(Duration::from_secs(330)));
        assert_eq!(parse("1.5h"), Some(Duration::from_secs(5_400)));
        assert_eq!(parse(".5s"), Some(Duration::from_millis(500)));
        assert_eq!(parse("1us2ns"), Some(Duration::from_nanos(1_002)));
        assert_eq!(parse("0"), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_time_to_wait() {
        for text in ["", "evict", "-5m30s", "5", "1d", "s", ".s", "1..5s", "9999999999h", "1 s", "+"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
