//! Mutual TLS for simulated servers: one that shows its certificate and asks for the client's.

use std::sync::Arc;

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use crate::authority::Identity;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Text that should be PEM is not.
    #[error("failed to read PEM")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// The certificates do not serve.
    #[error("failed to set TLS up")]
    Setup(#[from] rustls::Error),
    /// The authority's certificate does not serve.
    #[error("failed to set the check of clients up")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// A server that shows `identity` and demands a client certificate of the authority `ca` (PEM).
///
/// # Errors
/// When PEM or certificates are not in order.
pub fn mutual(ca: &str, identity: &Identity) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate?)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(Arc::new(config))
}
