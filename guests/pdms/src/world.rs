//! What the policy sees of one service, read once.

use std::ops::Deref;

use serde::Deserialize;
use serde_json::Value;
use tidepool_sdk::{
    ComponentCall, Descriptor, Failure, PdRead, Scope, Snapshot,
    api::{
        Component, TidbCluster,
        names::{self, ports::PD_CLIENT},
        pdms::PdmsSpec,
        version::Version,
    },
    world,
};

pub use tidepool_sdk::world::watch;

/// What the policy decides for: also its key in the cluster's status.
const PDMS: &str = "pdms";

/// Watches of one service: indices are those of [`watch`] within its part of the snapshot.
const WATCHES: u32 = 5;

const ACTIONS: [&str; 4] = ["create", "replace", "delete", "component-call"];

/// From this version on a primary can be told to hand over, and a member has a name of its own.
const HANDS_OVER_FROM: (u64, u64, u64) = (8, 3, 0);

/// A service of PD that can run apart from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its component.
    pub component: Component,
    /// Its place among [`SERVICES`], and so in the descriptor.
    index: u32,
}

/// The services, in the order in which they are worked on.
pub const SERVICES: [Service; 2] =
    [Service { component: Component::Tso, index: 0 }, Service { component: Component::Scheduling, index: 1 }];

impl Service {
    /// Its name in the spec, in the status and in paths.
    pub fn name(self) -> &'static str {
        self.component.name()
    }

    /// Its part of the snapshot.
    pub fn part(self, snapshot: &Snapshot, cluster: &TidbCluster) -> Snapshot {
        snapshot.part(self.index * WATCHES, &cluster.member_name(self.component))
    }

    /// Index of the descriptor's call that moves its primary.
    pub fn transfer_call(self) -> u32 {
        self.index
    }
}

/// What the policy reads and may do.
pub fn descriptor() -> Descriptor {
    let common = world::descriptor(Component::Tso, env!("CARGO_PKG_VERSION"), &[Component::Discovery], &ACTIONS);
    let watches = SERVICES.iter().flat_map(|service| {
        common.watches.iter().cloned().map(|mut watch| {
            watch.of = Scope::Label(service.name().to_owned());
            watch
        })
    });
    let call = |service: Service| ComponentCall {
        method: "POST".to_owned(),
        path: format!("/{}/api/v1/primary/transfer", service.name()),
        port: u16::try_from(PD_CLIENT).unwrap_or_default(),
        pods: Some(service.name().to_owned()),
    };
    let written = ["Service", "ConfigMap", "StatefulSet"];
    Descriptor {
        component: PDMS.to_owned(),
        watches: watches.collect(),
        pods: Some("*".to_owned()),
        calls: SERVICES.map(call).to_vec(),
        pd: vec![PdRead::Members, PdRead::Services],
        writes: common.writes.iter().filter(|kind| written.contains(&kind.kind.as_str())).cloned().collect(),
        ..common.clone()
    }
}

/// A service as it is.
pub struct World<'a> {
    /// What every component sees.
    common: world::World<'a>,
    /// Which service.
    pub service: Service,
    /// Its own part of the spec.
    pub spec: &'a PdmsSpec,
    /// What PD says of it.
    pub registry: Registry,
}

impl<'a> Deref for World<'a> {
    type Target = world::World<'a>;

    fn deref(&self) -> &Self::Target {
        &self.common
    }
}

impl<'a> World<'a> {
    /// Reads it; none if the spec does not have the service.
    ///
    /// # Errors
    /// When what every decision needs is unknown.
    pub fn read(part: &'a Snapshot, cluster: &'a TidbCluster, service: Service) -> Result<Option<Self>, Failure> {
        let common = world::World::read(part, cluster, service.component)?;
        let spec = cluster.spec.pdms.iter().find(|spec| spec.name == service.name());
        let (Some(common), Some(spec)) = (common, spec) else { return Ok(None) };
        Ok(Some(Self { common, service, spec, registry: Registry::read(part, service) }))
    }

    /// Whether PD can wait for its service: PD serves, and leaves the service to others.
    pub fn pd_waits(&self) -> bool {
        let leads = self.snapshot.pd_members().is_ok_and(|members| members.iter().any(|member| member.leader));
        leads && !matches!(self.registry, Registry::InPd)
    }

