//! Environment variables.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

/// A variable with a value.
pub fn value(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.into()), value_from: None }
}

/// A variable with the value of a field of the pod.
pub fn field(name: &str, path: &str) -> EnvVar {
    let field_ref = ObjectFieldSelector { api_version: None, field_path: path.to_owned() };
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() }),
    }
}

/// The pod's name, for a pod with the node's network: there the host name is the node's.
pub fn pod_name(host_network: bool) -> Option<EnvVar> {
    host_network.then(|| field("POD_NAME", "metadata.name"))
}

/// Appends the user's variables, except those whose names are taken.
pub fn append(env: &mut Vec<EnvVar>, user: &[EnvVar]) {
    for var in user {
        if !env.iter().any(|taken| taken.name == var.name) {
            env.push(var.clone());
        }
    }
}
