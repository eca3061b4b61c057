//! The fields of the built-in types, and the schemas of custom resources.
//!
//! Decoding (unknown fields, wrong types), server-side apply and strategic merge need to know a type's fields, and
//! which lists are merged by what key. For built-in types that is the table `schema/builtin.txt`.

pub mod structural;

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

/// The type of a built-in field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A string.
    String,
    /// A boolean.
    Bool,
    /// A signed integer of 32 bits.
    Int32,
    /// A signed integer of 64 bits.
    Int64,
    /// A floating point number.
    Number,
    /// Base64 in a string.
    Bytes,
    /// RFC 3339, seconds.
    Time,
    /// RFC 3339, microseconds.
    MicroTime,
    /// A resource quantity.
    Quantity,
    /// A port's number or name, a count or a percentage.
    IntOrString,
    /// Any JSON.
    Any,
    /// A list.
    List(Box<Type>),
    /// A map from strings.
    Map(Box<Type>),
    /// Another definition, by its full name.
    Ref(String),
}

/// How server-side apply treats a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// One value, replaced whole.
    Atomic,
    /// Scalars, each owned on its own.
    Set,
    /// Objects told apart by these keys.
    Map(Vec<String>),
}

/// A field of a definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its type.
    pub ty: Type,
    /// Whether OpenAPI lists it as required.
    pub required: bool,
    /// For lists.
    pub list: ListKind,
    /// For maps: replaced whole by server-side apply.
    pub atomic_map: bool,
    /// The key by which strategic merge matches entries, if it merges the list.
    pub merge_key: Option<String>,
}

/// A type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// For example `io.k8s.api.core.v1.Pod`.
    pub name: String,
    /// Whether server-side apply replaces it whole.
    pub atomic: bool,
    /// Its fields in order of name.
    pub fields: BTreeMap<String, Field>,
}

/// All built-in types.
#[derive(Debug, Default)]
pub struct Definitions {
    by_name: HashMap<String, Definition>,
}

const BUILTIN: &str = include_str!("schema/builtin.txt");

/// The built-in types.
pub fn builtin() -> &'static Definitions {
    static DEFINITIONS: OnceLock<Definitions> = OnceLock::new();
    DEFINITIONS.get_or_init(|| parse(BUILTIN))
}

/// The full name of a kind's definition.
pub fn definition_name(group: &str, version: &str, kind: &str) -> String {
    match group {
        "apiextensions.k8s.io" => format!("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{version}.{kind}"),
        "" => format!("io.k8s.api.core.{version}.{kind}"),
        _ => format!("io.k8s.api.{}.{version}.{kind}", group.split('.').next().unwrap_or(group)),
    }
}

impl Definitions {
    /// The definition of that full name.
    pub fn get(&self, name: &str) -> Option<&Definition> {
        self.by_name.get(name)
    }

    /// The definition of a kind.
    pub fn of_kind(&self, group: &str, version: &str, kind: &str) -> Option<&Definition> {
        self.get(&definition_name(group, version, kind))
    }

    /// All definitions in order of name.
    pub fn all(&self) -> Vec<&Definition> {
        let mut all: Vec<_> = self.by_name.values().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }
}

fn parse(text: &str) -> Definitions {
    let mut definitions = Definitions::default();
    let mut current = Definition::default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(field) = line.strip_prefix(' ') {
            if let Some((name, field)) = parse_field(field) {
                current.fields.insert(name, field);
            }
        } else {
            let (name, flag) = line.split_once(' ').unwrap_or((line, ""));
            let next = Definition { name: expand(name), atomic: flag == "atomic", fields: BTreeMap::new() };
            let done = std::mem::replace(&mut current, next);
            definitions.by_name.insert(done.name.clone(), done);
        }
    }
    definitions.by_name.insert(current.name.clone(), current);
    definitions.by_name.remove("");
    definitions
}

fn expand(name: &str) -> String {
    name.replacen('~', "io.k8s.", 1)
}

fn parse_field(line: &str) -> Option<(String, Field)> {
    let mut words = line.split(' ');
    let (name, ty) = (words.next()?.to_owned(), parse_type(words.next()?));
    let mut field = Field { ty, required: false, list: ListKind::Atomic, atomic_map: false, merge_key: None };
    for word in words {
        match word {
            "!" => field.required = true,
            "set" => field.list = ListKind::Set,
            "atomic" => field.atomic_map = true,
            _ if word.starts_with("merge=") => field.merge_key = word.strip_prefix("merge=").map(str::to_owned),
            keys => {
                let keys: Vec<String> = keys.split(',').map(str::to_owned).collect();
                field.merge_key = keys.first().cloned();
                field.list = ListKind::Map(keys);
            }
        }
    }
    Some((name, field))
}

fn parse_type(word: &str) -> Type {
    if let Some(inner) = word.strip_prefix('[').and_then(|w| w.strip_suffix(']')) {
        return Type::List(Box::new(parse_type(inner)));
    }
    if let Some(inner) = word.strip_prefix('{').and_then(|w| w.strip_suffix('}')) {
        return Type::Map(Box::new(parse_type(inner)));
    }
    match word {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "number" => Type::Number,
        "bytes" => Type::Bytes,
        "time" => Type::Time,
        "microtime" => Type::MicroTime,
        "quantity" => Type::Quantity,
        "intorstring" => Type::IntOrString,
        "any" => Type::Any,
        name => Type::Ref(expand(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_to_a_definition() {
        fn check(ty: &Type) {
            match ty {
                Type::List(inner) | Type::Map(inner) => check(inner),
                Type::Ref(name) => assert!(builtin().get(name).is_some(), "{name}"),
                _ => {}
            }
        }
        builtin().all().iter().flat_map(|d| d.fields.values()).for_each(|f| check(&f.ty));
    }

    #[test]
    fn container_ports_have_two_keys_and_one_merge_key() {
        let ports = &builtin().get("io.k8s.api.core.v1.Container").unwrap().fields["ports"];
        assert_eq!(ports.list, ListKind::Map(vec!["containerPort".into(), "protocol".into()]));
        assert_eq!(ports.merge_key.as_deref(), Some("containerPort"));
    }
}
