//! PD's configuration: one tree for the cluster, and how values are set in it.

use serde_json::{Map, Value, json};

use super::wire::{duration, parse_duration};

/// Sections whose items may be set without naming the section.
const FLAT_SECTIONS: [&str; 3] = ["schedule", "replication", "pd-server"];

/// Sections that may be named in a dotted key.
const SECTIONS: [&str; 8] =
    ["schedule", "replication", "pd-server", "log", "replication-mode", "keyspace", "micro-service", "controller"];

/// What a label, and a location label, has to look like.
pub(super) const LABEL_KEY_FORMAT: &str = "^[$]?[A-Za-z0-9]([-A-Za-z0-9_./]*[A-Za-z0-9])?$";
/// What the value of a label has to look like.
pub(super) const LABEL_VALUE_FORMAT: &str = "^[-A-Za-z0-9_./]*$";

/// The cluster's configuration.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Config {
    pub tree: Value,
    /// Counts rewrites of the default placement rule.
    pub rule_version: u64,
}

/// Why a value is not set.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(super) enum SetError {
    #[error("config item {0} not found")]
    NoItem(String),
    #[error("config prefix {0} not found")]
    NoPrefix(String),
    #[error("time: invalid duration {0}")]
    Duration(Value),
    /// A number or the like where a duration is wanted.
    #[error("invalid syntax")]
    Syntax,
    #[error("{0} does not match format \"{LABEL_KEY_FORMAT}\"")]
    Label(String),
    #[error("isolation-level must be one of location-labels or empty")]
    Isolation,
    #[error("cannot disable placement rules with TiFlash nodes")]
    TiFlash,
    #[error("{}", super::wire::NOT_BOOTSTRAPPED)]
    NotBootstrapped,
}

impl Config {
    /// The defaults, with what the configuration file of the first member sets.
    pub fn new(file: &Value) -> Self {
        let mut config = Self { tree: defaults(), rule_version: 0 };
        let mut items = Vec::new();
        flatten("", file, &mut items);
        for (key, value) in items {
            // A real server refuses to start with a bad file; the caller that models files checks that.
            let _ = config.set(&key, &value);
        }
        config
    }

    fn text(&self, section: &str, item: &str) -> &str {
        self.tree[section][item].as_str().unwrap_or_default()
    }

    pub fn max_replicas(&self) -> usize {
        self.tree["replication"]["max-replicas"].as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or(3)
    }

    pub fn max_store_down_ms(&self) -> u64 {
        parse_duration(self.text("schedule", "max-store-down-time")).unwrap_or(1_800_000)
    }

    pub fn placement_rules(&self) -> bool {
        self.text("replication", "enable-placement-rules") == "true"
    }

    pub fn location_labels(&self) -> Vec<String> {
        split_labels(self.text("replication", "location-labels"))
    }

    pub fn isolation_level(&self) -> &str {
        self.text("replication", "isolation-level")
    }

    pub fn strictly_match_label(&self) -> bool {
        self.text("replication", "strictly-match-label") == "true"
    }

    pub fn cluster_version(&self) -> String {
        self.tree["cluster-version"].as_str().unwrap_or_default().into()
    }

    pub fn set_cluster_version(&mut self, version: &str) {
        self.tree["cluster-version"] = json!(version.trim_start_matches('v'));
    }

    /// The full name of an item: `schedule.max-store-down-time` for `max-store-down-time`.
    pub fn resolve(&self, key: &str) -> Result<(String, String), SetError> {
        if let Some((section, item)) = key.split_once('.') {
            if !SECTIONS.contains(&section) {
                return Err(SetError::NoPrefix(section.into()));
            }
            let first = item.split('.').next().unwrap_or(item);
            return if self.tree[section].get(first).is_some() {
                Ok((section.into(), item.into()))
            } else {
                Err(SetError::NoItem(item.into()))
            };
        }
        FLAT_SECTIONS
            .iter()
            .find(|section| self.tree[**section].get(key).is_some())
            .map(|section| ((*section).into(), key.into()))
            .ok_or_else(|| SetError::NoItem(key.into()))
    }

    /// Sets an item by its flat or dotted key.
    pub fn set(&mut self, key: &str, value: &Value) -> Result<(), SetError> {
        let (section, item) = self.resolve(key)?;
        let mut place = &mut self.tree[section.as_str()];
        for part in item.split('.') {
            if !place.is_object() {
                return Err(SetError::NoItem(item));
            }
            place = &mut place[part];
        }
        *place = like(place, value)?;
        Ok(())
    }

    /// Merges `changes` into a section, all or nothing; unknown items are ignored.
    pub fn merged(&self, section: &str, changes: &Map<String, Value>) -> Result<Value, SetError> {
        let mut merged = self.tree[section].clone();
        for (item, value) in changes {
            if let Some(place) = merged.get_mut(item) {
                *place = like(place, value)?;
            }
        }
        Ok(merged)
    }

