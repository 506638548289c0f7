use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::json::{self, Elements, InvalidJson};

use super::{
    Ack, AckId, Arguments, Body, Event, InvalidNamespace, Namespace, Packet, is_reserved,
    placeholder,
};

/// A packet whose attachments, if it has any, are still to come.
pub(super) struct Header<'a> {
    pub(super) packet: Packet<'a>,
    pub(super) attachments: usize,
}

/// Reads the text of a packet, without the `4` of Engine.IO.
pub(super) fn decode(text: &str, attachments_max: usize) -> Result<Header<'_>, DecodeError> {
    let mut rest = text.chars();
    let kind = Kind::decode(rest.next().ok_or(DecodeError::Empty)?)?;
    let mut rest = rest.as_str();

    let attachments = match kind {
        Kind::BinaryEvent | Kind::BinaryAck => take_attachments(&mut rest, attachments_max)?,
        _ => 0,
    };
    let namespace = take_namespace(&mut rest)?;
    let ack_id = take_ack_id(&mut rest)?;
    let json = if rest.is_empty() {
        None
    } else {
        Some(json::check(rest)?)
    };
    if attachments > 0
        && let Some(json) = json
    {
        placeholder::check(json.get(), attachments).map_err(|_| DecodeError::Placeholder)?;
    }

    let body = match kind {
        Kind::Event | Kind::BinaryEvent => Body::Event(event(ack_id, json)?),
        Kind::Ack | Kind::BinaryAck => Body::Ack(ack(ack_id, json)?),
        Kind::Connect | Kind::Disconnect | Kind::ConnectError if ack_id.is_some() => {
            return Err(DecodeError::UnexpectedAckId);
        }
        Kind::Connect => match json {
            Some(auth) if !auth.get().starts_with('{') => return Err(DecodeError::Payload),
            auth => Body::Connect(auth),
        },
        Kind::Disconnect => match json {
            Some(_) => return Err(DecodeError::Payload),
            None => Body::Disconnect,
        },
        Kind::ConnectError => match json {
            Some(data) if data.get().starts_with(['{', '"']) => Body::ConnectError(data),
            _ => return Err(DecodeError::Payload),
        },
    };
    Ok(Header {
        packet: Packet { namespace, body },
        attachments,
    })
}

/// Why a packet was refused. Every variant is the client's fault, and ends the connection.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Not even a type.
    #[error("packet is empty")]
    Empty,
    /// A type that does not exist.
    #[error("packet type {0:?} does not exist")]
    UnknownType(char),
    /// A binary packet says how many attachments follow: a whole number above zero, and a dash.
    #[error("number of attachments is not a whole number above zero and a dash")]
    AttachmentCount,
    /// Beyond [`Limits::attachments_max`](super::Limits::attachments_max).
    #[error("packet has more than {attachments_max} attachments")]
    TooManyAttachments {
        /// The limit.
        attachments_max: usize,
    },
    /// Beyond [`Limits::attachment_bytes_max`](super::Limits::attachment_bytes_max).
    #[error("attachments of the packet are {len} bytes so far, the limit is {len_max}")]
    AttachmentsTooLong {
        /// What has come so far.
        len: usize,
        /// The limit.
        len_max: usize,
    },
    /// The name of the namespace.
    #[error(transparent)]
    Namespace(#[from] InvalidNamespace),
    /// More digits than a number of 64 bits has.
    #[error("ack id is out of range")]
    AckId,
    /// An ack answers something.
    #[error("ack has no id")]
    MissingAckId,
    /// Only events and acks have one.
    #[error("packet has an ack id, which its type never has")]
    UnexpectedAckId,
    /// The payload is not JSON.
    #[error("payload is not json")]
    Json,
    /// The payload nests deeper than 100.
    #[error("payload is nested deeper than {max}", max = json::DEPTH_MAX)]
    TooDeep,
    /// The payload does not have the shape that its type has.
    #[error("payload does not fit the type of the packet")]
    Payload,
    /// The first element of an event is neither text nor a number.
    #[error("event has no name")]
    EventName,
    /// A name that clients and servers use for themselves.
    #[error("event name {0:?} is reserved")]
    ReservedEvent(Box<str>),
    /// A placeholder that stands for none of the attachments.
    #[error("placeholder does not stand for an attachment of its packet")]
    Placeholder,
    /// Text where an attachment was due.
    #[error("packet begins before the attachments of the previous one have come")]
    MissingAttachments,
    /// Bytes that belong to no packet.
    #[error("attachment without a packet")]
    UnexpectedAttachment,
}

