//! Resources without storage: access and token reviews.

use serde_json::{Value, json};

use super::{
    error::ApiError,
    path::{at, list, set, text},
    rbac::{self, Attributes, User},
    resources::ResourceInfo,
    strategy::World,
};

/// Answers a create of a review. `user` is who asks, `world` knows roles and bindings.
///
/// # Errors
/// When the review is malformed.
pub fn create(
    resource: &ResourceInfo,
    namespace: Option<&str>,
    mut review: Value,
    user: &User,
    world: &dyn World,
) -> Result<Value, ApiError> {
    let status = match resource.plural.as_str() {
        "selfsubjectreviews" => json!({"userInfo": {"username": user.name, "groups": user.groups}}),
        "selfsubjectrulesreviews" => rbac::review(world, user, text(&review, "spec.namespace")),
        "selfsubjectaccessreviews" => access(world, user, &review)?,
        "subjectaccessreviews" => access(world, &named(&review), &review)?,
        "localsubjectaccessreviews" => {
            if namespace != Some(text(&review, "spec.resourceAttributes.namespace")) {
                return Err(ApiError::bad_request(
                    "the namespace of the review does not match the namespace of the request",
                ));
            }
            access(world, &named(&review), &review)?
        }
        "tokenreviews" => json!({"authenticated": false, "user": {}}),
        _ => return Ok(review),
    };
    set(&mut review, "status", status);
    Ok(review)
}

/// The user that a review asks about.
fn named(review: &Value) -> User {
    let groups = list(review, "spec.groups").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    User { name: text(review, "spec.user").to_owned(), groups }
}

fn access(world: &dyn World, user: &User, review: &Value) -> Result<Value, ApiError> {
    let (resource, path) = (at(review, "spec.resourceAttributes"), at(review, "spec.nonResourceAttributes"));
    if resource.is_null() == path.is_null() {
        return Err(ApiError::bad_request(
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ));
    }
    let full = match text(resource, "subresource") {
        "" => text(resource, "resource").to_owned(),
        sub => format!("{}/{sub}", text(resource, "resource")),
    };
    let asked = Attributes {
        verb: if path.is_null() { text(resource, "verb") } else { text(path, "verb") },
        group: text(resource, "group"),
        resource: &full,
        namespace: text(resource, "namespace"),
        name: text(resource, "name"),
        path: text(path, "path"),
    };
    Ok(json!({ "allowed": rbac::allowed(world, user, &asked) }))
}
