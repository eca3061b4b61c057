//! What is true at one moment: the objects as they are stored, and PD as it is, whatever anybody has read of either.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;
use tidepool_sim::{
    clock::Clock,
    control::ControlPlane,
    data::{
        Shared,
        network::Key,
        pd::{MemberView, StoreView},
        process::{Process, process_name},
    },
};

/// Resources that the rules look at, by group.
const RESOURCES: [(&str, &str); 14] = [
    ("pingcap.com", "tidbclusters"),
    ("apps", "statefulsets"),
    ("apps", "deployments"),
    ("apps", "replicasets"),
    ("", "pods"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("", "services"),
    ("", "configmaps"),
    ("", "serviceaccounts"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
    ("policy", "poddisruptionbudgets"),
    ("coordination.k8s.io", "leases"),
];

/// One PD cluster.
#[derive(Clone, Debug, Default)]
pub struct Pd {
    /// Its members.
    pub members: Vec<MemberView>,
    /// Its stores.
    pub stores: Vec<StoreView>,
    /// A request to one of its members would be answered.
    pub answers: bool,
}

/// Everything, at one moment.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Milliseconds since the Unix epoch.
    pub ms: u64,
    /// By resource, then `namespace/name`.
    pub objects: BTreeMap<String, BTreeMap<String, Arc<Value>>>,
    /// By PD's number of the cluster.
    pub pd: BTreeMap<u64, Pd>,
    /// The PD cluster of each PD pod, by `namespace/name`.
    pub pd_of: BTreeMap<String, u64>,
    /// Whether the program of a pod speaks TLS, by `namespace/name`.
    pub modes: BTreeMap<String, bool>,
}

/// Where a state is read.
#[derive(Clone)]
pub struct Source {
    /// The time.
    pub clock: Clock,
    /// The objects.
    pub control: ControlPlane,
    /// PD and its stores.
    pub data: Arc<Shared>,
}

impl Source {
    /// What is true now.
    pub fn now(&self) -> State {
        let mut state = self.read(&RESOURCES);
        self.read_pd(&mut state);
        state
    }

    /// What a call is judged by.
    pub fn now_for_calls(&self) -> State {
        self.read(&[("", "pods"), ("", "services")])
    }

    fn read(&self, resources: &[(&str, &str)]) -> State {
        let ms = self.clock.now_ms();
        let table = |(group, plural): &(&str, &str)| {
            let objects = self.control.objects(group, plural).into_iter().map(|object| (key(&object), object));
            ((*plural).to_owned(), objects.collect::<BTreeMap<_, _>>())
        };
        let world = self.data.world();
        let mode = |((namespace, name), process): (&Key, &Process)| (format!("{namespace}/{name}"), process.launch.tls);
        let modes = world.processes.iter().map(mode).collect();
        State { ms, objects: resources.iter().map(table).collect(), modes, ..State::default() }
    }

    fn read_pd(&self, state: &mut State) {
        let mut world = self.data.world();
        let pods: Vec<String> = state.of_component("pd").map(key).collect();
        for pod in pods {
            let Some((namespace, name)) = pod.split_once('/') else { continue };
            let at = (namespace.to_owned(), name.to_owned());
            let Some(cluster) = world.fleet.cluster_id(&process_name(&at)) else { continue };
            let fault = world.faults.answer(&at);
            let answers = fault.fail_status.is_none() && !fault.drop_answers && !world.faults.pod(&at).silent;
            state.pd_of.insert(pod.clone(), cluster);
            let pd = state.pd.entry(cluster).or_insert_with(|| Pd {
                members: world.fleet.members(state.ms, cluster),
                stores: world.fleet.stores(state.ms, cluster),
                answers: false,
            });
            let serves = pd.members.iter().any(|member| pod_of(&member.name) == name && member.healthy);
            pd.answers |= answers && serves && pd.members.iter().any(|member| member.leader);
        }
    }
}

impl State {
    /// The objects of a resource.
    pub fn all(&self, resource: &str) -> impl Iterator<Item = &Value> {
        self.objects.get(resource).into_iter().flatten().map(|(_, object)| &**object)
    }

    /// One object.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<&Value> {
        let key = if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") };
        self.objects.get(resource)?.get(&key).map(|object| &**object)
    }

    /// The pods of a component, of all clusters.
    pub fn of_component(&self, component: &str) -> impl Iterator<Item = &Value> {
        self.all("pods").filter(move |pod| self::component(pod) == component)
    }

    /// The pods of a component of one instance.
    pub fn pods<'a>(&'a self, namespace: &'a str, instance: &'a str, part: &'a str) -> impl Iterator<Item = &'a Value> {
        self.of_component(part)
            .filter(move |pod| text(&pod["metadata"]["namespace"]) == namespace && self::instance(pod) == instance)
    }

    /// The TidbCluster that an object belongs to, by its instance label.
    pub fn cluster_of(&self, object: &Value) -> Option<&Value> {
        self.get("tidbclusters", text(&object["metadata"]["namespace"]), instance(object))
    }

    /// The PD that a cluster uses: that of its own pods, or of the cluster that it joins.
    pub fn pd_of_cluster(&self, cluster: &Value) -> Option<&Pd> {
        self.pd.get(&self.pd_id_of_cluster(cluster)?)
    }

    /// The number of the PD that a cluster uses.
    pub fn pd_id_of_cluster(&self, cluster: &Value) -> Option<u64> {
        let namespace = text(&cluster["metadata"]["namespace"]);
        let other = &cluster["spec"]["cluster"];
        let joined = text(&other["namespace"]);
        let joined = (if joined.is_empty() { namespace } else { joined }, text(&other["name"]));
        [(namespace, text(&cluster["metadata"]["name"])), joined].into_iter().find_map(|(namespace, name)| {
            let mut ids = self.pods(namespace, name, "pd").filter_map(|pod| self.pd_of.get(&key(pod)));
            ids.find(|id| self.pd.contains_key(id)).copied()
        })
    }
}

