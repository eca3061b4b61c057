//! A certificate authority: for `tidepool certs`, the demo and tests.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde_json::{Value, json};
use tidepool_api::{
    TidbCluster,
    certificates::{CA, CERTIFICATE, Certificate, PRIVATE_KEY, Usage},
    labels,
};

/// Certificates are good from this much before they are made, seconds: clocks differ a little.
const EARLIER_SECONDS: u64 = 3_600;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate could not be made.
    #[error("failed to make a certificate")]
    Make(#[from] rcgen::Error),
    /// The authority's certificate cannot be read.
    #[error("failed to read the authority's certificate: it is not a certificate in PEM")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The authority's key cannot be read.
    #[error("failed to read the authority's key: it is not an unencrypted PKCS #8 key in PEM")]
    Key(#[source] rcgen::Error),
    /// The key is another one's.
    #[error("the authority's key does not belong to its certificate")]
    Mismatch,
}

/// A certificate with its key, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// From when until when a certificate is good.
#[derive(Clone, Copy, Debug)]
pub struct Validity {
    from_seconds: u64,
    until_seconds: u64,
}

impl Validity {
    /// From `now_ms` (milliseconds since the Unix epoch), less an hour, for so many days.
    pub fn days(now_ms: u64, days: u32) -> Self {
        let now = now_ms / 1000;
        let until_seconds = now.saturating_add(u64::from(days) * 24 * 3_600);
        Self { from_seconds: now.saturating_sub(EARLIER_SECONDS), until_seconds }
    }

    /// From now on the machine's clock.
    pub fn days_from_now(days: u32) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::days(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), days)
    }

    fn set(self, params: &mut CertificateParams) {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + Duration::from_secs(self.from_seconds);
        params.not_after = epoch + Duration::from_secs(self.until_seconds);
    }
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    validity: Option<Validity>,
}

