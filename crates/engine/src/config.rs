use std::time::Duration;

use http::HeaderName;
use switchboard_limit::Rate;

use crate::Proxies;

/// What an engine is told when it is made. Plain values: whoever reads files or the environment
/// fills them in.
#[derive(Clone, Debug)]
pub struct Config {
    /// The prefix of every request that belongs to the engine. Default `/socket.io/`.
    pub path: String,
    /// Whether Socket.IO is spoken on top of Engine.IO. Default [`Layer::SocketIo`].
    pub layer: Layer,
    /// Time between two pings, default 25 s. Raising it finds dead peers later; lowering it costs
    /// one write and one read of every connection that much more often.
    pub ping_interval: Duration,
    /// Time a client has for its pong, default 20 s.
    pub ping_timeout: Duration,
    /// Time a client has to join its first namespace, default 45 s. Until then a connection costs
    /// memory and brings nothing.
    pub connect_timeout: Duration,
    /// Time a probing WebSocket has to take a polling session over, default 10 s.
    pub upgrade_timeout: Duration,
    /// Largest POST body and WebSocket message in bytes, default 1 000 000, told to clients as
    /// `maxPayload`. Each connection may make the server hold this much at once, and one that polls
    /// three times this while the application is busy.
    pub payload_max: usize,
    /// Most bytes of events queued for one connection, default 1 MiB. It is what a slow reader
    /// costs at most before it is *behind*.
    pub outbox_bytes_max: usize,
    /// Most events queued for one connection, default 1024.
    pub outbox_packets_max: usize,
    /// Most control packets (acks, connect replies, pongs) queued for one connection, default 2048;
    /// one more closes the connection. Nothing of the client is handled while half of them wait.
    pub controls_max: usize,
    /// Most bytes of control packets queued for one connection, default 1 MiB.
    pub controls_bytes_max: usize,
    /// Most binary attachments of one packet from a client, default 10.
    pub attachments_max: usize,
    /// Most bytes of all attachments of one packet from a client, default 4 000 000. A connection
    /// may make the server hold this much.
    pub attachments_bytes_max: usize,
    /// Most fragments of one WebSocket message, default 1024.
    pub fragments_max: usize,
    /// Time a client has to send all attachments of a packet, default 30 s.
    pub attachments_timeout: Duration,
    /// Most namespaces one connection may join, default 16. Each costs a handle and what the
    /// application keeps.
    pub namespaces_max: usize,
    /// Most CONNECTs of one connection that the application refuses, default 8, whatever their
    /// namespaces; then the connection is closed. Raising it lets a client have its token verified
    /// that much more often for one handshake.
    pub refusals_max: u32,
    /// Most sessions, default 100 000. One more is refused with 503.
    pub connections_max: usize,
    /// Most sessions of one address, default 10 000: an IPv4 address, or the /64 of an IPv6 one. One
    /// more is refused with 429. Behind a proxy all clients have its address, so this must be what
    /// one proxy may bring.
    pub connections_per_address_max: usize,
    /// Most sessions that have joined no namespace yet, default 10 000. One more is refused with
    /// 503. Such a session costs its client one request, and a place until `connect_timeout`.
    pub unjoined_max: usize,
    /// Most sessions that open in a second, default 10 000, after a burst of twice as many. One
    /// more is refused with 503, so that clients that all come at once leave time for those that
    /// are here.
    pub handshakes_per_second_max: u32,
    /// Most TCP connections that still speak HTTP, default 100 000. One more is closed at once.
    pub http_connections_max: usize,
    /// Time a client has to agree on TLS, default 10 s, where it is spoken. Until then it counts among
    /// `http_connections_max`.
    pub tls_timeout: Duration,
    /// Time a client has to send the head of an HTTP request, also between two requests of one
    /// connection, default 60 s.
    pub header_timeout: Duration,
    /// Most header fields of one request, default 100; more are answered 431.
    pub headers_max: usize,
    /// Largest head of a request in bytes, default 16 KiB and at least 8 KiB; a larger one is
    /// answered 431. Each HTTP connection may make the server hold this much.
    pub header_bytes_max: usize,
    /// Time a client has to send the whole body of a POST, default 30 s.
    pub body_timeout: Duration,
    /// Time without any progress of a write after which the peer counts as gone, default 30 s, on
    /// WebSockets and in answers to requests. A peer that stops reading holds its outbox, or the
    /// answer, that long.
    pub write_timeout: Duration,
    /// Time one application future may take, default 60 s; then the connection is closed.
    pub handling_timeout: Duration,
    /// Time a peer has to answer a close frame, default 5 s.
    pub close_timeout: Duration,
    /// Time that the closing of a polling session waits for a GET to tell it on, default 30 s.
    pub polling_close_timeout: Duration,
    /// Time that a shutdown waits for requests and closing connections, default 10 s.
    pub drain_timeout: Duration,
    /// Time over which a shutdown closes its sessions, in waves at uneven times, default 2 s and at
    /// most half of `drain_timeout`; 0 is all at once, as are 100 or fewer. Raising it makes a
    /// restart take longer, and the clients of a big node come back more slowly.
    pub drain_spread: Duration,
    /// Who is let in; may change while the engine runs.
    pub doors: Doors,
    /// The name that logs give to the setting behind [`Doors::origins`], default `origins`.
    pub origins_setting: &'static str,
    /// Header fields of the handshake that the application is shown, default `authorization`.
    /// They are kept for the life of the connection, so each costs its size per connection.
    pub headers_kept: Vec<HeaderName>,
}

