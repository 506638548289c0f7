//! One client's session: heartbeat, connect timeout, namespaces, and what closes it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::engine_io;
use crate::socket_io::{self, Ack, Body, DecodeError, Decoder, Event, Limits, Namespace};

mod close;
#[cfg(test)]
mod tests;

pub use close::CloseReason;

/// The times and bounds of a session.
#[derive(Clone, Debug)]
pub struct Config {
    /// Whether messages are Socket.IO packets. If not, they are handed on as they are, and no
    /// namespace is waited for.
    pub socket_io: bool,
    /// From one ping to the next.
    pub ping_interval: Duration,
    /// How long a client has for its pong.
    pub ping_timeout: Duration,
    /// How long a client has to join its first namespace.
    pub connect_timeout: Duration,
    /// How long a client has to send the attachments of one packet.
    pub attachments_timeout: Duration,
    /// Bounds of the attachments of one packet.
    pub attachments: Limits,
    /// The most namespaces that a client may have joined or left.
    pub namespaces_max: usize,
    /// How often a client may be refused a namespace. Then the session ends: each refusal may have
    /// cost the application a look at a token.
    pub refusals_max: u32,
}

/// One client's protocol state, the same over every transport. Does no I/O and reads no clock.
///
/// Call a `handle_*` with what came; it returns what the driver has to do about it, if anything.
/// Wait until [`poll_timeout`](Self::poll_timeout) or the next input, whichever is first. After
/// [`Signal::Closed`] nothing comes any more.
#[derive(Debug)]
pub struct Session {
    config: Arc<Config>,
    heartbeat: Heartbeat,
    heartbeat_deadline: Instant,
    /// When what is awaited must have come: that the client joins a namespace, and from then on
    /// what is missing of attachments.
    deadline: Option<Instant>,
    decoder: Decoder,
    members: Vec<Member>,
    member_next: u32,
    refusals: u32,
    closed: Option<CloseReason>,
}

