//! Writes a table as TOML text: keys sorted, plain values before tables, nested tables indented.
//!
//! The text is what a ConfigMap holds, and its digest is in the ConfigMap's name, so it must be the same for ever and on
//! every build. Hence an own writer, and keys sorted here: the order of a `toml` table depends on features of that crate.

use std::fmt::Write as _;

use toml::{Table, Value};

/// Blanks for each level of nesting.
const INDENT: &str = "  ";

/// The table as TOML text; empty for an empty table.
pub fn to_toml(table: &Table) -> String {
    let mut text = String::new();
    write_table(&mut text, table, &mut Vec::new());
    text
}

fn write_table(text: &mut String, table: &Table, path: &mut Vec<String>) {
    let (tables, plain): (Vec<_>, Vec<_>) = sorted(table).into_iter().partition(|(_, value)| is_table_like(value));
    for (key, value) in plain {
        indent(text, path.len());
        text.push_str(&quoted_key(key));
        text.push_str(" = ");
        write_value(text, value);
        text.push('\n');
    }
    for (key, value) in tables {
        path.push(quoted_key(key));
        match value {
            Value::Table(inner) => {
                if path.len() == 1 {
                    blank_line(text);
                }
                write_header(text, path, "[", "]");
                write_table(text, inner, path);
            }
            Value::Array(items) => {
                for inner in items.iter().filter_map(Value::as_table) {
                    blank_line(text);
                    write_header(text, path, "[[", "]]");
                    write_table(text, inner, path);
                }
            }
            _ => {}
        }
        path.pop();
    }
}

fn sorted(table: &Table) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

fn is_table_like(value: &Value) -> bool {
    match value {
        Value::Table(_) => true,
        Value::Array(items) => !items.is_empty() && items.iter().all(Value::is_table),
        _ => false,
    }
}

fn write_header(text: &mut String, path: &[String], open: &str, close: &str) {
    indent(text, path.len().saturating_sub(1));
    text.push_str(open);
    text.push_str(&path.join("."));
    text.push_str(close);
    text.push('\n');
}

fn blank_line(text: &mut String) {
    if !text.is_empty() {
        text.push('\n');
    }
}

fn indent(text: &mut String, levels: usize) {
    for _ in 0..levels {
        text.push_str(INDENT);
    }
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::String(s) => write_string(text, s),
        Value::Integer(i) => append(text, format_args!("{i}")),
        Value::Float(f) => write_float(text, *f),
        Value::Boolean(b) => append(text, format_args!("{b}")),
        Value::Datetime(d) => append(text, format_args!("{d}")),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Table(table) => {
            text.push('{');
            for (at, (key, item)) in sorted(table).into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(&quoted_key(key));
                text.push_str(" = ");
                write_value(text, item);
            }
            text.push('}');
        }
    }
}

/// A float always shows that it is one: `1.0`.
fn write_float(text: &mut String, float: f64) {
    if float.is_nan() {
        text.push_str("nan");
    } else if float.is_infinite() {
        text.push_str(if float > 0.0 { "inf" } else { "-inf" });
    } else {
        let from = text.len();
        append(text, format_args!("{float}"));
        if !text.get(from..).is_some_and(|written| written.contains('.')) {
            text.push_str(".0");
        }
    }
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c.is_ascii_control() => append(text, format_args!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text.push('"');
}

fn quoted_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare {
        return key.to_owned();
    }
    let mut quoted = String::new();
    write_string(&mut quoted, key);
    quoted
}

fn append(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str) -> String {
        to_toml(&text.parse().expect("test input is TOML"))
    }

    #[test]
    fn tables_come_sorted_after_plain_values_and_indented() {
        let text = rewrite("z = 1\na.b.c = 1.0\na.x = 'q\"'\n[\"odd key\"]\nlist = [1, 'two']\n");
        assert_eq!(
            text,
            "z = 1\n\n[a]\n  x = \"q\\\"\"\n  [a.b]\n    c = 1.0\n\n[\"odd key\"]\n  list = [1, \"two\"]\n"
        );
    }

    #[test]
    fn lists_of_tables_are_written_as_such_and_empty_lists_as_values() {
        let text = rewrite("empty = []\n[[rule]]\nid = 1\n[[rule]]\nid = 2\n");
        assert_eq!(text, "empty = []\n\n[[rule]]\n  id = 1\n\n[[rule]]\n  id = 2\n");
    }

    #[test]
    fn what_is_written_reads_back_equal() {
        let table: Table =
            "s = \"tab\\there\\u0001\"\nf = -0.25\nbig = 1e30\n[t]\nmixed = [1, {a = 1}]\n".parse().expect("TOML");
        assert_eq!(to_toml(&table).parse::<Table>().expect("reads back"), table);
    }
}
