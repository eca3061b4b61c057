//! The handlers of PD's HTTP API.

use super::{
    cluster::Cluster,
    request::{Reply, Request},
    route::Call,
    wire,
};

/// API v1, at the member that handles the call.
pub(super) fn v1(_cluster: &mut Cluster, _call: &Call) -> Reply {
    wire::not_found()
}

/// API v2.
pub(super) fn v2(_cluster: &mut Cluster, _path: &str, _request: &Request) -> Reply {
    wire::not_found_v2()
}

/// `/pd/api/v2/ready`
pub(super) fn ready(_cluster: &mut Cluster, _process: &str, _request: &Request) -> Reply {
    wire::empty(500)
}

/// `/autoscaling`, which nobody uses any more.
pub(super) fn autoscaling(_cluster: &mut Cluster) -> Reply {
    wire::json_v1(500, &wire::NOT_BOOTSTRAPPED)
}

impl Cluster {
    pub fn ms_runs(&mut self, _now: u64, _service: &str, _name: &str, _address: &str, _version: &str) {}
    pub fn ms_stopped(&mut self, _now: u64, _service: &str, _name: &str) {}
    pub fn ms_handle(&mut self, _now: u64, _s: &str, _n: &str, _r: &Request) -> super::Answer {
        super::Answer::Refused
    }
}
