use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use switchboard_metrics::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};
use tokio_rustls::server::TlsStream;

use crate::{
    Outbox,
    outbox::{Entry, Written},
    stream::Stream,
    writer::Writer,
};

/// The right to write to a socket, and what is half written. There is one for each socket, and
/// whoever holds it writes: the connection's task, or for a moment whoever posted, to whom the
/// task lends it through the outbox while it has nothing to write itself.
#[derive(Debug)]
pub(crate) struct Pen {
    ink: Ink,
    writer: Writer,
}

/// Where a pen writes to.
#[derive(Debug)]
enum Ink {
    Plain(OwnedWriteHalf),
    /// What encrypts also decrypts, so the task keeps this and reads through it.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Pen {
    /// The pen of `stream`, and what reads, if that is not the pen itself.
    pub(crate) fn of(stream: Stream, base64: bool) -> (Self, Option<OwnedReadHalf>) {
        let (ink, reader) = match stream {
            Stream::Plain(stream) => {
                let (reader, writer) = stream.into_split();
                (Ink::Plain(writer), Some(reader))
            }
            Stream::Tls(stream) => (Ink::Tls(stream), None),
        };
        let writer = Writer::new(base64);
        (Self { ink, writer }, reader)
    }

    /// Whether others than the task may write with it.
    pub(crate) fn is_lendable(&self) -> bool {
        matches!(self.ink, Ink::Plain(_))
    }

    /// Reads, if this is what reads.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.ink {
            Ink::Plain(_) => Poll::Pending,
            Ink::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
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
        let Self { ink, writer } = self;
        writer.write(entries, written, bytes_out, |slices| match ink {
            Ink::Plain(socket) => {
                let attempted = match slices {
                    // The kernel has less to do for a single slice that is not a vector of one.
                    [slice] => socket.try_write(slice),
                    slices => socket.try_write_vectored(slices),
                };
                match attempted {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
                    attempted => Poll::Ready(attempted),
                }
            }
            Ink::Tls(_) => Poll::Pending,
        });
    }

    /// Writes what the outbox has until it is empty or the socket takes no more.
    pub(crate) fn poll_drain(
        &mut self,
        context: &mut Context<'_>,
        outbox: &Outbox,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Self { ink, writer } = self;
        ready!(writer.drain(outbox, bytes_out, |slices| ink.poll_write(context, slices)))?;
        writer.settle(ink.poll_flush(context))
    }

    /// Writes what was taken or [pushed](Self::push) already.
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
        bytes_out: &Counter,
    ) -> Poll<io::Result<()>> {
        let Self { ink, writer } = self;
        ready!(writer.flush(bytes_out, |slices| ink.poll_write(context, slices)))?;
        writer.settle(ink.poll_flush(context))
    }

    /// Tells the peer that nothing more is written.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.ink {
            Ink::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Ink::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
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

impl Ink {
    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Plain(socket) => match slices {
                [slice] => Pin::new(socket).poll_write(context, slice),
                slices => Pin::new(socket).poll_write_vectored(context, slices),
            },
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    /// Lets the socket take what TLS keeps of what was written.
    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }
}
