use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustls::ServerConfig;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};
use tracing::{debug, info, warn};

use crate::{
    Application, Client, Config, Engine, Listener, Packet,
    counters::Counters,
    drain,
    engine::{HttpGuard, Shared, Tasks},
    listener::shake_hands,
    patience::Patient,
    refused::Cause,
    request::Asked,
    stream::Stream,
    takeover::Takeover,
    websocket::WebSocket,
};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Serves `engine` on its path and `fallback` everywhere else, until `shutdown` is done. What comes
/// to the fallback has the client's [`SocketAddr`] among its extensions, with port 0 if a proxy did not
/// tell it.
///
/// Then it drains: accepts nothing more, closes the sessions' transports in waves so that clients
/// come back by themselves, but not all at once, finishes the requests in flight, and returns once
/// all tasks ended or [`drain_timeout`](crate::Config::drain_timeout) passed.
pub async fn serve<A, F, B>(
    listener: impl Into<Listener>,
    engine: Engine<A>,
    fallback: F,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: Application,
    F: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    F: Clone + Send + Sync + 'static,
    F::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = listener.into();
    let shared = engine.shared();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                let Some(task) = Tasks::enter_http(shared) else {
                    shared.counters.connections_refused.increment();
                    let noted = shared
                        .refused
                        .note(Cause::HttpConnectionsMax, Instant::now());
                    if let Some(suppressed) = noted {
                        let http_connections_max = shared.config.http_connections_max;
                        warn!(client = %address, http_connections_max, suppressed, "connection refused");
                    }
                    continue;
                };
                let (shared, fallback) = (shared.clone(), fallback.clone());
                match listener.tls.clone() {
                    None => {
                        let stream = Stream::Plain(stream);
                        tokio::spawn(speak_http(stream, address, shared, fallback, task));
                    }
                    Some(tls) => {
                        tokio::spawn(speak_tls(stream, tls, address, shared, fallback, task));
                    }
                }
            }
            Err(error) if is_of_the_peer(&error) => debug!(%error, "accept failed"),
            Err(error) => {
                // Out of file descriptors or memory: trying again at once would only spin.
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    drain(shared).await;
    Ok(())
}

/// How long accepting rests after a failure of our own.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

async fn drain<A: Application>(shared: &Arc<Shared<A>>) {
    let Config {
        drain_timeout,
        drain_spread,
        ..
    } = shared.config;
    info!(sessions = shared.admissions.total(), "draining");
    shared.drain.send_replace(true);
    let everyone_left = async {
        // The last are to have time to go, too.
        drain::close_all(shared, drain_spread.min(drain_timeout / 2)).await;
        shared.tasks.finished().await;
    };
    if tokio::time::timeout(drain_timeout, everyone_left)
        .await
        .is_err()
    {
        warn!(?drain_timeout, "drain ended before all connections");
    }
}

/// The same over TLS, once both sides agree on it.
async fn speak_tls<A, F, B>(
    stream: TcpStream,
    tls: Arc<ServerConfig>,
    address: SocketAddr,
    shared: Arc<Shared<A>>,
    fallback: F,
    task: HttpGuard<A>,
) where
    A: Application,
    F: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    F: Clone + Send + Sync + 'static,
    F::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut drain = shared.drain.subscribe();
    let tls_timeout = shared.config.tls_timeout;
    // Once it is done its state is in nobody's way.
    let shaken = tokio::select! {
        shaken = Box::pin(shake_hands(stream, tls, tls_timeout)) => shaken,
        _ = drain.wait_for(|draining| *draining) => return,
    };
    match shaken {
        Ok(stream) => speak_http(stream, address, shared, fallback, task).await,
        Err(error) if error.is_departure() => debug!(client = %address, %error, "no TLS"),
        Err(error) => {
            if let Some(suppressed) = shared.refused.note(Cause::TlsHandshake, Instant::now()) {
                warn!(client = %address, reason = %error, suppressed, "no TLS");
            }
        }
    }
}

