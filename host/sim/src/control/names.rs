//! What names, labels and finalizers must look like, with the messages of the real server.

use std::sync::OnceLock;

use regex::Regex;

/// The longest subdomain.
const SUBDOMAIN_MAX: usize = 253;
/// The longest label of a name, label value or name part of a key.
const LABEL_MAX: usize = 63;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

fn fits(pattern: &'static str, cell: &'static OnceLock<Option<Regex>>, text: &str) -> bool {
    cell.get_or_init(|| Regex::new(&format!("^(?:{pattern})$")).ok()).as_ref().is_some_and(|r| r.is_match(text))
}

macro_rules! matcher {
    ($name:ident, $pattern:expr) => {
        fn $name(text: &str) -> bool {
            static CELL: OnceLock<Option<Regex>> = OnceLock::new();
            fits($pattern, &CELL, text)
        }
    };
}

matcher!(is_label, LABEL);
matcher!(is_subdomain, SUBDOMAIN);
matcher!(is_label_1035, LABEL_1035);
matcher!(is_qualified, QUALIFIED);
matcher!(is_label_value, LABEL_VALUE);

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// Faults of an RFC 1123 subdomain.
pub fn subdomain(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    if name.len() > SUBDOMAIN_MAX {
        out.push(too_long(SUBDOMAIN_MAX));
    }
    if !is_subdomain(name) {
        out.push(format!("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"));
    }
    out
}

/// Faults of an RFC 1123 label.
pub fn label(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    if name.len() > LABEL_MAX {
        out.push(too_long(LABEL_MAX));
    }
    if !is_label(name) {
        out.push(format!("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"));
    }
    out
}

/// Faults of an RFC 1035 label.
pub fn label_1035(name: &str) -> Vec<String> {
    let mut out = Vec::new();
    if name.len() > LABEL_MAX {
        out.push(too_long(LABEL_MAX));
    }
    if !is_label_1035(name) {
        out.push(format!("a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '{LABEL_1035}')"));
    }
    out
}

/// Faults of a name that is only a segment of a path.
pub fn path_segment(name: &str) -> Vec<String> {
    if matches!(name, "." | "..") {
        return vec![format!("may not be '{name}'")];
    }
    ['/', '%'].into_iter().filter(|c| name.contains(*c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// Faults of a label's or annotation's key.
pub fn qualified_name(key: &str) -> Vec<String> {
    let mut out = Vec::new();
    let name = match key.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".into());
            } else {
                out.extend(subdomain(prefix).into_iter().map(|fault| format!("prefix part {fault}")));
            }
            *name
        }
        _ => {
            return vec![format!(
                "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        out.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_qualified(name) {
        out.push(format!("name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{QUALIFIED}')"));
    }
    out
}

/// The fault of a label's value, if it has one.
pub fn label_value(value: &str) -> Option<String> {
    if value.len() > LABEL_MAX {
        return Some(too_long(LABEL_MAX));
    }
    (!is_label_value(value)).then(|| format!("a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{LABEL_VALUE}')"))
}
