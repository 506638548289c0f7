//! Connections to a Postgres, through tokio-postgres.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::debug;

use crate::address::Address;

/// Connects to one Postgres.
#[derive(Debug)]
pub struct Connector {
    config: tokio_postgres::Config,
    tls: Option<Tls>,
}

/// A connection; dropping it ends it at once, also if the other side is silent.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    driver: AbortHandle,
}

/// Why there is no way to a Postgres.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file of authorities holds no certificate.
    #[error("no certificate in PEM: {0}")]
    Authority(String),
    /// TLS cannot be set up at all.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

#[derive(Clone)]
struct Tls(MakeRustlsConnect);

impl Connector {
    /// Prepares to connect to `address`, within `timeout` each time. `ca` is whom to trust for its
    /// certificate, as PEM; without it, whom the system trusts, which is read from its files.
    pub fn new(address: Address, timeout: Duration, ca: Option<&[u8]>) -> Result<Self, OpenError> {
        let mut config = address.into_config();
        config.connect_timeout(timeout);
        config.keepalives_idle(KEEPALIVES_IDLE);
        if config.get_application_name().is_none() {
            config.application_name("switchboard");
        }
        let tls = if config.get_ssl_mode() == SslMode::Require {
            Some(Tls(MakeRustlsConnect::new(tls_config(ca)?)))
        } else {
            // `prefer` would fall back to plain text without a word.
            config.ssl_mode(SslMode::Disable);
            None
        };
        Ok(Self { config, tls })
    }

    /// A new connection.
    pub async fn connect(&self) -> Result<Connection, Error> {
        self.open(None).await
    }

    /// A new connection that wakes `heard` for every notification, and once when it has ended.
    pub async fn connect_listening(&self, heard: Arc<Notify>) -> Result<Connection, Error> {
        self.open(Some(heard)).await
    }

    async fn open(&self, heard: Option<Arc<Notify>>) -> Result<Connection, Error> {
        let (client, driver) = if let Some(Tls(tls)) = &self.tls {
            let (client, connection) = self.config.connect(tls.clone()).await?;
            (client, tokio::spawn(drive(connection, heard)))
        } else {
            let (client, connection) = self.config.connect(NoTls).await?;
            (client, tokio::spawn(drive(connection, heard)))
        };
        let driver = driver.abort_handle();
        Ok(Connection { client, driver })
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tls(..)")
    }
}

/// What the database said of itself or of a statement, with its code. Whoever binds what must not
/// be seen looks at the code first: the words may repeat it.
pub fn reason(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

async fn drive<S, T>(mut connection: tokio_postgres::Connection<S, T>, heard: Option<Arc<Notify>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match (message, &heard) {
            (Ok(AsyncMessage::Notification(_)), Some(heard)) => heard.notify_one(),
            (Ok(_), _) => {}
            (Err(error), _) => {
                debug!(error = %reason(&error), "a connection to Postgres ended");
                break;
            }
        }
    }
    // Before whoever waits looks whether it is closed.
    drop(connection);
    if let Some(heard) = heard {
        heard.notify_one();
    }
}

fn tls_config(ca: Option<&[u8]>) -> Result<ClientConfig, OpenError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate =
                    certificate.map_err(|error| OpenError::Authority(error.to_string()))?;
                roots.add(certificate)?;
            }
            if roots.is_empty() {
                return Err(OpenError::Authority("the file holds none".to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// After how long of silence it is found out whether the other machine is still there.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(30);
