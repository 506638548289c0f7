//! Asks, within bounds.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::trust::{InvalidRoots, Trust};
use crate::url::Url;

/// Asks other servers. Made once, cloned freely: all clones share its connections and limits.
///
/// Follows no redirect: a 3xx is an answer like others. Whom it may trust are the roots of the
/// system (or of `SSL_CERT_FILE`), so that an operator's own authority counts.
#[derive(Clone)]
pub struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    in_flight: Arc<Semaphore>,
    config: Config,
}

/// Limits of a [`Client`].
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a TCP connection may take, default 2 s.
    pub connect_timeout: Duration,
    /// How long a question may take, with its connection and the whole answer, default 5 s.
    pub timeout: Duration,
    /// The longest body of an answer, in bytes, default 256 KiB. It is held in memory whole.
    pub body_len_max: usize,
    /// Most questions under way, default 64. Beyond it [`Failed::Busy`]; nobody queues.
    pub in_flight_max: usize,
    /// Most idle connections that are kept for one host, default 4. Each costs some 20 KiB.
    pub idle_per_host_max: usize,
    /// How long an idle connection is kept, default 30 s.
    pub idle_timeout: Duration,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status; a redirect too.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, whole.
    pub body: Bytes,
}

/// Why there is no answer. No variant holds the query of the address, a header or a body.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failed {
    /// Nobody was reached, or whoever was could not prove who it is.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// It took longer than [`Config::timeout`].
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// The body is longer than [`Config::body_len_max`], and was not read to its end.
    #[error("the answer is longer than {len_max} bytes")]
    BodyTooLong {
        /// The limit.
        len_max: usize,
    },
    /// What came is no HTTP, or ended in the middle.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// [`Config::in_flight_max`] questions are under way.
    #[error("{in_flight_max} questions are under way already")]
    Busy {
        /// The limit.
        in_flight_max: usize,
    },
}

impl Client {
    /// Reads the roots of the system, which blocks for some milliseconds. A system without any is
    /// logged: then nobody can be trusted, and only `http` can be asked.
    ///
    /// # Errors
    ///
    /// [`InvalidRoots`] if the cryptography offers no version of TLS.
    pub fn new(config: Config) -> Result<Self, InvalidRoots> {
        let tls = Trust::System.client_config()?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(config.connect_timeout));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .pool_max_idle_per_host(config.idle_per_host_max)
            .http1_max_buf_size(HEAD_LEN_MAX)
            .build(connector);
        Ok(Self {
            http,
            in_flight: Arc::new(Semaphore::new(config.in_flight_max)),
            config,
        })
    }

    /// Asks for what is at `url`.
    ///
    /// # Errors
    ///
    /// [`Failed`] if there is no answer. An answer of any status is one.
    pub async fn get(&self, url: &Url, headers: HeaderMap) -> Result<Response, Failed> {
        self.ask(Method::GET, url, headers, Bytes::new()).await
    }

    /// Hands `body` to `url`. It may arrive twice only if a kept connection was closed before any
    /// of the question was taken.
    ///
    /// # Errors
    ///
    /// [`Failed`] if there is no answer. An answer of any status is one.
    pub async fn post(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failed> {
        self.ask(Method::POST, url, headers, body).await
    }

    async fn ask(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response, Failed> {
        let _permit = self.in_flight.try_acquire().map_err(|_| Failed::Busy {
            in_flight_max: self.config.in_flight_max,
        })?;
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = url.uri().clone();
        *request.headers_mut() = headers;
        timeout(self.config.timeout, self.answer(request))
            .await
            .unwrap_or(Err(Failed::TimedOut(self.config.timeout)))
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response, Failed> {
        let response = self.http.request(request).await.map_err(|error| {
            let why = root_cause(&error);
            if error.is_connect() {
                Failed::Connect(why)
            } else {
                Failed::Broken(why)
            }
        })?;
        let (parts, body) = response.into_parts();
        let len_max = self.config.body_len_max;
        let body = Limited::new(body, len_max).collect().await;
        let body = body.map_err(|error| {
            if error.is::<LengthLimitError>() {
                Failed::BodyTooLong { len_max }
            } else {
                Failed::Broken(root_cause(&*error))
            }
        })?;
        Ok(Response {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        })
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            timeout: Duration::from_secs(5),
            body_len_max: 256 * 1024,
            in_flight_max: 64,
            idle_per_host_max: 4,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// The innermost reason, which says most: hyper's own words are "client error".
fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// The longest head of an answer.
const HEAD_LEN_MAX: usize = 64 * 1024;
