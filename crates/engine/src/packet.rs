use bytes::Bytes;
use switchboard_protocol::{
    socket_io::{self, Namespace},
    websocket::{CloseCode, FrameHeader},
};

use crate::AckId;

/// What goes to a client in one piece: a Socket.IO packet with its binary attachments.
///
/// Encoded once, with the WebSocket header in front, and shared by every connection that it is
/// written to, over WebSocket and polling alike.
#[derive(Debug)]
pub struct Packet {
    first: Frame,
    rest: Box<[Frame]>,
    wire_len: usize,
}

/// One WebSocket message, as it goes over the wire.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// The header, and the payload behind it if it is small: a write of many frames is cheaper
    /// with one slice for each.
    head: Bytes,
    header_len: usize,
    /// A payload that is too large to be copied; empty if it is in the head.
    apart: Bytes,
    pub(crate) kind: FrameKind,
}

/// Bytes of a payload that are copied behind their header. Beyond it a copy costs more than a slice.
const JOINED_LEN_MAX: usize = 4 << 10;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FrameKind {
    Text,
    Binary,
    /// A pong or close frame, which only a WebSocket knows.
    WebSocketOnly,
}

impl Packet {
    /// A packet of ready text, with its Engine.IO digit, such as `42["news",{}]`.
    pub fn text(text: impl Into<String>) -> Self {
        Self::from_parts(Bytes::from(text.into()), Vec::new())
    }

    /// A binary Engine.IO message.
    pub fn binary(payload: Bytes) -> Self {
        Self::new(Frame::binary(payload), Box::default())
    }

    /// An event. Each of `args` is JSON, or JSON values joined by commas; binary values are
    /// placeholders `{"_placeholder":true,"num":0}` that number `attachments`. With `ack` the
    /// client replies.
    pub fn event(
        namespace: &Namespace<'_>,
        ack: Option<&AckId>,
        name: &str,
        args: &[&[u8]],
        attachments: Vec<Bytes>,
    ) -> Self {
        let ack = ack.map(|ack| ack.0);
        let text = socket_io::encode_event(namespace, ack, name, args, attachments.len());
        Self::from_parts(text, attachments)
    }

    /// The reply to an event of the client; arguments as in [`event`](Self::event).
    pub fn ack(
        namespace: &Namespace<'_>,
        ack: &AckId,
        args: &[&[u8]],
        attachments: Vec<Bytes>,
    ) -> Self {
        let text = socket_io::encode_ack(namespace, ack.0, args, attachments.len());
        Self::from_parts(text, attachments)
    }

    /// `text` is UTF-8, since it was made of `str`s.
    pub(crate) fn from_parts(text: Bytes, attachments: Vec<Bytes>) -> Self {
        Self::new(
            Frame::text(text),
            attachments.into_iter().map(Frame::binary).collect(),
        )
    }

    /// The answer to a WebSocket ping.
    pub(crate) fn pong(payload: Bytes) -> Self {
        Self::new(
            Frame::web_socket_only(FrameHeader::pong(payload.len()), payload),
            Box::default(),
        )
    }

    /// The last frame of a WebSocket.
    pub(crate) fn close(code: Option<CloseCode>) -> Self {
        Self::new(
            Frame::web_socket_only(FrameHeader::close(code), Bytes::new()),
            Box::default(),
        )
    }

    /// The same packet with each frame replaced.
    pub(crate) fn map(&self, change: impl Fn(&Frame) -> Frame) -> Self {
        Self::new(change(&self.first), self.rest.iter().map(change).collect())
    }

    /// Bytes on a WebSocket, headers included.
    pub fn wire_len(&self) -> usize {
        self.wire_len
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &Frame> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    fn new(first: Frame, rest: Box<[Frame]>) -> Self {
        let wire_len = first.wire_len() + rest.iter().map(Frame::wire_len).sum::<usize>();
        Self {
            first,
            rest,
            wire_len,
        }
    }
}

impl Frame {
    pub(crate) fn text(payload: Bytes) -> Self {
        Self::new(FrameHeader::text(payload.len()), payload, FrameKind::Text)
    }

    fn binary(payload: Bytes) -> Self {
        Self::new(
            FrameHeader::binary(payload.len()),
            payload,
            FrameKind::Binary,
        )
    }

    fn web_socket_only(header: FrameHeader, payload: Bytes) -> Self {
        Self::new(header, payload, FrameKind::WebSocketOnly)
    }

    fn new(header: FrameHeader, payload: Bytes, kind: FrameKind) -> Self {
        let header = header.as_slice();
        let (head, apart) = if payload.len() > JOINED_LEN_MAX {
            (Bytes::copy_from_slice(header), payload)
        } else {
            ([header, &payload].concat().into(), Bytes::new())
        };
        Self {
            head,
            header_len: header.len(),
            apart,
            kind,
        }
    }

    /// What the frame carries.
    pub(crate) fn payload(&self) -> &[u8] {
        if self.apart.is_empty() {
            &self.head[self.header_len..]
        } else {
            &self.apart
        }
    }

    /// What is written, in this order.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.head, &self.apart]
    }

    fn wire_len(&self) -> usize {
        self.head.len() + self.apart.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_is_the_same_whether_it_is_written_with_its_header_or_apart() {
        for (len, is_joined) in [
            (0, true),
            (125, true),
            (JOINED_LEN_MAX, true),
            (JOINED_LEN_MAX + 1, false),
        ] {
            let payload = Bytes::from(vec![b'a'; len]);
            let header = FrameHeader::text(len);

            let frame = Frame::text(payload.clone());

            assert_eq!(frame.payload(), payload);
            let wire = [header.as_slice(), &payload].concat();
            assert_eq!(frame.parts().concat(), wire);
            assert_eq!(frame.wire_len(), wire.len());
            assert_eq!(frame.parts()[1].is_empty(), is_joined);
        }
    }
}
