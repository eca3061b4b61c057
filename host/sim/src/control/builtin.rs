//! Strategies of the built-in types, by group and plural.

use super::strategy::Strategy;

/// The strategy of a built-in resource.
pub fn strategy(_group: &str, _plural: &str) -> Strategy {
    Strategy::default()
}
