//! Keys and values of labels and annotations. They are those of the existing operator, so that clusters can be taken over.

use std::collections::BTreeMap;

use crate::cluster::TidbCluster;
use crate::kind::Component;

/// Label: application.
pub const NAME: &str = "app.kubernetes.io/name";
/// Label: manager; also the selector of claims and volumes.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label: instance.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// Label: component.
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Label on a PersistentVolume: namespace of its claim.
pub const NAMESPACE: &str = "app.kubernetes.io/namespace";
/// Label on a Service: for whom it is. Never in a selector.
pub const USED_BY: &str = "app.kubernetes.io/used-by";
/// Label on pods, claims and volumes: PD's number of the cluster.
pub const CLUSTER_ID: &str = "tidb.pingcap.com/cluster-id";
/// Label on PD's pods, claims and volumes: number of the member.
pub const MEMBER_ID: &str = "tidb.pingcap.com/member-id";
/// Label on pods, claims and volumes of TiKV and TiFlash: number of the store.
pub const STORE_ID: &str = "tidb.pingcap.com/store-id";
/// Label and annotation of a claim, annotation of a volume: pod.
pub const POD_NAME: &str = "tidb.pingcap.com/pod-name";
/// Kubernetes' label on a pod of a StatefulSet: its name.
pub const STATEFUL_SET_POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Kubernetes' label on a pod of a StatefulSet: its revision.
pub const CONTROLLER_REVISION_HASH: &str = "controller-revision-hash";

/// Value of [`NAME`] on what belongs to a TidbCluster.
pub const NAME_VALUE: &str = "tidb-cluster";
/// Value of [`MANAGED_BY`]; the existing operator's, so that its objects and ours are one set.
pub const MANAGED_BY_VALUE: &str = "tidb-operator";
/// Value of [`USED_BY`]: other members.
pub const USED_BY_PEER: &str = "peer";
/// Value of [`USED_BY`]: users.
pub const USED_BY_END_USER: &str = "end-user";

/// Annotation on a TidbCluster, after `COMPONENT.`: ordinals to leave empty, a JSON list of integers.
pub const DELETE_SLOTS_SUFFIX: &str = "tidb.pingcap.com/delete-slots";
/// Annotation on a StatefulSet: the same, for the advanced StatefulSet controller.
pub const STATEFUL_SET_DELETE_SLOTS: &str = "delete-slots";
/// Annotation on a TidbCluster: `true` upgrades PD although members are unhealthy.
pub const FORCE_UPGRADE: &str = "tidb.pingcap.com/force-upgrade";
/// Annotation on a TidbCluster: `true` makes PD's upgrade wait while peers are unstable.
pub const PD_CHECK_QUORUM: &str = "tidb.pingcap.com/pd-check-quorum-before-upgrade";
/// Annotation on a TidbCluster: `true` makes TiKV's upgrade wait for all stores.
pub const TIKV_CHECK_ALL_STORES_UP: &str = "tidb.pingcap.com/tikv-check-all-stores-up-before-upgrade";
/// Annotation on a TidbCluster: present, a restart of TiKV does not flush log backups.
pub const TIKV_RESTART_WITHOUT_FLUSH: &str = "tidb.pingcap.com/tikv-restart-without-flush-log-backup";
/// Annotation on a TidbCluster: present, TiFlash 7.1 and later keep ports in the configuration.
pub const TIFLASH_710_KEEP_PORTS: &str = "tidb.pingcap.com/tiflash-710-keep-ports";
/// Annotation on a TidbCluster: present, the operator's SQL clients use no TLS.
pub const SKIP_TLS_WHEN_CONNECT_TIDB: &str = "tidb.tidb.pingcap.com/skip-tls-when-connect-tidb";
/// Annotation on a TidbCluster: topology key of the scheduler.
pub const HA_TOPOLOGY_KEY: &str = "pingcap.com/ha-topology-key";
/// Annotation of pods: `true` sets kernel parameters in an init container.
pub const SYSCTL_INIT: &str = "tidb.pingcap.com/sysctl-init";
/// Annotation of TiFlash's pods: `true` mounts the ConfigMap straight into the server's container.
pub const TIFLASH_MOUNT_CONFIG_MAP: &str = "tiflash.tidb.pingcap.com/mount-cm-in-tiflash-container";
/// Annotation of pods: a changed value restarts them.
pub const RESTARTED_AT: &str = "tidb.pingcap.com/restartedAt";
/// Annotation on a TiKV pod: move its leaders away; `none` or `delete-pod`.
pub const EVICT_LEADER: &str = "tidb.pingcap.com/evict-leader";
/// Annotation on a TiKV pod: when that request ends.
pub const EVICT_LEADER_EXPIRATION_TIME: &str = "tidb.pingcap.com/tikv-evict-leader-expiration-time";
/// Annotation on a PD pod: move leadership away; `none` or `delete-pod`.
pub const PD_TRANSFER_LEADER: &str = "tidb.pingcap.com/pd-transfer-leader";
/// Annotation on a PD pod: when that request ends.
pub const PD_EVICT_LEADER_EXPIRATION_TIME: &str = "tidb.pingcap.com/pd-evict-leader-expiration-time";
/// Annotation on a TiDB pod: end it gracefully; `none` or `delete-pod`.
pub const TIDB_GRACEFUL_SHUTDOWN: &str = "tidb.pingcap.com/tidb-graceful-shutdown";
/// Annotation on a pod: `true` replaces its volumes.
pub const REPLACE_VOLUME: &str = "tidb.pingcap.com/replace-volume";
/// Annotation on a pod: `debug` keeps the container waiting before its start.
pub const RUN_MODE: &str = "runmode";