    /// Takes over a replication section after the checks that PD does.
    pub fn set_replication(&mut self, new: Value, bootstrapped: bool, tiflash: bool) -> Result<(), SetError> {
        let old = &self.tree["replication"];
        let labels = split_labels(new["location-labels"].as_str().unwrap_or_default());
        if let Some(bad) = labels.iter().find(|label| !is_label_key(label)) {
            return Err(SetError::Label(bad.clone()));
        }
        let isolation = new["isolation-level"].as_str().unwrap_or_default();
        if !isolation.is_empty() && !labels.iter().any(|label| label == isolation) {
            return Err(SetError::Isolation);
        }
        let rules = new["enable-placement-rules"] == "true";
        if rules && !bootstrapped {
            return Err(SetError::NotBootstrapped);
        }
        if old["enable-placement-rules"] == "true" && !rules && tiflash {
            return Err(SetError::TiFlash);
        }
        let shapes_rule = ["max-replicas", "location-labels", "isolation-level"];
        if rules && shapes_rule.iter().any(|item| old[*item] != new[*item]) {
            self.rule_version += 1;
        }
        self.tree["replication"] = new;
        Ok(())
    }
}

/// The configuration of a server that was started without any option.
pub(super) fn defaults() -> Value {
    serde_json::from_str(include_str!("default_config.json")).unwrap_or_default()
}

/// The value in the form that `place` has.
fn like(place: &Value, value: &Value) -> Result<Value, SetError> {
    let old = place.as_str();
    let is_bool = matches!(old, Some("true" | "false"));
    let is_duration =
        old.is_some_and(|text| text.starts_with(|c: char| c.is_ascii_digit()) && parse_duration(text).is_some());
    match value {
        Value::Bool(flag) if is_bool => Ok(json!(flag.to_string())),
        Value::String(text) if is_duration => {
            parse_duration(text).map(|ms| json!(duration(ms))).ok_or_else(|| SetError::Duration(value.clone()))
        }
        Value::String(text) if place.is_number() => text.parse::<u64>().map(Value::from).map_err(|_| SetError::Syntax),
        Value::Number(_) if is_duration || is_bool => Err(SetError::Syntax),
        Value::Array(list) if old.is_some() => {
            Ok(json!(list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")))
        }
        _ => Ok(value.clone()),
    }
}

fn flatten(prefix: &str, value: &Value, items: &mut Vec<(String, Value)>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                flatten(&key, value, items);
            }
        }
        Value::Null => {}
        other => items.push((prefix.into(), other.clone())),
    }
}

fn split_labels(text: &str) -> Vec<String> {
    if text.is_empty() { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
}

/// Does `text` match [`LABEL_KEY_FORMAT`]?
pub(super) fn is_label_key(text: &str) -> bool {
    let text = text.strip_prefix('$').unwrap_or(text);
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(text.chars().next()) && edge(text.chars().last()) && is_label_value(text)
}

/// Does `text` match [`LABEL_VALUE_FORMAT`]?
pub(super) fn is_label_value(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_sets_nested_and_dotted_items() {
        let config = Config::new(&json!({"schedule.max-store-down-time": "1m", "replication": {"max-replicas": 5}}));
        assert_eq!((config.max_store_down_ms(), config.max_replicas()), (60_000, 5));
    }

    #[test]
    fn values_take_the_form_of_the_item() {
        let mut config = Config::new(&Value::Null);
        config.set("max-store-down-time", &json!("1h")).unwrap();
        assert_eq!(config.tree["schedule"]["max-store-down-time"], "1h0m0s");
        assert_eq!(config.set("max-store-down-time", &json!("x")), Err(SetError::Duration(json!("x"))));
        config.set("enable-placement-rules", &json!(false)).unwrap();
        assert!(!config.placement_rules());
        assert_eq!(config.set("nosuch.key", &json!(1)), Err(SetError::NoPrefix("nosuch".into())));
    }

    #[test]
    fn replication_is_checked_as_a_whole() {
        let mut config = Config::new(&Value::Null);
        let merge = |config: &Config, text: &str| {
            config.merged("replication", serde_json::from_str::<Value>(text).unwrap().as_object().unwrap()).unwrap()
        };
        let bad = merge(&config, r#"{"location-labels": "zone,"}"#);
        assert_eq!(config.set_replication(bad, true, false), Err(SetError::Label(String::new())));
        let new = merge(&config, r#"{"location-labels": "zone,host"}"#);
        assert_eq!(config.set_replication(new.clone(), false, false), Err(SetError::NotBootstrapped));
        config.set_replication(new, true, false).unwrap();
        assert_eq!(config.rule_version, 1);
        let off = merge(&config, r#"{"enable-placement-rules": "false"}"#);
        assert_eq!(config.set_replication(off, true, true), Err(SetError::TiFlash));
    }
}
