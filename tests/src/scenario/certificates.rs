//! Commands about certificates.

use anyhow::bail;
use tidepool_api::TidbCluster;

use super::Scene;
use crate::certs::Certs;

impl Scene {
    pub(super) async fn certificates(&mut self, cluster: &str, how: &[&str]) -> anyhow::Result<()> {
        let now = self.world.clock.now_ms();
        let live = serde_json::to_value(self.world.clusters().get(cluster).await?)?;
        let mut live: TidbCluster = serde_json::from_value(live)?;
        // Certificates come first, whether TLS is switched on already or about to be.
        live.spec.tls_cluster.get_or_insert_default().enabled = true;
        let certs = match &mut self.certs {
            Some(certs) => certs,
            none => none.insert(Certs::new(now)?),
        };
        let secrets = match how {
            ["new-ca"] => {
                certs.succeed(now)?;
                certs.secrets(&live)?
            }
            ["stranger"] => Certs::new(now)?.secrets(&live)?,
            ["none"] => return self.delete("Secret", &live.cluster_client_tls_secret()).await,
            [] => certs.secrets(&live)?,
            _ => bail!("certs how?"),
        };
        let client = live.cluster_client_tls_secret();
        for secret in secrets.iter().filter(|secret| how != ["stranger"] || secret["metadata"]["name"] == client) {
            self.world.apply_object(secret).await?;
        }
        Ok(())
    }
}
