//! [`Pd`] over PD's HTTP API: which request each question is, and which answers count as yes.

use std::{collections::BTreeSet, sync::Arc};

use bytes::Bytes;
use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json, value::RawValue};
use tidepool_model::snapshot::{PdMember, Store};

use crate::{
    Answer, Pd, Service,
    error::Error,
    http::Http,
    read::{self, EVICT_LEADER},
    wire::{EvictLeaderConfig, Health, Member, Members},
};

/// A read is tried this often: once for each member of a usual PD.
const READ_TRIES_MAX: usize = 3;

/// A read meets silence at most this often. One member that stands still is stepped over that way, for the next
/// connection leads to another; a PD of which nobody answers costs a read two timeouts and not three.
const SILENT_TRIES_MAX: usize = 2;

/// What a proxy on the way answers when nobody listened.
const BAD_GATEWAY: u16 = 502;

/// What PD answers about services apart from it when it runs them itself.
const NOT_FOUND: u16 = 404;

/// Where most of PD's API is.
const API_V1: &str = "/pd/api/v1";
/// Where its younger part is.
const API_V2: &str = "/pd/api/v2";

/// PD at one address, or at those of its members.
#[derive(Clone)]
pub struct HttpPd {
    first: Place,
    others: Arc<[Place]>,
}

/// One address of PD.
#[derive(Clone)]
pub struct Place {
    http: Http,
    /// `http://basic-pd.tidb:2379`, without a slash at the end.
    base: Arc<str>,
}

impl Place {
    /// An address, for example `http://basic-pd.tidb:2379`, and the client that speaks its scheme.
    pub fn new(http: Http, base: &str) -> Self {
        Self { http, base: base.trim_end_matches('/').into() }
    }

    async fn call(&self, api: &str, method: Method, path: &str, body: Bytes) -> Result<Reply, Error> {
        let url = format!("{}{api}/{path}", self.base);
        let request = format!("{method} {url}");
        let (status, body) = self.http.send(method, &url, body).await?;
        Ok(Reply { request, status, body })
    }
}

impl HttpPd {
    /// PD at `base`, for example `http://basic-pd.tidb:2379`.
    pub fn new(http: Http, base: &str) -> Self {
        Self::at(Place::new(http, base), Vec::new())
    }

