//! The way to PD and the other components: at which address, and in which mode.
//!
//! A member is called in the mode that it runs, as its pod shows (S30): while TLS is switched on or off, members of both
//! modes are there at once, and what the TidbCluster says is true of none of them for sure.

use std::sync::Arc;

use http::Method;
use tidepool_pd::{Error, Http, HttpPd, Place};

use super::silence::Silence;
use crate::{
    cluster::{Cluster, PdPlace},
    identity::Identities,
    operator::Config,
    store::{PodDetail, Store},
};

/// The world as it is, over HTTP.
#[derive(Clone)]
pub struct Network {
    http: Http,
    store: Arc<Store>,
    identities: Arc<Identities>,
    silence: Arc<Silence>,
}

impl Network {
    /// Asks as `config` says, about pods that `store` has.
    pub fn of(config: &Config, store: Arc<Store>) -> Self {
        let identities = Identities::new(config.client.clone(), config.http.clone(), config.now_ms.clone());
        Self { http: config.http.clone(), store, identities: Arc::new(identities), silence: Arc::default() }
    }

    /// The cluster's PD; none where its address is not known from names alone.
    ///
    /// # Errors
    /// When a certificate is needed and there is none.
    pub async fn pd_of(&self, cluster: &Cluster) -> Result<Option<HttpPd>, Error> {
        let Some(place) = cluster.pd_place() else { return Ok(None) };
        let mut places = Vec::new();
        let silent = |authority: &str| self.silence.has(authority);
        for (tls, authority) in addresses(&place, &self.serving_pds(&place), silent, cluster.wants_tls()) {
            let (scheme, http) = self.client(cluster, tls, &authority).await?;
            places.push(Place::new(http, &format!("{scheme}://{authority}")));
        }
        let mut places = places.into_iter();
        Ok(places.next().map(|first| HttpPd::at(first, places.collect())))
    }

    /// The PD pods that a Service would lead to: the ready ones, or all if there is none.
    fn serving_pds(&self, place: &PdPlace) -> Vec<PodDetail> {
        let owner = if place.elsewhere { None } else { self.store.cluster(&place.owner) };
        let pods = owner.and_then(|owner| self.store.pod_details(&owner, "pd").ok()).unwrap_or_default();
        let pods: Vec<PodDetail> = pods.into_iter().map(|(_, pod)| pod).filter(|pod| pod.named).collect();
        let ready: Vec<PodDetail> = pods.iter().filter(|pod| pod.ready).cloned().collect();
        if ready.is_empty() { pods } else { ready }
    }

    /// The client for a server of one mode.
    async fn client(&self, cluster: &Cluster, tls: bool, authority: &str) -> Result<(&'static str, Http), Error> {
        if !tls {
            return Ok(("http", self.http.clone()));
        }
        let client = self.identities.client(&self.store, &cluster.key).await;
        Ok(("https", client.map_err(|error| error.of(format!("ask {authority} over TLS")))?))
    }

    /// Sends a request to a pod.
    ///
    /// # Errors
    /// When there is no complete answer in time.
    pub async fn call(
        &self,
        cluster: &Cluster,
        pod: &PodDetail,
        method: Method,
        port: u16,
        path: &str,
        body: String,
    ) -> Result<(u16, bytes::Bytes), Error> {
        let namespace = &cluster.key.namespace;
        let host =
            if pod.named { format!("{}.{namespace}{}", pod.host, cluster.host_suffix()) } else { pod.host.clone() };
        let slash = if path.starts_with('/') { "" } else { "/" };
        let authority = format!("{host}:{port}");
        let (scheme, http) = self.client(cluster, pod.tls, &authority).await?;
        let answer = http.send(method, &format!("{scheme}://{authority}{slash}{path}"), body.into()).await;
        self.silence.note(&authority, &answer);
        answer
    }
}

/// Where to ask PD, each with whether it speaks TLS: at its Service if that leads to pods of one mode that all answer, else at
/// the pods. `silent` knows the pods that did not answer last time; they are left out as long as others are there.
/// `wanted` is what the cluster says, for a PD whose pods are not seen from here.
fn addresses(place: &PdPlace, pods: &[PodDetail], silent: impl Fn(&str) -> bool, wanted: bool) -> Vec<(bool, String)> {
    let answers = |pod: &&PodDetail| !silent(&place.pod(&pod.host));
    let answering: Vec<&PodDetail> = pods.iter().filter(answers).collect();
    // Where nobody answers, the Service is as good as anybody.
    let (whole, pods) = match answering.len() {
        0 => (true, pods.iter().collect()),
        some => (some == pods.len(), answering),
    };
    let (encrypted, clear): (Vec<&PodDetail>, Vec<&PodDetail>) = pods.into_iter().partition(|pod| pod.tls);
    match (encrypted.len(), clear.len()) {
        (0, 0) => vec![(wanted, place.service.clone())],
        (0, _) if whole => vec![(false, place.service.clone())],
        (_, 0) if whole => vec![(true, place.service.clone())],
        (with, without) => {
            // The mode of most members comes first: it has the quorum.
            let (first, then) = if with > without { (encrypted, clear) } else { (clear, encrypted) };
            first.into_iter().chain(then).map(|pod| (pod.tls, place.pod(&pod.host))).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterKey;

    fn asked_while(silent: &[usize], modes: &[bool], wanted: bool) -> Vec<(bool, String)> {
        let pod = |(ordinal, tls): (usize, &bool)| {
            let mut pod = PodDetail::default();
            pod.host = format!("a-pd-{ordinal}.a-pd-peer");
            (pod.named, pod.tls) = (true, *tls);
            pod
        };
        let pods: Vec<PodDetail> = modes.iter().enumerate().map(pod).collect();
        let place = PdPlace {
            owner: ClusterKey { namespace: "ns".to_owned(), name: "a".to_owned() },
            service: "a-pd.ns:2379".to_owned(),
            suffix: String::new(),
            elsewhere: false,
        };
        addresses(
            &place,
            &pods,
            |authority| silent.iter().any(|n| authority.starts_with(&format!("a-pd-{n}."))),
            wanted,
        )
    }

    fn asked(modes: &[bool], wanted: bool) -> Vec<(bool, String)> {
        asked_while(&[], modes, wanted)
    }

    #[test]
    fn the_pods_say_which_mode_pd_runs_not_the_spec() {
        let service = |tls| vec![(tls, "a-pd.ns:2379".to_owned())];
        assert_eq!(asked(&[false, false], true), service(false));
        assert_eq!(asked(&[true], false), service(true));
        assert_eq!(asked(&[], true), service(true));
    }

    #[test]
    fn members_of_both_modes_are_asked_one_by_one() {
        let pod = |tls, ordinal| (tls, format!("a-pd-{ordinal}.a-pd-peer.ns:2379"));
        assert_eq!(asked(&[false, false, true], true), [pod(false, 0), pod(false, 1), pod(true, 2)]);
        assert_eq!(asked(&[false, true, true], true), [pod(true, 1), pod(true, 2), pod(false, 0)]);
    }

    #[test]
    fn who_stands_still_is_not_asked_while_others_answer() {
        let pod = |ordinal| (false, format!("a-pd-{ordinal}.a-pd-peer.ns:2379"));
        assert_eq!(asked_while(&[1], &[false, false, false], false), [pod(0), pod(2)]);
        let service = (false, "a-pd.ns:2379".to_owned());
        assert_eq!(asked_while(&[0, 1, 2], &[false, false, false], false), [service]);
        assert_eq!(asked_while(&[0], &[true, false, false], false), [pod(1), pod(2)]);
    }
}
