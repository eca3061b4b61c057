//! Protobuf bodies of built-in types, as `kubectl create` and `kubectl auth can-i` send them.
//!
//! The envelope names the type; field numbers are in `protobuf/fields.txt`, types of fields in the schema. Only
//! requests are read: every client that sends protobuf takes JSON as an answer.

use std::{
    collections::{BTreeMap, HashMap},
    sync::OnceLock,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::schema::{self, Definition, Type};

const MAGIC: &[u8] = b"k8s\0";
/// Deeper messages than any real object has.
const DEPTH_MAX: usize = 32;

/// `Type name=number …`, one type a line; types are the end of a definition's name.
const FIELDS: &str = include_str!("protobuf/fields.txt");

type Numbers = HashMap<&'static str, BTreeMap<u64, &'static str>>;

fn numbers() -> &'static Numbers {
    static NUMBERS: OnceLock<Numbers> = OnceLock::new();
    NUMBERS.get_or_init(|| {
        let line = |line: &'static str| {
            let (name, fields) = line.split_once(' ')?;
            let pair = |f: &'static str| f.split_once("=").and_then(|(f, n)| Some((n.parse::<u64>().ok()?, f)));
            Some((name, fields.split(' ').filter_map(pair).collect()))
        };
        FIELDS.lines().filter(|l| !l.starts_with('#')).filter_map(line).collect()
    })
}

/// Reads the object in a body; `None` if it is no protobuf of a known type.
pub(super) fn decode(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let bytes = |number: u64| envelope.iter().rev().find(|f| f.number == number).map(|f| f.bytes);
    let meta = fields(bytes(1)?)?;
    let text = |number: u64| {
        let found = meta.iter().rev().find(|f| f.number == number)?;
        String::from_utf8(found.bytes.to_vec()).ok()
    };
    let (api_version, kind) = (text(1)?, text(2)?);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let definition = schema::builtin().of_kind(group, version, &kind)?;
    let mut object = message(definition, bytes(2)?, 0)?;
    object["apiVersion"] = api_version.as_str().into();
    object["kind"] = kind.into();
    Some(object)
}

/// A field as it stands in a message.
struct Field<'a> {
    number: u64,
    /// Of fields with a length.
    bytes: &'a [u8],
    /// Of numbers.
    value: u64,
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut out = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        out |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(out);
        }
    }
    None
}

fn fields(mut bytes: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let mut field = Field { number: key >> 3, bytes: &[], value: 0 };
        let skip = match key & 7 {
            0 => {
                field.value = varint(&mut bytes)?;
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)?).ok()?,
            5 => 4,
            _ => return None,
        };
        (field.bytes, bytes) = bytes.split_at_checked(skip)?;
        out.push(field);
    }
    Some(out)
}

fn message(definition: &Definition, bytes: &[u8], depth: usize) -> Option<Value> {
    if depth > DEPTH_MAX {
        return None;
    }
    let short = definition.name.split('.').rev().take(3).collect::<Vec<_>>();
    let short: Vec<&str> = short.into_iter().rev().collect();
    let names = numbers().get(short.join(".").as_str())?;
    let mut out = Map::new();
    for field in fields(bytes)? {
        let Some(name) = names.get(&field.number) else { continue };
        let Some(ty) = definition.fields.get(*name).map(|f| &f.ty) else { continue };
        match ty {
            Type::List(inner) => {
                let item = value(inner, &field, depth)?;
                let list = out.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut()?.push(item);
            }
            Type::Map(inner) => {
                let (key, item) = entry(inner, field.bytes, depth)?;
                let map = out.entry(*name).or_insert_with(|| Value::Object(Map::new()));
                map.as_object_mut()?.insert(key, item);
            }
            // A text that nobody set is written all the same.
            Type::String if field.bytes.is_empty() => {}
            ty => {
                out.insert((*name).to_owned(), value(ty, &field, depth)?);
            }
        }
    }
    Some(Value::Object(out))
}

fn entry(ty: &Type, bytes: &[u8], depth: usize) -> Option<(String, Value)> {
    let mut key = String::new();
    let mut item = match ty {
        Type::String | Type::Bytes => Value::from(""),
        _ => Value::Null,
    };
    for field in fields(bytes)? {
        match field.number {
            1 => key = text(field.bytes)?,
            2 => item = value(ty, &field, depth)?,
            _ => {}
        }
    }
    Some((key, item))
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

fn value(ty: &Type, field: &Field<'_>, depth: usize) -> Option<Value> {
    let number = || field.value.cast_signed();
    Some(match ty {
        Type::String => text(field.bytes)?.into(),
        Type::Bytes => STANDARD.encode(field.bytes).into(),
        Type::Bool => (field.value != 0).into(),
        Type::Int32 | Type::Int64 => number().into(),
        Type::Quantity => {
            let inner = fields(field.bytes)?;
            text(inner.iter().find(|f| f.number == 1)?.bytes)?.into()
        }
        Type::Time | Type::MicroTime => {
            let inner = fields(field.bytes)?;
            match inner.iter().find(|f| f.number == 1) {
                Some(seconds) => jiff::Timestamp::from_second(seconds.value.cast_signed()).ok()?.to_string().into(),
                None => Value::Null,
            }
        }
        Type::IntOrString => {
            let inner = fields(field.bytes)?;
            let find = |n: u64| inner.iter().find(|f| f.number == n);
            match find(1).map_or(0, |f| f.value) {
                0 => find(2).map_or(0, |f| f.value.cast_signed()).into(),
                _ => text(find(3)?.bytes)?.into(),
            }
        }
        Type::Ref(name) => message(schema::builtin().get(name)?, field.bytes, depth + 1)?,
        Type::Any | Type::Number | Type::List(_) | Type::Map(_) => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_length(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend(bytes);
        out
    }

    #[test]
    fn reads_a_config_map() {
        let meta = [with_length(1, b"v1"), with_length(2, b"ConfigMap")].concat();
        let metadata = with_length(1, &with_length(1, b"c"));
        let data = with_length(2, &[with_length(1, b"k"), with_length(2, b"v")].concat());
        let raw = [metadata, data].concat();
        let body = [MAGIC.to_vec(), with_length(1, &meta), with_length(2, &raw)].concat();
        let want = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "v"}});
        assert_eq!(decode(&body), Some(want));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        assert_eq!(decode(b"k8s\0\x0a\x50"), None);
        assert_eq!(decode(b"{}"), None);
    }

    #[test]
    fn every_field_of_the_table_exists() {
        for definition in schema::builtin().all() {
            let short: Vec<&str> = definition.name.rsplit('.').take(3).collect();
            let short = short.into_iter().rev().collect::<Vec<_>>().join(".");
            for name in numbers().get(short.as_str()).into_iter().flat_map(|m| m.values()) {
                assert!(definition.fields.contains_key(*name), "{short} {name}");
            }
        }
    }
}
