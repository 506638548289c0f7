use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::{Mutex, RwLock};
use switchboard_protocol::{SessionId, session, socket_io};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use crate::{
    Application, CloseReason, Config, Counts, Doors, Outbox, OutboxLimits, Packet, Queued,
    admission::{Admissions, Place},
    counters::Counters,
    mailbox::Mailbox,
    outbox::{self, Order},
    refused::Refused,
    wheel::Wheel,
};

/// Serves an [`Application`] to Socket.IO clients. Cheap to clone; one engine may serve several
/// listeners.
pub struct Engine<A: Application> {
    shared: Arc<Shared<A>>,
}

impl<A: Application> Clone for Engine<A> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<A: Application> std::fmt::Debug for Engine<A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Engine")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// How much an engine serves at this moment.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Sessions over WebSocket.
    pub websocket: usize,
    /// Sessions over HTTP long-polling.
    pub polling: usize,
    /// Sockets: clients in a namespace.
    pub sockets: usize,
    /// TCP connections that speak HTTP.
    pub http: usize,
}

impl<A: Application> Engine<A> {
    /// An engine that is not served yet.
    pub fn new(application: Arc<A>, config: Config) -> Self {
        let session = Arc::new(session::Config {
            socket_io: config.layer == crate::Layer::SocketIo,
            ping_interval: config.ping_interval,
            ping_timeout: config.ping_timeout,
            connect_timeout: config.connect_timeout,
            attachments: socket_io::Limits {
                attachments_max: config.attachments_max,
                attachment_bytes_max: config.attachments_bytes_max,
            },
            attachments_timeout: config.attachments_timeout,
            namespaces_max: config.namespaces_max,
            refusals_max: config.refusals_max,
        });
        let (drain, _) = watch::channel(false);
        let counters = Counters::default();
        Self {
            shared: Arc::new(Shared {
                application,
                session,
                ping: Arc::new(Packet::text("2")),
                admissions: Admissions::new(&config),
                sessions: Sessions::default(),
                tasks: Tasks::default(),
                wheel: Arc::new(Wheel::new(Instant::now())),
                drain,
                refused: Refused::default(),
                outbox: Arc::new(outbox::Common {
                    limits: OutboxLimits {
                        bytes_max: config.outbox_bytes_max,
                        packets_max: config.outbox_packets_max,
                        controls_bytes_max: config.controls_bytes_max,
                        controls_max: config.controls_max,
                    },
                    bytes_out: counters.bytes_out.clone(),
                }),
                doors: RwLock::new(Arc::new(config.doors.clone())),
                counters,
                config,
            }),
        }
    }

    /// Counts what is served at this moment.
    pub fn stats(&self) -> Stats {
        let Shared {
            sessions,
            admissions,
            ..
        } = &*self.shared;
        let total = admissions.total();
        let polling = sessions.polling.load(Ordering::Relaxed);
        Stats {
            websocket: total.saturating_sub(polling),
            polling,
            sockets: sessions.sockets.load(Ordering::Relaxed),
            http: self.shared.tasks.http.load(Ordering::Relaxed),
        }
    }

    /// What was done since the engine was made.
    pub fn counts(&self) -> Counts {
        Counts {
            refused: self.shared.refused.counts(),
            ..self.shared.counters.counts()
        }
    }

    /// What waits to be written, on all connections together. Looks at each of them, so it is not
    /// for every moment.
    pub fn queued(&self) -> Queued {
        self.shared.sessions.queued()
    }

    /// Changes who is let in from now on.
    pub fn set_doors(&self, doors: Doors) {
        self.shared.admissions.set(doors.connections_per_address);
        *self.shared.doors.write() = Arc::new(doors);
    }

    /// The application that is served.
    pub fn application(&self) -> &Arc<A> {
        &self.shared.application
    }

    pub(crate) fn shared(&self) -> &Arc<Shared<A>> {
        &self.shared
    }
}

/// What every task of an engine holds.
pub(crate) struct Shared<A> {
    pub(crate) application: Arc<A>,
    pub(crate) config: Config,
    /// Those of `config`, until they are changed.
    doors: RwLock<Arc<Doors>>,
    pub(crate) session: Arc<session::Config>,
    pub(crate) ping: Arc<Packet>,
    pub(crate) admissions: Admissions,
    pub(crate) sessions: Sessions,
    pub(crate) tasks: Tasks,
    /// Tells every connection's task of the passing of time.
    pub(crate) wheel: Arc<Wheel>,
    pub(crate) counters: Counters,
    pub(crate) refused: Refused,
    /// Of every connection's outbox.
    outbox: Arc<outbox::Common>,
    /// True once the engine drains.
    pub(crate) drain: watch::Sender<bool>,
}

impl<A> Shared<A> {
    pub(crate) fn outbox(&self) -> Outbox {
        Outbox::with(self.outbox.clone())
    }

    /// Who is let in now.
    pub(crate) fn doors(&self) -> Arc<Doors> {
        self.doors.read().clone()
    }

    pub(crate) fn is_draining(&self) -> bool {
        *self.drain.borrow()
    }
}

/// The sessions by their secret ids.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    table: Mutex<HashMap<SessionId, Entry>>,
    polling: AtomicUsize,
    pub(crate) sockets: AtomicUsize,
}

#[derive(Debug)]
struct Entry {
    outbox: Arc<Outbox>,
    /// None over WebSocket.
    mailbox: Option<Arc<Mailbox>>,
}

/// What a request's `sid` leads to.
#[derive(Debug)]
pub(crate) enum Found {
    Nothing,
    Polling(Arc<Mailbox>),
    WebSocket,
}

