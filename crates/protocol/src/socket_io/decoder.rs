use std::borrow::Cow;

use bytes::Bytes;

use super::decode::{self, DecodeError, Header};
use super::{Ack, Body, Event, Namespace, Packet};

/// What the attachments of one packet may cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// The most attachments of one packet. Default 10, as in Node. Zero refuses binary packets,
    /// which is right for a client that has not joined a namespace yet.
    pub attachments_max: usize,
    /// The most bytes that the attachments of one packet may have together. Default 4,000,000.
    ///
    /// A connection may hold this much while one attachment is missing.
    pub attachment_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attachments_max: 10,
            attachment_bytes_max: 4_000_000,
        }
    }
}

/// Makes packets of Engine.IO messages: one text, then the attachments that it announced.
///
/// One pointer while no attachment is awaited.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Option<Box<Pending>>,
}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether attachments of a packet are missing.
    pub fn is_waiting(&self) -> bool {
        self.pending.is_some()
    }

    /// Takes a message of text, without the `4` of Engine.IO; `None` if attachments must follow.
    pub fn decode_text<'a>(
        &mut self,
        text: &'a str,
        limits: &Limits,
    ) -> Result<Option<Packet<'a>>, DecodeError> {
        if self.pending.is_some() {
            return Err(DecodeError::MissingAttachments);
        }
        let Header {
            packet,
            attachments,
        } = decode::decode(text, limits.attachments_max)?;
        if attachments == 0 {
            return Ok(Some(packet));
        }
        self.pending = Pending::new(packet, attachments).map(Box::new);
        Ok(None)
    }

    /// Takes a message of bytes; a packet if it was the last that was awaited.
    pub fn decode_binary(
        &mut self,
        bytes: Cow<'_, [u8]>,
        limits: &Limits,
    ) -> Result<Option<Packet<'static>>, DecodeError> {
        let Some(mut pending) = self.pending.take() else {
            return Err(DecodeError::UnexpectedAttachment);
        };
        pending.push(bytes, limits.attachment_bytes_max)?;
        if pending.missing > 0 {
            self.pending = Some(pending);
            return Ok(None);
        }
        Ok(Some(pending.packet()))
    }

    /// Whether a packet is incomplete, and so whether memory is held.
    ///
    /// A client that stays in this state must be given a deadline.
    pub fn is_awaiting_attachments(&self) -> bool {
        self.pending.is_some()
    }
}

/// A packet that lacks attachments.
#[derive(Debug)]
struct Pending {
    namespace: Namespace<'static>,
    body: Binary,
    missing: usize,
    attachments_len: usize,
}

/// The two kinds of packets that have attachments.
#[derive(Debug)]
enum Binary {
    Event(Event<'static>),
    Ack(Ack<'static>),
}

impl Pending {
    /// Keeps a packet; `None` if it is of a kind that has no attachments.
    fn new(packet: Packet<'_>, missing: usize) -> Option<Self> {
        let body = match packet.body {
            Body::Event(event) => Binary::Event(Event {
                name: Cow::Owned(event.name.into_owned()),
                arguments: event.arguments.into_owned(),
                attachments: Vec::with_capacity(missing),
                ack_id: event.ack_id,
            }),
            Body::Ack(ack) => Binary::Ack(Ack {
                id: ack.id,
                arguments: ack.arguments.into_owned(),
                attachments: Vec::with_capacity(missing),
            }),
            Body::Connect(_) | Body::Disconnect | Body::ConnectError(_) => return None,
        };
        Some(Self {
            namespace: packet.namespace.into_owned(),
            body,
            missing,
            attachments_len: 0,
        })
    }

    fn push(&mut self, bytes: Cow<'_, [u8]>, len_max: usize) -> Result<(), DecodeError> {
        let len = self.attachments_len.saturating_add(bytes.len());
        if len > len_max {
            return Err(DecodeError::AttachmentsTooLong { len, len_max });
        }
        self.attachments_len = len;
        self.missing -= 1;
        let attachments = match &mut self.body {
            Binary::Event(event) => &mut event.attachments,
            Binary::Ack(ack) => &mut ack.attachments,
        };
        attachments.push(Bytes::from(bytes.into_owned()));
        Ok(())
    }

    fn packet(self) -> Packet<'static> {
        Packet {
            namespace: self.namespace,
            body: match self.body {
                Binary::Event(event) => Body::Event(event),
                Binary::Ack(ack) => Body::Ack(ack),
            },
        }
    }
}
