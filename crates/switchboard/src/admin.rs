//! The operator's listener: `/metrics`, apart from what clients and producers use.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::routing::get;
use http::Request;
use http::header::CONTENT_TYPE;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use switchboard_ingest::Problem;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower_service::Service as _;
use tracing::{debug, info, warn};

/// What is told at `/metrics`.
pub(crate) trait Metered: Send + Sync + 'static {
    /// All metrics as text, as they are now.
    fn metrics(&self) -> String;
}

/// A running listener, which ends when it is dropped.
pub(crate) struct Admin {
    local_addr: SocketAddr,
    _serving: JoinSet<()>,
}

impl Admin {
    /// Answers on `listener` from now on.
    pub(crate) fn start<M: Metered>(listener: TcpListener, metered: Arc<M>) -> io::Result<Self> {
        let local_addr = listener.local_addr()?;
        if !local_addr.ip().is_loopback() {
            warn!(address = %local_addr, "admin.host lets other machines read the metrics");
        }
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, routes(metered)));
        info!(address = %local_addr, "admin listening");
        Ok(Self {
            local_addr,
            _serving: serving,
        })
    }

    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }
}

fn routes<M: Metered>(metered: Arc<M>) -> Router {
    Router::new()
        .route("/metrics", get(metrics::<M>))
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::not_found() })
        .with_state(metered)
}

async fn metrics<M: Metered>(State(metered): State<Arc<M>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, CONTENT_TYPE_TEXT)], metered.metrics())
}

/// Accepts for ever, but never more at once than [`CONNECTIONS_MAX`].
async fn serve(listener: TcpListener, routes: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(timeout(CONNECTION_TIMEOUT, answer(stream, routes.clone())));
                }
                Err(error) => {
                    debug!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of one connection, one after the other.
async fn answer(stream: TcpStream, routes: Router) {
    let service = service_fn(|request: Request<Incoming>| routes.clone().call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "request failed");
    }
}

/// The text format of Prometheus.
const CONTENT_TYPE_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Scrapers are few.
const CONNECTIONS_MAX: usize = 32;
/// How long a connection may be used. A scraper opens another one.
const CONNECTION_TIMEOUT: Duration = Duration::from_mins(10);
/// How long a connection may be silent between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_mins(2);
/// How long accepting rests after a failure.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