/// Annotation on Services, StatefulSets and Deployments: JSON of the spec that was last applied.
pub const LAST_APPLIED_CONFIG: &str = "pingcap.com/last-applied-configuration";
/// Annotation on the discovery Deployment: JSON of the pod spec that was last applied.
pub const LAST_APPLIED_POD_TEMPLATE: &str = "pingcap.com/last-applied-podtemplate";
/// Annotation on a StatefulSet: generation of the TidbCluster.
pub const OWNER_GENERATION: &str = "tidb.pingcap.com/owner-generation";
/// Annotation on a StatefulSet, no longer written.
pub const SYNC_TIMESTAMP: &str = "tidb.pingcap.com/sync-timestamp";
/// Annotation on a TidbCluster, before a component's name: ConfigMap used before the StatefulSet was deleted.
pub const CONFIG_MAP_BEFORE_DELETE_PREFIX: &str = "tidb.pingcap.com/configmap-name-before-delete-";
/// Annotation on a claim: deleted when its ordinal comes back.
pub const PVC_DEFER_DELETING: &str = "tidb.pingcap.com/pvc-defer-deleting";
/// Annotation on a claim and pod: when it was scaled in.
pub const SCALE_IN_TIME: &str = "tidb.pingcap.com/scale-in-time";
/// Annotation on a claim: lock of the scheduler.
pub const POD_SCHEDULING: &str = "tidb.pingcap.com/pod-scheduling";
/// Annotation on a TiKV pod: when eviction began for an upgrade. It has no prefix.
pub const EVICT_LEADER_BEGIN_TIME: &str = "evictLeaderBeginTime";
/// Annotation on a TiKV pod: when waiting for leaders to come back began.
pub const EVICT_LEADER_END_AT: &str = "tidb.pingcap.com/tikv-evict-leader-end-at";
/// Annotation on a TiKV pod: eviction asked for by a volume change.
pub const EVICT_LEADER_FOR_RESIZE: &str = "tidb.pingcap.com/evict-leader-for-resize";
/// Annotation on a TiKV pod: since when it has a store label but no store.
pub const TIKV_NO_ACTIVE_STORE_SINCE: &str = "tidb.pingcap.com/tikv-no-active-store-since";
/// Annotation on a TiCDC pod: when its shutdown began.
pub const TICDC_GRACEFUL_SHUTDOWN_BEGIN: &str = "tidb.pingcap.com/ticdc-graceful-shutdown-begin-time";
/// Annotation on a TidbCluster: volumes are restored, stores may start.
pub const TIKV_VOLUMES_READY: &str = "tidb.pingcap.com/tikv-volumes-ready";
/// Annotation on a TidbCluster: DDL is paused for an upgrade.
pub const SMOOTH_UPGRADE_DDL_PAUSED: &str = "tidb.pingcap.com/smooth-upgrade-ddl-paused";
/// Annotation on a TidbCluster: version before a smooth upgrade.
pub const SMOOTH_UPGRADE_SOURCE_VERSION: &str = "tidb.pingcap.com/smooth-upgrade-source-version";
/// Annotation on a TidbCluster: version after a smooth upgrade.
pub const SMOOTH_UPGRADE_TARGET_VERSION: &str = "tidb.pingcap.com/smooth-upgrade-target-version";
/// Annotation on a TidbCluster: when a smooth upgrade began.
pub const SMOOTH_UPGRADE_STARTED_AT: &str = "tidb.pingcap.com/smooth-upgrade-started-at";