/// Who is let in. The part of a configuration that may change while the engine runs; sessions that
/// are open stay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doors {
    /// Who may connect from a web page.
    pub origins: Origins,
    /// The proxies whose word about their clients counts, by default none.
    pub proxies: Proxies,
    /// How often sessions of one address may open, default 200 each second after a burst of
    /// 10 000. What an address is, is as for
    /// [`connections_per_address_max`](Config::connections_per_address_max). One more is refused
    /// with 429.
    pub connections_per_address: Rate,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            origins: Origins::Listed(Vec::new()),
            proxies: Proxies::default(),
            connections_per_address: Rate::per_second(200, 10_000),
        }
    }
}

/// What is spoken inside Engine.IO messages.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Layer {
    /// Socket.IO v5: namespaces, events, acks.
    #[default]
    SocketIo,
    /// Nothing: every message goes back to its sender. For conformance tests of Engine.IO alone.
    Echo,
}

/// The web pages that may connect. A request without an `Origin`, or with that of its own host,
/// is always allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origins {
    /// Any page. Answers carry `Access-Control-Allow-Origin: *`, without credentials.
    Any,
    /// Exactly these, such as `https://crm.example.com`, with credentials; `http://localhost:*`
    /// is that host on any port.
    Listed(Vec<String>),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: "/socket.io/".to_owned(),
            layer: Layer::SocketIo,
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            connect_timeout: Duration::from_secs(45),
            upgrade_timeout: Duration::from_secs(10),
            payload_max: 1_000_000,
            outbox_bytes_max: 1 << 20,
            outbox_packets_max: 1024,
            controls_max: 2048,
            controls_bytes_max: 1 << 20,
            attachments_max: 10,
            attachments_bytes_max: 4_000_000,
            fragments_max: 1024,
            attachments_timeout: Duration::from_secs(30),
            namespaces_max: 16,
            refusals_max: 8,
            connections_max: 100_000,
            connections_per_address_max: 10_000,
            unjoined_max: 10_000,
            handshakes_per_second_max: 10_000,
            http_connections_max: 100_000,
            tls_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_mins(1),
            headers_max: 100,
            header_bytes_max: 16 << 10,
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            handling_timeout: Duration::from_mins(1),
            close_timeout: Duration::from_secs(5),
            polling_close_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(10),
            drain_spread: Duration::from_secs(2),
            doors: Doors::default(),
            origins_setting: "origins",
            headers_kept: vec![http::header::AUTHORIZATION],
        }
    }
}
