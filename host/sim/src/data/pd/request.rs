//! One HTTP exchange as the state machine sees it, without any I/O.

/// What a client asks of one PD process.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Starts with `/`, without the query, still escaped.
    pub path: String,
    /// What follows `?`, without it.
    pub query: String,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// As received.
    pub body: Vec<u8>,
    /// How long this request has been waiting inside PD already, see [`Answer::Retry`].
    pub waited_ms: u64,
}

impl Request {
    /// A request without headers; `target` may have a query.
    pub fn new(method: &str, target: &str, body: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self { method: method.into(), path: path.into(), query: query.into(), body: body.into(), ..Self::default() }
    }

    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The values of a query parameter in order; a parameter without `=` has the value "".
    pub fn query_values(&self, name: &str) -> Vec<String> {
        self.query
            .split('&')
            .filter(|part| !part.is_empty())
            .map(|part| part.split_once('=').unwrap_or((part, "")))
            .filter(|(key, _)| unescape(key) == name)
            .map(|(_, value)| unescape(value))
            .collect()
    }

    /// True if the query has the parameter, with or without a value.
    pub fn has_query(&self, name: &str) -> bool {
        !self.query_values(name).is_empty()
    }
}

/// What the process does with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It answers.
    Reply(Reply),
    /// It accepts the request and never answers.
    Hang,
    /// Nothing listens: the connection is refused.
    Refused,
    /// PD itself waits before it decides: ask again after `after_ms`, with that much added to `waited_ms`.
    Retry {
        /// Milliseconds to wait.
        after_ms: u64,
    },
}

/// An HTTP response.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// In order; names as PD writes them.
    pub headers: Vec<(String, String)>,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// How long after the request it is sent. The effect, if any, is already in place.
    pub after_ms: u64,
}

impl Reply {
    /// The body as text, for tests and messages.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The same reply, `after_ms` later.
    #[must_use]
    pub fn delayed(mut self, after_ms: u64) -> Self {
        self.after_ms += after_ms;
        self
    }
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

/// Percent-decoding as in URLs; broken escapes stay as they are.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match (byte, hex.and_then(|pair| u8::from_str_radix(pair, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_and_repeatable() {
        let request = Request::new("GET", "/stores?state=0&state=1&force&name=a%20b", "");
        assert_eq!(request.query_values("state"), ["0", "1"]);
        assert_eq!(request.query_values("name"), ["a b"]);
        assert!(request.has_query("force") && !request.has_query("stat"));
    }
}