impl Authority {
    /// A new authority of this name; its certificates are good for ever.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(name: &str) -> Result<Self, AuthorityError> {
        Self::make(name, None)
    }

    /// A new authority that is good, and whose certificates are, for a while.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn valid(name: &str, own: Validity, issued: Validity) -> Result<Self, AuthorityError> {
        Ok(Self { validity: Some(issued), ..Self::make(name, Some(own))? })
    }

    fn make(name: &str, validity: Option<Validity>) -> Result<Self, AuthorityError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(validity) = validity {
            validity.set(&mut params);
        }
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), certificate, validity: None })
    }

    /// The authority of a certificate and its key, both PEM; what it issues is good for `issued`.
    ///
    /// # Errors
    /// When they cannot be read, or do not belong together.
    pub fn of_pem(certificate: &str, key: &str, issued: Validity) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| AuthorityError::Certificate(error.into()))?;
        let key = KeyPair::from_pem(key).map_err(AuthorityError::Key)?;
        let public = key.subject_public_key_info();
        if !der.windows(public.len()).any(|window| window == public) {
            return Err(AuthorityError::Mismatch);
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| AuthorityError::Certificate(error.into()))?;
        Ok(Self { issuer, certificate: certificate.to_owned(), validity: Some(issued) })
    }

    /// The authority's own certificate as PEM: `ca.crt`.
    pub fn certificate(&self) -> String {
        self.certificate.clone()
    }

    /// The authority's own certificate with its key.
    pub fn identity(&self) -> Identity {
        Identity { certificate: self.certificate.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// A certificate for servers and clients of these DNS names and addresses.
    ///
    /// # Errors
    /// When a name is not one, or no key can be made.
    pub fn issue(&self, common_name: &str, names: &[&str]) -> Result<Identity, AuthorityError> {
        self.sign(common_name, names, Usage::Peer)
    }

    /// The certificate that a cluster needs.
    ///
    /// # Errors
    /// When a name is not one, or no key can be made.
    pub fn issue_for(&self, wanted: &Certificate) -> Result<Identity, AuthorityError> {
        let names: Vec<&str> = wanted.names.iter().map(String::as_str).collect();
        self.sign(wanted.common_name, &names, wanted.usage)
    }

    fn sign(&self, common_name: &str, names: &[&str], usage: Usage) -> Result<Identity, AuthorityError> {
        let (addresses, names): (Vec<&str>, Vec<&str>) = names.iter().partition(|name| name.parse::<IpAddr>().is_ok());
        let mut params = CertificateParams::new(names.into_iter().map(str::to_owned).collect::<Vec<_>>())?;
        let addresses = addresses.into_iter().filter_map(|text| text.parse().ok());
        params.subject_alt_names.extend(addresses.map(rcgen::SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        let (server, client) = (ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth);
        params.extended_key_usages = match usage {
            Usage::Peer => vec![server, client],
            Usage::Server => vec![server],
            Usage::Client => vec![client],
        };
        if let Some(validity) = self.validity {
            validity.set(&mut params);
        }
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

/// The Secrets that a cluster needs, their certificates signed by `authority`.
///
/// # Errors
/// When a name of the cluster is none that a certificate can have, or no key can be made.
pub fn secrets(authority: &Authority, cluster: &TidbCluster) -> Result<Vec<Value>, AuthorityError> {
    let issue = |wanted: Certificate| {
        let identity = authority.issue_for(&wanted)?;
        Ok(secret(cluster, &wanted.secret, &authority.certificate, &identity))
    };
    cluster.certificates().into_iter().map(issue).collect()
}

/// A Secret of a cluster with the three keys that its pods expect.
pub fn secret(cluster: &TidbCluster, name: &str, ca: &str, identity: &Identity) -> Value {
    let encode = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": cluster.namespace(),
            "labels": {labels::NAME: labels::NAME_VALUE, labels::INSTANCE: cluster.instance_name()},
        },
        "type": "kubernetes.io/tls",
        "data": {CA: encode(ca), CERTIFICATE: encode(&identity.certificate), PRIVATE_KEY: encode(&identity.key)},
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidepool_pd::tls::{self, NowMs, Pem};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    #[test]
    fn an_authority_goes_on_from_its_pem() {
        let validity = Validity::days_from_now(1);
        let made = Authority::valid("ca", validity, validity).expect("an authority");
        let Identity { certificate, key } = made.identity();
        let again = Authority::of_pem(&certificate, &key, validity).expect("the same");
        assert_eq!(again.certificate(), made.certificate());
        assert!(again.issue("x", &["x.ns", "::1"]).expect("issued").certificate.contains("BEGIN CERTIFICATE"));
    }

    #[test]
    fn anothers_key_is_refused() {
        let validity = Validity::days_from_now(1);
        let (one, other) = (Authority::new("one").expect("one"), Authority::new("other").expect("other"));
        let of = |certificate: &str, key: &str| Authority::of_pem(certificate, key, validity).map(|_| ()).unwrap_err();
        assert!(matches!(of(&one.certificate(), &other.identity().key), AuthorityError::Mismatch));
        assert!(matches!(of("nothing", &one.identity().key), AuthorityError::Certificate(_)));
        assert!(matches!(of(&one.certificate(), "nothing"), AuthorityError::Key(_)));
    }

    /// Whether a client and a server with certificates of `authority` come together at `now_ms`.
    async fn meet(authority: &Authority, now_ms: u64) -> bool {
        let (ca, identity) = (authority.certificate(), authority.issue("x", &["host"]).expect("issued"));
        let pem = Pem { ca: ca.as_bytes(), certificate: identity.certificate.as_bytes(), key: identity.key.as_bytes() };
        let now: NowMs = Arc::new(move || now_ms);
        let client = TlsConnector::from(tls::client(&pem, now.clone()).expect("a client"));
        let server = TlsAcceptor::from(tls::server(&pem, now).expect("a server"));
        let (near, far) = tokio::io::duplex(16 << 10);
        let host = "host".try_into().expect("a name");
        let (connected, accepted) = tokio::join!(client.connect(host, near), server.accept(far));
        connected.is_ok() && accepted.is_ok()
    }

    #[tokio::test]
    async fn certificates_are_good_for_their_days_on_the_clock_that_is_given() {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        let validity = Validity::days(100 * DAY_MS, 2);
        let authority = Authority::valid("ca", validity, validity).expect("an authority");
        for (day, good) in [(99, false), (100, true), (101, true), (103, false)] {
            assert_eq!(meet(&authority, day * DAY_MS).await, good, "day {day}");
        }
    }

    #[test]
    fn a_key_is_not_printed_by_accident() {
        let identity = Authority::new("one").expect("one").identity();
        assert!(!format!("{identity:?}").contains("PRIVATE"));
    }
}
