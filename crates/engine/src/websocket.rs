use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use switchboard_metrics::Counter;
use switchboard_protocol::websocket::{CloseCode, FrameDecoder};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{Outbox, Packet, outbox::Entry, stream::Stream, writer::Writer};

/// A bare socket that speaks WebSocket. While idle it holds nothing but the socket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    stream: Stream,
    pub(crate) decoder: FrameDecoder,
    writer: Writer,
    backlog: Backlog,
}

/// What was read but not handled yet, because the application was busy.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    bytes: Vec<u8>,
    start: usize,
}

impl WebSocket {
    /// Takes over a socket after its handshake, with what was read beyond it.
    pub(crate) fn new(stream: Stream, leftover: &Bytes, base64: bool) -> Self {
        Self {
            stream,
            decoder: FrameDecoder::new(),
            writer: Writer::new(base64),
            backlog: Backlog::new(leftover),
        }
    }

    /// Reads what there is; 0 at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        Pin::new(&mut self.stream)
            .poll_read(context, &mut buffer)
            .map_ok(|()| buffer.filled().len())
    }

    /// Takes what waits to be handled.
    pub(crate) fn take_backlog(&mut self) -> Option<Backlog> {
        if self.backlog.bytes.is_empty() {
            return None;
        }
        Some(std::mem::take(&mut self.backlog))
    }

    pub(crate) fn put_backlog(&mut self, backlog: Backlog) {
        self.backlog = backlog;
    }

    /// Writes what the outbox has.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        self.writer
            .poll_drain(context, &mut self.stream, outbox, bytes_out)
    }

    /// Writes what was taken from the outbox or said by [`say`](Self::say).
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        self.writer.poll_flush(context, &mut self.stream, bytes_out)
    }

    /// Tells the peer that nothing more is written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Adds a packet that does not come from the outbox.
    pub(crate) fn say(&mut self, packet: Packet) {
        self.writer.push([Entry::transport(packet)]);
    }

    /// How many packets were taken or said and are not written yet.
    pub(crate) fn queued(&self) -> usize {
        self.writer.queued()
    }

    /// Drops what is not begun to be written.
    pub(crate) fn discard(&mut self) {
        self.writer.discard();
    }

    /// Adds the last packets and the close frame.
    pub(crate) fn finish(
        &mut self,
        last: impl IntoIterator<Item = Entry>,
        code: Option<CloseCode>,
    ) {
        self.writer.push(last);
        self.say(Packet::close(code));
    }

    /// When the peer counts as gone if it takes nothing until then.
    pub(crate) fn write_deadline(&self, timeout: Duration) -> Option<Instant> {
        self.writer.deadline(timeout)
    }
}

impl Backlog {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            start: 0,
        }
    }

    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// Keeps only the last `len` bytes; none if that is all of them.
    pub(crate) fn keep(mut self, len: usize) -> Option<Self> {
        self.start = self.bytes.len() - len;
        (len > 0).then_some(self)
    }
}
