use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use switchboard_metrics::Counter;
use tokio::time::Instant;

use crate::{
    Outbox, Packet,
    outbox::{Entry, Written},
    packet::{Frame, FrameKind},
};

/// Writes whole packets to one socket, as many as there are in one vectored write.
///
/// A packet that was written in part is kept until the rest is written; nothing comes between.
/// Holds no allocation while there is nothing to write.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    rest: Option<Box<Rest>>,
    /// Whether the client takes binary messages as base64 text only.
    base64: bool,
}

/// Packets that are being written.
#[derive(Debug, Default)]
struct Rest {
    entries: VecDeque<Entry>,
    /// Bytes of the first entry that are written already.
    offset: usize,
    /// Since when the socket has taken nothing.
    stalled_since: Option<Instant>,
}

/// One attempt to write to a socket; pending if it takes nothing now.
pub(crate) trait Attempt: FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>> {}

impl<F: FnMut(&[IoSlice<'_>]) -> Poll<io::Result<usize>>> Attempt for F {}

/// What the kernel takes in one call is limited to 1024 slices; more than this gains nothing.
const SLICES_MAX: usize = 64;

impl Writer {
    pub(crate) fn new(base64: bool) -> Self {
        Self { rest: None, base64 }
    }

    /// Writes what the outbox has until it is empty or the socket takes no more.
    pub(crate) fn drain(
        &mut self,
        outbox: &Outbox,
        bytes_out: &Counter,
        mut attempt: impl Attempt,
    ) -> Poll<io::Result<()>> {
        let mut rest = self.take_rest();
        let mut written = Written::default();
        let outcome = loop {
            if rest.entries.is_empty() {
                outbox.refill(&mem::take(&mut written), &mut rest.entries);
                if rest.entries.is_empty() {
                    self.put_rest(rest);
                    return Poll::Ready(Ok(()));
                }
                self.convert(&mut rest.entries);
            }
            let outcome = rest.write(&mut attempt, &mut written, bytes_out);
            if !matches!(outcome, Poll::Ready(Ok(()))) {
                break outcome;
            }
        };
        outbox.note(&written);
        self.rest = Some(Box::new(rest));
        outcome
    }

    /// Writes `entries` while the socket takes them, and counts in `written` those that it took.
    /// What it did not take is [kept](Self::is_writing). There is nothing kept from before.
    pub(crate) fn write(
        &mut self,
        mut entries: VecDeque<Entry>,
        written: &mut Written,
        bytes_out: &Counter,
        attempt: impl Attempt,
    ) {
        self.convert(&mut entries);
        let mut rest = Rest {
            entries,
            ..Rest::default()
        };
        // What went wrong will go wrong again, and then tell who can do something about it.
        let _ = rest.write_all(attempt, written, bytes_out);
        self.put_rest(rest);
    }

    /// Writes what was taken already until nothing is left or the socket takes no more.
    pub(crate) fn flush(
        &mut self,
        bytes_out: &Counter,
        attempt: impl Attempt,
    ) -> Poll<io::Result<()>> {
        let mut rest = self.take_rest();
        let outcome = rest.write_all(attempt, &mut Written::default(), bytes_out);
        self.put_rest(rest);
        outcome
    }

    /// Takes note of what became of a flush: what was written may wait in the stream for the socket.
    pub(crate) fn settle(&mut self, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        let mut rest = self.take_rest();
        if flushed.is_pending() {
            rest.stalled_since.get_or_insert_with(Instant::now);
        } else {
            rest.stalled_since = None;
        }
        self.put_rest(rest);
        flushed
    }

    /// Adds what the outbox does not know of.
    pub(crate) fn push(&mut self, entries: impl IntoIterator<Item = Entry>) {
        let mut rest = self.take_rest();
        rest.entries.extend(entries);
        self.convert(&mut rest.entries);
        self.put_rest(rest);
    }

    /// Drops what is not begun.
    pub(crate) fn discard(&mut self) {
        let mut rest = self.take_rest();
        rest.entries.truncate(usize::from(rest.offset > 0));
        self.put_rest(rest);
    }

    /// Whether something that was taken is not wholly written yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.rest.is_some()
    }

    /// How many packets were taken and are not wholly written yet.
    pub(crate) fn queued(&self) -> usize {
        self.rest.as_ref().map_or(0, |rest| rest.entries.len())
    }

    /// When the peer counts as gone if it takes nothing until then.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        let since = self.rest.as_ref()?.stalled_since?;
        Some(since + timeout)
    }

    fn take_rest(&mut self) -> Rest {
        self.rest.take().map_or_else(Rest::default, |rest| *rest)
    }

    fn put_rest(&mut self, rest: Rest) {
        if !rest.entries.is_empty() || rest.stalled_since.is_some() {
            self.rest = Some(Box::new(rest));
        }
    }

    /// Replaces packets with binary in them, for the rare client that cannot take it.
    fn convert(&self, entries: &mut VecDeque<Entry>) {
        if !self.base64 {
            return;
        }
        for entry in entries {
            let binary = |frame: &Frame| frame.kind == FrameKind::Binary;
            if entry.packet.frames().any(binary) {
                entry.packet = Arc::new(as_text(&entry.packet));
            }
        }
    }
}

impl Rest {
    fn write_all(
        &mut self,
        mut attempt: impl Attempt,
        written: &mut Written,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        while !self.entries.is_empty() {
            ready!(self.write(&mut attempt, written, bytes_out))?;
        }
        Poll::Ready(Ok(()))
    }

    fn write(
        &mut self,
        attempt: &mut impl Attempt,
        written: &mut Written,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = fill(&self.entries, self.offset, &mut slices);
        match attempt(&slices[..count]) {
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
        .flat_map(Frame::parts);
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
            STANDARD.encode_string(frame.payload(), &mut text);
            Frame::text(text.into())
        }
        FrameKind::Text | FrameKind::WebSocketOnly => frame.clone(),
    })
}
