//! Mutual TLS from PEM: a client that shows its certificate, a server that asks for the client's.
//!
//! Certificates are judged by the clock that is given, so that they expire in virtual time as they do in real time. No
//! error repeats what it could not read: it might be a key.

use std::{fmt, sync::Arc, time::Duration};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::WebPkiClientVerifier,
    time_provider::TimeProvider,
};

/// Milliseconds since the Unix epoch, now.
pub type NowMs = Arc<dyn Fn() -> u64 + Send + Sync>;

/// A certificate, its key, and the authority of the other side: the contents of a Secret of a cluster with TLS.
#[derive(Clone, Copy)]
pub struct Pem<'a> {
    /// `ca.crt`: one or more authorities.
    pub ca: &'a [u8],
    /// `tls.crt`.
    pub certificate: &'a [u8],
    /// `tls.key`.
    pub key: &'a [u8],
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Text that should be PEM is not.
    #[error("failed to read {0}: it is not PEM with what belongs there")]
    Pem(&'static str),
    /// The certificates do not serve.
    #[error("failed to set TLS up")]
    Setup(#[from] rustls::Error),
    /// The authority's certificate does not serve.
    #[error("failed to set the check of clients up")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A client that trusts the authority alone and shows its certificate.
///
/// # Errors
/// When PEM or certificates are not in order.
pub fn client(pem: &Pem<'_>, now: NowMs) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_details(provider(), Arc::new(Clock(now)))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(pem)?)
        .with_client_auth_cert(chain(pem)?, key(pem)?)?;
    Ok(Arc::new(config))
}

/// A server that demands a client certificate of the authority.
///
/// # Errors
/// When PEM or certificates are not in order.
pub fn server(pem: &Pem<'_>, now: NowMs) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(pem)?), provider()).build()?;
    let config = ServerConfig::builder_with_details(provider(), Arc::new(Clock(now)))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain(pem)?, key(pem)?)?;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certificates(pem: &[u8], name: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or(TlsError::Pem(name))
}

fn roots(pem: &Pem<'_>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem.ca, "ca.crt")? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn chain(pem: &Pem<'_>) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    certificates(pem.certificate, "tls.crt")
}

fn key(pem: &Pem<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem.key).map_err(|_| TlsError::Pem("tls.key"))
}

/// What certificates are judged by.
struct Clock(NowMs);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis((self.0)())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_repeat_what_may_be_a_key() {
        let canary = b"-----BEGIN canary";
        for pem in [Pem { ca: canary, certificate: b"", key: b"" }, Pem { ca: b"", certificate: b"", key: canary }] {
            let error = client(&pem, Arc::new(|| 0)).expect_err("no PEM");
            assert!(!format!("{error:?} {error}").contains("canary"));
        }
    }
}