/// Carries one TCP connection until it ends or is no longer HTTP.
async fn speak_http<A, F, B>(
    stream: Stream,
    address: SocketAddr,
    shared: Arc<Shared<A>>,
    fallback: F,
    _task: HttpGuard<A>,
) where
    A: Application,
    F: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    F: Clone + Send + Sync + 'static,
    F::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if let Err(error) = stream.tcp().set_nodelay(true) {
        debug!(client = %address, %error, "connection lost");
        return;
    }
    let takeover = Arc::new(Mutex::new(None));
    let service = Front {
        shared: shared.clone(),
        fallback,
        address,
        takeover: takeover.clone(),
    };
    let config = &shared.config;
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_headers(config.headers_max)
        .max_buf_size(config.header_bytes_max.max(HEADER_BYTES_MIN))
        .serve_connection(
            TokioIo::new(Patient::new(stream, config.write_timeout)),
            service,
        );
    let mut drain = shared.drain.subscribe();
    // What it returns must not be held over an await.
    let drained = async { drop(drain.wait_for(|draining| *draining).await) };
    let outcome = tokio::select! {
        outcome = poll_fn(|context| connection.poll_without_shutdown(context)) => outcome,
        () = drained => {
            Pin::new(&mut connection).graceful_shutdown();
            poll_fn(|context| connection.poll_without_shutdown(context)).await
        }
    };
    let parts = connection.into_parts();
    if let Err(error) = outcome {
        let is_begun = !parts.read_buf.is_empty();
        let refused = &shared.refused;
        refused.no_request(address, &error, is_begun, Instant::now());
    }
    let stream = parts.io.into_inner();
    if stream.has_given_up() {
        return give_up(&stream.into_inner(), address, &shared);
    }
    let stream = stream.into_inner();
    let takeover = takeover.lock().take();
    match takeover {
        None => linger(stream, config.close_timeout).await,
        Some(takeover) => {
            if let Some(socket) = takeover.run(stream, &parts.read_buf) {
                close(socket, &shared.counters, config.close_timeout).await;
            }
        }
    }
}

/// Lets the end of a connection whose peer takes nothing also end what the kernel has for it.
fn give_up<A>(stream: &Stream, address: SocketAddr, shared: &Shared<A>) {
    if let Some(suppressed) = shared.refused.note(Cause::WriteTimeout, Instant::now()) {
        let write_timeout = shared.config.write_timeout;
        warn!(client = %address, ?write_timeout, suppressed, "connection given up");
    }
    // If it cannot be reset, it is closed.
    let _ = stream.tcp().set_zero_linger();
}

/// The least that hyper takes.
const HEADER_BYTES_MIN: usize = 8 << 10;

/// Lets the peer read the last answer: closing a socket with unread bytes would reset it.
async fn linger(mut stream: Stream, timeout: Duration) {
    let until_end = async {
        stream.shutdown().await?;
        let mut discarded = [0; 1024];
        for _ in 0..LINGER_READS_MAX {
            if stream.read(&mut discarded).await? == 0 {
                break;
            }
        }
        io::Result::Ok(())
    };
    // Whatever happens, the connection is over.
    let _ = tokio::time::timeout(timeout, until_end).await;
}

/// Reads of up to 1 KiB that a connection is worth after its last answer.
const LINGER_READS_MAX: usize = 4096;

/// Closes a WebSocket that was only opened because the protocol wants it so.
async fn close(mut socket: Box<WebSocket>, counters: &Counters, timeout: Duration) {
    socket.say(Packet::close(None));
    let until_end = poll_fn(|context| {
        let mut discarded = [0; 1024];
        if socket
            .poll_flush(context, &counters.bytes_out)?
            .is_pending()
        {
            return Poll::Pending;
        }
        if socket.poll_shutdown(context)?.is_pending() {
            return Poll::Pending;
        }
        loop {
            match socket.poll_read(context, &mut discarded)? {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(0) => return Poll::Ready(io::Result::Ok(())),
                Poll::Ready(_) => {}
            }
        }
    });
    // Whatever happens, the connection is over.
    let _ = tokio::time::timeout(timeout, until_end).await;
}

/// The HTTP side of one connection.
struct Front<A, F> {
    shared: Arc<Shared<A>>,
    fallback: F,
    address: SocketAddr,
    /// Set when a request was answered 101.
    takeover: Arc<Mutex<Option<Takeover<A>>>>,
}

impl<A, F> Front<A, F> {
    fn client<B>(&self, request: &Request<B>) -> Client {
        let doors = self.shared.doors();
        doors.proxies.client(self.address, request.headers())
    }
}

/// Nothing in it is ever pinned.
impl<A, F> Unpin for Front<A, F> {}

impl<A, F, B> Service<Request<Incoming>> for Front<A, F>
where
    A: Application,
    F: tower_service::Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    F: Clone + Send + Sync + 'static,
    F::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Either<Full<Bytes>, B>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if !request.uri().path().starts_with(&self.shared.config.path) {
            let mut fallback = self.fallback.clone();
            let client = self.client(&request).socket_addr();
            request.extensions_mut().insert(client);
            return Box::pin(async move {
                let Ok(()) = poll_fn(|context| fallback.poll_ready(context)).await;
                let Ok(response) = fallback.call(request).await;
                Ok(response.map(Either::Right))
            });
        }
        let shared = self.shared.clone();
        let client = self.client(&request);
        let takeover = self.takeover.clone();
        Box::pin(async move {
            let asked = Asked {
                shared: &shared,
                client,
                request,
            };
            let (answer, granted) = asked.answer().await?;
            *takeover.lock() = granted;
            Ok(answer.map(Either::Left))
        })
    }
}
