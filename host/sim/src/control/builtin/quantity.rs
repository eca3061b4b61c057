//! Resource quantities: reading, comparing and the one form in which the API returns each.

use std::fmt::Write as _;

use serde_json::Value;

use crate::control::path::at;

/// Amounts are kept in billionths, the finest that Kubernetes knows.
const NANO: i128 = 1_000_000_000;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [(&str, i128); 10] = [
    ("E", 1_000_000_000_000_000_000 * NANO),
    ("P", 1_000_000_000_000_000 * NANO),
    ("T", 1_000_000_000_000 * NANO),
    ("G", 1_000_000_000 * NANO),
    ("M", 1_000_000 * NANO),
    ("k", 1_000 * NANO),
    ("", NANO),
    ("m", 1_000_000),
    ("u", 1_000),
    ("n", 1),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Binary,
    Decimal,
    Exponent,
}

/// The amount of a quantity in billionths, `None` if it is none.
pub fn nanos(text: &str) -> Option<i128> {
    parse(text).map(|(amount, _)| amount)
}

/// The canonical form: `1024Mi` is `1Gi`, `0.1` is `100m`. `None` if `text` is no quantity.
pub fn canonical(text: &str) -> Option<String> {
    let (amount, format) = parse(text)?;
    let small = amount.abs() < 1024 * NANO;
    Some(match format {
        Format::Binary if !small => binary(amount),
        Format::Exponent => exponent(amount),
        _ => decimal(amount),
    })
}

/// Brings every quantity of the map at `path` into its canonical form; numbers become strings.
pub fn canonicalize(value: &mut Value, path: &str) {
    let mut place = value;
    for step in path.split('.') {
        match place.get_mut(step) {
            Some(next) => place = next,
            None => return,
        }
    }
    for amount in place.as_object_mut().into_iter().flatten().map(|(_, amount)| amount) {
        let text = amount.as_str().map_or_else(|| amount.to_string(), str::to_owned);
        if let Some(canonical) = canonical(&text) {
            *amount = canonical.into();
        }
    }
}

/// The amount under `key` of the map at `path`.
pub fn of(value: &Value, path: &str, key: &str) -> Option<i128> {
    nanos(at(value, path).get(key)?.as_str()?)
}

fn parse(text: &str) -> Option<(i128, Format)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (mantissa, scale) = mantissa(number)?;
    let (factor, format) = factor(suffix)?;
    let exact = mantissa.checked_mul(factor)?;
    let divisor = 10_i128.checked_pow(scale)?;
    let rounded = exact / divisor + i128::from(exact % divisor > 0);
    Some((rounded, format))
}

/// Digits without their point, and how many of them stood behind it.
fn mantissa(number: &str) -> Option<(i128, u32)> {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((sign * all.parse::<i128>().ok()?, u32::try_from(fraction.len()).ok()?))
}

fn factor(suffix: &str) -> Option<(i128, Format)> {
    if let Some((_, factor)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Some((*factor, Format::Decimal));
    }
    if let Some(power) = BINARY.iter().skip(1).position(|name| *name == suffix) {
        return Some((NANO << (10 * (power + 1)), Format::Binary));
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let power = u32::try_from(exponent + 9).ok()?;
    Some((10_i128.checked_pow(power)?, Format::Exponent))
}

fn binary(amount: i128) -> String {
    let mut whole = amount / NANO + i128::from(amount % NANO > 0);
    let mut power = 0;
    while whole != 0 && whole % 1024 == 0 && power + 1 < BINARY.len() {
        whole /= 1024;
        power += 1;
    }
    format!("{whole}{}", BINARY[power])
}

fn decimal(amount: i128) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (suffix, factor) = DECIMAL.iter().find(|(_, factor)| amount % factor == 0).unwrap_or(&DECIMAL[9]);
    format!("{}{suffix}", amount / factor)
}

fn exponent(amount: i128) -> String {
    if amount == 0 {
        return "0".to_owned();
    }
    let (index, factor) =
        DECIMAL.iter().enumerate().find(|(_, (_, f))| amount % f == 0).map_or((9, 1), |(i, (_, f))| (i, *f));
    let mut text = (amount / factor).to_string();
    let power = 18 - 3 * i32::try_from(index).unwrap_or(6);
    if power != 0 {
        let _ = write!(text, "e{power}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_amount_has_one_form() {
        let cases = [
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("0.1", "100m"),
            ("1000m", "1"),
            ("2048Mi", "2Gi"),
            ("1Gi", "1Gi"),
            ("0", "0"),
            ("1e3", "1e3"),
            ("512Ki", "512Ki"),
            ("100M", "100M"),
            ("1500M", "1500M"),
            ("0.5Ki", "512"),
            ("10", "10"),
            ("1000", "1k"),
        ];
        for (given, canonical_form) in cases {
            assert_eq!(canonical(given).as_deref(), Some(canonical_form), "{given}");
        }
        assert_eq!(canonical("lots"), None);
        assert_eq!(canonical(""), None);
        assert_eq!(canonical("1.2.3"), None);
        assert!(nanos("1Gi") > nanos("1G"));
    }
}
