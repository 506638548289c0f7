use std::sync::Arc;

use bytes::Bytes;
use switchboard_protocol::{
    SessionId,
    engine_io::{Open, Transport},
};
use tracing::debug;

use crate::{
    Application, Handshake, Packet,
    admission::Place,
    connection::{self, Connection},
    engine::Shared,
    mailbox::ProbeTicket,
    stream::Stream,
    websocket::WebSocket,
};

/// What becomes of a connection after its 101.
pub(crate) enum Takeover<A> {
    /// A new session.
    Open {
        place: Place<A>,
        id: SessionId,
        handshake: Arc<Handshake>,
        base64: bool,
    },
    /// A polling session wants to move here.
    Probe { ticket: ProbeTicket, base64: bool },
    /// The protocol wants it opened, and closed at once.
    Close,
}

impl<A: Application> Takeover<A> {
    /// Gives the bare socket to whom it belongs; returns it if it is to be closed.
    pub(crate) fn run(self, stream: Stream, leftover: &Bytes) -> Option<Box<WebSocket>> {
        match self {
            Self::Close => Some(Box::new(WebSocket::new(stream, leftover, false))),
            Self::Probe { ticket, base64 } => ticket
                .hand_in(Box::new(WebSocket::new(stream, leftover, base64)))
                .err(),
            Self::Open {
                place,
                id,
                handshake,
                base64,
            } => {
                let shared = place.shared().clone();
                let client = handshake.client();
                let outbox = Arc::new(shared.outbox());
                outbox.send_ahead(Arc::new(Packet::text(open_packet(&shared, &id, &[]))));
                let socket = WebSocket::new(stream, leftover, base64);
                let connection = Connection::new(
                    place.register(id, &outbox, None),
                    outbox,
                    handshake,
                    connection::Transport::WebSocket(socket),
                );
                tokio::spawn(connection);
                debug!(%client, transport = "websocket", "session opened");
                None
            }
        }
    }
}

/// What tells a client of its session.
pub(crate) fn open_packet<A>(shared: &Shared<A>, id: &SessionId, upgrades: &[Transport]) -> String {
    Open {
        session_id: id,
        upgrades,
        ping_interval: shared.config.ping_interval,
        ping_timeout: shared.config.ping_timeout,
        payload_max: shared.config.payload_max,
    }
    .encode()
}
