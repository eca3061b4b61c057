//! What follows from spec and status together: how many pods are wanted, and whether a component can be used.

use std::collections::BTreeMap;

use crate::cluster::TidbCluster;
use crate::kind::Component;
use crate::status::{CommonStatus, Phase, Store};

/// The state of a store that serves.
pub const STORE_UP: &str = "Up";
/// The state of a Pump server that serves.
pub const PUMP_ONLINE: &str = "online";

impl TidbCluster {
    /// The part of a component's status that all components have.
    pub fn common_status(&self, kind: Component) -> Option<&CommonStatus> {
        let status = self.status.as_ref()?;
        match kind {
            Component::Discovery => None,
            Component::Pd => status.pd.as_ref().map(|s| &s.common),
            Component::Tso | Component::Scheduling => status.pdms.get(kind.name()).map(|s| &s.common),
            Component::Tikv => status.tikv.as_ref().map(|s| &s.common),
            Component::Tidb => status.tidb.as_ref().map(|s| &s.common),
            Component::Tiflash => status.tiflash.as_ref().map(|s| &s.common),
            Component::Ticdc => status.ticdc.as_ref().map(|s| &s.common),
            Component::Pump => status.pump.as_ref().map(|s| &s.common),
            Component::Tiproxy => status.tiproxy.as_ref().map(|s| &s.common),
        }
    }

    /// Whether PD runs `kind` apart from itself; false for everything that is no service of PD.
    pub fn runs_apart(&self, kind: Component) -> bool {
        let service = matches!(kind, Component::Tso | Component::Scheduling);
        let apart = self.spec.pd.as_ref().is_some_and(|pd| pd.mode == "ms");
        service && apart && self.component(kind).is_some()
    }

    /// The first service of PD that runs apart and of which no member is known; without it the database has no clock,
    /// or nobody who spreads its regions.
    pub fn service_without_members(&self) -> Option<Component> {
        let services = self.status.as_ref().map(|status| &status.pdms);
        let serves = |kind: &Component| {
            let service = services.and_then(|services| services.get(kind.name()));
            service.is_some_and(|service| service.synced && !service.members.is_empty())
        };
        [Component::Tso, Component::Scheduling].into_iter().find(|kind| self.runs_apart(*kind) && !serves(kind))
    }

    /// Replicas wanted, with those that failover and volume replacement add; 0 if the component is absent.
    pub fn desired_replicas(&self, kind: Component) -> i32 {
        let Some(view) = self.component(kind) else { return 0 };
        view.replicas().saturating_add(self.added_replicas(kind))
    }

    fn added_replicas(&self, kind: Component) -> i32 {
        let Some(status) = &self.status else { return 0 };
        let spec = &self.spec;
        let spare = |replacing: bool, spare: Option<i32>| {
            if replacing { spare.unwrap_or(crate::defaults::SPARE_VOL_REPLACE_REPLICAS) } else { 0 }
        };
        let (failed, spare) = match kind {
            Component::Pd => status.pd.as_ref().map_or((0, 0), |pd| {
                let failed = pd.failure_members.values().filter(|member| member.member_deleted).count();
                (
                    failed,
                    spare(pd.vol_replace_in_progress, spec.pd.as_ref().and_then(|pd| pd.spare_vol_replace_replicas)),
                )
            }),
            Component::Tikv => status.tikv.as_ref().map_or((0, 0), |tikv| {
                let wanted = spec.tikv.as_ref().and_then(|tikv| tikv.spare_vol_replace_replicas);
                (tikv.failure_stores.len(), spare(tikv.vol_replace_in_progress, wanted))
            }),
            Component::Tiflash => status.tiflash.as_ref().map_or((0, 0), |tiflash| (tiflash.failure_stores.len(), 0)),
            Component::Tidb => status.tidb.as_ref().map_or((0, 0), |tidb| (tidb.failure_members.len(), 0)),
            _ => (0, 0),
        };
        i32::try_from(failed).unwrap_or(i32::MAX).saturating_add(spare)
    }

    /// Whether PD has a quorum of healthy members; true without a PD of its own.
    pub fn pd_available(&self) -> bool {
        let Some(spec) = &self.spec.pd else { return true };
        let Some(pd) = self.status.as_ref().and_then(|status| status.pd.as_ref()) else { return false };
        let peers = pd.peer_members.len();
        let quorum = (usize::try_from(spec.replicas).unwrap_or(0) + peers) / 2 + 1;
        let healthy_peers = pd.peer_members.values().filter(|member| member.health).count();
        let healthy = pd.members.values().filter(|member| member.health).count() + healthy_peers;
        pd.members.len() + peers >= quorum
            && healthy >= quorum
            && ready_replicas(&pd.common).is_some_and(|ready| ready + healthy_peers >= quorum)
            && pd.common.phase != Phase::SUSPEND
    }

