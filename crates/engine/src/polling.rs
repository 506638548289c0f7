use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use memchr::memchr;
use switchboard_protocol::engine_io::{Packet, PacketError, Payload};
use tokio::time::Instant;

use crate::{
    mailbox::{Mailbox, PushReply},
    outbox::Entry,
    packet::FrameKind,
    refused::Cause,
    websocket::WebSocket,
};

/// The polling transport of a session, as its task sees it.
#[derive(Debug)]
pub(crate) struct Polling {
    pub(crate) mailbox: Arc<Mailbox>,
    /// The WebSocket that wants to take over.
    pub(crate) probe: Option<Probe>,
    /// What is still to be told once the session has ended.
    pub(crate) last: VecDeque<Entry>,
    /// Whether a GET waited at the end.
    pub(crate) ended_polled: bool,
}

/// A WebSocket that wants to take over from polling.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(crate) socket: Box<WebSocket>,
    pub(crate) state: ProbeState,
    pub(crate) deadline: Instant,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ProbeState {
    /// `2probe` is awaited.
    Opened,
    /// `3probe` was said; `5` is awaited.
    Probed,
    /// `5` came: the socket takes over.
    Confirmed,
    /// It went away, or was turned away.
    Failed(Option<Cause>),
}

impl Polling {
    pub(crate) fn new(mailbox: Arc<Mailbox>) -> Self {
        Self {
            mailbox,
            probe: None,
            last: VecDeque::new(),
            ended_polled: false,
        }
    }

    pub(crate) fn is_probed(&self) -> bool {
        self.probe
            .as_ref()
            .is_some_and(|probe| probe.state == ProbeState::Probed)
    }

    /// Bodies of POSTs that may wait for the application, each of `payload_max` at most.
    ///
    /// After `3probe` a client lets only the POST in flight come to its end, and switches when
    /// that is answered. So it is let in behind the one that may wait already.
    pub(crate) fn pushes_max(&self) -> usize {
        match self.probe.as_ref().map(|probe| probe.state) {
            Some(ProbeState::Probed | ProbeState::Confirmed) => PUSHES_PROBED_MAX,
            Some(ProbeState::Opened | ProbeState::Failed(_)) | None => PUSHES_MAX,
        }
    }
}

/// Bodies that may wait behind the application's work.
const PUSHES_MAX: usize = 1;

/// Bodies that may wait there once `3probe` was said.
const PUSHES_PROBED_MAX: usize = 2;

/// Bodies that wait for the application, in their order. One pointer while there are none.
#[derive(Debug, Default)]
pub(crate) struct Pushes(Option<Box<Bodies>>);

#[derive(Debug, Default)]
struct Bodies(VecDeque<PushBody>);

impl Pushes {
    pub(crate) fn push(&mut self, body: PushBody) {
        self.0.get_or_insert_default().0.push_back(body);
    }

    /// Puts the next one back, of which some packets are handled.
    pub(crate) fn put_back(&mut self, body: PushBody) {
        self.0.get_or_insert_default().0.push_front(body);
    }

    pub(crate) fn next(&mut self) -> Option<PushBody> {
        let bodies = &mut self.0.as_mut()?.0;
        let next = bodies.pop_front();
        if bodies.is_empty() {
            self.0 = None;
        }
        next
    }

    pub(crate) fn last(&self) -> Option<&PushBody> {
        self.0.as_ref()?.0.back()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |bodies| bodies.0.len())
    }
}

/// The body of a POST, of which some packets may be handled already.
#[derive(Debug)]
pub(crate) struct PushBody {
    text: String,
    /// Where the next packet begins; none if there is no next.
    next: Option<usize>,
}

impl PushBody {
    /// A body that is not UTF-8 counts as empty: neither can be decoded.
    pub(crate) fn new(body: Bytes) -> Self {
        Self {
            text: String::from_utf8(body.into()).unwrap_or_default(),
            next: Some(0),
        }
    }

    /// Takes the next packet.
    pub(crate) fn next(&mut self) -> Option<Result<Packet<'_>, PacketError>> {
        let start = self.next?;
        let text = &self.text[start..];
        let end = memchr(SEPARATOR, text.as_bytes());
        self.next = end.map(|end| start + end + 1);
        Some(Packet::decode(&text[..end.unwrap_or(text.len())]))
    }

    /// Whether every packet was taken.
    pub(crate) fn is_done(&self) -> bool {
        self.next.is_none()
    }

    /// What to answer before the rest is handled: as much as Engine.IO alone can tell of it.
    pub(crate) fn reply(&self) -> PushReply {
        let rest = self.next.map(|start| &self.text[start..]);
        for text in rest
            .into_iter()
            .flat_map(|rest| rest.split(char::from(SEPARATOR)))
        {
            match Packet::decode(text) {
                // What follows has no meaning.
                Ok(Packet::Close) => break,
                Ok(Packet::Ping(_)) | Err(_) => return PushReply::Refused,
                Ok(_) => {}
            }
        }
        PushReply::Taken
    }
}

/// Between two packets of a body.
const SEPARATOR: u8 = 0x1E;

/// The body that carries `entries` to a poll.
pub(crate) fn payload(entries: &VecDeque<Entry>) -> Bytes {
    let mut payload = Payload::new();
    for frame in entries.iter().flat_map(|entry| entry.packet.frames()) {
        match frame.kind {
            FrameKind::Text => payload.push_text(frame.payload()),
            FrameKind::Binary => payload.push_binary(frame.payload()),
            FrameKind::WebSocketOnly => {}
        }
    }
    payload.finish()
}
