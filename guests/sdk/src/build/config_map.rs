//! The ConfigMap of a component: its data, its name, and which one the pods use now.
//!
//! Under `InPlace` the name stays and the pods see new data at their next restart. Under `RollingUpdate` the name holds
//! a digest of the data, so new data is a new template. Changing between the two restarts nothing.

use std::collections::BTreeMap;

use k8s_openapi::api::{apps::v1::StatefulSet, core::v1::ConfigMap};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tidepool_api::{
    Component, TidbCluster, View,
    config::{Table, TablePath, Value as Setting, parse, to_toml},
    labels::CONFIG_MAP_BEFORE_DELETE_PREFIX,
    view::ConfigUpdateStrategy,
};

use crate::{
    Failure, Snapshot,
    apply::pod_spec_differs,
    build::meta,
    live::{Live, LiveSet},
    script::MARK,
};

/// Key of the configuration.
pub const CONFIG_FILE: &str = "config-file";
/// Key of the start script.
pub const STARTUP_SCRIPT: &str = "startup-script";
/// After a key: what is laid over it for a time.
pub const OVERLAY_SUFFIX: &str = "-overlay";

/// Characters of the digest in a name.
const DIGEST_LENGTH: usize = 7;

/// Data of a ConfigMap.
pub type Data = BTreeMap<String, String>;

/// The configuration of a component with settings that follow from the rest of the spec, whatever the user's says; none
/// without a configuration.
///
/// # Errors
/// When the configuration is no TOML, or has a value where a setting needs a table.
pub fn table_with(view: &View<'_>, forced: Vec<(&str, Setting)>) -> Result<Option<Table>, Failure> {
    let invalid = |text: String| Failure::InvalidSpec(format!("spec.{}.config: {text}", view.kind()));
    let Some(config) = view.config() else { return Ok(None) };
    let mut table = config.table().map_err(|error| invalid(error.to_string()))?;
    for (path, value) in forced {
        if !table.set(path, value) {
            return Err(invalid(format!("{path} needs a table")));
        }
    }
    Ok(Some(table))
}

/// The data of a ConfigMap: a configuration and a start script.
pub fn data(table: &Table, script: String) -> Data {
    Data::from([(CONFIG_FILE.to_owned(), to_toml(table)), (STARTUP_SCRIPT.to_owned(), script)])
}

/// The ConfigMap with this data under the name that the update strategy asks for. `watch` selects the component's
/// ConfigMaps, `set` is its StatefulSet.
///
/// # Errors
/// When the strategy is none, or what exists could not be read.
pub fn settle(
    snapshot: &Snapshot,
    watch: u32,
    cluster: &TidbCluster,
    view: &View<'_>,
    set: Option<&LiveSet>,
    data: Data,
) -> Result<ConfigMap, Failure> {
    let base = cluster.member_name(view.kind());
    let strategy = view.config_update_strategy().map_err(|text| {
        Failure::InvalidSpec(format!(
            "spec.{}.configUpdateStrategy: {text:?} is neither InPlace nor RollingUpdate",
            view.kind()
        ))
    })?;
    let in_use = in_use(snapshot, watch, cluster, view.kind(), set, &data)?;
    let (name, data) = match strategy {
        ConfigUpdateStrategy::InPlace => (in_use.unwrap_or(base), data),
        ConfigUpdateStrategy::RollingUpdate => {
            let existing = in_use.map(|name| Live::read(snapshot, watch, &name)).transpose()?.flatten();
            rolling(&base, existing.as_ref(), data)
        }
    };
    Ok(ConfigMap { metadata: meta(cluster, view.kind(), name), data: Some(data), ..ConfigMap::default() })
}

/// The ConfigMap as [`settle`] makes it, and the StatefulSet that `build` makes for its name.
///
/// Pods that another operator started keep its script as long as nothing else in them changes: that ours is another text
/// is no reason to restart them. It comes with the first change that restarts them anyway.
///
/// # Errors
/// As [`settle`] and `build`.
pub fn settle_for_set(
    snapshot: &Snapshot,
    watch: u32,
    cluster: &TidbCluster,
    view: &View<'_>,
    set: Option<&LiveSet>,
    data: Data,
    build: impl Fn(&str) -> Result<StatefulSet, Failure>,
) -> Result<(ConfigMap, StatefulSet), Failure> {
    let both = |data: Data| {
        let config_map = settle(snapshot, watch, cluster, view, set, data)?;
        let wanted = build(config_map.metadata.name.as_deref().unwrap_or_default())?;
        Ok::<_, Failure>((config_map, wanted))
    };
    if let Some(set) = set
        && let Some(name) = in_use(snapshot, watch, cluster, view.kind(), Some(set), &data)?
        && let Some(script) = foreign_script(snapshot, watch, &name)?
    {
        let mut kept = data.clone();
        kept.insert(STARTUP_SCRIPT.to_owned(), script);
        let (config_map, wanted) = both(kept)?;
        if !pod_spec_differs(set, &wanted) {
            return Ok((config_map, wanted));
        }
    }
    both(data)
}

/// The script in a ConfigMap, if another operator made it.
fn foreign_script(snapshot: &Snapshot, watch: u32, name: &str) -> Result<Option<String>, Failure> {
    let existing = Live::read(snapshot, watch, name)?;
    let script = existing.and_then(|live| data_of(&live).remove(STARTUP_SCRIPT));
    Ok(script.filter(|script| !script.contains(MARK)))
}