impl Pd {
    /// The member in a pod.
    pub fn member(&self, pod: &str) -> Option<&MemberView> {
        self.members.iter().find(|member| pod_of(&member.name) == pod)
    }

    /// The store of a pod that still counts.
    pub fn store(&self, pod: &str) -> Option<&StoreView> {
        self.stores.iter().find(|store| pod_of(&store.address) == pod && store.state_name != "Tombstone")
    }

    /// Healthy members besides these.
    pub fn healthy_without(&self, gone: &[&str]) -> usize {
        self.members.iter().filter(|member| member.healthy && !gone.contains(&pod_of(&member.name))).count()
    }
}

/// Members that must agree among `members`.
pub fn quorum(members: usize) -> usize {
    members / 2 + 1
}

/// `namespace/name`, or the name alone.
pub fn key(object: &Value) -> String {
    let metadata = &object["metadata"];
    match metadata["namespace"].as_str() {
        Some(namespace) => format!("{namespace}/{}", text(&metadata["name"])),
        None => text(&metadata["name"]).to_owned(),
    }
}

/// The pod that a member or an address belongs to.
pub fn pod_of(name: &str) -> &str {
    name.split(['.', ':']).next().unwrap_or(name)
}

/// The component label.
pub fn component(object: &Value) -> &str {
    text(&object["metadata"]["labels"]["app.kubernetes.io/component"])
}

/// The instance label.
pub fn instance(object: &Value) -> &str {
    text(&object["metadata"]["labels"]["app.kubernetes.io/instance"])
}

/// Condition `Ready` of a pod or a TidbCluster.
pub fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

/// The names of the claims that a pod mounts.
pub fn claims(pod: &Value) -> impl Iterator<Item = &str> {
    let volumes = pod["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str())
}

/// A text, empty if it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
