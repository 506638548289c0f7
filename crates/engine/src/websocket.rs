use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use switchboard_metrics::Counter;
use switchboard_protocol::websocket::{CloseCode, FrameDecoder};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::tcp::OwnedReadHalf,
    time::Instant,
};

use crate::{Outbox, Packet, outbox::Entry, pen::Pen, stream::Stream};

/// A bare socket that speaks WebSocket. While idle it holds nothing but the socket.
#[derive(Debug)]
pub(crate) struct WebSocket {
    /// None if it is the pen that reads.
    reader: Option<OwnedReadHalf>,
    /// None while it is lent to the outbox, for others to write past this task.
    pen: Option<Pen>,
    pub(crate) decoder: FrameDecoder,
    /// What few sockets ever need.
    rare: Option<Box<Rare>>,
}

/// What a socket has whose application is busy, or that says something of its own.
#[derive(Debug, Default)]
struct Rare {
    backlog: Backlog,
    /// What was said and waits for the pen.
    said: Vec<Entry>,
    /// What the pen holds when it is back is not to be written, but for what is begun.
    discards: bool,
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
        let (pen, reader) = Pen::of(stream, base64);
        let mut web_socket = Self {
            reader,
            pen: Some(pen),
            decoder: FrameDecoder::new(),
            rare: None,
        };
        if !leftover.is_empty() {
            web_socket.put_backlog(Backlog::new(leftover));
        }
        web_socket
    }

    /// Reads what there is; 0 at the end.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let read = match (&mut self.reader, &mut self.pen) {
            (Some(reader), _) => Pin::new(reader).poll_read(context, &mut buffer),
            (None, Some(pen)) => pen.poll_read(context, &mut buffer),
            (None, None) => Poll::Pending,
        };
        read.map_ok(|()| buffer.filled().len())
    }

    /// Takes what waits to be handled.
    pub(crate) fn take_backlog(&mut self) -> Option<Backlog> {
        let backlog = std::mem::take(&mut self.rare.as_mut()?.backlog);
        self.rare.take_if(|rare| rare.is_empty());
        (!backlog.bytes.is_empty()).then_some(backlog)
    }

    pub(crate) fn put_backlog(&mut self, backlog: Backlog) {
        self.rare().backlog = backlog;
    }

    /// Writes what the outbox has, unless somebody does so already, and lends it the pen
    /// afterwards. Pending if the socket takes no more.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Some(mut pen) = self.pen.take().or_else(|| outbox.reclaim()) else {
            return Poll::Ready(Ok(()));
        };
        let drained = pen.poll_drain(context, outbox, bytes_out);
        if matches!(drained, Poll::Ready(Ok(()))) && pen.is_lendable() {
            outbox.lend(pen);
        } else {
            self.pen = Some(pen);
        }
        drained
    }

    /// Writes what is left to be written at the end, once nobody else writes.
    pub(crate) fn poll_finish(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        if self.pen.is_none() {
            self.pen = outbox.reclaim();
        }
        ready!(self.poll_flush(context, bytes_out))?;
        // With TLS this may have to wait, which the peer's own end does not.
        match self.poll_shutdown(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Writes what was taken from the outbox or said by [`say`](Self::say).
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Some(pen) = &mut self.pen else {
            return Poll::Pending;
        };
        if let Some(rare) = &mut self.rare {
            if std::mem::take(&mut rare.discards) {
                pen.discard();
            }
            pen.push(std::mem::take(&mut rare.said));
        }
        pen.poll_flush(context, bytes_out)
    }

    /// Tells the peer that nothing more is written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.pen {
            Some(pen) => pen.poll_shutdown(context),
            None => Poll::Pending,
        }
    }

    /// Adds a packet that does not come from the outbox.
    pub(crate) fn say(&mut self, packet: Packet) {
        self.rare().said.push(Entry::transport(packet));
    }

    /// How many packets were said and are not written yet.
    pub(crate) fn queued(&self) -> usize {
        let said = self.rare.as_ref().map_or(0, |rare| rare.said.len());
        said + self.pen.as_ref().map_or(0, Pen::queued)
    }

    /// Drops what is not begun to be written.
    pub(crate) fn discard(&mut self) {
        let rare = self.rare();
        rare.said.clear();
        rare.discards = true;
    }

    /// Adds the last packets and the close frame.
    pub(crate) fn finish(
        &mut self,
        last: impl IntoIterator<Item = Entry>,
        code: Option<CloseCode>,
    ) {
        self.rare().said.extend(last);
        self.say(Packet::close(code));
    }

    /// When the peer counts as gone if it takes nothing until then.
    pub(crate) fn write_deadline(&self, timeout: Duration) -> Option<Instant> {
        self.pen.as_ref()?.deadline(timeout)
    }

    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }
}

impl Rare {
    fn is_empty(&self) -> bool {
        self.backlog.bytes.is_empty() && self.said.is_empty() && !self.discards
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
