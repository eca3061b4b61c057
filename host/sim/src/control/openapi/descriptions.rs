//! What each built-in type and field is for, from the schemas that the Kubernetes types carry.

use k8s_openapi::{
    api::{
        apps::v1 as apps, authentication::v1 as authentication, authorization::v1 as authorization, autoscaling,
        batch::v1 as batch, coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
        events::v1 as events, networking::v1 as networking, policy::v1 as policy, rbac::v1 as rbac,
        scheduling::v1 as scheduling, storage::v1 as storage,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions,
};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value};

use crate::control::path::text;

/// Texts by definition. They are made anew for each document: few are asked for, and they would fill megabytes.
pub struct Descriptions {
    definitions: Map<String, Value>,
}

/// Adds the schemas of the types to a generator.
macro_rules! add {
    ($generator:ident: $($ty:ty),* $(,)?) => { $(add::<$ty>(&mut $generator);)* };
}

impl Descriptions {
    /// The texts of all built-in types.
    pub fn load() -> Self {
        let mut generator = SchemaSettings::draft07().into_generator();
        add!(generator: core::Binding, core::ConfigMap, core::Endpoints, core::Event, core::LimitRange, core::Namespace, core::Node,
            core::PersistentVolume, core::PersistentVolumeClaim, core::Pod, core::PodTemplate, core::ReplicationController,
            core::ResourceQuota, core::Secret, core::Service, core::ServiceAccount);
        add!(generator: apps::ControllerRevision, apps::DaemonSet, apps::Deployment, apps::ReplicaSet, apps::StatefulSet);
        add!(generator: batch::CronJob, batch::Job, policy::PodDisruptionBudget, policy::Eviction, autoscaling::v1::HorizontalPodAutoscaler,
            autoscaling::v1::Scale, autoscaling::v2::HorizontalPodAutoscaler, coordination::Lease, discovery::EndpointSlice, events::Event);
        add!(generator: networking::Ingress, networking::IngressClass, networking::NetworkPolicy, rbac::ClusterRole, rbac::ClusterRoleBinding,
            rbac::Role, rbac::RoleBinding, scheduling::PriorityClass, storage::CSIDriver, storage::CSINode, storage::StorageClass,
            storage::VolumeAttachment, apiextensions::CustomResourceDefinition);
        add!(generator: authentication::SelfSubjectReview, authentication::TokenReview, authorization::LocalSubjectAccessReview,
            authorization::SelfSubjectAccessReview, authorization::SelfSubjectRulesReview, authorization::SubjectAccessReview);
        Self { definitions: generator.take_definitions(true) }
    }

    /// What a type is for.
    pub fn of_type(&self, definition: &str) -> Option<&str> {
        self.definitions.get(definition).map(|schema| text(schema, "description")).filter(|text| !text.is_empty())
    }

    /// What a field is for.
    pub fn of_field(&self, definition: &str, field: &str) -> Option<&str> {
        let field = self.definitions.get(definition)?.get("properties")?.get(field)?;
        Some(text(field, "description")).filter(|text| !text.is_empty())
    }
}

fn add<T: JsonSchema>(generator: &mut SchemaGenerator) {
    generator.subschema_for::<T>();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::resources::Registry;

    #[test]
    fn every_built_in_type_says_what_it_is() {
        let descriptions = Descriptions::load();
        for resource in Registry::builtin().all() {
            let name = crate::control::schema::definition_name(&resource.group, &resource.version, &resource.kind);
            assert!(descriptions.of_type(&name).is_some(), "{name}");
        }
        assert!(descriptions.of_field("io.k8s.api.core.v1.PodSpec", "containers").is_some());
    }
}
