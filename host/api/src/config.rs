//! `config` fields: TOML text, or the same as an object.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::Value as Json;

pub use crate::config_toml::to_toml;
use crate::kind::Component;
pub use toml::{Table, Value};

/// Nesting of a configuration given as an object; deeper input is refused, so that no input can exhaust the stack.
pub const CONFIG_DEPTH_MAX: usize = 64;

/// Top-level keys that are spelled otherwise when a configuration is an object.
const OBJECT_KEYS: [(Component, &str, &str); 4] = [
    (Component::Ticdc, "timezone", "tz"),
    (Component::Ticdc, "gcTTL", "gc-ttl"),
    (Component::Ticdc, "logLevel", "log-level"),
    (Component::Ticdc, "logFile", "log-file"),
];

/// A component's configuration as its user wrote it.
#[derive(Clone, Debug, PartialEq)]
pub enum Config {
    /// TOML text.
    Text(String),
    /// An object.
    Object(serde_json::Map<String, Json>),
}

/// Why a configuration is no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The text is no TOML; line and column count from 1.
    #[error("not TOML: line {line}, column {column}: {message}")]
    Toml {
        /// Line of the fault.
        line: usize,
        /// Column of the fault.
        column: usize,
        /// The fault.
        message: String,
    },
    /// The object holds something TOML cannot say.
    #[error("{path}: {message}")]
    Object {
        /// Dotted path inside the configuration.
        path: String,
        /// The fault.
        message: &'static str,
    },
}

impl Default for Config {
    fn default() -> Self {
        Config::Object(serde_json::Map::new())
    }
}

impl Config {
    /// The configuration as a table, by the names that a component knows. An object may use others, by history.
    pub fn table_for(&self, kind: Component) -> Result<Table, ConfigError> {
        let mut table = self.table()?;
        if let Config::Object(_) = self {
            for (_, from, to) in OBJECT_KEYS.into_iter().filter(|(of, ..)| *of == kind) {
                if let Some(value) = table.remove(from) {
                    table.insert(to.to_owned(), value);
                }
            }
        }
        Ok(table)
    }

    /// The configuration as a table. Keys are taken as written, integers stay integers.
    pub fn table(&self) -> Result<Table, ConfigError> {
        match self {
            Config::Text(text) => parse(text),
            Config::Object(map) => object_table(map, "", 0),
        }
    }
}

/// Parses TOML text.
pub fn parse(text: &str) -> Result<Table, ConfigError> {
    text.parse::<Table>().map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError::Toml {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            message: error.message().to_owned(),
        }
    })
}

fn object_table(map: &serde_json::Map<String, Json>, path: &str, depth: usize) -> Result<Table, ConfigError> {
    let mut table = Table::new();
    for (key, value) in map {
        // A null is a setting that is not given.
        if !value.is_null() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            table.insert(key.clone(), object_value(value, &path, depth + 1)?);
        }
    }
    Ok(table)
}

fn object_value(value: &Json, path: &str, depth: usize) -> Result<Value, ConfigError> {
    let fault = |message| ConfigError::Object { path: path.to_owned(), message };
    if depth > CONFIG_DEPTH_MAX {
        return Err(fault("nested too deep"));
    }
    Ok(match value {
        Json::Null => return Err(fault("null has no place in a list")),
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Integer(i),
            (None, Some(f)) if n.is_f64() => Value::Float(f),
            _ => return Err(fault("number too big for TOML")),
        },
        Json::String(s) => Value::String(s.clone()),
        Json::Array(items) => {
            Value::Array(items.iter().map(|item| object_value(item, path, depth + 1)).collect::<Result<_, _>>()?)
        }
        Json::Object(map) => Value::Table(object_table(map, path, depth)?),
    })
}

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Config::Text(text) => serializer.serialize_str(text),
            Config::Object(map) => map.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConfigVisitor)
    }
}

struct ConfigVisitor;

impl<'de> Visitor<'de> for ConfigVisitor {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TOML text or an object")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Config, E> {
        Ok(Config::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut object = serde_json::Map::new();
        while let Some((key, value)) = map.next_entry::<String, Json>()? {
            object.insert(key, value);
        }
        Ok(Config::Object(object))
    }
}

/// Access to a table by dotted path: `log.file.max-backups`.
pub trait TablePath {
    /// The value at the path, if there is one.
    fn at(&self, path: &str) -> Option<&Value>;

    /// Sets the value at the path, making tables on the way; false if a value that is no table is in the way.
    fn set(&mut self, path: &str, value: impl Into<Value>) -> bool;

    /// Sets the value at the path unless there is one.
    fn set_if_absent(&mut self, path: &str, value: impl Into<Value>) -> bool;

    /// Removes what is at the path, if anything.
    fn remove_at(&mut self, path: &str) -> Option<Value>;

    /// Puts `over` over this table: tables are merged, other values replaced.
    fn merge(&mut self, over: Table);
}

impl TablePath for Table {
    fn at(&self, path: &str) -> Option<&Value> {
        match path.split_once('.') {
            None => self.get(path),
            Some((head, rest)) => self.get(head)?.as_table()?.at(rest),
        }
    }

    fn set(&mut self, path: &str, value: impl Into<Value>) -> bool {
        match path.rsplit_once('.') {
            None => {
                self.insert(path.to_owned(), value.into());
                true
            }
            Some((parent, key)) => match table_at(self, parent) {
                Some(table) => {
                    table.insert(key.to_owned(), value.into());
                    true
                }
                None => false,
            },
        }
    }

    fn set_if_absent(&mut self, path: &str, value: impl Into<Value>) -> bool {
        self.at(path).is_some() || self.set(path, value)
    }

    fn remove_at(&mut self, path: &str) -> Option<Value> {
        match path.split_once('.') {
            None => self.remove(path),
            Some((head, rest)) => self.get_mut(head)?.as_table_mut()?.remove_at(rest),
        }
    }

    fn merge(&mut self, over: Table) {
        for (key, value) in over {
            match (self.get_mut(&key), value) {
                (Some(Value::Table(old)), Value::Table(new)) => old.merge(new),
                (_, value) => {
                    self.insert(key, value);
                }
            }
        }
    }
}

/// The table at a path, made if it is absent.
fn table_at<'a>(table: &'a mut Table, path: &str) -> Option<&'a mut Table> {
    let mut table = table;
    for key in path.split('.') {
        let value = table.entry(key.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        table = value.as_table_mut()?;
    }
    Some(table)
}