/// Name of the ConfigMap that the pods use; none before there were any.
fn in_use(
    snapshot: &Snapshot,
    watch: u32,
    cluster: &TidbCluster,
    component: Component,
    set: Option<&LiveSet>,
    data: &Data,
) -> Result<Option<String>, Failure> {
    let base = cluster.member_name(component);
    if let Some(set) = set {
        return Ok(set.config_maps().find(|name| name.starts_with(&base)).map(str::to_owned));
    }
    // The StatefulSet was deleted to be made anew; its pods still use this one.
    match cluster.annotation(&format!("{CONFIG_MAP_BEFORE_DELETE_PREFIX}{component}")) {
        None | Some("") => Ok(None),
        Some(saved) if saved == base => Ok(Some(base)),
        Some(saved) => {
            let same = Live::read(snapshot, watch, saved)?.is_some_and(|live| data_of(&live) == *data);
            Ok(Some(if same { saved.to_owned() } else { base }))
        }
    }
}

/// Name and data under `RollingUpdate`.
fn rolling(base: &str, existing: Option<&Live>, mut data: Data) -> (String, Data) {
    let Some(existing) = existing else {
        return (format!("{base}{}", digest_suffix(&data)), data);
    };
    let old = data_of(existing);
    keep_equal_text(&old, &mut data);
    let equal = data.len() == old.keys().filter(|key| !key.ends_with(OVERLAY_SUFFIX)).count()
        && data.iter().all(|(key, text)| old.get(key) == Some(text));
    let name = format!("{base}{}", digest_suffix(&data));
    match (equal, name == existing.name()) {
        (true, false) => (existing.name().to_owned(), data),
        // Two data with one digest: the name must still change.
        (false, true) => (format!("{name}-new"), data),
        _ => (name, data),
    }
}

/// Where a configuration says what the old one says, the old text stays: another way to write it restarts nothing.
fn keep_equal_text(old: &Data, data: &mut Data) {
    for (key, text) in data.iter_mut().filter(|(key, _)| *key != STARTUP_SCRIPT) {
        let Some(old_text) = old.get(key) else { continue };
        let overlay = old.get(&format!("{key}{OVERLAY_SUFFIX}"));
        if let (Some(new), Some(before)) = (laid_over(text, overlay), table(old_text))
            && new == before
        {
            text.clone_from(old_text);
        }
    }
}

fn laid_over(text: &str, overlay: Option<&String>) -> Option<Table> {
    let mut new = table(text)?;
    if let Some(overlay) = overlay {
        new.merge(table(overlay)?);
    }
    Some(new)
}

fn table(text: &str) -> Option<Table> {
    parse(text).ok()
}

/// Data of a ConfigMap that was read.
pub fn data_of(live: &Live) -> Data {
    live.at("/data").unwrap_or_default()
}

/// `-` and seven characters that depend on the data.
///
/// The digest is put into hexadecimal twice. That is how names in existing clusters were made, and another way would
/// restart their pods.
pub fn digest_suffix(data: &Data) -> String {
    let digest = Sha256::digest(go_json(data).as_bytes());
    let twice = hex(hex(&digest).as_bytes());
    format!("-{}", twice.get(..DIGEST_LENGTH).unwrap_or(&twice))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

/// The data as Go's `encoding/json` writes it: keys sorted, and what is special in HTML escaped.
fn go_json(data: &Data) -> String {
    let map = data.iter().map(|(key, text)| (key.clone(), Value::String(text.clone()))).collect();
    let mut text = String::new();
    for c in Value::Object(map).to_string().chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(config: &str, script: &str) -> Data {
        Data::from([(CONFIG_FILE.into(), config.into()), (STARTUP_SCRIPT.into(), script.into())])
    }

    fn live(name: &str, data: &Data) -> Live {
        Live::from_value(json!({"metadata": {"name": name}, "data": data}))
    }

    #[test]
    fn names_are_those_of_existing_clusters() {
        assert_eq!(digest_suffix(&data("a", "b")), "-3939653");
    }

    #[test]
    fn the_first_name_holds_the_digest() {
        let (name, _) = rolling("basic-pd", None, data("a = 1", "s"));
        assert_eq!(name, format!("basic-pd{}", digest_suffix(&data("a = 1", "s"))));
    }

    #[test]
    fn another_way_to_write_it_keeps_text_and_name() {
        let old = data("a = 1\nb = 2\n", "s");
        let (name, data) = rolling("basic-pd", Some(&live("basic-pd", &old)), data("b = 2\na   = 1\n", "s"));
        assert_eq!((name.as_str(), &data), ("basic-pd", &old));
    }

    #[test]
    fn a_changed_script_is_another_name() {
        let old = data("a = 1", "s");
        let name = format!("basic-pd{}", digest_suffix(&old));
        let (changed, _) = rolling("basic-pd", Some(&live(&name, &old)), data("a = 1", "t"));
        assert_ne!(changed, name);
    }

    #[test]
    fn a_digest_that_meets_another_data_gets_a_name_of_its_own() {
        let name = format!("basic-pd{}", digest_suffix(&data("a = 2", "s")));
        let (changed, _) = rolling("basic-pd", Some(&live(&name, &data("a = 1", "s"))), data("a = 2", "s"));
        assert_eq!(changed, format!("{name}-new"));
    }
}
