//! The components of a cluster: their names, their order.

use std::fmt;
use std::str::FromStr;

/// One component of a TidbCluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Component {
    /// Tells PD members and others where PD is, while a cluster starts.
    Discovery,
    /// Placement driver.
    Pd,
    /// PD's timestamp service, running on its own (`pd.mode: ms`).
    Tso,
    /// PD's scheduling service, running on its own (`pd.mode: ms`).
    Scheduling,
    /// Row store.
    Tikv,
    /// SQL server.
    Tidb,
    /// Column store.
    Tiflash,
    /// Change data capture.
    Ticdc,
    /// Binlog collector.
    Pump,
    /// Connection proxy.
    Tiproxy,
}

impl Component {
    /// Every component, in the order in which a loop visits them.
    pub const ALL: [Component; 10] = [
        Component::Discovery,
        Component::Pd,
        Component::Tso,
        Component::Scheduling,
        Component::Tidb,
        Component::Tikv,
        Component::Tiflash,
        Component::Ticdc,
        Component::Pump,
        Component::Tiproxy,
    ];

    /// The name in labels, object names and `spec` (`tso` and `scheduling` are entries of `spec.pdms`).
    pub const fn name(self) -> &'static str {
        match self {
            Component::Discovery => "discovery",
            Component::Pd => "pd",
            Component::Tso => "tso",
            Component::Scheduling => "scheduling",
            Component::Tikv => "tikv",
            Component::Tidb => "tidb",
            Component::Tiflash => "tiflash",
            Component::Ticdc => "ticdc",
            Component::Pump => "pump",
            Component::Tiproxy => "tiproxy",
        }
    }

    /// The name in sentences.
    pub const fn title(self) -> &'static str {
        match self {
            Component::Discovery => "discovery",
            Component::Pd => "PD",
            Component::Tso => "PD's timestamp service",
            Component::Scheduling => "PD's scheduling service",
            Component::Tikv => "TiKV",
            Component::Tidb => "TiDB",
            Component::Tiflash => "TiFlash",
            Component::Ticdc => "TiCDC",
            Component::Pump => "Pump",
            Component::Tiproxy => "TiProxy",
        }
    }

    /// The image used when the component names none.
    pub const fn default_base_image(self) -> Option<&'static str> {
        match self {
            Component::Discovery => None,
            Component::Pd | Component::Tso | Component::Scheduling => Some("pingcap/pd"),
            Component::Tikv => Some("pingcap/tikv"),
            Component::Tidb => Some("pingcap/tidb"),
            Component::Tiflash => Some("pingcap/tiflash"),
            Component::Ticdc => Some("pingcap/ticdc"),
            Component::Pump => Some("pingcap/tidb-binlog"),
            Component::Tiproxy => Some("pingcap/tiproxy"),
        }
    }
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Component {
    type Err = UnknownComponent;

    fn from_str(name: &str) -> Result<Self, UnknownComponent> {
        Component::ALL.into_iter().find(|c| c.name() == name).ok_or_else(|| UnknownComponent(name.to_owned()))
    }
}

/// A name that is no component's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown component {0:?}")]
pub struct UnknownComponent(pub String);
