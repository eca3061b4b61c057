//! What the API server would make of a change. It fills in defaults, and what a policy leaves out because it is the
//! default would otherwise be shown as taken away.

use kube::{
    Api, Client,
    api::{DynamicObject, PostParams},
};
use serde_json::Value;
use tidepool_model::plan::ObjectRef;

use super::{Change, Preview};
use crate::{apply::FIELD_MANAGER, kinds};

/// Replaces each object as a policy wants it by what the API server would store. Where it does not answer, or this user
/// may not even try, the policy's own words stay.
pub(super) async fn complete(client: &Client, preview: &mut Preview) {
    for change in preview.components.iter_mut().flat_map(|component| &mut component.changes) {
        let Change { before: Some(_), after: Some(after), .. } = change else { continue };
        match stored(client, after).await {
            Ok(stored) => *after = stored,
            Err(error) => tracing::info!(subject = change.subject, %error, "no dry run of a change"),
        }
    }
}

async fn stored(client: &Client, object: &Value) -> kube::Result<Value> {
    let target = ObjectRef::of(object);
    let resource = kinds::resolve(client, &kinds::kind(&target.api_version, &target.kind)).await?;
    let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
        Some(namespace) if resource.namespaced => Api::namespaced_with(client.clone(), namespace, &resource.api),
        _ => Api::all_with(client.clone(), &resource.api),
    };
    let parameters = PostParams { dry_run: true, field_manager: Some(FIELD_MANAGER.to_owned()) };
    let object: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    let stored = api.replace(&target.name, &parameters, &object).await?;
    serde_json::to_value(stored).map_err(kube::Error::SerdeError)
}
