//! What a container would start: read from its image, its files and its start script, without running the script.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use regex::Regex;

use super::super::network::Key;

/// Version of an image whose tag is none, for example `latest`.
const VERSION_DEFAULT: &str = "v8.5.0";

/// The programs that the simulator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `pd-server`.
    Pd,
    /// `tikv-server`.
    Tikv,
    /// `tidb-server`.
    Tidb,
    /// `tiflash`.
    Tiflash,
    /// `cdc server`.
    Ticdc,
    /// `pump`.
    Pump,
    /// `tiproxy`.
    Tiproxy,
    /// `pd-server services tso`.
    Tso,
    /// `pd-server services scheduling`.
    Scheduling,
    /// The service that tells PD members whom to join.
    Discovery,
    /// Anything else: runs, and is healthy.
    Plain,
}

/// Everything that a program is told when it starts.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Which program.
    pub kind: Kind,
    /// Its pod.
    pub pod: Key,
    /// Its pod's uid: another one is another pod, of the same name.
    pub uid: String,
    /// The name under which others reach it.
    pub host: String,
    /// The TidbCluster it belongs to.
    pub cluster: String,
    /// `v8.5.0`, from the image.
    pub version: String,
    /// Speaks TLS to the other components.
    pub tls: bool,
    /// Uses its host as its name, where several Kubernetes clusters form one database.
    pub named_by_host: bool,
    /// Name and port of the PD that it is pointed to; without a namespace it is the pod's own.
    pub pd: Option<String>,
    /// Identity of its data: a volume, or the pod itself.
    pub disk: String,
    /// Bytes that its disk holds.
    pub capacity: u64,
    /// A PD whose TSO and scheduling run as services of their own.
    pub api_mode: bool,
    /// The text of its configuration file, if it has one.
    pub config: Option<String>,
    /// The Secret with its certificate, if it speaks TLS.
    pub tls_secret: Option<String>,
    /// The ids that its pod's labels tell: of the database, and of the member or store in it.
    pub known_ids: Option<(u64, u64)>,
}

impl Launch {
    /// The name under which it joins the others of its kind.
    pub fn member_name(&self) -> &str {
        if self.named_by_host { &self.host } else { &self.pod.1 }
    }
}

/// Files that a container sees, by path.
pub type Files = BTreeMap<String, String>;

/// Which program `container` is.
pub fn kind_of(pod: &Pod, container: &Container) -> Kind {
    let image = container.image.as_deref().unwrap_or("");
    let base = image_name(image);
    let component = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/component"));
    let known = |name: &str| match name {
        "pd" => Some(Kind::Pd),
        "tikv" => Some(Kind::Tikv),
        "tidb" => Some(Kind::Tidb),
        "tiflash" => Some(Kind::Tiflash),
        "ticdc" => Some(Kind::Ticdc),
        "tidb-binlog" | "pump" => Some(Kind::Pump),
        "tiproxy" => Some(Kind::Tiproxy),
        "tso" => Some(Kind::Tso),
        "scheduling" => Some(Kind::Scheduling),
        "discovery" => Some(Kind::Discovery),
        _ => None,
    };
    // The container of a component is named after it; its image may come from anywhere.
    let by_name = known(&container.name).filter(|_| component.is_some_and(|component| *component == container.name));
    by_name.or_else(|| known(base)).unwrap_or(Kind::Plain)
}

/// `registry.example.com:5000/pingcap/tidb:v8.5.0` is `tidb`.
fn image_name(image: &str) -> &str {
    let path = image.split('@').next().unwrap_or(image);
    let last = path.rsplit('/').next().unwrap_or(path);
    last.split(':').next().unwrap_or(last)
}

/// The tag of `image` if it is a version.
fn image_version(image: &str) -> String {
    let path = image.split('@').next().unwrap_or(image);
    let last = path.rsplit('/').next().unwrap_or(path);
    let tag = last.split_once(':').map_or("", |(_, tag)| tag);
    let number = tag.trim_start_matches('v');
    if number.starts_with(|c: char| c.is_ascii_digit()) { format!("v{number}") } else { VERSION_DEFAULT.to_owned() }
}