impl Sessions {
    pub(crate) fn find(&self, id: &SessionId) -> Found {
        match self.table.lock().get(id) {
            None => Found::Nothing,
            Some(Entry {
                mailbox: Some(mailbox),
                ..
            }) => Found::Polling(mailbox.clone()),
            Some(Entry { mailbox: None, .. }) => Found::WebSocket,
        }
    }

    fn queued(&self) -> Queued {
        let mut queued = Queued::default();
        for outbox in self.outboxes() {
            let (bytes, packets) = outbox.queued();
            queued.bytes += bytes;
            queued.packets += packets;
        }
        queued
    }

    /// Those of all sessions, so that whoever looks at each does not hold the table.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let table = self.table.lock();
        table.values().map(|entry| entry.outbox.clone()).collect()
    }
}

impl<A> Place<A> {
    /// Enters a session into the table. One that comes while the engine drains is told so itself:
    /// the drain may have been through the table already.
    pub(crate) fn register(
        self,
        id: SessionId,
        outbox: &Arc<Outbox>,
        mailbox: Option<Arc<Mailbox>>,
    ) -> Registration<A> {
        let is_polling = mailbox.is_some();
        let shared = self.shared();
        if is_polling {
            shared.sessions.polling.fetch_add(1, Ordering::Relaxed);
        }
        shared.sessions.table.lock().insert(
            id,
            Entry {
                outbox: outbox.clone(),
                mailbox,
            },
        );
        shared.tasks.begin();
        if shared.is_draining() {
            outbox.order(Order::Close(CloseReason::ShuttingDown));
        }
        Registration {
            place: self,
            id,
            is_polling,
        }
    }
}

/// A session's entry in the table, removed when dropped; its task counts as running until then.
pub(crate) struct Registration<A> {
    place: Place<A>,
    id: SessionId,
    is_polling: bool,
}

impl<A> Registration<A> {
    pub(crate) fn shared(&self) -> &Arc<Shared<A>> {
        self.place.shared()
    }

    /// The session has joined a namespace.
    pub(crate) fn join(&mut self) {
        self.place.join();
    }

    /// From now on requests with this id find a WebSocket.
    pub(crate) fn switch(&mut self) {
        self.end_polling();
        if let Some(entry) = self.shared().sessions.table.lock().get_mut(&self.id) {
            entry.mailbox = None;
        }
    }

    /// From now on requests with this id find nothing.
    pub(crate) fn remove(&mut self) {
        self.shared().sessions.table.lock().remove(&self.id);
    }

    fn end_polling(&mut self) {
        if self.is_polling {
            self.is_polling = false;
            self.shared()
                .sessions
                .polling
                .fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<A> Drop for Registration<A> {
    fn drop(&mut self) {
        self.remove();
        self.end_polling();
        self.shared().tasks.end();
    }
}

/// The tasks that a drain waits for.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    running: AtomicUsize,
    http: AtomicUsize,
    idle: Notify,
}

impl Tasks {
    /// None if there are too many.
    pub(crate) fn enter_http<A>(shared: &Arc<Shared<A>>) -> Option<HttpGuard<A>> {
        if shared.tasks.http.fetch_add(1, Ordering::AcqRel) >= shared.config.http_connections_max {
            shared.tasks.http.fetch_sub(1, Ordering::AcqRel);
            return None;
        }
        shared.tasks.begin();
        Some(HttpGuard {
            shared: shared.clone(),
        })
    }

    fn begin(&self) {
        self.running.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    /// Waits until no task runs.
    pub(crate) async fn finished(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

/// Counts one connection that speaks HTTP, whose task is running.
pub(crate) struct HttpGuard<A> {
    shared: Arc<Shared<A>>,
}

impl<A> Drop for HttpGuard<A> {
    fn drop(&mut self) {
        self.shared.tasks.http.fetch_sub(1, Ordering::AcqRel);
        self.shared.tasks.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Admission, Client, Connect, DisconnectReason, Handling, Incoming, Refusal};

    struct Nobody;

    impl Application for Nobody {
        type Socket = ();

        async fn connect(self: &Arc<Self>, _request: Connect) -> Result<Admission<()>, Refusal> {
            Err(Refusal::invalid_namespace())
        }

        fn event(self: &Arc<Self>, _socket: &(), _event: Incoming) -> Handling {
            Handling::Done
        }

        fn disconnect(self: &Arc<Self>, _socket: (), _reason: DisconnectReason) {}
    }

    #[test]
    fn a_session_that_opens_while_the_drain_begins_is_told_too() {
        let engine = Engine::new(Arc::new(Nobody), Config::default());
        let shared = engine.shared();
        let place = Admissions::reserve(
            shared,
            Client::new(([127, 0, 0, 1], 1).into()),
            Instant::now(),
        );
        let place = place.ok().unwrap();

        shared.drain.send_replace(true);
        assert!(shared.sessions.outboxes().is_empty());
        let outbox = Arc::new(shared.outbox());
        let _registration = place.register(SessionId::from_random([0; 15]), &outbox, None);

        assert_eq!(
            outbox.take_orders(),
            [Order::Close(CloseReason::ShuttingDown)]
        );
    }

    #[test]
    fn a_session_that_asks_during_the_drain_is_turned_away_and_counted() {
        let engine = Engine::new(Arc::new(Nobody), Config::default());
        let shared = engine.shared();
        shared.drain.send_replace(true);

        let client = Client::new(([127, 0, 0, 1], 1).into());
        let place = Admissions::reserve(shared, client, Instant::now());

        assert!(place.is_err());
        assert_eq!(engine.counts().refused["draining"], 1);
    }
}