/// Annotations on a claim: the volume wanted.
pub mod pvc_spec {
    /// Number of the wish.
    pub const REVISION: &str = "spec.tidb.pingcap.com/revision";
    /// Class.
    pub const STORAGE_CLASS: &str = "spec.tidb.pingcap.com/storage-class";
    /// Size.
    pub const STORAGE_SIZE: &str = "spec.tidb.pingcap.com/storage-size";
}

/// Annotations on a claim: the volume as it is.
pub mod pvc_status {
    /// Number of the wish that was met.
    pub const REVISION: &str = "status.tidb.pingcap.com/revision";
    /// Class.
    pub const STORAGE_CLASS: &str = "status.tidb.pingcap.com/storage-class";
    /// Size.
    pub const STORAGE_SIZE: &str = "status.tidb.pingcap.com/storage-size";
    /// When the volume was last changed.
    pub const LAST_TRANSITION: &str = "status.tidb.pingcap.com/last-transition-timestamp";
}

/// Annotations on pods that tell Prometheus where to read.
pub mod prometheus {
    /// `true`.
    pub const SCRAPE: &str = "prometheus.io/scrape";
    /// Path.
    pub const PATH: &str = "prometheus.io/path";
    /// Port.
    pub const PORT: &str = "prometheus.io/port";
}

/// Annotation on a TidbCluster: ordinals of the component to leave empty.
pub fn delete_slots(component: Component) -> String {
    format!("{component}.{DELETE_SLOTS_SUFFIX}")
}

/// Annotation on a TidbCluster: seconds a pod must be ready before the next one is upgraded.
pub fn min_ready_seconds(component: Component) -> String {
    // TiProxy's key has another prefix, by history.
    let prefix = if component == Component::Tiproxy { "tiproxy.pingcap.com" } else { "tidb.pingcap.com" };
    format!("{prefix}/{component}-min-ready-seconds")
}

/// Annotation on a TidbCluster: suffix of a ConfigMap that was rendered elsewhere, for a component without configuration.
pub fn config_map_sha(component: Component, base: &str) -> String {
    format!("pingcap.com/{component}.{base}.sha")
}

/// The four labels of everything that belongs to a component; also its selector.
pub fn component_labels(cluster: &TidbCluster, component: Component) -> BTreeMap<String, String> {
    let mut labels = cluster_labels(cluster);
    labels.insert(COMPONENT.to_owned(), component.name().to_owned());
    labels
}

/// The labels of everything that belongs to a cluster.
pub fn cluster_labels(cluster: &TidbCluster) -> BTreeMap<String, String> {
    BTreeMap::from([
        (NAME.to_owned(), NAME_VALUE.to_owned()),
        (MANAGED_BY.to_owned(), MANAGED_BY_VALUE.to_owned()),
        (INSTANCE.to_owned(), cluster.instance_name().to_owned()),
    ])
}