/// Reads the launch of `container` in `pod`. `disk` names its data and tells how much that can hold.
pub fn read(pod: &Pod, container: &Container, files: &Files, disk: (String, u64)) -> Launch {
    let kind = kind_of(pod, container);
    let meta = &pod.metadata;
    let namespace = meta.namespace.clone().unwrap_or_default();
    let name = meta.name.clone().unwrap_or_default();
    let text = script_text(container, files);
    let cluster = cluster_name(pod, kind, &name);
    let domain = cluster_domain(&text);
    let spec = pod.spec.as_ref();
    let subdomain = spec.and_then(|spec| spec.subdomain.clone());
    let host = match &subdomain {
        Some(subdomain) => format!("{name}.{subdomain}.{namespace}.svc{domain}"),
        None => name.clone(),
    };
    let tls_volume = match kind {
        Kind::Tso | Kind::Scheduling => "pd-tls".to_owned(),
        _ => format!("{}-tls", kind_word(kind)),
    };
    let mut volumes = spec.and_then(|spec| spec.volumes.as_ref()).into_iter().flatten();
    let tls_source = volumes.find(|volume| volume.name == tls_volume);
    Launch {
        kind,
        uid: meta.uid.clone().unwrap_or_default(),
        host,
        version: image_version(container.image.as_deref().unwrap_or("")),
        tls: tls_source.is_some(),
        tls_secret: tls_source.and_then(|volume| volume.secret.as_ref()?.secret_name.clone()),
        known_ids: known_ids(pod),
        api_mode: kind == Kind::Pd && text.contains("services api"),
        named_by_host: !domain.is_empty() || text.contains("--name=${domain}") || text.contains("--name=$domain"),
        pd: pd_address(&text, &cluster),
        disk: disk.0,
        capacity: disk.1,
        config: config_text(kind, files),
        cluster,
        pod: (namespace, name),
    }
}

fn known_ids(pod: &Pod) -> Option<(u64, u64)> {
    let labels = pod.metadata.labels.as_ref()?;
    let id = |key: &str| labels.get(key).and_then(|text| text.parse().ok());
    Some((
        id("tidb.pingcap.com/cluster-id")?,
        id("tidb.pingcap.com/member-id").or_else(|| id("tidb.pingcap.com/store-id"))?,
    ))
}

/// The word for a program in names of volumes and logs.
pub fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Pd => "pd",
        Kind::Tikv => "tikv",
        Kind::Tidb => "tidb",
        Kind::Tiflash => "tiflash",
        Kind::Ticdc => "ticdc",
        Kind::Pump => "pump",
        Kind::Tiproxy => "tiproxy",
        Kind::Tso => "tso",
        Kind::Scheduling => "scheduling",
        Kind::Discovery => "discovery",
        Kind::Plain => "plain",
    }
}

/// The pod's name without component and ordinal.
fn cluster_name(pod: &Pod, kind: Kind, name: &str) -> String {
    let word = kind_word(kind);
    if let Some(cluster) = name.rsplit_once('-').and_then(|(set, _)| set.strip_suffix(&format!("-{word}"))) {
        return cluster.to_owned();
    }
    let label = pod.metadata.labels.as_ref().and_then(|labels| labels.get("app.kubernetes.io/instance"));
    let marker = format!("-{word}-");
    label.cloned().unwrap_or_else(|| name.split(&marker).next().unwrap_or(name).to_owned())
}

fn script_text(container: &Container, files: &Files) -> String {
    let words = container.command.iter().chain(&container.args).flatten().map(String::as_str);
    let env = container.env.iter().flatten().filter_map(|env| env.value.as_deref());
    words.chain(files.values().map(String::as_str)).chain(env).collect::<Vec<_>>().join("\n")
}

/// `.cluster.local` of a name like `x.svc.cluster.local`, empty if no script mentions one.
fn cluster_domain(text: &str) -> String {
    let pattern = Regex::new(r"\.svc(\.[a-z0-9][a-z0-9.-]*[a-z0-9])");
    let found = pattern.ok().and_then(|pattern| pattern.captures(text).map(|found| found[1].to_owned()));
    found.unwrap_or_default()
}

