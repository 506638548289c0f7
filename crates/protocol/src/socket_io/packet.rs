use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::redacted::Redacted;

use super::{Arguments, Namespace};

/// One unit of Socket.IO, complete with its attachments.
#[derive(Clone, Debug)]
pub struct Packet<'a> {
    /// The namespace that it is for.
    pub namespace: Namespace<'a>,
    /// What it says there.
    pub body: Body<'a>,
}

/// What a packet says.
#[derive(Clone)]
pub enum Body<'a> {
    /// Wants to join the namespace; a JSON object if there is one.
    Connect(Option<&'a RawValue>),
    /// Leaves the namespace.
    Disconnect,
    /// Something for the application.
    Event(Event<'a>),
    /// The answer to an event.
    Ack(Ack<'a>),
    /// A refusal to let a client join; a JSON object or string. No client may send it.
    ConnectError(&'a RawValue),
}

/// Something for the application, from a client.
#[derive(Clone)]
pub struct Event<'a> {
    /// The first element of the array: a name that is not [reserved](is_reserved), or a number
    /// as its text, which is the same to Node.
    pub name: Cow<'a, str>,
    /// What follows the name.
    pub arguments: Arguments<'a>,
    /// What the placeholders in the arguments stand for; every placeholder's number is in range.
    pub attachments: Vec<Bytes>,
    /// How the client will know the answer, if it wants one.
    pub ack_id: Option<AckId>,
}

/// The answer to an event of ours.
#[derive(Clone)]
pub struct Ack<'a> {
    /// Which event it answers.
    pub id: AckId,
    /// The answer.
    pub arguments: Arguments<'a>,
    /// What the placeholders in the arguments stand for; every placeholder's number is in range.
    pub attachments: Vec<Bytes>,
}

/// Ties an ack to its event: a number that the sender of the event chose.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct AckId(pub u64);

impl fmt::Display for AckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether no event may have this name, because clients and servers use it for themselves.
///
/// `error` is not among them: it is an event like any other here, and harms nobody.
pub fn is_reserved(name: &str) -> bool {
    matches!(
        name,
        "connect"
            | "connect_error"
            | "disconnect"
            | "disconnecting"
            | "newListener"
            | "removeListener"
    )
}

/// Shows no payload: it may hold a token.
impl fmt::Debug for Body<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(auth) => {
                let auth = auth.map(|auth| Redacted(auth.get().len()));
                f.debug_tuple("Connect").field(&auth).finish()
            }
            Self::Disconnect => f.write_str("Disconnect"),
            Self::Event(event) => event.fmt(f),
            Self::Ack(ack) => ack.fmt(f),
            Self::ConnectError(data) => f
                .debug_tuple("ConnectError")
                .field(&Redacted(data.get().len()))
                .finish(),
        }
    }
}

impl fmt::Debug for Event<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("name", &self.name)
            .field("arguments", &self.arguments)
            .field("attachments", &self.attachments.len())
            .field("ack_id", &self.ack_id)
            .finish()
    }
}

impl fmt::Debug for Ack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("id", &self.id)
            .field("arguments", &self.arguments)
            .field("attachments", &self.attachments.len())
            .finish()
    }
}
