//! What makes a program refuse its configuration file.

use super::launch::Kind;

/// Words that a level of logging may have.
const LOG_LEVELS: [&str; 8] = ["debug", "info", "warn", "warning", "error", "fatal", "trace", "critical"];

/// How the value of a known option must look.
#[derive(Clone, Copy)]
enum Shape {
    Natural,
    Positive,
    LogLevel,
}

/// Options whose wrong values a real program dies of; the others are taken as they come.
const OPTIONS: [(&[Kind], &str, Shape); 9] = [
    (&[Kind::Pd], "lease", Shape::Natural),
    (&[Kind::Pd], "replication.max-replicas", Shape::Positive),
    (&[Kind::Pd], "schedule.leader-schedule-limit", Shape::Natural),
    (&[Kind::Pd], "schedule.region-schedule-limit", Shape::Natural),
    (&[Kind::Pd, Kind::Tso, Kind::Scheduling, Kind::Tidb], "log.level", Shape::LogLevel),
    (&[Kind::Tikv], "log-level", Shape::LogLevel),
    (&[Kind::Tikv], "log.level", Shape::LogLevel),
    (&[Kind::Tidb], "token-limit", Shape::Positive),
    (&[Kind::Ticdc], "gc-ttl", Shape::Positive),
];

/// Parses `text` as the configuration of `kind`.
///
/// # Errors
/// With the program's last words, when it would not start with this file.
pub fn check(kind: Kind, text: &str) -> Result<toml::Table, String> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| format!("failed to parse the configuration file: {}", error.message()))?;
    for (kinds, path, shape) in OPTIONS {
        if kinds.contains(&kind)
            && let Some(value) = lookup(&table, path)
            && !fits(value, shape)
        {
            return Err(format!("invalid configuration: bad value {value} for {path}"));
        }
    }
    Ok(table)
}

fn lookup<'t>(table: &'t toml::Table, path: &str) -> Option<&'t toml::Value> {
    let mut parts = path.split('.');
    let mut value = table.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

fn fits(value: &toml::Value, shape: Shape) -> bool {
    match shape {
        Shape::Natural => value.as_integer().is_some_and(|number| number >= 0),
        Shape::Positive => value.as_integer().is_some_and(|number| number > 0),
        Shape::LogLevel => value
            .as_str()
            .is_some_and(|word| word.is_empty() || LOG_LEVELS.contains(&word.to_ascii_lowercase().as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_files_pass_and_bad_ones_say_why() {
        assert!(check(Kind::Pd, "lease = 3\n[replication]\nmax-replicas = 3\nlocation-labels = [\"zone\"]\n").is_ok());
        assert!(check(Kind::Pd, "").is_ok());
        assert!(check(Kind::Pd, "lease = ").unwrap_err().starts_with("failed to parse the configuration file"));
        let wrong = check(Kind::Pd, "[replication]\nmax-replicas = \"three\"\n");
        assert_eq!(wrong.unwrap_err(), "invalid configuration: bad value \"three\" for replication.max-replicas");
        assert!(check(Kind::Tikv, "log-level = \"loud\"").is_err());
        assert!(check(Kind::Tidb, "lease = \"45s\"").is_ok(), "an option of PD's name is not PD's");
    }
}