/// The first `something-pd[.namespace…]:2379` in `text`, else the cluster's own.
fn pd_address(text: &str, cluster: &str) -> Option<String> {
    let pattern = Regex::new(r"([A-Za-z0-9${}_-]+-pd(?:\.[a-z0-9.-]+)?):(2379)").ok()?;
    let own = format!("{cluster}-pd:2379");
    let mut found = pattern.captures_iter(text).map(|found| format!("{}:{}", &found[1], &found[2]));
    let first = found.find(|address| !address.starts_with('$') || address.starts_with("${CLUSTER_NAME}"));
    Some(first.map_or(own, |address| address.replace("${CLUSTER_NAME}", cluster)))
}

fn config_text(kind: Kind, files: &Files) -> Option<String> {
    let word = match kind {
        Kind::Tso | Kind::Scheduling => kind_word(Kind::Pd),
        _ => kind_word(kind),
    };
    let wanted = |path: &&String| {
        let file = path.rsplit('/').next().unwrap_or(path);
        file == format!("{word}.toml") || file == "config-file" || (kind == Kind::Tiproxy && file == "proxy.toml")
    };
    files.keys().find(wanted).and_then(|path| files.get(path)).cloned()
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn pod(name: &str, component: &str, image: &str) -> Pod {
        from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "uid": "u", "labels": {
                "app.kubernetes.io/component": component, "app.kubernetes.io/instance": "a",
            }},
            "spec": {"subdomain": format!("a-{component}-peer"), "containers": [{"name": component, "image": image}]},
        }))
        .unwrap()
    }

    fn launch(pod: &Pod, files: &[(&str, &str)]) -> Launch {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        read(pod, &pod.spec.as_ref().unwrap().containers[0], &files, ("disk".to_owned(), 1))
    }

    #[test]
    fn programs_are_known_by_image_or_by_name() {
        for (component, image, kind) in [
            ("pd", "pingcap/pd:v8.5.0", Kind::Pd),
            ("tikv", "registry.example.com:5000/x/tikv:v8.5.0@sha256:00", Kind::Tikv),
            ("discovery", "example.com/operator:1", Kind::Discovery),
            ("pump", "pingcap/tidb-binlog:v7.5.3", Kind::Pump),
            ("web", "nginx", Kind::Plain),
        ] {
            let pod = pod("a-x-0", component, image);
            assert_eq!(kind_of(&pod, &pod.spec.as_ref().unwrap().containers[0]), kind, "{image}");
        }
    }

    #[test]
    fn a_member_knows_its_host_cluster_and_version() {
        let pd = launch(&pod("a-pd-0", "pd", "pingcap/pd:v8.1.2"), &[]);
        assert_eq!((pd.host.as_str(), pd.cluster.as_str()), ("a-pd-0.a-pd-peer.ns.svc", "a"));
        assert_eq!(pd.version, "v8.1.2");
        assert!(!pd.named_by_host);
        let script = "domain=${POD_NAME}.${PEER}.${NAMESPACE}.svc.cluster1.local\n";
        let far = launch(&pod("a-pd-0", "pd", "pingcap/pd"), &[("/usr/local/bin/pd_start_script.sh", script)]);
        assert_eq!(far.host, "a-pd-0.a-pd-peer.ns.svc.cluster1.local");
        assert!(far.named_by_host);
    }

    #[test]
    fn a_store_knows_its_pd() {
        let address =
            |script| launch(&pod("a-tikv-0", "tikv", "pingcap/tikv:v8.5.0"), &[("/x.sh", script)]).pd.unwrap();
        assert_eq!(address("ARGS=\"--pd=http://${CLUSTER_NAME}-pd:2379 \\"), "a-pd:2379");
        assert_eq!(address("--pd=base-pd.other:2379"), "base-pd.other:2379");
        assert_eq!(address(""), "a-pd:2379");
    }

    #[test]
    fn the_configuration_is_the_components_file() {
        let files = [("/etc/pd/pd.toml", "lease = 3"), ("/usr/local/bin/pd_start_script.sh", "exec")];
        assert_eq!(launch(&pod("a-pd-0", "pd", "pingcap/pd:v8.5.0"), &files).config.as_deref(), Some("lease = 3"));
        let tso = launch(&pod("a-tso-0", "tso", "pingcap/pd:v8.5.0"), &files);
        assert_eq!((tso.kind, tso.config.as_deref()), (Kind::Tso, Some("lease = 3")));
        assert_eq!(tso.member_name(), "a-tso-0");
    }
}
