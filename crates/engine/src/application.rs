use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;
use switchboard_protocol::{RecoveryId, SocketId, session::CloseReason, socket_io};

use crate::{Arguments, Client, Namespace, Packet, SocketHandle};

/// What runs on an engine: it decides who may join a namespace and what an event does.
///
/// At most one future of the application runs per connection at a time, and what a client sends
/// is handled in the order in which it was sent. While a future is in flight nothing more is
/// handled, but writes, heartbeats and the switch from polling to a WebSocket go on, so that it may
/// wait for what it posted to be [written](crate::Outbox::drained). When a connection ends, a
/// future in flight is dropped: what must be undone is a value that it owns.
pub trait Application: Send + Sync + Sized + 'static {
    /// What the application keeps for each Socket.IO socket; cloned often, so an [`Arc`].
    type Socket: Clone + Send + Sync + 'static;

    /// Decides whether a client may join a namespace.
    ///
    /// Packets posted through `request.handle` before this returns are written right after the
    /// CONNECT reply; those of a refused socket are dropped.
    ///
    /// Until then what the other namespaces of the connection have to say waits too, but for
    /// heartbeats: marks grow along the connection, so that nothing may overtake. A decision that
    /// waits for somebody else is one for the main namespace, or to be made after this returned.
    fn connect(
        self: &Arc<Self>,
        request: Connect,
    ) -> impl Future<Output = Result<Admission<Self::Socket>, Refusal>> + Send;

    /// Takes an event of a client.
    fn event(self: &Arc<Self>, socket: &Self::Socket, event: Incoming) -> Handling;

    /// Takes a client's reply to an event that was sent with an [`AckId`].
    fn acked(self: &Arc<Self>, socket: &Self::Socket, ack: Acked) -> Handling {
        let _ = (socket, ack);
        Handling::Done
    }

    /// Is told once that the outbox overflowed: queued events were dropped and none is queued any
    /// more until [`Outbox::go_live`](crate::Outbox::go_live).
    ///
    /// By default the transport is closed, so that the client comes back.
    fn behind(self: &Arc<Self>, socket: &Self::Socket) -> Handling {
        let _ = socket;
        Handling::Close(CloseReason::Lagged)
    }

    /// Is told that a socket ended; called exactly once for each accepted socket.
    fn disconnect(self: &Arc<Self>, socket: Self::Socket, reason: DisconnectReason);
}

/// How the application takes what it was handed.
pub enum Handling {
    /// It is done.
    Done,
    /// It is done when this future is; nothing else of this connection is handled before.
    Later(Pin<Box<dyn Future<Output = ()> + Send>>),
    /// The transport is to be closed; the stock client comes back.
    Close(CloseReason),
}

impl Handling {
    /// Boxes `work`.
    pub fn later(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::Later(Box::pin(work))
    }
}

impl fmt::Debug for Handling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => formatter.write_str("Done"),
            Self::Later(_) => formatter.write_str("Later"),
            Self::Close(reason) => formatter.debug_tuple("Close").field(reason).finish(),
        }
    }
}

/// A client's wish to join a namespace.
pub struct Connect {
    /// The namespace, [`Namespace::ROOT`] for the main one.
    pub namespace: Namespace<'static>,
    /// The CONNECT payload, an object if present.
    pub auth: Option<Box<RawValue>>,
    /// The HTTP request that opened the connection.
    pub handshake: Arc<Handshake>,
    /// The socket to be, if it is accepted.
    pub handle: SocketHandle,
}

/// The payload may hold a token, so it is not shown.
impl fmt::Debug for Connect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connect")
            .field("namespace", &self.namespace)
            .field("socket", &self.handle.id())
            .finish_non_exhaustive()
    }
}

/// What is kept of the HTTP request that opened a connection.
pub struct Handshake {
    client: Client,
    /// None of most, because every connection keeps its handshake.
    kept: Option<Box<Kept>>,
}

struct Kept {
    headers: Box<[(HeaderName, HeaderValue)]>,
    query: Box<str>,
}

impl Handshake {
    /// Keeps those of `headers` that `kept` names, and of `query` what is not Engine.IO's.
    pub(crate) fn new(
        client: Client,
        headers: &HeaderMap,
        kept: &[HeaderName],
        query: &str,
    ) -> Self {
        let headers: Box<[_]> = kept
            .iter()
            .flat_map(|name| {
                headers
                    .get_all(name)
                    .iter()
                    .map(|value| (name.clone(), value.clone()))
            })
            .collect();
        let query: Vec<&str> = query
            .split('&')
            .filter(|pair| {
                let key = pair.split('=').next().unwrap_or_default();
                !matches!(key, "" | "EIO" | "transport" | "sid" | "t" | "b64" | "j")
            })
            .collect();
        let query: Box<str> = query.join("&").into();
        let is_kept = !headers.is_empty() || !query.is_empty();
        Self {
            client,
            kept: is_kept.then(|| Box::new(Kept { headers, query })),
        }
    }

    /// Where the client is, as far as trusted proxies tell.
    pub fn client(&self) -> Client {
        self.client
    }

