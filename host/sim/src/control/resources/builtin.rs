//! The table of built-in resources.

use super::{ResourceInfo, Subresource, VERBS, VERBS_REVIEW};

/// `group/version plural singular Kind scope [flags]`: scope `n` is namespaced, `c` cluster-wide; a flag is
/// `short=a,b`, `cat=a`, `sub=a,b` or `review`.
const TABLE: &str = "
/v1 bindings binding Binding n review
/v1 configmaps configmap ConfigMap n short=cm
/v1 endpoints endpoints Endpoints n short=ep
/v1 events event Event n short=ev
/v1 limitranges limitrange LimitRange n short=limits
/v1 namespaces namespace Namespace c short=ns sub=finalize,status
/v1 nodes node Node c short=no sub=status
/v1 persistentvolumeclaims persistentvolumeclaim PersistentVolumeClaim n short=pvc sub=status
/v1 persistentvolumes persistentvolume PersistentVolume c short=pv sub=status
/v1 pods pod Pod n short=po cat=all sub=binding,ephemeralcontainers,eviction,log,resize,status
/v1 podtemplates podtemplate PodTemplate n
/v1 replicationcontrollers replicationcontroller ReplicationController n short=rc cat=all sub=scale,status
/v1 resourcequotas resourcequota ResourceQuota n short=quota sub=status
/v1 secrets secret Secret n
/v1 serviceaccounts serviceaccount ServiceAccount n short=sa sub=token
/v1 services service Service n short=svc cat=all sub=status
apiextensions.k8s.io/v1 customresourcedefinitions customresourcedefinition CustomResourceDefinition c short=crd,crds cat=api-extensions sub=status
apps/v1 controllerrevisions controllerrevision ControllerRevision n
apps/v1 daemonsets daemonset DaemonSet n short=ds cat=all sub=status
apps/v1 deployments deployment Deployment n short=deploy cat=all sub=scale,status
apps/v1 replicasets replicaset ReplicaSet n short=rs cat=all sub=scale,status
apps/v1 statefulsets statefulset StatefulSet n short=sts cat=all sub=scale,status
events.k8s.io/v1 events event Event n short=ev
authentication.k8s.io/v1 selfsubjectreviews selfsubjectreview SelfSubjectReview c review
authentication.k8s.io/v1 tokenreviews tokenreview TokenReview c review
authorization.k8s.io/v1 localsubjectaccessreviews localsubjectaccessreview LocalSubjectAccessReview n review
authorization.k8s.io/v1 selfsubjectaccessreviews selfsubjectaccessreview SelfSubjectAccessReview c review
authorization.k8s.io/v1 selfsubjectrulesreviews selfsubjectrulesreview SelfSubjectRulesReview c review
authorization.k8s.io/v1 subjectaccessreviews subjectaccessreview SubjectAccessReview c review
autoscaling/v2 horizontalpodautoscalers horizontalpodautoscaler HorizontalPodAutoscaler n short=hpa cat=all sub=status
autoscaling/v1 horizontalpodautoscalers horizontalpodautoscaler HorizontalPodAutoscaler n short=hpa cat=all sub=status
batch/v1 cronjobs cronjob CronJob n short=cj cat=all sub=status
batch/v1 jobs job Job n cat=all sub=status
networking.k8s.io/v1 ingressclasses ingressclass IngressClass c
networking.k8s.io/v1 ingresses ingress Ingress n short=ing sub=status
networking.k8s.io/v1 networkpolicies networkpolicy NetworkPolicy n short=netpol
policy/v1 poddisruptionbudgets poddisruptionbudget PodDisruptionBudget n short=pdb sub=status
rbac.authorization.k8s.io/v1 clusterrolebindings clusterrolebinding ClusterRoleBinding c
rbac.authorization.k8s.io/v1 clusterroles clusterrole ClusterRole c
rbac.authorization.k8s.io/v1 rolebindings rolebinding RoleBinding n
rbac.authorization.k8s.io/v1 roles role Role n
storage.k8s.io/v1 csidrivers csidriver CSIDriver c
storage.k8s.io/v1 csinodes csinode CSINode c
storage.k8s.io/v1 storageclasses storageclass StorageClass c short=sc
storage.k8s.io/v1 volumeattachments volumeattachment VolumeAttachment c sub=status
scheduling.k8s.io/v1 priorityclasses priorityclass PriorityClass c short=pc
coordination.k8s.io/v1 leases lease Lease n
discovery.k8s.io/v1 endpointslices endpointslice EndpointSlice n
";

/// All rows of the table.
pub(super) fn table() -> Vec<ResourceInfo> {
    TABLE.lines().filter(|line| !line.is_empty()).filter_map(row).collect()
}

fn row(line: &str) -> Option<ResourceInfo> {
    let mut words = line.split(' ');
    let (group, version) = words.next()?.split_once('/')?;
    let (plural, singular, kind, scope) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let mut resource = ResourceInfo {
        group: group.into(),
        version: version.into(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        plural: plural.into(),
        singular: singular.into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: scope == "n",
        verbs: VERBS,
        subresources: Vec::new(),
        custom: None,
    };
    for word in words {
        let (flag, list) = word.split_once('=').unwrap_or((word, ""));
        let list = list.split(',');
        match flag {
            "review" => resource.verbs = VERBS_REVIEW,
            "short" => resource.short_names = list.map(str::to_owned).collect(),
            "cat" => resource.categories = list.map(str::to_owned).collect(),
            _ => resource.subresources = list.map(subresource).collect(),
        }
    }
    Some(resource)
}

fn subresource(name: &str) -> Subresource {
    let body = |group: &str, version: &str, kind: &str| Some((group.to_owned(), version.to_owned(), kind.to_owned()));
    let (body, verbs): (_, &'static [&'static str]) = match name {
        "scale" => (body("autoscaling", "v1", "Scale"), &["get", "patch", "update"]),
        "binding" => (body("", "v1", "Binding"), &["create"]),
        "eviction" => (body("policy", "v1", "Eviction"), &["create"]),
        "token" => (body("authentication.k8s.io", "v1", "TokenRequest"), &["create"]),
        "finalize" => (None, &["update"]),
        "log" => (None, &["get"]),
        _ => (None, &["get", "patch", "update"]),
    };
    Subresource { name: name.into(), body, verbs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_a_resource() {
        assert_eq!(table().len(), TABLE.lines().filter(|line| !line.is_empty()).count());
    }
}
