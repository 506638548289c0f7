use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use switchboard_metrics::Counter;
use tokio::{io::AsyncWrite, net::tcp::OwnedWriteHalf, time::Instant};

use crate::{
    Outbox,
    outbox::{Entry, Written},
    writer::Writer,
};

/// The right to write to a socket, and what is half written. There is one for each socket, and
/// whoever holds it writes: the connection's task, or for a moment whoever posted, to whom the
/// task lends it through the outbox while it has nothing to write itself.
#[derive(Debug)]
pub(crate) struct Pen {
    socket: OwnedWriteHalf,
    writer: Writer,
}

impl Pen {
    pub(crate) fn new(socket: OwnedWriteHalf, base64: bool) -> Self {
        Self {
            socket,
            writer: Writer::new(base64),
        }
    }

    /// Writes `entries` as far as the socket takes them at once. What it does not take is kept,
    /// for the connection's task to [go on with](Self::is_writing).
    pub(crate) fn write(
        &mut self,
        entries: VecDeque<Entry>,
        written: &mut Written,
        bytes_out: &Counter,
    ) {
        let Self { socket, writer } = self;
        writer.write(entries, written, bytes_out, |slices| {
            match socket.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                attempted => Poll::Ready(attempted),
            }
        });
    }

    /// Writes what the outbox has until it is empty or the socket takes no more.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Self { socket, writer } = self;
        writer.drain(outbox, bytes_out, |slices| {
            Pin::new(&mut *socket).poll_write_vectored(context, slices)
        })
    }

    /// Writes what was taken or [pushed](Self::push) already.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Self { socket, writer } = self;
        writer.flush(bytes_out, |slices| {
            Pin::new(&mut *socket).poll_write_vectored(context, slices)
        })
    }

    /// Tells the peer that nothing more is written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    /// Adds what the outbox does not know of.
    pub(crate) fn push(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.writer.push(entries);
    }

    /// Drops what is not begun.
    pub(crate) fn discard(&mut self) {
        self.writer.discard();
    }

    /// Whether something that was taken is not wholly written yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.writer.is_writing()
    }

    /// How many packets were taken and are not wholly written yet.
    pub(crate) fn queued(&self) -> usize {
        self.writer.queued()
    }

    /// When the peer counts as gone if it takes nothing until then.
    pub(crate) fn deadline(&self, timeout: Duration) -> Option<Instant> {
        self.writer.deadline(timeout)
    }
}
