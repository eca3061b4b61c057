//! Label and field selectors, with the messages of the real server.

use serde_json::Value;

use super::{error::ApiError, resources::ResourceInfo};

/// Both selectors of a request.
#[derive(Clone, Debug, Default)]
pub(super) struct Selectors {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Clone, Debug)]
struct Requirement {
    key: String,
    op: Op,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    In,
    NotIn,
    Exists,
    Missing,
    Greater,
    Less,
}

#[derive(Clone, Debug)]
struct FieldTerm {
    path: String,
    value: String,
    equal: bool,
}

impl Selectors {
    pub(super) fn parse(resource: &ResourceInfo, labels: &str, fields: &str) -> Result<Self, ApiError> {
        let labels = parse_labels(labels).map_err(ApiError::bad_request)?;
        let fields = parse_fields(fields)?;
        for term in &fields {
            check_field(resource, &term.path)?;
        }
        Ok(Self { labels, fields })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The name that `metadata.name=` asks for, if it does.
    pub(super) fn name(&self) -> Option<&str> {
        self.fields.iter().find(|t| t.equal && t.path == "metadata.name").map(|t| t.value.as_str())
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.labels.iter().all(|r| r.matches(&object["metadata"]["labels"]))
            && self.fields.iter().all(|t| (field_value(object, &t.path) == t.value) == t.equal)
    }
}

impl Requirement {
    fn matches(&self, labels: &Value) -> bool {
        let value = labels.get(&self.key).and_then(Value::as_str);
        let number = |s: &str| s.parse::<i64>().ok();
        let compare = |f: fn(i64, i64) -> bool| {
            let limit = self.values.first().and_then(|v| number(v));
            value.and_then(number).zip(limit).is_some_and(|(a, b)| f(a, b))
        };
        match self.op {
            Op::In => value.is_some_and(|v| self.values.iter().any(|x| x == v)),
            Op::NotIn => value.is_none_or(|v| self.values.iter().all(|x| x != v)),
            Op::Exists => value.is_some(),
            Op::Missing => value.is_none(),
            Op::Greater => compare(|a, b| a > b),
            Op::Less => compare(|a, b| a < b),
        }
    }
}

fn field_value(object: &Value, path: &str) -> String {
    let mut at = object;
    for part in path.split('.') {
        at = &at[part];
    }
    match at {
        Value::String(s) => s.clone(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        // Booleans that are false are left out of objects.
        _ if matches!(path, "spec.hostNetwork" | "spec.unschedulable") => "false".into(),
        _ => String::new(),
    }
}

/// The fields that a built-in resource can be selected by, and whether an unknown one is reported in the long form.
fn known_fields(resource: &ResourceInfo) -> (&'static [&'static str], bool) {
    match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods") => (
            &[
                "spec.nodeName",
                "spec.restartPolicy",
                "spec.schedulerName",
                "spec.serviceAccountName",
                "spec.hostNetwork",
                "status.phase",
                "status.podIP",
                "status.podIPs",
                "status.nominatedNodeName",
            ],
            false,
        ),
        ("" | "events.k8s.io", "events") => (
            &[
                "involvedObject.kind",
                "involvedObject.namespace",
                "involvedObject.name",
                "involvedObject.uid",
                "involvedObject.apiVersion",
                "involvedObject.resourceVersion",
                "involvedObject.fieldPath",
                "reason",
                "reportingComponent",
                "source",
                "type",
                "regarding.kind",
                "regarding.namespace",
                "regarding.name",
                "regarding.uid",
                "regarding.apiVersion",
                "regarding.resourceVersion",
                "regarding.fieldPath",
                "reportingController",
            ],
            false,
        ),
        ("", "secrets") => (&["type"], false),
        ("", "namespaces") => (&["status.phase"], false),
        ("", "nodes") => (&["spec.unschedulable"], false),
        ("", "services") => (&["spec.clusterIP", "spec.type"], false),
        ("", "replicationcontrollers") => (&["status.replicas"], false),
        ("batch", "jobs") => (&["status.successful"], false),
        _ => (&[], true),
    }
}

fn check_field(resource: &ResourceInfo, path: &str) -> Result<(), ApiError> {
    if path == "metadata.name" || (path == "metadata.namespace" && resource.namespaced) {
        return Ok(());
    }
    let short = || ApiError::bad_request(format!("field label not supported: {path}"));
    if let Some(custom) = &resource.custom {
        return custom.selectable_fields.iter().any(|f| f == path).then_some(()).ok_or_else(short);
    }
    let (known, long) = known_fields(resource);
    if known.contains(&path) || (path == "metadata.namespace" && !long) {
        return Ok(());
    }
    if !long {
        return Err(short());
    }
    let list = if resource.namespaced { "\"metadata.name\", \"metadata.namespace\"" } else { "\"metadata.name\"" };
    Err(ApiError::bad_request(format!("\"{path}\" is not a known field selector: only {list}")))
}

