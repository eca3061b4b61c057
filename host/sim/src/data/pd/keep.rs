//! What a fleet needs to be kept as JSON and restored.

use rand::{SeedableRng, rngs::SmallRng};

/// Stands in for the numbers of a cluster until it gets its own again.
pub(super) fn no_rng() -> SmallRng {
    SmallRng::seed_from_u64(0)
}

/// Maps whose keys are not text, as lists of pairs.
pub mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    pub fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}