    /// PD at `first`; reads that nobody answers there are tried at `others`.
    pub fn at(first: Place, others: Vec<Place>) -> Self {
        Self { first, others: others.into() }
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<Reply, Error> {
        self.first.call(API_V1, method, path, body).await
    }

    /// A read. Where nobody listened, or somebody who does not answer, it is tried again: the Service may have chosen a
    /// member that is only starting, gone, or stands still, and chooses again for the next connection.
    async fn get(&self, path: &str) -> Result<Reply, Error> {
        self.get_at(API_V1, path).await
    }

    async fn get_at(&self, api: &str, path: &str) -> Result<Reply, Error> {
        let places = std::iter::once(&self.first).chain(&*self.others).cycle();
        let mut last = self.first.call(api, Method::GET, path, Bytes::new()).await;
        let mut silent = 0;
        for place in places.skip(1).take(READ_TRIES_MAX - 1) {
            silent += usize::from(matches!(last, Err(Error::Timeout { .. })));
            match last {
                Err(Error::Transport { .. }) | Ok(Reply { status: BAD_GATEWAY, .. }) => {}
                Err(Error::Timeout { .. }) if silent < SILENT_TRIES_MAX => {}
                answer => return answer,
            }
            last = place.call(api, Method::GET, path, Bytes::new()).await;
        }
        last
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.get(path).await?.ok()?.decode()
    }

    /// PD's leader; none if PD itself says so. A PD that does not answer is an error: who leads is then unknown.
    async fn leader(&self) -> Result<Option<Member>, Error> {
        let reply = self.get("leader").await?;
        // While it elects, PD answers 503, or 500 where the last leader is gone. Any complete answer that is not a
        // leader comes from a live member that knows of none.
        if reply.status >= 500 { Ok(None) } else { reply.ok()?.decode() }
    }

    /// Names of the schedulers; none while no store has bootstrapped PD.
    async fn schedulers(&self) -> Result<Schedulers, Error> {
        let reply = self.get("schedulers").await?;
        if read::not_bootstrapped(reply.status, &reply.body) {
            return Ok(Schedulers::NotBootstrapped);
        }
        let names: Option<Vec<String>> = reply.ok()?.decode()?;
        match names.unwrap_or_default() {
            names if names.is_empty() => Ok(Schedulers::NotLoaded),
            names => Ok(Schedulers::Names(names)),
        }
    }

    async fn evicting_of(&self, schedulers: &Schedulers) -> Result<BTreeSet<u64>, Error> {
        let Schedulers::Names(names) = schedulers else { return Ok(BTreeSet::new()) };
        if !names.iter().any(|name| name == EVICT_LEADER) {
            return Ok(read::evicting_by_name(names));
        }
        let config: EvictLeaderConfig = self.read(&format!("scheduler-config/{EVICT_LEADER}/list")).await?;
        Ok(read::evicting_by_config(&config))
    }

    async fn service_members(&self, service: &str) -> Result<Box<RawValue>, Error> {
        let reply = self.get_at(API_V2, &format!("ms/members/{}", segment(service))).await?;
        // A PD that runs its services itself says so; one that is too old for the question has no JSON to give.
        let reply = if reply.status == NOT_FOUND { reply } else { reply.ok()? };
        Ok(read::one_line(reply.decode()?))
    }

    async fn service_primary(&self, service: &str) -> Result<Box<RawValue>, Error> {
        let reply = self.get_at(API_V2, &format!("ms/primary/{}", segment(service))).await?;
        Ok(read::one_line(reply.ok()?.decode()?))
    }

    async fn post(&self, path: &str, body: &Value) -> Result<Reply, Error> {
        self.call(Method::POST, path, body.to_string().into()).await
    }

    /// The members as PD lists them, those that have not started among them.
    ///
    /// # Errors
    /// When there is no usable answer.
    pub async fn member_list(&self) -> Result<Vec<crate::discovery::Member>, Error> {
        let list: Members = self.read("members").await?;
        let member = |member: Member| crate::discovery::Member {
            peer_url: member.peer_urls.into_iter().next().unwrap_or_default(),
            name: member.name,
        };
        Ok(list.members.into_iter().map(member).collect())
    }

    async fn member_ids(&self) -> Result<Vec<u64>, Error> {
        let list: Members = self.read("members").await?;
        Ok(list.members.iter().map(|member| member.member_id).collect())
    }

    async fn remove_member(&self, id: u64) -> Result<(), Error> {
        if !self.member_ids().await?.contains(&id) {
            return Ok(());
        }
        let reply = self.call(Method::DELETE, &format!("members/id/{id}"), Bytes::new()).await?;
        if matches!(reply.status, 200 | 404) {
            return Ok(());
        }
        // A leader that removes itself may be gone before it has answered well: the list tells what happened.
        match self.member_ids().await {
            Ok(ids) if !ids.contains(&id) => Ok(()),
            _ => Err(reply.refused()),
        }
    }

    async fn remove_store(&self, id: u64) -> Result<(), Error> {
        // The list without a filter has no tombstones: a store that is not in it is buried, or never was.
        let list = self.get("stores").await?;
        if read::not_bootstrapped(list.status, &list.body) {
            return Ok(());
        }
        let request = list.request.clone();
        let stores =
            read::stores(&list.ok()?.body, &BTreeSet::new()).map_err(|source| Error::Decode { request, source })?;
        if !stores.iter().any(|store| store.row.id == id) {
            return Ok(());
        }
        let reply = self.call(Method::DELETE, &format!("store/{id}"), Bytes::new()).await?;
        if matches!(reply.status, 200 | 404) { Ok(()) } else { Err(reply.refused()) }
    }

    /// After a restart PD has not loaded its schedulers for a while and lists none at all. A new one then overwrites
    /// the stored ones, and a removal answers "not found" though the stored one comes back: neither may be tried.
    async fn loaded_schedulers(&self, request: &str) -> Result<Schedulers, Error> {
        match self.schedulers().await? {
            Schedulers::NotLoaded => Err(Error::NotConfirmed {
                request: request.to_owned(),
                reason: "PD has not loaded its schedulers yet".to_owned(),
            }),
            loaded => Ok(loaded),
        }
    }

    async fn begin_evict(&self, store: u64) -> Result<(), Error> {
        let request = format!("begin evicting leaders of store {store}");
        self.loaded_schedulers(&request).await?;
        let reply = self.post("schedulers", &json!({"name": EVICT_LEADER, "store_id": store})).await?;
        if reply.status == 200 {
            return Ok(());
        }
        match self.evicting().await {
            Ok(evicting) if evicting.contains(&store) => Ok(()),
            _ => Err(reply.refused()),
        }
    }

    async fn end_evict(&self, store: u64) -> Result<(), Error> {
        let request = format!("end evicting leaders of store {store}");
        let path = format!("schedulers/{EVICT_LEADER}-{store}");
        let reply = self.call(Method::DELETE, &path, Bytes::new()).await?;
        let left = self.loaded_schedulers(&request).await?;
        if !self.evicting_of(&left).await?.contains(&store) {
            return Ok(());
        }
        let reason = format!("PD still lists it after status {}", reply.status);
        Err(Error::NotConfirmed { request, reason })
    }
}

impl Pd for HttpPd {
    fn members(&self) -> Answer<'_, Vec<PdMember>> {
        Box::pin(async move {
            let health: Option<Vec<Health>> = self.read("health").await?;
            let leader = self.leader().await?;
            Ok(read::members(health.unwrap_or_default(), leader.as_ref()))
        })
    }