/// What a session tells its driver.
pub enum Signal<'a> {
    /// Send a ping.
    Ping,
    /// The client wants to join a namespace: decide, then call [`Session::accept`] or
    /// [`Session::refuse`], and hand nothing to the session before.
    Connect {
        /// Names the membership from now on.
        member: MemberId,
        /// The namespace.
        namespace: Namespace<'static>,
        /// The CONNECT payload, an object.
        auth: Option<&'a RawValue>,
    },
    /// An event for the application.
    Event(MemberId, Event<'a>),
    /// The answer to an event of the application.
    Ack(MemberId, Ack<'a>),
    /// The client left a namespace.
    Left(MemberId),
    /// A text message, if Socket.IO is not spoken.
    Text(&'a str),
    /// A binary message, if Socket.IO is not spoken.
    Binary(Cow<'a, [u8]>),
    /// The session ended with [`CloseReason::PacketInvalid`], because of this. It holds nothing of
    /// what the client sent but numbers.
    PacketInvalid(DecodeError),
    /// The session ended for another reason.
    Closed(CloseReason),
}

/// Names one client's membership of a namespace, within one session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct MemberId(u32);

#[derive(Debug)]
struct Member {
    id: MemberId,
    namespace: Namespace<'static>,
    state: MemberState,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum MemberState {
    Joining,
    Joined,
    /// The server ended it: the client may not know yet, so what it still sends is ignored.
    Dismissed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Heartbeat {
    Resting,
    AwaitingPong,
}

impl Session {
    /// A session that is opened at this moment.
    pub fn new(config: Arc<Config>, now: Instant) -> Self {
        Self {
            heartbeat: Heartbeat::Resting,
            heartbeat_deadline: now + config.ping_interval,
            deadline: config.socket_io.then_some(now + config.connect_timeout),
            decoder: Decoder::default(),
            members: Vec::new(),
            member_next: 0,
            refusals: 0,
            closed: None,
            config,
        }
    }

    /// Takes a text packet of Engine.IO: a WebSocket message or an element of a polling body.
    pub fn handle_text<'a>(&mut self, now: Instant, text: &'a str) -> Option<Signal<'a>> {
        match engine_io::Packet::decode(text) {
            Ok(packet) => self.handle_packet(now, packet),
            Err(_) => self.close(CloseReason::ParseError),
        }
    }

    /// Takes a packet of Engine.IO.
    pub fn handle_packet<'a>(
        &mut self,
        now: Instant,
        packet: engine_io::Packet<'a>,
    ) -> Option<Signal<'a>> {
        if self.closed.is_some() {
            return None;
        }
        match packet {
            engine_io::Packet::Message(text) => self.handle_message(now, text),
            engine_io::Packet::Binary(bytes) => self.handle_binary(bytes),
            engine_io::Packet::Pong(_) => {
                if self.heartbeat == Heartbeat::AwaitingPong {
                    self.rest(now);
                }
                None
            }
            engine_io::Packet::Close => self.close(CloseReason::TransportClosed),
            // The heartbeat goes the other way.
            engine_io::Packet::Ping(_) => self.close(CloseReason::TransportError),
            engine_io::Packet::Open(_) | engine_io::Packet::Upgrade | engine_io::Packet::Noop => {
                None
            }
        }
    }

    /// Takes a binary message.
    pub fn handle_binary<'a>(&mut self, bytes: Cow<'a, [u8]>) -> Option<Signal<'a>> {
        if self.closed.is_some() {
            return None;
        }
        if !self.config.socket_io {
            return Some(Signal::Binary(bytes));
        }
        match self.decoder.decode_binary(bytes, &self.config.attachments) {
            Ok(packet) => {
                let packet = packet?;
                self.deadline = None;
                self.handle_socket_io(packet)
            }
            Err(error) => Some(self.refuse_packet(error)),
        }
    }

    /// Takes the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Signal<'static>> {
        if self.closed.is_some() {
            return None;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return self.close(if self.decoder.is_waiting() {
                CloseReason::AttachmentsTimeout
            } else {
                CloseReason::ConnectTimeout
            });
        }
        if self.heartbeat_deadline > now {
            return None;
        }
        match self.heartbeat {
            Heartbeat::Resting => {
                self.heartbeat = Heartbeat::AwaitingPong;
                // From when the ping was due: a timer is always a little late, and the client
                // knows nothing of that. A driver that is very late leaves it half of its time.
                let ping_timeout = self.config.ping_timeout;
                self.heartbeat_deadline =
                    (self.heartbeat_deadline + ping_timeout).max(now + ping_timeout / 2);
                Some(Signal::Ping)
            }
            Heartbeat::AwaitingPong => self.close(CloseReason::PingTimeout),
        }
    }

    /// Takes that the transport was switched. The pong of a ping on the old one may be lost, so
    /// the heartbeat begins anew.
    pub fn handle_switch(&mut self, now: Instant) {
        self.rest(now);
    }

    /// Lets a client that asked into its namespace.
    pub fn accept(&mut self, member: MemberId) {
        if let Some(member) = self.members.iter_mut().find(|known| known.id == member) {
            member.state = MemberState::Joined;
            self.deadline = None;
        }
    }

    /// Does not let it in. It may ask again, until it was refused too often.
    pub fn refuse(&mut self, member: MemberId) -> Option<Signal<'static>> {
        self.members.retain(|known| known.id != member);
        self.refusals = self.refusals.saturating_add(1);
        if self.refusals < self.config.refusals_max {
            return None;
        }
        self.close(CloseReason::RefusedTooOften)
    }

    /// Ends a membership from the server's side.
    pub fn dismiss(&mut self, member: MemberId) {
        if let Some(member) = self.members.iter_mut().find(|known| known.id == member) {
            member.state = MemberState::Dismissed;
        }
    }

    /// Ends the session, unless it has ended.
    pub fn close<'a>(&mut self, reason: CloseReason) -> Option<Signal<'a>> {
        if self.closed.is_some() {
            return None;
        }
        self.closed = Some(reason);
        self.decoder = Decoder::default();
        Some(Signal::Closed(reason))
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub fn poll_timeout(&self) -> Instant {
        let deadline = self.deadline.unwrap_or(self.heartbeat_deadline);
        deadline.min(self.heartbeat_deadline)
    }

    /// When the session has ended if nothing more comes of the client, whether the ping has been
    /// sent by then or not.
    pub fn expires_at(&self) -> Instant {
        match self.heartbeat {
            Heartbeat::Resting => self.heartbeat_deadline + self.config.ping_timeout,
            Heartbeat::AwaitingPong => self.heartbeat_deadline,
        }
    }

    /// Whether the client owes a pong. A driver that has not read what the client sent must do so
    /// before it says that the time is over.
    pub fn is_awaiting_pong(&self) -> bool {
        self.heartbeat == Heartbeat::AwaitingPong
    }

    /// Why the session ended, if it has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed
    }

    fn rest(&mut self, now: Instant) {
        self.heartbeat = Heartbeat::Resting;
        self.heartbeat_deadline = now + self.config.ping_interval;
    }

    fn handle_message<'a>(&mut self, now: Instant, text: &'a str) -> Option<Signal<'a>> {
        if !self.config.socket_io {
            return Some(Signal::Text(text));
        }
        match self.decoder.decode_text(text, &self.config.attachments) {
            Ok(Some(packet)) => self.handle_socket_io(packet),
            Ok(None) => self.await_attachments(now),
            Err(error) => Some(self.refuse_packet(error)),
        }
    }

    fn refuse_packet<'a>(&mut self, error: DecodeError) -> Signal<'a> {
        self.closed = Some(CloseReason::PacketInvalid);
        self.decoder = Decoder::default();
        Signal::PacketInvalid(error)
    }

    /// Lets nobody who has joined nothing make us hold attachments.
    fn await_attachments(&mut self, now: Instant) -> Option<Signal<'static>> {
        let joined = |member: &Member| member.state == MemberState::Joined;
        if !self.members.iter().any(joined) {
            return self.close(CloseReason::AttachmentsEarly);
        }
        self.deadline = Some(now + self.config.attachments_timeout);
        None
    }

    fn handle_socket_io<'a>(&mut self, packet: socket_io::Packet<'a>) -> Option<Signal<'a>> {
        let known = self
            .members
            .iter()
            .position(|member| member.namespace == packet.namespace);
        if let Body::Connect(auth) = packet.body {
            return self.handle_connect(known, packet.namespace, auth);
        }
        let Some(index) = known else {
            return self.close(CloseReason::Misused);
        };
        let member = &self.members[index];
        match (member.state, packet.body) {
            (MemberState::Dismissed, _) => None,
            (MemberState::Joined, Body::Event(event)) => Some(Signal::Event(member.id, event)),
            (MemberState::Joined, Body::Ack(ack)) => Some(Signal::Ack(member.id, ack)),
            (MemberState::Joined, Body::Disconnect) => {
                let member = self.members.remove(index);
                Some(Signal::Left(member.id))
            }
            (MemberState::Joined, Body::Connect(_) | Body::ConnectError(_))
            | (MemberState::Joining, _) => self.close(CloseReason::Misused),
        }
    }

    fn handle_connect<'a>(
        &mut self,
        known: Option<usize>,
        namespace: Namespace<'a>,
        auth: Option<&'a RawValue>,
    ) -> Option<Signal<'a>> {
        match known {
            Some(index) if self.members[index].state == MemberState::Dismissed => {
                self.members.remove(index);
            }
            Some(_) => return self.close(CloseReason::Misused),
            None if self.members.len() >= self.config.namespaces_max => {
                return self.close(CloseReason::TooManyNamespaces);
            }
            None => {}
        }
        let id = MemberId(self.member_next);
        self.member_next = self.member_next.wrapping_add(1);
        let namespace = namespace.into_owned();
        // Nearly every client joins one namespace and no other.
        self.members.reserve_exact(1);
        self.members.push(Member {
            id,
            namespace: namespace.clone(),
            state: MemberState::Joining,
        });
        Some(Signal::Connect {
            member: id,
            namespace,
            auth,
        })
    }
}

/// Payloads may hold tokens and messages, so they are not shown.
impl fmt::Debug for Signal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ping => f.write_str("Ping"),
            Self::Connect {
                member, namespace, ..
            } => f
                .debug_tuple("Connect")
                .field(member)
                .field(namespace)
                .finish(),
            Self::Event(member, event) => {
                f.debug_tuple("Event").field(member).field(event).finish()
            }
            Self::Ack(member, ack) => f.debug_tuple("Ack").field(member).field(ack).finish(),
            Self::Left(member) => f.debug_tuple("Left").field(member).finish(),
            Self::Text(text) => f.debug_tuple("Text").field(&text.len()).finish(),
            Self::Binary(bytes) => f.debug_tuple("Binary").field(&bytes.len()).finish(),
            Self::PacketInvalid(error) => f.debug_tuple("PacketInvalid").field(error).finish(),
            Self::Closed(reason) => f.debug_tuple("Closed").field(reason).finish(),
        }
    }
}
