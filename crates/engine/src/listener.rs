use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::stream::Stream;

/// Where connections come from, and whether they speak TLS.
#[derive(Debug)]
pub struct Listener {
    pub(crate) tcp: TcpListener,
    pub(crate) tls: Option<Arc<ServerConfig>>,
}

/// Why there is no TLS with somebody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    /// The peer says nothing more.
    #[error("not finished within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The peer left, or speaks something else: HTTP without TLS, most of the time.
    #[error(transparent)]
    Failed(#[from] io::Error),
}

impl Listener {
    /// Speaks nothing but TLS on `tcp`. A certificate that changes is the business of the
    /// configuration's resolver.
    pub fn with_tls(tcp: TcpListener, tls: Arc<ServerConfig>) -> Self {
        Self {
            tcp,
            tls: Some(tls),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.tcp.accept().await
    }
}

/// Without TLS.
impl From<TcpListener> for Listener {
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

/// Agrees with the peer on TLS, in bounded time.
pub(crate) async fn shake_hands(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    time: Duration,
) -> Result<Stream, HandshakeError> {
    stream.set_nodelay(true)?;
    let accepting = TlsAcceptor::from(tls).accept(stream);
    match timeout(time, accepting).await {
        Ok(accepted) => Ok(Stream::Tls(Box::new(accepted?))),
        Err(_) => Err(HandshakeError::TimedOut(time)),
    }
}

impl HandshakeError {
    /// Whether the peer merely left, as a balancer does that looks whether somebody is there.
    pub(crate) fn is_departure(&self) -> bool {
        let kinds = [
            io::ErrorKind::UnexpectedEof,
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::NotConnected,
        ];
        matches!(self, Self::Failed(error) if kinds.contains(&error.kind()))
    }
}