impl From<InvalidJson> for DecodeError {
    fn from(error: InvalidJson) -> Self {
        match error {
            InvalidJson::Syntax => Self::Json,
            InvalidJson::Depth => Self::TooDeep,
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Connect,
    Disconnect,
    Event,
    Ack,
    ConnectError,
    BinaryEvent,
    BinaryAck,
}

impl Kind {
    fn decode(digit: char) -> Result<Self, DecodeError> {
        match digit {
            '0' => Ok(Self::Connect),
            '1' => Ok(Self::Disconnect),
            '2' => Ok(Self::Event),
            '3' => Ok(Self::Ack),
            '4' => Ok(Self::ConnectError),
            '5' => Ok(Self::BinaryEvent),
            '6' => Ok(Self::BinaryAck),
            _ => Err(DecodeError::UnknownType(digit)),
        }
    }
}

fn take_attachments(rest: &mut &str, attachments_max: usize) -> Result<usize, DecodeError> {
    let digits = take_digits(rest);
    *rest = rest.strip_prefix('-').ok_or(DecodeError::AttachmentCount)?;
    if digits.is_empty() {
        return Err(DecodeError::AttachmentCount);
    }
    // Digits only fail to parse if there are too many of them.
    match digits.parse() {
        Ok(0) => Err(DecodeError::AttachmentCount),
        Ok(count) if count <= attachments_max => Ok(count),
        Ok(_) | Err(_) => Err(DecodeError::TooManyAttachments { attachments_max }),
    }
}

fn take_namespace<'a>(rest: &mut &'a str) -> Result<Namespace<'a>, DecodeError> {
    if !rest.starts_with('/') {
        return Ok(Namespace::ROOT);
    }
    let (name, after) = rest.split_once(',').unwrap_or((rest, ""));
    *rest = after;
    Ok(Namespace::new(name)?)
}

fn take_ack_id(rest: &mut &str) -> Result<Option<AckId>, DecodeError> {
    match take_digits(rest) {
        "" => Ok(None),
        digits => digits
            .parse()
            .map(|id| Some(AckId(id)))
            .map_err(|_| DecodeError::AckId),
    }
}

fn take_digits<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(rest.len());
    let (digits, after) = rest.split_at(end);
    *rest = after;
    digits
}

fn event(ack_id: Option<AckId>, json: Option<&RawValue>) -> Result<Event<'_>, DecodeError> {
    let mut elements = elements(json)?;
    let name = event_name(elements.next().ok_or(DecodeError::EventName)?)?;
    if is_reserved(&name) {
        return Err(DecodeError::ReservedEvent(name.into()));
    }
    Ok(Event {
        name,
        arguments: Arguments::new(&elements),
        attachments: Vec::new(),
        ack_id,
    })
}

fn event_name(json: &str) -> Result<Cow<'_, str>, DecodeError> {
    match json.as_bytes() {
        [b'"', ..] => match serde_json::from_str::<&str>(json) {
            Ok(name) => Ok(Cow::Borrowed(name)),
            // With escapes in it, or half of a surrogate pair, which is no text.
            Err(_) => serde_json::from_str(json)
                .map(Cow::Owned)
                .map_err(|_| DecodeError::EventName),
        },
        [b'-' | b'0'..=b'9', ..] => Ok(Cow::Borrowed(json)),
        _ => Err(DecodeError::EventName),
    }
}

fn ack(ack_id: Option<AckId>, json: Option<&RawValue>) -> Result<Ack<'_>, DecodeError> {
    Ok(Ack {
        id: ack_id.ok_or(DecodeError::MissingAckId)?,
        arguments: Arguments::new(&elements(json)?),
        attachments: Vec::new(),
    })
}

fn elements(json: Option<&RawValue>) -> Result<Elements<'_>, DecodeError> {
    json.and_then(|json| Elements::of(json.get()))
        .ok_or(DecodeError::Payload)
}
