//! Kubernetes quantities, as far as scheduling and volumes compare them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes and what they multiply by, in thousandths. The two-letter ones come first: `Mi` is not `M`.
const SUFFIXES: [(&str, i128); 15] = [
    ("Ki", 1_000 << 10),
    ("Mi", 1_000 << 20),
    ("Gi", 1_000 << 30),
    ("Ti", 1_000 << 40),
    ("Pi", 1_000 << 50),
    ("Ei", 1_000 << 60),
    ("n", 0),
    ("u", 0),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
];

/// The value in thousandths of the unit; what cannot be read counts as nothing, as the API server has
/// validated it already. Nano and micro amounts are too small to matter here.
pub fn millis(quantity: &Quantity) -> i128 {
    let text = quantity.0.trim();
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, *factor)))
        .unwrap_or((text, 1_000));
    decimal(number, factor).unwrap_or(0)
}

/// `number` times `factor`, for a number like `12`, `1.5` or `1e3`.
fn decimal(number: &str, factor: i128) -> Option<i128> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    let scale = exponent - i32::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(scale.unsigned_abs())?;
    let product = digits.checked_mul(factor)?;
    if scale < 0 { Some(product / power) } else { product.checked_mul(power) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_usual_forms() {
        for (text, expected) in [
            ("500m", 500),
            ("1", 1_000),
            ("1.5", 1_500),
            ("1e3", 1_000_000),
            ("10Gi", 10_737_418_240_000),
            ("1G", 1_000_000_000_000),
            ("0.5Ki", 512_000),
            ("junk", 0),
        ] {
            assert_eq!(millis(&Quantity(text.to_owned())), expected, "{text}");
        }
    }
}