fn parse_fields(text: &str) -> Result<Vec<FieldTerm>, ApiError> {
    let mut out = Vec::new();
    for term in text.split(',').filter(|t| !t.is_empty()) {
        let (path, value, equal) = if let Some((path, value)) = term.split_once("!=") {
            (path, value, false)
        } else if let Some((path, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            (path, value, true)
        } else {
            return Err(ApiError::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'")));
        };
        out.push(FieldTerm { path: path.into(), value: value.replace("\\,", ",").replace("\\=", "="), equal });
    }
    Ok(out)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Op(&'static str),
    End,
}

fn tokens(text: &str) -> Vec<Token> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else { break };
        let op = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"].into_iter().find(|op| rest.starts_with(op));
        if let Some(op) = op {
            out.push(Token::Op(op));
            rest = rest.get(op.len()..).unwrap_or("");
            continue;
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len());
        let end = end.max(first.len_utf8());
        let (word, tail) = rest.split_at(end);
        out.push(Token::Word(word.to_owned()));
        rest = tail;
    }
    out.push(Token::End);
    out
}

fn shown(token: &Token) -> &str {
    match token {
        Token::Word(word) => word,
        Token::Op(op) => op,
        Token::End => "",
    }
}

fn parse_labels(text: &str) -> Result<Vec<Requirement>, String> {
    let tokens = tokens(text);
    let mut at = 0;
    let mut out = Vec::new();
    let peek = |at: usize| tokens.get(at).unwrap_or(&Token::End);
    if *peek(0) == Token::End {
        return Ok(out);
    }
    loop {
        match peek(at) {
            Token::Word(_) | Token::Op("!") => out.push(requirement(&tokens, &mut at)?),
            other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", shown(other))),
        }
        match peek(at) {
            Token::End => return Ok(out),
            Token::Op(",") => at += 1,
            other => return Err(format!("found '{}', expected: ',' or 'end of string'", shown(other))),
        }
        if !matches!(peek(at), Token::Word(_) | Token::Op("!")) {
            return Err(format!("found '{}', expected: identifier after ','", shown(peek(at))));
        }
    }
}

fn requirement(tokens: &[Token], at: &mut usize) -> Result<Requirement, String> {
    let mut next = || {
        let token = tokens.get(*at).cloned().unwrap_or(Token::End);
        *at += 1;
        token
    };
    let mut first = next();
    let missing = first == Token::Op("!");
    if missing {
        first = next();
    }
    let Token::Word(key) = first else {
        return Err(format!("unable to parse requirement: found '{}', expected: identifier", shown(&first)));
    };
    check_key(&key)?;
    if missing {
        return Ok(Requirement { key, op: Op::Missing, values: Vec::new() });
    }
    let operator = tokens.get(*at).cloned().unwrap_or(Token::End);
    let (op, list) = match &operator {
        Token::End | Token::Op(",") => return Ok(Requirement { key, op: Op::Exists, values: Vec::new() }),
        Token::Op("=" | "==") => (Op::In, false),
        Token::Op("!=") => (Op::NotIn, false),
        Token::Op(">") => (Op::Greater, false),
        Token::Op("<") => (Op::Less, false),
        Token::Word(word) if word == "in" => (Op::In, true),
        Token::Word(word) if word == "notin" => (Op::NotIn, true),
        other => {
            let expected = "in, notin, =, ==, !=, gt, lt";
            return Err(format!("unable to parse requirement: found '{}', expected: {expected}", shown(other)));
        }
    };
    *at += 1;
    let values = if list { value_list(tokens, at)? } else { vec![exact_value(tokens, at)?] };
    for value in &values {
        check_value(value)?;
    }
    Ok(Requirement { key, op, values })
}

fn exact_value(tokens: &[Token], at: &mut usize) -> Result<String, String> {
    match tokens.get(*at).unwrap_or(&Token::End) {
        Token::Word(word) => {
            *at += 1;
            Ok(word.clone())
        }
        Token::End | Token::Op(",") => Ok(String::new()),
        other => Err(format!("unable to parse requirement: found '{}', expected: identifier", shown(other))),
    }
}

fn value_list(tokens: &[Token], at: &mut usize) -> Result<Vec<String>, String> {
    let fail = |token: &Token, expected: &str| {
        Err(format!("unable to parse requirement: found '{}', expected: {expected}", shown(token)))
    };
    let mut next = || {
        let token = tokens.get(*at).cloned().unwrap_or(Token::End);
        *at += 1;
        token
    };
    let open = next();
    if open != Token::Op("(") {
        return fail(&open, "'('");
    }
    let mut out = Vec::new();
    loop {
        match next() {
            Token::Word(word) => out.push(word),
            Token::Op(",") => {}
            Token::Op(")") => return Ok(out),
            other => return fail(&other, "',', ')' or identifier"),
        }
    }
}

fn check_key(key: &str) -> Result<(), String> {
    match super::names::qualified_name(key).as_slice() {
        [] => Ok(()),
        faults => Err(format!("unable to parse requirement: <nil>: Invalid value: {key:?}: {}", faults.join("; "))),
    }
}

fn check_value(value: &str) -> Result<(), String> {
    match super::names::label_value(value) {
        None => Ok(()),
        Some(fault) => {
            Err(format!("unable to parse requirement: values[0][{value}]: Invalid value: {value:?}: {fault}"))
        }
    }
}
