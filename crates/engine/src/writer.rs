use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use switchboard_metrics::Counter;
use tokio::{io::AsyncWrite, time::Instant};

use crate::{
    Outbox, Packet,
    outbox::{Entry, Written},
    packet::{Frame, FrameKind},
    stream::Stream,
};

/// Writes whole packets to one socket, as many as there are in one vectored write.
///
/// A packet that was written in part is kept until the rest is written; nothing comes between.
/// Holds no allocation while there is nothing to write.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    entries: VecDeque<Entry>,
    /// Bytes of the first entry that are written already.
    offset: usize,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
    /// Whether the client takes binary messages as base64 text only.
    base64: bool,
}

/// What the kernel takes in one call is limited to 1024 slices; more than this gains nothing.
const SLICES_MAX: usize = 64;

impl Writer {
    pub(crate) fn new(base64: bool) -> Self {
        Self {
            base64,
            ..Self::default()
        }
    }

    /// Writes what the outbox has until it is empty or the socket takes no more.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let mut written = Written::default();
        loop {
            if self.entries.is_empty() {
                outbox.refill(&mem::take(&mut written), &mut self.entries);
                if self.entries.is_empty() {
                    self.entries = VecDeque::new();
                    return self.poll_settle(context, stream);
                }
                self.convert();
            }
            let outcome = self.poll_write(context, stream, &mut written, bytes_out);
            if !matches!(outcome, Poll::Ready(Ok(()))) {
                outbox.note(&written);
                return outcome;
            }
        }
    }

    /// Writes what was taken already until nothing is left or the socket takes no more.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        while !self.entries.is_empty() {
            ready!(self.poll_write(context, stream, &mut Written::default(), bytes_out))?;
        }
        self.poll_settle(context, stream)
    }

    /// Adds what the outbox does not know of.
    pub(crate) fn push(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries);
        self.convert();
    }

    /// How many packets are not wholly written yet.
    pub(crate) fn queued(&self) -> usize {
        self.entries.len()
    }

    /// Drops what is not begun.
    pub(crate) fn discard(&mut self) {
        self.entries.truncate(usize::from(self.offset > 0));
    }

    /// When the peer counts as gone if it takes nothing until then.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.stalled_since.map(|since| since + timeout)
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
        written: &mut Written,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = fill(&self.entries, self.offset, &mut slices);
        match Pin::new(stream).poll_write_vectored(context, &slices[..count]) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(len)) => {
                self.stalled_since = None;
                bytes_out.add(len as u64);
                self.advance(len, written);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.stalled_since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
        }
    }

    /// Lets the socket take what TLS keeps of what was written.
    fn poll_settle(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<io::Result<()>> {
        let flushed = Pin::new(stream).poll_flush(context);
        if flushed.is_pending() {
            self.stalled_since.get_or_insert_with(Instant::now);
        } else {
            self.stalled_since = None;
        }
        flushed
    }

    fn advance(&mut self, len: usize, written: &mut Written) {
        self.offset += len;
        while let Some(entry) = self.entries.front() {
            let entry_len = entry.packet.wire_len();
            if self.offset < entry_len {
                break;
            }
            self.offset -= entry_len;
            written.add(entry);
            self.entries.pop_front();
        }
    }

    /// Replaces packets with binary in them, for the rare client that cannot take it.
    fn convert(&mut self) {
        if !self.base64 {
            return;
        }
        for entry in &mut self.entries {
            let binary = |frame: &Frame| frame.kind == FrameKind::Binary;
            if entry.packet.frames().any(binary) {
                entry.packet = Arc::new(as_text(&entry.packet));
            }
        }
    }
}

/// Fills `slices` with what is not written yet, and tells how many it used.
fn fill<'a>(
    entries: &'a VecDeque<Entry>,
    mut skip: usize,
    slices: &mut [IoSlice<'a>; SLICES_MAX],
) -> usize {
    let parts = entries
        .iter()
        .flat_map(|entry| entry.packet.frames())
        .flat_map(|frame| [frame.header.as_slice(), &frame.payload[..]]);
    let mut count = 0;
    for part in parts {
        if count == SLICES_MAX {
            break;
        }
        if skip >= part.len() {
            skip -= part.len();
            continue;
        }
        slices[count] = IoSlice::new(&part[skip..]);
        skip = 0;
        count += 1;
    }
    count
}

/// The packet with binary messages as base64 text.
fn as_text(packet: &Packet) -> Packet {
    packet.map(|frame| match frame.kind {
        FrameKind::Binary => {
            let mut text = String::from("b");
            STANDARD.encode_string(&frame.payload, &mut text);
            Frame::text(text.into())
        }
        FrameKind::Text | FrameKind::WebSocketOnly => frame.clone(),
    })
}
