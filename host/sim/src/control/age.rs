//! Ages as Kubernetes prints them: two units at most, fewer the older something is.

use jiff::Timestamp;

/// The age of an RFC 3339 `time` at `now`; `<unknown>` for an empty one.
pub fn since(time: &str, now: Timestamp) -> String {
    match time.parse::<Timestamp>() {
        Ok(then) => human_duration(now.as_second() - then.as_second()),
        Err(_) => "<unknown>".to_owned(),
    }
}

/// A duration of `seconds` in the short form of `kubectl get`.
pub fn human_duration(seconds: i64) -> String {
    const DAY_HOURS: i64 = 24;
    const YEAR_HOURS: i64 = 365 * DAY_HOURS;
    let two = |big: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 8 * DAY_HOURS => two(hours / DAY_HOURS, "d", hours % DAY_HOURS, "h"),
        _ if hours < 2 * YEAR_HOURS => format!("{}d", hours / DAY_HOURS),
        _ if hours < 8 * YEAR_HOURS => two(hours / YEAR_HOURS, "y", hours / DAY_HOURS % 365, "d"),
        _ => format!("{}y", hours / YEAR_HOURS),
    }
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn ages_lose_detail_as_they_grow() {
        let cases = [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (601, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (9 * 3600, "9h"),
            (49 * 3600, "2d1h"),
            (200 * 3600, "8d"),
            (800 * 86_400, "2y70d"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text, "{seconds} s");
        }
    }
}
