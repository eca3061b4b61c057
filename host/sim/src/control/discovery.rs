//! Discovery documents: `/api`, `/apis` and what is below, aggregated or not.

use super::{http::Document, resources::Registry};

/// The document at `path` (segments, without empty ones), if it is one of discovery. `accept` is the request's header.
pub fn respond(_registry: &Registry, _path: &[&str], _accept: &str) -> Option<Document> {
    None
}
