//! Who may do what: roles and their bindings, as far as impersonated users need them.
//!
//! Whoever reaches the control plane without naming another user is its administrator and may do everything.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    error::{ApiError, qualified},
    path::{at, list, text},
    strategy::World,
};

const GROUP: &str = "rbac.authorization.k8s.io";
const MASTERS: &str = "system:masters";
const AUTHENTICATED: &str = "system:authenticated";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// For example `bob` or `system:serviceaccount:default:app`.
    pub name: String,
    /// In the order in which they are shown.
    pub groups: Vec<String>,
}

impl User {
    /// The one who may do everything.
    pub fn admin() -> Self {
        Self { name: "admin".to_owned(), groups: vec![MASTERS.to_owned(), AUTHENTICATED.to_owned()] }
    }

    /// A user that the administrator speaks for; service accounts get the groups that they always have.
    pub fn impersonated(name: &str, groups: &[String]) -> Self {
        let mut groups = groups.to_vec();
        if groups.is_empty()
            && let Some((namespace, _)) = name.strip_prefix(ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'))
        {
            groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        }
        groups.push(AUTHENTICATED.to_owned());
        Self { name: name.to_owned(), groups }
    }

    /// Whether no rule needs to be asked.
    pub fn is_admin(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
    }

    fn is_subject(&self, subject: &Value, namespace: &str) -> bool {
        let name = text(subject, "name");
        match text(subject, "kind") {
            "User" => self.name == name,
            "Group" => self.groups.iter().any(|group| group == name),
            "ServiceAccount" => {
                let namespace = match text(subject, "namespace") {
                    "" => namespace,
                    given => given,
                };
                self.name == format!("{ACCOUNT_PREFIX}{namespace}:{name}")
            }
            _ => false,
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes<'a> {
    /// `get`, `list`, `create`, …
    pub verb: &'a str,
    /// Empty for the core group.
    pub group: &'a str,
    /// `pods`, `pods/log`; empty for a path.
    pub resource: &'a str,
    /// Empty for cluster-wide requests.
    pub namespace: &'a str,
    /// Empty for a collection.
    pub name: &'a str,
    /// A path that is no resource, for example `/readyz`.
    pub path: &'a str,
}

/// Whether `user` may do it.
pub fn allowed(world: &dyn World, user: &User, asked: &Attributes<'_>) -> bool {
    user.is_admin() || everyone_may(asked) || rules(world, user, asked.namespace).iter().any(|rule| covers(rule, asked))
}

/// The answer to a request that is not allowed.
pub fn forbidden(user: &User, asked: &Attributes<'_>) -> ApiError {
    let mut text = format!(
        "User \"{}\" cannot {} resource \"{}\" in API group \"{}\"",
        user.name, asked.verb, asked.resource, asked.group
    );
    text += &match asked.namespace {
        "" => " at the cluster scope".to_owned(),
        namespace => format!(" in the namespace \"{namespace}\""),
    };
    if asked.resource.is_empty() {
        text = format!("User \"{}\" cannot {} path \"{}\"", user.name, asked.verb, asked.path);
    }
    let subject = qualified(asked.group, asked.resource);
    let subject = if asked.name.is_empty() { subject } else { format!("{subject} \"{}\"", asked.name) };
    let error = ApiError::new(403, "Forbidden", format!("{subject} is forbidden: {text}"));
    let mut details = json!({"kind": asked.resource});
    for (field, value) in [("name", asked.name), ("group", asked.group)] {
        if !value.is_empty() {
            details[field] = value.into();
        }
    }
    ApiError { details, ..error }
}

/// The rules that hold for `user` in a namespace, or cluster-wide for an empty one.
pub fn rules(world: &dyn World, user: &User, namespace: &str) -> Vec<Value> {
    let mut rules = Vec::new();
    for binding in world.list(GROUP, "clusterrolebindings", None) {
        rules.extend(granted(world, user, &binding, ""));
    }
    if !namespace.is_empty() {
        for binding in world.list(GROUP, "rolebindings", Some(namespace)) {
            rules.extend(granted(world, user, &binding, namespace));
        }
    }
    rules
}

fn granted(world: &dyn World, user: &User, binding: &Arc<Value>, namespace: &str) -> Vec<Value> {
    if !list(binding, "subjects").iter().any(|subject| user.is_subject(subject, namespace)) {
        return Vec::new();
    }
    let roles = match text(binding, "roleRef.kind") {
        "Role" => world.list(GROUP, "roles", Some(namespace)),
        _ => world.list(GROUP, "clusterroles", None),
    };
    let role = roles.iter().find(|role| text(role, "metadata.name") == text(binding, "roleRef.name"));
    role.map(|role| list(role, "rules").to_vec()).unwrap_or_default()
}

/// Whoever is known may look around and ask about themselves.
fn everyone_may(asked: &Attributes<'_>) -> bool {
    const PLACES: [&str; 6] = ["/api", "/apis", "/healthz", "/livez", "/openapi", "/readyz"];
    let looks = asked.verb == "get" && !asked.path.is_empty();
    let at_place = |place: &str| asked.path == place || asked.path.starts_with(&format!("{place}/"));
    let of_self = asked.verb == "create" && asked.resource.starts_with("selfsubject");
    of_self || looks && (asked.path.starts_with("/version") || PLACES.iter().any(|place| at_place(place)))
}

fn covers(rule: &Value, asked: &Attributes<'_>) -> bool {
    let holds = |field: &str, wanted: &str| list(rule, field).iter().any(|value| value == "*" || value == wanted);
    if !asked.path.is_empty() {
        let fits = |url: &Value| match url.as_str().and_then(|url| url.strip_suffix('*')) {
            Some(start) => asked.path.starts_with(start),
            None => url == asked.path,
        };
        return holds("verbs", asked.verb) && list(rule, "nonResourceURLs").iter().any(fits);
    }
    let any_parent = asked.resource.split_once('/').is_some_and(|(_, sub)| holds("resources", &format!("*/{sub}")));
    let names = list(rule, "resourceNames");
    let named = names.is_empty() || names.iter().any(|name| name == asked.name);
    holds("verbs", asked.verb)
        && holds("apiGroups", asked.group)
        && (holds("resources", asked.resource) || any_parent)
        && named
}

/// The rules as a rules review shows them: for resources, and for other paths.
pub fn review(world: &dyn World, user: &User, namespace: &str) -> Value {
    let mut rules = rules(world, user, namespace);
    let own = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"];
    rules.push(json!({"verbs": ["create"], "apiGroups": ["authorization.k8s.io"], "resources": own}));
    rules.push(
        json!({"verbs": ["create"], "apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"]}),
    );
    rules.push(json!({"verbs": ["get"], "nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz", "/version"]}));
    if user.is_admin() {
        rules.push(json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}));
        rules.push(json!({"verbs": ["*"], "nonResourceURLs": ["*"]}));
    }
    let (paths, resources): (Vec<Value>, Vec<Value>) =
        rules.into_iter().partition(|rule| at(rule, "nonResourceURLs").is_array());
    json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Roles;

    impl World for Roles {
        fn now(&self) -> jiff::Timestamp {
            jiff::Timestamp::UNIX_EPOCH
        }

        fn random(&self) -> u64 {
            0
        }

        fn list(&self, _: &str, plural: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
            match (plural, namespace) {
                ("roles", Some("ns")) => vec![Arc::new(json!({"metadata": {"name": "r"},
                    "rules": [{"verbs": ["list"], "apiGroups": ["apps"], "resources": ["statefulsets"]}]}))],
                ("rolebindings", Some("ns")) => vec![Arc::new(json!({"roleRef": {"kind": "Role", "name": "r"},
                    "subjects": [{"kind": "User", "name": "bob"}, {"kind": "ServiceAccount", "name": "sa"}]}))],
                _ => Vec::new(),
            }
        }
    }

    #[test]
    fn a_role_grants_in_its_namespace_alone() {
        let asked = Attributes {
            verb: "list",
            group: "apps",
            resource: "statefulsets",
            namespace: "ns",
            ..Attributes::default()
        };
        for name in ["bob", "system:serviceaccount:ns:sa"] {
            assert!(allowed(&Roles, &User::impersonated(name, &[]), &asked), "{name}");
        }
        assert!(!allowed(&Roles, &User::impersonated("eve", &[]), &asked));
        assert!(!allowed(&Roles, &User::impersonated("bob", &[]), &Attributes { namespace: "", ..asked }));
        assert!(!allowed(&Roles, &User::impersonated("bob", &[]), &Attributes { verb: "get", ..asked }));
        assert!(allowed(&Roles, &User::admin(), &Attributes { verb: "get", namespace: "", ..asked }));
    }
}
