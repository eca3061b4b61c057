//! Times of objects, and the snapshot's milliseconds.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

/// Milliseconds since the Unix epoch as the time of an object, which knows whole seconds.
pub fn at(ms: u64) -> Time {
    let seconds = i64::try_from(ms / 1000).unwrap_or_default();
    Time::from(Timestamp::from_second(seconds).unwrap_or_default())
}

/// The time of an object in milliseconds since the Unix epoch; none before it.
pub fn ms(time: &Time) -> Option<u64> {
    u64::try_from(time.0.as_millisecond()).ok()
}

/// A time as text, RFC 3339.
pub fn text(ms: u64) -> String {
    at(ms).0.to_string()
}

/// RFC 3339 text in milliseconds since the Unix epoch; none if it is no time.
pub fn parse(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds() {
        assert_eq!(text(1_700_000_000_999), "2023-11-14T22:13:20Z");
        assert_eq!(parse("2023-11-14T22:13:20Z"), Some(1_700_000_000_000));
        assert_eq!(ms(&at(1_999)), Some(1_000));
        assert_eq!(parse("yesterday"), None);
    }
}