    /// The first value of a header field, if it was kept and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = &self.kept.as_ref()?.headers;
        let (_, value) = headers
            .iter()
            .find(|(kept, _)| kept.as_str().eq_ignore_ascii_case(name))?;
        value.to_str().ok()
    }

    /// The raw query without Engine.IO's own parameters.
    pub fn query(&self) -> &str {
        self.kept.as_ref().map_or("", |kept| &kept.query)
    }
}

/// Headers and query may hold a token, so they are not shown.
impl fmt::Debug for Handshake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handshake")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// What the application says of a client that it lets in.
pub struct Admission<S> {
    pub(crate) socket: S,
    pub(crate) recovery: Option<RecoveryId>,
    pub(crate) recovered: Option<Recovered>,
}

/// A socket that came back.
pub(crate) struct Recovered {
    pub(crate) id: SocketId,
    pub(crate) missed: Vec<(Arc<Packet>, u64)>,
}

impl<S> Admission<S> {
    /// Lets the client in as a new socket.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            recovery: None,
            recovered: None,
        }
    }

    /// Tells the client the secret `id` by which it may come back (`pid`).
    #[must_use]
    pub fn recoverable(mut self, id: RecoveryId) -> Self {
        self.recovery = Some(id);
        self
    }

    /// The client came back: it goes on as socket `id`, and gets what it `missed`, with marks,
    /// before the CONNECT reply. At most one page: what is more is for [`Application::behind`].
    #[must_use]
    pub fn recovered(mut self, id: SocketId, missed: Vec<(Arc<Packet>, u64)>) -> Self {
        self.recovered = Some(Recovered { id, missed });
        self
    }
}

impl<S> Admission<S> {
    /// What the application keeps for the socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }

    /// Whether the client came back to the socket it had.
    pub fn is_recovered(&self) -> bool {
        self.recovered.is_some()
    }
}

impl<S> From<S> for Admission<S> {
    fn from(socket: S) -> Self {
        Self::new(socket)
    }
}

/// The recovery id is a secret, so it is not shown.
impl<S> fmt::Debug for Admission<S> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Admission")
            .field("recovered", &self.recovered.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a client may not join a namespace.
#[derive(Debug)]
pub enum Refusal {
    /// A CONNECT_ERROR, for what only new credentials cure: the stock client does not try again.
    ConnectError {
        /// English text.
        message: String,
        /// JSON for programs, the `data` of the client's error.
        data: Option<Box<RawValue>>,
    },
    /// The transport is closed, for what passes by itself: the stock client comes back.
    Close(CloseReason),
}

impl Refusal {
    /// What Socket.IO says of a namespace that does not exist.
    pub fn invalid_namespace() -> Self {
        Self::ConnectError {
            message: "Invalid namespace".to_owned(),
            data: None,
        }
    }
}

/// An event from a client.
pub struct Incoming {
    /// Its name; a number is taken as its text.
    pub name: Box<str>,
    /// What follows the name, as sent. Binary values are placeholders, whose `num` is an index
    /// into `attachments`, checked to exist.
    pub args: Arguments<'static>,
    /// The binary values.
    pub attachments: Vec<Bytes>,
    /// To be answered with [`SocketHandle::ack`], if the client waits for it.
    pub ack: Option<AckId>,
}

/// Arguments may hold anything, so they are not shown.
impl fmt::Debug for Incoming {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Incoming")
            .field("args", &self.args)
            .field("attachments", &self.attachments.len())
            .field("ack", &self.ack)
            .finish_non_exhaustive()
    }
}

/// A client's reply to an event that was sent with an [`AckId`].
pub struct Acked {
    /// The number of the event's [`AckId`]. A client can make any number up, or reply twice.
    pub id: u64,
    /// The arguments of the reply, as sent.
    pub args: Arguments<'static>,
    /// The binary values.
    pub attachments: Vec<Bytes>,
}

impl fmt::Debug for Acked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Acked")
            .field("id", &self.id)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

/// Names the reply to one event. Not `Clone`: an event of a client is answered once.
#[derive(Debug, Eq, PartialEq)]
pub struct AckId(pub(crate) socket_io::AckId);

impl AckId {
    /// Asks for a reply to an event of the server under a number of the application's own choice,
    /// so that one [`Packet`] may go to many sockets and be sent again on other connections.
    ///
    /// The number comes back in [`Acked::id`], and nothing else tells what was answered. Numbers that
    /// JavaScript cannot hold (from 2^53 on) do not come back as they were. An application that
    /// chooses numbers must not take others from [`SocketHandle::ack_id`].
    pub fn of_event(number: u64) -> Self {
        Self(socket_io::AckId(number))
    }

    /// The number on the wire.
    pub fn get(&self) -> u64 {
        self.0.0
    }
}

/// Why a socket ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientLeft,
    /// [`SocketHandle::disconnect`] was called.
    ServerLeft,
    /// The whole connection ended.
    Closed(CloseReason),
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientLeft => formatter.write_str("client namespace disconnect"),
            Self::ServerLeft => formatter.write_str("server namespace disconnect"),
            Self::Closed(reason) => reason.fmt(formatter),
        }
    }
}
