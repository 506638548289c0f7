//! Connecting to a running server, over TLS where its address says so.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, Error as TlsError};
use switchboard_outbound::{InvalidRoots, Trust};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Failure;
use super::address::Address;

/// Whom to trust for the certificate of a server.
#[derive(Args, Clone, Debug)]
pub(crate) struct Authorities {
    /// Whom to trust for an https server's certificate, as PEM, and nobody else; without it whom the
    /// system trusts, or SSL_CERT_FILE
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

/// Connects to one server, again and again.
pub(crate) struct Dialer {
    address: Address,
    tls: Option<TlsConnector>,
}

/// A connection, with TLS or without.
pub(crate) type Stream = Box<dyn Duplex>;

/// What can be read and written.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// Nobody answers there; it may pass.
    #[error("cannot connect to {address}: {reason}")]
    Unreachable { address: Address, reason: String },
    /// Whoever answers there is not known to be the server; trying again makes it no better.
    #[error("the certificate of {address} is not trusted: {}", reason(error))]
    Untrusted {
        address: Address,
        error: CertificateError,
    },
    /// Whoever answers there cannot agree on TLS.
    #[error("{address} does not speak TLS with us: {error}")]
    Insecure { address: Address, error: TlsError },
}

/// Why a file of authorities is none.
#[derive(Debug, thiserror::Error)]
enum InvalidAuthorities {
    #[error("--ca is for an https:// address, and {0} is none")]
    Plain(Address),
    #[error("cannot read {}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{} is longer than {AUTHORITIES_LEN_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("{}: {error}", path.display())]
    Invalid { path: PathBuf, error: InvalidRoots },
    #[error(transparent)]
    System(#[from] InvalidRoots),
}

impl Authorities {
    /// Whether somebody was named.
    pub(crate) fn are_named(&self) -> bool {
        self.ca.is_some()
    }

    /// Who connects to `address`, and believes only them.
    pub(crate) fn dialer(&self, address: &Address) -> Result<Dialer, Failure> {
        let tls = self.tls(address).map_err(Failure::refused)?;
        Ok(Dialer {
            address: address.clone(),
            tls,
        })
    }

    fn tls(&self, address: &Address) -> Result<Option<TlsConnector>, InvalidAuthorities> {
        let config = match &self.ca {
            Some(_) if !address.is_secure() => {
                return Err(InvalidAuthorities::Plain(address.clone()));
            }
            None if !address.is_secure() => return Ok(None),
            None => Trust::System.client_config()?,
            Some(path) => trusting(path)?,
        };
        Ok(Some(Arc::new(config).into()))
    }
}

impl Dialer {
    /// Where it connects to.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects, in bounded time.
    pub(crate) async fn connect(&self) -> Result<Stream, DialError> {
        let connected = timeout(CONNECT_TIMEOUT, self.open()).await;
        connected.unwrap_or_else(|_| {
            Err(self.unreachable(format!("no answer within {CONNECT_TIMEOUT:?}")))
        })
    }

    async fn open(&self) -> Result<Stream, DialError> {
        let place = (self.address.host(), self.address.port());
        let unreachable = |error: io::Error| self.unreachable(error.to_string());
        let stream = TcpStream::connect(place).await.map_err(unreachable)?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(self.address.host().to_owned())
            .map_err(|error| self.unreachable(error.to_string()))?;
        match tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(self.refused(&error)),
        }
    }

    fn unreachable(&self, reason: String) -> DialError {
        let address = self.address.clone();
        DialError::Unreachable { address, reason }
    }

    /// What a handshake failed at.
    fn refused(&self, error: &io::Error) -> DialError {
        let address = self.address.clone();
        let tls = error
            .get_ref()
            .and_then(|error| error.downcast_ref::<TlsError>());
        match tls.cloned() {
            Some(TlsError::InvalidCertificate(error)) => DialError::Untrusted { address, error },
            Some(error) => DialError::Insecure { address, error },
            None => self.unreachable(error.to_string()),
        }
    }
}

impl DialError {
    /// The same with what to do next.
    pub(crate) fn into_failure(self) -> Failure {
        let advice = match &self {
            Self::Unreachable { .. } => {
                Some("is the server running? `switchboard demo` or `switchboard serve` starts one")
            }
            Self::Untrusted { error, .. } if is_unknown(error) => {
                Some("name the authority that signed it with --ca FILE")
            }
            Self::Untrusted { .. } => None,
            Self::Insecure { .. } => Some("does the server speak http:// there?"),
        };
        let failure = Failure::new(self);
        match advice {
            Some(advice) => failure.advise(advice),
            None => failure,
        }
    }
}

/// In words: those of rustls are the names of its variants.
fn reason(error: &CertificateError) -> String {
    if is_unknown(error) {
        "an unknown authority signed it".to_owned()
    } else {
        error.to_string()
    }
}

/// Whether nobody who is trusted signed it. A signature is bad where an authority that is trusted
/// has the name of the one that signed, and is another one.
fn is_unknown(error: &CertificateError) -> bool {
    matches!(
        error,
        CertificateError::UnknownIssuer | CertificateError::BadSignature
    )
}

fn trusting(path: &Path) -> Result<ClientConfig, InvalidAuthorities> {
    let unreadable = |error| InvalidAuthorities::Unreadable {
        path: path.to_owned(),
        error,
    };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let mut file = file.take(AUTHORITIES_LEN_MAX + 1);
    let len = file.read_to_end(&mut pem).map_err(unreadable)?;
    if len as u64 > AUTHORITIES_LEN_MAX {
        return Err(InvalidAuthorities::TooLong(path.to_owned()));
    }
    let config = Trust::Authorities(&pem).client_config();
    config.map_err(|error| InvalidAuthorities::Invalid {
        path: path.to_owned(),
        error,
    })
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// All that a system trusts takes a quarter of it.
const AUTHORITIES_LEN_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_are_for_https_and_are_read_before_anybody_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, "nonsense").unwrap();
        let refused = |address: &str, file: &Path| {
            let ca = Some(file.to_owned());
            let dialer = Authorities { ca }.dialer(&address.parse().unwrap());
            dialer.err().unwrap().reason()
        };

        assert_eq!(
            refused("http://localhost:5000", &file),
            "--ca is for an https:// address, and http://localhost:5000 is none"
        );
        let none = refused("https://localhost:5000", &file);
        assert!(
            none.ends_with("ca.pem: no certificate in PEM: there is none"),
            "{none}"
        );
        let absent = refused("https://localhost:5000", Path::new("absent.pem"));
        assert!(absent.starts_with("cannot read absent.pem: "), "{absent}");
    }
}
