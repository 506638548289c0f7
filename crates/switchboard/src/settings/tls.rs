//! TLS without a proxy.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Section;

/// `server.tls_*`
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsSettings {
    /// The certificate and the chain up to its root, as PEM.
    pub cert_file: PathBuf,
    /// Its private key, as PEM.
    pub key_file: PathBuf,
    /// How often the files are looked at for a change. Default 10 s.
    pub reload_interval: Duration,
}

impl TlsSettings {
    /// None if there is to be no TLS.
    pub(super) fn read(section: &mut Section<'_>) -> Option<Self> {
        let (is_cert, is_key) = (section.has("tls_cert_file"), section.has("tls_key_file"));
        if is_cert != is_key {
            section.missing(if is_cert {
                "tls_key_file"
            } else {
                "tls_cert_file"
            });
        }
        let cert_file = section.path("tls_cert_file");
        let key_file = section.path("tls_key_file");
        let reload_interval = section.duration("tls_reload_interval", INTERVAL_MIN..=INTERVAL_MAX);
        Some(Self {
            cert_file: cert_file?,
            key_file: key_file?,
            reload_interval: reload_interval.unwrap_or(crate::tls::RELOAD_INTERVAL),
        })
    }
}

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_hours(24);
