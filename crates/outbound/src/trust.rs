//! Whom to believe that they are who they say.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tracing::warn;

/// Whose word counts for a certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trust<'a> {
    /// Whom the system trusts, or `SSL_CERT_FILE`: an operator's own authority counts.
    System,
    /// These authorities, as PEM, and nobody else.
    Authorities(&'a [u8]),
}

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoots {
    /// What was given as authorities are none.
    #[error("no certificate in PEM: {0}")]
    NoAuthority(String),
    /// One of them cannot be used, or the cryptography offers no version of TLS.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust<'_> {
    /// What a client of TLS 1.2 and 1.3 is told; without a certificate of its own, and without
    /// ALPN. Reads the roots of the system, which blocks for some milliseconds. A system without
    /// any is logged: then nobody is believed.
    ///
    /// # Errors
    ///
    /// [`InvalidRoots`] if authorities were given and are none.
    pub fn client_config(self) -> Result<ClientConfig, InvalidRoots> {
        let roots = match self {
            Self::System => system_roots(),
            Self::Authorities(pem) => authorities(pem)?,
        };
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(config)
    }
}

fn authorities(pem: &[u8]) -> Result<RootCertStore, InvalidRoots> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate =
            certificate.map_err(|error| InvalidRoots::NoAuthority(error.to_string()))?;
        roots.add(certificate)?;
    }
    if roots.is_empty() {
        return Err(InvalidRoots::NoAuthority("there is none".to_owned()));
    }
    Ok(roots)
}

/// What the system trusts. One certificate that cannot be read does not spoil the others.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        warn!(%error, "a trusted certificate of the system cannot be read");
    }
    let mut roots = RootCertStore::empty();
    let (taken, _) = roots.add_parsable_certificates(found.certs);
    if taken == 0 {
        warn!("the system trusts nobody: install ca-certificates or set SSL_CERT_FILE");
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused() {
        for pem in [
            "",
            "nonsense",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let refused = Trust::Authorities(pem.as_bytes()).client_config();
            assert!(refused.is_err(), "{pem}");
        }
        let authority = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let pem = authority.cert.pem();
        assert!(Trust::Authorities(pem.as_bytes()).client_config().is_ok());
    }
}