    /// Whether at least one TiKV store serves, here or at a peer.
    pub fn tikv_available(&self) -> bool {
        let Some(tikv) = self.status.as_ref().and_then(|status| status.tikv.as_ref()) else { return false };
        let up_peers = up(&tikv.peer_stores);
        up(&tikv.stores) + up_peers >= 1
            && ready_replicas(&tikv.common).is_some_and(|ready| ready + up_peers >= 1)
            && tikv.common.phase != Phase::SUSPEND
    }

    /// Whether at least one Pump server serves.
    pub fn pump_available(&self) -> bool {
        let Some(pump) = self.status.as_ref().and_then(|status| status.pump.as_ref()) else { return false };
        pump.common.phase != Phase::SUSPEND && pump.members.iter().any(|member| member.state == PUMP_ONLINE)
    }

    /// Whether all TiKV stores are there and serve. Failover stores do not count, so the number is that of the spec.
    pub fn all_tikv_stores_up(&self) -> bool {
        let Some(tikv) = self.status.as_ref().and_then(|status| status.tikv.as_ref()) else { return false };
        self.spec.tikv.as_ref().is_some_and(|spec| are_all(tikv.stores.len(), spec.replicas)) && all_up(&tikv.stores)
    }

    /// Whether failover of PD has begun and not yet removed the member.
    pub fn pd_auto_failing_over(&self) -> bool {
        let pd = self.status.as_ref().and_then(|status| status.pd.as_ref());
        pd.is_some_and(|pd| pd.failure_members.values().any(|member| !member.member_deleted))
    }

    /// Whether every pod that is wanted is there and well, as the component itself says; false if it is absent.
    pub fn all_ready(&self, kind: Component) -> bool {
        let (Some(_), Some(status)) = (self.component(kind), &self.status) else { return false };
        let wanted = self.desired_replicas(kind);
        match kind {
            Component::Pd => status
                .pd
                .as_ref()
                .is_some_and(|s| are_all(s.members.len(), wanted) && s.members.values().all(|m| m.health)),
            Component::Tikv => {
                status.tikv.as_ref().is_some_and(|s| are_all(s.stores.len(), wanted) && all_up(&s.stores))
            }
            Component::Tiflash => {
                status.tiflash.as_ref().is_some_and(|s| are_all(s.stores.len(), wanted) && all_up(&s.stores))
            }
            Component::Tidb => status
                .tidb
                .as_ref()
                .is_some_and(|s| are_all(s.members.len(), wanted) && s.members.values().all(|m| m.health)),
            Component::Tiproxy => status
                .tiproxy
                .as_ref()
                .is_some_and(|s| are_all(s.members.len(), wanted) && s.members.values().all(|m| m.health)),
            Component::Ticdc => status
                .ticdc
                .as_ref()
                .is_some_and(|s| are_all(s.captures.len(), wanted) && s.captures.values().all(|c| c.ready)),
            Component::Pump => status
                .pump
                .as_ref()
                .is_some_and(|s| are_all(s.members.len(), wanted) && s.members.iter().all(|m| m.state == PUMP_ONLINE)),
            Component::Tso | Component::Scheduling => status.pdms.get(kind.name()).is_some_and(|s| {
                // PD comes after its services in an upgrade: until theirs is over, it has not begun.
                are_all(s.members.len(), wanted) && s.common.phase == Phase::NORMAL
            }),
            Component::Discovery => false,
        }
    }

    /// Whether the component was suspended and its StatefulSet is gone.
    pub fn suspended(&self, kind: Component) -> bool {
        let status = self.common_status(kind);
        let gone = status.is_some_and(|status| status.phase == Phase::SUSPEND && status.stateful_set.is_none());
        gone && self.component(kind).is_some_and(|view| view.suspend())
    }
}

fn ready_replicas(status: &CommonStatus) -> Option<usize> {
    let set = status.stateful_set.as_ref()?;
    Some(set.ready_replicas.and_then(|ready| usize::try_from(ready).ok()).unwrap_or(0))
}

fn up(stores: &BTreeMap<String, Store>) -> usize {
    stores.values().filter(|store| store.state == STORE_UP).count()
}

fn all_up(stores: &BTreeMap<String, Store>) -> bool {
    up(stores) == stores.len()
}

fn are_all(count: usize, wanted: i32) -> bool {
    usize::try_from(wanted).is_ok_and(|wanted| wanted == count)
}