    fn stores(&self) -> Answer<'_, Vec<Store>> {
        Box::pin(async move {
            let reply = self.get("stores?state=0&state=1&state=2").await?;
            if read::not_bootstrapped(reply.status, &reply.body) {
                return Ok(Vec::new());
            }
            let reply = reply.ok()?;
            let request = reply.request.clone();
            let evicting = self.evicting().await?;
            read::stores(&reply.body, &evicting).map_err(|source| Error::Decode { request, source })
        })
    }

    fn evicting(&self) -> Answer<'_, BTreeSet<u64>> {
        Box::pin(async move { self.evicting_of(&self.schedulers().await?).await })
    }

    fn config(&self) -> Answer<'_, Box<RawValue>> {
        Box::pin(async move { Ok(read::one_line(self.read("config").await?)) })
    }

    fn cluster(&self) -> Answer<'_, Box<RawValue>> {
        Box::pin(async move { Ok(read::one_line(self.read("cluster").await?)) })
    }

    fn service<'a>(&'a self, service: &'a str) -> Answer<'a, Service> {
        Box::pin(async move {
            let members = self.service_members(service).await?;
            // PD looks for a primary for seconds before it says that there is none; where nobody runs, nobody acts.
            let primary = match read::lists_somebody(&members) {
                true => self.service_primary(service).await,
                false => Ok(read::nobody()),
            };
            Ok(Service { members, primary })
        })
    }

    fn transfer_leader<'a>(&'a self, to: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let reply = self.call(Method::POST, &format!("leader/transfer/{}", segment(to)), Bytes::new()).await?;
            if matches!(reply.status, 200 | 404) { Ok(()) } else { Err(reply.refused()) }
        })
    }

    fn delete_member(&self, id: u64) -> Answer<'_, ()> {
        Box::pin(self.remove_member(id))
    }

    fn delete_store(&self, id: u64) -> Answer<'_, ()> {
        Box::pin(self.remove_store(id))
    }

    fn set_store_labels<'a>(&'a self, id: u64, labels: &'a Value) -> Answer<'a, ()> {
        Box::pin(async move { self.post(&format!("store/{id}/label"), labels).await?.only_200() })
    }

    fn begin_evict_leader(&self, store: u64) -> Answer<'_, ()> {
        Box::pin(self.begin_evict(store))
    }

    fn end_evict_leader(&self, store: u64) -> Answer<'_, ()> {
        Box::pin(self.end_evict(store))
    }

    fn set_replication<'a>(&'a self, config: &'a Value) -> Answer<'a, ()> {
        Box::pin(async move { self.post("config/replicate", config).await?.only_200() })
    }
}

/// What PD lists as its schedulers.
enum Schedulers {
    /// No store yet, so none can be set.
    NotBootstrapped,
    /// Not even the ones that every PD has: they are not loaded yet.
    NotLoaded,
    /// At least one.
    Names(Vec<String>),
}

/// One answer of PD, whatever it says.
struct Reply {
    request: String,
    status: u16,
    body: Bytes,
}

impl Reply {
    /// Any status from 300 on is a no; redirects are not followed, for PD's own members forward by themselves.
    fn ok(self) -> Result<Self, Error> {
        if self.status < 300 { Ok(self) } else { Err(self.refused()) }
    }

    fn only_200(self) -> Result<(), Error> {
        if self.status == 200 { Ok(()) } else { Err(self.refused()) }
    }

    fn refused(self) -> Error {
        Error::status(self.request, self.status, &self.body)
    }

    fn decode<T: DeserializeOwned>(self) -> Result<T, Error> {
        let Self { request, body, .. } = self;
        serde_json::from_slice(&body).map_err(|source| Error::Decode { request, source })
    }
}

/// `text` as one segment of a path: what is not plain is percent-encoded, so that no name can change the path.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) { out.push(byte as char) } else { out.push_str(&format!("%{byte:02X}")) }
    }
    out
}
