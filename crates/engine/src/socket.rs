use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use switchboard_protocol::{SocketId, session::CloseReason, socket_io};

use crate::{
    AckId, Namespace, Outbox, Packet, Posted,
    outbox::{Order, Poster, SocketNumber},
};

/// One client in one namespace, as the application sees it. Cheap to clone; outlives the
/// connection, and does nothing after that.
#[derive(Clone)]
pub struct SocketHandle(Arc<Inner>);

/// What every event needs comes first, in one line of memory.
#[repr(C)]
struct Inner {
    outbox: Arc<Outbox>,
    number: SocketNumber,
    left: AtomicBool,
    /// Set anew once at most, when a client that came back goes on as the socket it was.
    id: Mutex<SocketId>,
    ack_next: AtomicU64,
    namespace: Namespace<'static>,
}

impl SocketHandle {
    pub(crate) fn new(
        id: SocketId,
        namespace: Namespace<'static>,
        number: SocketNumber,
        outbox: Arc<Outbox>,
    ) -> Self {
        Self(Arc::new(Inner {
            id: Mutex::new(id),
            namespace,
            number,
            outbox,
            left: AtomicBool::new(false),
            ack_next: AtomicU64::new(0),
        }))
    }

    /// The socket's public id. A client that came back has its old one, from its admission on.
    pub fn id(&self) -> SocketId {
        *self.0.id.lock()
    }

    /// The namespace, `/` for the main one.
    pub fn namespace(&self) -> &Namespace<'static> {
        &self.0.namespace
    }

    /// What the connection still has to write; shared by its sockets.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.0.outbox
    }

    /// Queues an event; never waits. See [`Outbox::post`].
    pub fn post(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.0.outbox.post_from(Some(self.poster()), packet, mark)
    }

    /// Queues events, each with its mark, without waking anybody: a [`flush`](Self::flush) must
    /// follow. For whoever posts to many sockets: it does both without a task in between.
    pub fn post_all(&self, events: &[(Arc<Packet>, u64)]) -> Posted {
        self.0.outbox.post_all_from(Some(self.poster()), events)
    }

    /// Queues events, each with its mark, and writes all that is queued: [`post_all`](Self::post_all)
    /// and [`flush`](Self::flush) in one.
    pub fn write_all(&self, events: &[(Arc<Packet>, u64)]) -> Posted {
        self.0.outbox.write_all_from(Some(self.poster()), events)
    }

    /// Writes what is queued in one vectored write, as far as the client takes it at once; what it
    /// does not take follows by itself. Never waits.
    pub fn flush(&self) {
        self.0.outbox.flush();
    }

    /// Queues an event that nobody has to hear, without waking anybody: a [`flush`](Self::flush) must
    /// follow. See [`Outbox::post_fleeting`].
    pub fn post_fleeting(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.0
            .outbox
            .post_fleeting_from(Some(self.poster()), packet, mark)
    }

    /// Queues an event that was missed while behind. See [`Outbox::post_missed`].
    pub fn post_missed(&self, packet: Arc<Packet>, mark: u64) -> Posted {
        self.0
            .outbox
            .post_missed_from(Some(self.poster()), packet, mark)
    }

    /// Queues a packet that is never dropped while the connection lasts. If too many are queued,
    /// the connection is closed.
    pub fn send(&self, packet: Packet) -> Posted {
        self.0
            .outbox
            .send_from(Some(self.poster()), Arc::new(packet))
    }

    /// Queues an event for this client alone that is never dropped; arguments are as in
    /// [`Packet::event`].
    pub fn emit(&self, name: &str, args: &[&[u8]], attachments: Vec<Bytes>) -> Posted {
        self.send(Packet::event(
            self.namespace(),
            None,
            name,
            args,
            attachments,
        ))
    }

    /// Answers an event of the client; arguments are as in [`Packet::event`].
    #[expect(clippy::needless_pass_by_value, reason = "an event is answered once")]
    pub fn ack(&self, ack: AckId, args: &[&[u8]], attachments: Vec<Bytes>) -> Posted {
        self.send(Packet::ack(self.namespace(), &ack, args, attachments))
    }

    /// A fresh id for an event that the client shall answer. The reply comes to
    /// [`Application::acked`](crate::Application::acked) with the same number.
    pub fn ack_id(&self) -> AckId {
        AckId(socket_io::AckId(
            self.0.ack_next.fetch_add(1, Ordering::Relaxed),
        ))
    }

    /// Takes the socket out of its namespace with a DISCONNECT packet, after which the stock
    /// client does not come back by itself.
    pub fn disconnect(&self) {
        if !self.0.left.swap(true, Ordering::AcqRel) {
            self.0.outbox.order(Order::Leave(self.0.number));
        }
    }

    /// Closes the whole connection without a DISCONNECT packet: the stock client comes back.
    pub fn close(&self, reason: CloseReason) {
        self.0.outbox.order(Order::Close(reason));
    }

    /// Whether the socket has left or its connection ended: nothing is sent any more.
    pub fn is_closed(&self) -> bool {
        self.has_left() || self.0.outbox.is_closed()
    }

    /// Nothing is sent through this handle any more.
    pub(crate) fn leave(&self) {
        self.0.left.store(true, Ordering::Release);
    }

    fn poster(&self) -> Poster<'_> {
        Poster {
            socket: self.0.number,
            left: &self.0.left,
        }
    }

    pub(crate) fn rename(&self, id: SocketId) {
        *self.0.id.lock() = id;
    }

    pub(crate) fn has_left(&self) -> bool {
        self.0.left.load(Ordering::Acquire)
    }
}

impl fmt::Debug for SocketHandle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SocketHandle")
            .field("id", &self.id())
            .field("namespace", &self.namespace())
            .finish_non_exhaustive()
    }
}
