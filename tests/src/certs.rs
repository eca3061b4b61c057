//! Certificates of a scenario: an authority, its successors, and a mark in each Secret that must turn up nowhere (S28).

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use tidepool_api::{TidbCluster, certificates::CA};
use tidepool_sim::authority::{self, Authority, Validity};

/// How long certificates are good for, days.
const DAYS: u32 = 365;

/// What each Secret holds besides its certificate.
pub const CANARY: &str = "tidepool-canary-5b1e8c0d";

/// Who signs in a scenario, and whom everybody trusts.
pub struct Certs {
    authority: Authority,
    trusted: String,
}

impl Certs {
    /// A first authority, at this time of the scenario's clock.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(now_ms: u64) -> anyhow::Result<Self> {
        let authority = new_authority(now_ms)?;
        Ok(Self { trusted: authority.certificate(), authority })
    }

    /// From now on another authority signs; the old one is trusted still.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn succeed(&mut self, now_ms: u64) -> anyhow::Result<()> {
        self.authority = new_authority(now_ms)?;
        self.trusted = format!("{}{}", self.authority.certificate(), self.trusted);
        Ok(())
    }

    /// New certificates for everything that a cluster with TLS needs.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn secrets(&self, cluster: &TidbCluster) -> anyhow::Result<Vec<Value>> {
        let mut secrets = authority::secrets(&self.authority, cluster)?;
        for secret in &mut secrets {
            secret["data"][CA] = STANDARD.encode(&self.trusted).into();
            secret["data"]["canary"] = STANDARD.encode(CANARY).into();
        }
        Ok(secrets)
    }
}

fn new_authority(now_ms: u64) -> anyhow::Result<Authority> {
    let validity = Validity::days(now_ms, DAYS);
    Ok(Authority::valid("Scenario CA", validity, validity)?)
}

/// What of a Secret's contents is in `text`, plain or as a Secret holds it.
pub fn leaked(text: &str) -> Option<&'static str> {
    // The second is how base64 of `-----BEGIN PRIVATE` begins, the third that of the canary.
    ["PRIVATE KEY", "LS0tLS1CRUdJTiBQUklWQVRF", "dGlkZXBvb2wtY2FuYXJ5", CANARY]
        .into_iter()
        .find(|mark| text.contains(mark))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaks_is_found_in_any_form() {
        assert!(leaked(&STANDARD.encode(CANARY)).is_some());
        assert!(leaked(&STANDARD.encode("-----BEGIN PRIVATE KEY-----")).is_some());
        assert!(leaked("basic-pd-cluster-secret").is_none());
    }
}
