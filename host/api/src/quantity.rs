//! Quantities as Kubernetes writes them: `100Gi`, `1.5G`, `500m`, `1e3`.

use std::cmp::Ordering;

/// The number a quantity stands for, in thousandths of a millionth (nano). Sizes up to many exabytes fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount(i128);

/// Decimal digits kept of a number; more would overflow and no size needs them.
const DIGITS_MAX: usize = 20;
/// Digits after the point that a nano has.
const NANO_DIGITS: i32 = 9;
/// Biggest decimal exponent accepted: beyond it no amount fits.
const EXPONENT_MAX: i32 = 18;

impl Amount {
    /// The whole number, rounded away from zero, as Kubernetes rounds; a size in bytes.
    pub fn whole(self) -> i64 {
        let unit = 10_i128.pow(9);
        let rounded = if self.0 >= 0 { (self.0 + unit - 1) / unit } else { -((-self.0 + unit - 1) / unit) };
        i64::try_from(rounded).unwrap_or(if rounded > 0 { i64::MAX } else { i64::MIN })
    }

    /// Thousandths, rounded away from zero; of CPUs.
    pub fn milli(self) -> i64 {
        Amount(self.0.saturating_mul(1000)).whole()
    }
}

/// Parses a quantity.
pub fn parse(text: &str) -> Option<Amount> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() + fraction.len() > DIGITS_MAX
    {
        return None;
    }
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let (binary, decimal) = suffix_scale(suffix)?;
    let power = NANO_DIGITS + decimal - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(1_i128.checked_shl(binary)?)?;
    let nano = match power.cmp(&0) {
        Ordering::Less => div_up(scaled, 10_i128.checked_pow(power.unsigned_abs())?),
        _ => scaled.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?,
    };
    Some(Amount(if negative { -nano } else { nano }))
}

/// The amount of a Kubernetes quantity; `None` if its text is none.
pub fn amount(quantity: &k8s_openapi::apimachinery::pkg::api::resource::Quantity) -> Option<Amount> {
    parse(&quantity.0)
}

fn div_up(number: i128, divisor: i128) -> i128 {
    (number + divisor - 1) / divisor
}

/// Powers of two and of ten that a suffix stands for.
fn suffix_scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (0, exponent.parse::<i32>().ok().filter(|e| e.abs() <= EXPONENT_MAX)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(text: &str) -> Option<i64> {
        parse(text).map(Amount::whole)
    }

    #[test]
    fn what_kubernetes_takes() {
        assert_eq!(whole("100Gi"), Some(100 << 30));
        assert_eq!(whole("1.5G"), Some(1_500_000_000));
        assert_eq!(whole("1e3"), Some(1000));
        assert_eq!(whole("1E"), Some(1_000_000_000_000_000_000));
        assert_eq!(whole("0.5"), Some(1));
        assert_eq!(whole("-1"), Some(-1));
        assert_eq!(parse("1500m").map(Amount::milli), Some(1500));
        assert_eq!(parse("1024Mi"), parse("1Gi"));
        assert!(parse("1Ti") > parse("1000G"));
        assert_eq!(whole(".5Ki"), Some(512));
    }

    #[test]
    fn what_is_no_quantity() {
        for text in ["", "lots", "100 gigabytes", "1GB", "1.2.3", ".", "Gi", "1e", "1e99", "1KI", "0x10", "+", "1,5"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
