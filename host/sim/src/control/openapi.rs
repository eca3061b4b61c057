//! OpenAPI v2 and v3 documents, from the schemas of built-in types and custom resources.

use super::{http::Document, resources::Registry};

/// The document at `path` (segments), if it is below `/openapi`. `query` is the raw query string.
pub fn respond(_registry: &Registry, _path: &[&str], _query: &str, _accept: &str) -> Option<Document> {
    None
}
