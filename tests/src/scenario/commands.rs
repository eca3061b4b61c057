//! Commands that change or show something.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use serde_json::{Value, json};

use super::{Scene, after, api_version};
use crate::{
    transcript,
    world::{OPERATOR, USER},
};

/// Leadership has moved after so long, seconds.
const LEAD_SECONDS: u64 = 30;

impl Scene {
    pub(super) async fn edit(&mut self, kind: &str, name: &str, patch: &str) -> anyhow::Result<()> {
        let patch: Value = serde_json::from_str(patch)?;
        let api = self.world.api(api_version(kind), kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
        Ok(())
    }

    /// Makes a member lead, and waits until it does.
    pub(super) async fn lead(&mut self, pod: &str) -> anyhow::Result<()> {
        let set = pod.rsplit_once('-').map_or(pod, |(set, _)| set);
        self.call(USER, set, "POST", &format!("/pd/api/v1/leader/transfer/{pod}"), "").await?;
        for _ in 0..LEAD_SECONDS {
            let now = self.world.history.now();
            if now.pd.values().any(|pd| pd.member(pod).is_some_and(|member| member.leader)) {
                return Ok(());
            }
            self.step().await;
        }
        bail!("{pod} does not lead PD")
    }

    /// Asks the PD behind this Service.
    async fn call(&self, agent: &str, service: &str, method: &str, path: &str, body: &str) -> anyhow::Result<u16> {
        let host = format!("{service}.{}:2379", self.world.namespace);
        if agent == OPERATOR {
            self.world.history.called(&host, false);
        }
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{host}{path}"))
            .header(header::HOST, host)
            .header(header::USER_AGENT, agent)
            .body(Full::new(Bytes::from(body.to_owned())))?;
        let response = self.world.gateway()?.answer(request).await;
        let status = response.status().as_u16();
        let answer = response.into_body().collect().await?.to_bytes();
        if status >= 300 {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answer).trim());
        }
        Ok(status)
    }

    /// A wrong deed in the operator's name, with a precondition that holds.
    pub(super) async fn rogue(&mut self, words: &[&str], rest: &str) -> anyhow::Result<()> {
        let api = |kind: &str| self.world.api_of(OPERATOR, api_version(kind), kind);
        match words {
            ["delete", kind, name] => {
                let live = api(kind).get(name).await?;
                let expect = Preconditions { uid: live.metadata.uid, resource_version: None };
                api(kind).delete(name, &DeleteParams::default().preconditions(expect)).await?;
            }
            ["patch", kind, name, ..] => {
                let name = &self.volume_of(name).await?;
                let live = api(kind).get(name).await?;
                let mut patch: Value = serde_json::from_str(after(rest, 3))?;
                patch["metadata"]["uid"] = json!(live.metadata.uid);
                api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            ["status", name, ..] => {
                let api = api("TidbCluster");
                let live = api.get(name).await?;
                let mut patch: Value = serde_json::from_str(after(rest, 2))?;
                patch["metadata"]["uid"] = json!(live.metadata.uid);
                api.patch_status(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            ["unguarded", kind, name, ..] => {
                let patch: Value = serde_json::from_str(after(rest, 3))?;
                api(kind).patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await?;
            }
            ["create", ..] => {
                let object: Value = serde_json::from_str(after(rest, 1))?;
                let kind = object["kind"].as_str().context("an object with a kind")?.to_owned();
                api(&kind).create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            }
            ["pd", service, method, path, ..] => {
                self.call(OPERATOR, service, method, path, after(rest, 4)).await?;
            }
            _ => bail!("a rogue does what?"),
        }
        Ok(())
    }

    /// `of:CLAIM` is the volume of this claim, anything else itself.
    async fn volume_of(&self, name: &str) -> anyhow::Result<String> {
        let Some(claim) = name.strip_prefix("of:") else { return Ok(name.to_owned()) };
        let claim = self.world.api("v1", "PersistentVolumeClaim").get(claim).await?;
        claim.data["spec"]["volumeName"].as_str().map(ToOwned::to_owned).context("a bound claim")
    }

    pub(super) async fn show(&mut self, what: &[&str]) -> anyhow::Result<()> {
        let lines = match what {
            ["status", cluster] => {
                let live = serde_json::to_value(self.world.clusters().get(cluster).await?)?;
                transcript::status(&live["status"])
            }
            ["pods"] => self.world.list("v1", "Pod").await?.iter().map(transcript::pod).collect(),
            ["claims"] => self.world.list("v1", "PersistentVolumeClaim").await?.iter().map(transcript::claim).collect(),
            ["events"] => self.world.list("v1", "Event").await?.iter().filter_map(transcript::event).collect(),
            ["pd"] => transcript::pd(&self.world.history.now()),
            _ => bail!("show what?"),
        };
        for line in lines {
            self.transcript.line(&line);
        }
        Ok(())
    }
}