    /// Whether the service of this image names its members.
    pub fn names_members(&self) -> bool {
        hands_over(&self.view.image_version())
    }
}

/// What PD says of a service.
#[derive(Clone, Debug, PartialEq)]
pub enum Registry {
    /// Its members run apart from PD.
    Apart {
        /// Those that are there.
        members: Vec<Member>,
        /// Pod of the one that acts; none while there is none.
        primary: Option<String>,
    },
    /// PD runs the service itself.
    InPd,
    /// PD did not say; the text is for people.
    Unknown(String),
}

/// A member of a service, as PD lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Member {
    /// The name by which it is told to take over.
    pub name: String,
    /// Its URL.
    pub service_addr: String,
    /// The version that runs.
    pub version: String,
}

impl Member {
    /// The pod in which it runs.
    pub fn pod(&self) -> &str {
        pod_at(&self.service_addr)
    }

    /// Whether it can be told to hand over.
    pub fn hands_over(&self) -> bool {
        hands_over(&self.version)
    }
}

impl Registry {
    /// Reads it.
    pub fn read(snapshot: &Snapshot, service: Service) -> Self {
        let members = match snapshot.pd_document(&format!("ms/members/{}", service.name())) {
            Err(unknown) => return Self::Unknown(unknown.to_string()),
            // The only text that PD gives in place of a list says that it runs the service itself.
            Ok(Value::String(_)) => return Self::InPd,
            Ok(Value::Null) => Vec::new(),
            Ok(list) => match serde_json::from_value(list) {
                Ok(members) => members,
                Err(error) => return Self::Unknown(format!("the list of members does not read as one: {error}")),
            },
        };
        match snapshot.pd_document(&format!("ms/primary/{}", service.name())) {
            Err(unknown) => Self::Unknown(unknown.to_string()),
            Ok(address) => {
                let address = address.as_str().filter(|address| !address.is_empty());
                Self::Apart { members, primary: address.map(|address| pod_at(address).to_owned()) }
            }
        }
    }

    /// The member in a pod.
    pub fn member(&self, pod: &str) -> Option<&Member> {
        let Self::Apart { members, .. } = self else { return None };
        members.iter().find(|member| member.pod() == pod)
    }
}

/// The pod that an address belongs to: the first word of its host.
fn pod_at(address: &str) -> &str {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let pod = host.split(['.', ':', '/']).next().unwrap_or_default();
    if names::ordinal(pod).is_some() { pod } else { "" }
}

/// A version that says nothing is taken for a new one, as for images.
fn hands_over(version: &str) -> bool {
    let (major, minor, patch) = HANDS_OVER_FROM;
    Version::parse(version).is_none_or(|version| version.at_least(major, minor, patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_pod_is_the_whole_first_word_of_its_address() {
        assert_eq!(pod_at("http://a-tso-1.a-tso-peer.ns.svc:2379"), "a-tso-1");
        assert_eq!(pod_at("https://a-tso-10:2379"), "a-tso-10");
        assert_eq!(pod_at("a-tso-0.a-tso-peer.ns.svc.x.local:2379"), "a-tso-0");
        assert_eq!(pod_at("http://10.0.0.5:2379"), "");
        assert_eq!(pod_at(""), "");
    }

    #[test]
    fn old_versions_cannot_hand_over() {
        for (version, can) in [("v8.2.9", false), ("v8.3.0", true), ("v8.3.0-alpha", true), ("nightly", true)] {
            assert_eq!(hands_over(version), can, "{version}");
        }
    }

    #[test]
    fn each_service_has_watches_and_a_call_of_its_own() {
        let descriptor = descriptor();
        assert_eq!(descriptor.watches.len(), 2 * WATCHES as usize);
        for service in SERVICES {
            let first = (service.index * WATCHES) as usize;
            assert_eq!(descriptor.watches[first].of, Scope::Label(service.name().to_owned()));
            let call = &descriptor.calls[service.transfer_call() as usize];
            assert_eq!(call.path, format!("/{}/api/v1/primary/transfer", service.name()));
        }
    }
}
