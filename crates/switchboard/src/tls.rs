//! The certificate of the public listener, read again when its files change.

mod validity;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use switchboard_event::Timestamp;
use switchboard_metrics::Tally;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::settings::TlsSettings;

/// A certificate that can change while connections are there: they keep the one that they have.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: TlsSettings,
    current: RwLock<Arc<CertifiedKey>>,
    seen: RwLock<Seen>,
    reloads: Tally,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A file is longer than any certificate.
    #[error("{} is {len} bytes long, at most {len_max} are read", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// Its length.
        len: u64,
        /// The limit.
        len_max: u64,
    },
    /// No certificate is in the one file.
    #[error("no certificate in PEM in {}", .0.display())]
    NoCertificate(PathBuf),
    /// No private key is in the other.
    #[error("no private key in PEM in {}: {error}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: pem::Error,
    },
    /// They cannot be used, or not together.
    #[error("the certificate and its key cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What the files looked like, to see a change without reading them.
type Seen = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads the files. Blocks on the disk.
    pub(crate) fn load(files: &TlsSettings) -> Result<Arc<Self>, CertificateError> {
        let seen = look(files);
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(read(files)?)),
            seen: RwLock::new(seen),
            files: files.clone(),
            reloads: Tally::of(["ok", "failed"]),
        }))
    }

    /// What the listener is told: TLS 1.2 and 1.3, HTTP/1.1 only.
    pub(crate) fn config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Looks at the files from time to time, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>) {
        let mut due = tokio::time::interval(self.files.reload_interval);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            due.tick().await;
            let certificate = Arc::clone(&self);
            // A panic of it ends this look, and the next one begins anew.
            let _ = spawn_blocking(move || certificate.look_again()).await;
        }
    }

    /// When the certificate that new connections get ends, if that can be read.
    pub(crate) fn not_after(&self) -> Option<Timestamp> {
        let current = Arc::clone(&self.current.read());
        current
            .cert
            .first()
            .and_then(|der| validity::not_after(der))
    }

    /// How often changed files were read, by what came of it.
    pub(crate) fn reloads(&self) -> std::collections::BTreeMap<&'static str, u64> {
        self.reloads.counts()
    }

    /// Takes what is new, or goes on with what there is. Files that change one after the other do
    /// not fit for a moment: the change of the second one is another chance.
    fn look_again(&self) {
        let seen = look(&self.files);
        if *self.seen.read() == seen {
            return;
        }
        *self.seen.write() = seen;
        let path = self.files.cert_file.display();
        match read(&self.files) {
            Ok(fresh) if fresh.cert == self.current.read().cert => {}
            Ok(fresh) => {
                *self.current.write() = Arc::new(fresh);
                self.reloads.increment("ok");
                info!(%path, "certificate changed");
            }
            Err(error) => {
                self.reloads.increment("failed");
                warn!(%path, %error, "certificate changed and cannot be used: the old one stays");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read()))
    }
}

fn read(files: &TlsSettings) -> Result<CertifiedKey, CertificateError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes(&files.cert_file)?)
        .collect::<Result<_, _>>()
        .unwrap_or_default();
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate(files.cert_file.clone()));
    }
    let key = PrivateKeyDer::from_pem_slice(&bytes(&files.key_file)?).map_err(|error| {
        CertificateError::NoKey {
            path: files.key_file.clone(),
            error,
        }
    })?;
    let provider = aws_lc_rs::default_provider();
    Ok(CertifiedKey::from_der(chain, key, &provider)?)
}

fn bytes(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let unreadable = |error| CertificateError::Unreadable {
        path: path.to_owned(),
        error,
    };
    let len = fs::metadata(path).map_err(unreadable)?.len();
    if len > FILE_LEN_MAX {
        return Err(CertificateError::TooLong {
            path: path.to_owned(),
            len,
            len_max: FILE_LEN_MAX,
        });
    }
    fs::read(path).map_err(unreadable)
}

fn look(files: &TlsSettings) -> Seen {
    [&files.cert_file, &files.key_file].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

/// How often the files are looked at if nobody says.
pub(crate) const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// A chain of certificates takes some kilobytes.
const FILE_LEN_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_that_changes_is_taken_and_a_broken_one_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let first = write(&files);
        let certificate = Certificate::load(&files).unwrap();
        let der = || certificate.current.read().cert[0].clone();
        assert_eq!(der(), first);

        fs::write(&files.cert_file, "nonsense").unwrap();
        certificate.look_again();
        assert_eq!(der(), first);
        // The new certificate is there before its key.
        let key = fs::read(&files.key_file).unwrap();
        let second = write(&files);
        let new_key = fs::read(&files.key_file).unwrap();
        fs::write(&files.key_file, key).unwrap();
        certificate.look_again();
        assert_eq!(der(), first);
        // Of another length, so that no clock has to tell them apart.
        fs::write(&files.key_file, [&new_key[..], b"\n\n"].concat()).unwrap();
        certificate.look_again();

        assert_eq!(der(), second);
        assert_eq!(
            (certificate.reloads()["ok"], certificate.reloads()["failed"]),
            (1, 2)
        );
        fs::remove_file(&files.cert_file).unwrap();
        certificate.look_again();
        assert_eq!(der(), second);
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let files = files(directory.path());
        let refused = || Certificate::load(&files).unwrap_err().to_string();

        assert!(refused().contains("cannot read"), "{}", refused());
        write(&files);
        let certificate = fs::read(&files.cert_file).unwrap();
        fs::write(&files.cert_file, "").unwrap();
        assert!(
            refused().contains("no certificate in PEM in"),
            "{}",
            refused()
        );
        fs::write(&files.cert_file, vec![b' '; 2 << 20]).unwrap();
        assert!(refused().contains("2097152 bytes long"), "{}", refused());
        fs::write(&files.cert_file, &certificate).unwrap();
        fs::write(&files.key_file, &certificate).unwrap();
        assert!(
            refused().contains("no private key in PEM in"),
            "{}",
            refused()
        );
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(&files.key_file, &other).unwrap();
        assert!(refused().contains("cannot be used"), "{}", refused());
        assert!(!refused().contains(other.lines().nth(1).unwrap()));
    }

    fn files(directory: &Path) -> TlsSettings {
        TlsSettings {
            cert_file: directory.join("cert.pem"),
            key_file: directory.join("key.pem"),
            reload_interval: RELOAD_INTERVAL,
        }
    }

    fn write(files: &TlsSettings) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.cert_file, made.cert.pem()).unwrap();
        fs::write(&files.key_file, made.signing_key.serialize_pem()).unwrap();
        made.cert.into()
    }
}
