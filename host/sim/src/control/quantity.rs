//! Resource quantities in their canonical form.

/// The message for text that is no quantity.
pub const MALFORMED: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/// A quantity in units of 10^-9, and whether its suffix is binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// The value times 10^9, saturated.
    pub nanos: i128,
    /// Written with `Ki`, `Mi`, …
    binary: bool,
    exponent: bool,
}

const NANO: i128 = 1_000_000_000;
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];

/// Parses a quantity.
pub fn parse(text: &str) -> Option<Quantity> {
    let end = text.find(|c: char| !c.is_ascii_digit() && !"+-.".contains(c)).unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains(['.', '+', '-']) || whole.contains(['+', '-']) {
        return None;
    }
    let mut exponent = false;
    let (shift, binary) = if let Some((_, bits)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        (1i128 << bits, true)
    } else if let Some((_, power)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return scaled(whole, fraction, *power, negative).map(|nanos| Quantity { nanos, binary: false, exponent });
    } else {
        let power = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
        exponent = true;
        return scaled(whole, fraction, power, negative).map(|nanos| Quantity { nanos, binary: false, exponent });
    };
    let nanos = scaled(whole, fraction, 0, negative)?.saturating_mul(shift);
    Some(Quantity { nanos, binary, exponent })
}

/// `whole.fraction * 10^power` in nanos, rounded up.
fn scaled(whole: &str, fraction: &str, power: i32, negative: bool) -> Option<i128> {
    let digits = format!("{whole}{fraction}");
    let mut value: i128 = digits.parse().ok()?;
    let shift = power + 9 - i32::try_from(fraction.len()).ok()?;
    for _ in 0..shift.clamp(0, 40) {
        value = value.saturating_mul(10);
    }
    for _ in 0..(-shift).clamp(0, 40) {
        value = value / 10 + i128::from(value % 10 != 0);
    }
    Some(if negative { -value } else { value })
}

impl Quantity {
    /// The canonical text: the largest suffix that leaves no fraction.
    pub fn canonical(&self) -> String {
        if self.nanos == 0 {
            return "0".into();
        }
        if self.binary && self.nanos % NANO == 0 && (self.nanos / NANO).abs() >= 1024 {
            let value = self.nanos / NANO;
            let best = BINARY.iter().rev().find(|(_, bits)| value % (1i128 << bits) == 0);
            return best.map_or_else(|| value.to_string(), |(suffix, bits)| format!("{}{suffix}", value >> bits));
        }
        let mut power = 18;
        loop {
            let unit = 10i128.pow(u32::try_from(power + 9).unwrap_or(0));
            if self.nanos % unit == 0 {
                let count = self.nanos / unit;
                let suffix = DECIMAL.iter().find(|(_, p)| *p == power).map_or("", |(s, _)| *s);
                return match (self.exponent, power) {
                    (true, 0) | (false, _) => format!("{count}{suffix}"),
                    (true, _) => format!("{count}e{power}"),
                };
            }
            power -= 3;
        }
    }
}

/// The canonical form of a quantity's text.
pub fn canonical(text: &str) -> Option<String> {
    parse(text).map(|q| q.canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_forms() {
        for (text, want) in [
            ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1000m", "1"), ("0.1", "100m"), ("2048Mi", "2Gi"), ("1e3", "1e3"),
            ("1000", "1k"), ("0", "0"), ("1500", "1500"), ("-1", "-1"), ("100Ki", "100Ki"), ("512", "512"),
        ] {
            assert_eq!(canonical(text).as_deref(), Some(want), "{text}");
        }
        for text in ["lots", "", "1x", "1.2.3", "."] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
