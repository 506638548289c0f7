use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use switchboard_protocol::session::{MemberId, Session};
use tokio::time::{Instant, Sleep};
use tracing::debug;

use crate::{
    Admission, Application, CloseReason, DisconnectReason, Handshake, Namespace, Outbox, Refusal,
    SocketHandle,
    engine::{Registration, Shared, TaskGuard},
    outbox::Order,
    polling::{Polling, PushBody},
    websocket::WebSocket,
};

mod closing;
mod decide;
mod input;
mod output;
mod push;
mod upgrade;

/// The one task of a session: carries bytes between a transport and the session, and what the
/// session says between it and the application.
///
/// The whole of it is one future, so that an idle connection is one small allocation. Each `poll`
/// goes through the same verbs in the same order, until none of them has anything left to do.
pub(crate) struct Connection<A: Application> {
    shared: Arc<Shared<A>>,
    registration: Registration<A>,
    _task: TaskGuard<A>,
    session: Session,
    outbox: Arc<Outbox>,
    handshake: Arc<Handshake>,
    sockets: Vec<Socket<A>>,
    transport: Transport,
    /// The application's future in flight. Nothing is handled while there is one.
    work: Option<Work<A>>,
    work_deadline: Option<Instant>,
    /// What came by POST and waits for the application, at most
    /// [`pushes_max`](Polling::pushes_max) bodies.
    pushed: Vec<PushBody>,
    /// When a session that ended gives up telling its client.
    closing: Option<Instant>,
    /// Something happened after its verb in the order was called.
    again: bool,
    /// The outbox fell behind and the application does not know yet.
    is_behind: bool,
    timer: Pin<Box<Sleep>>,
}

/// A client in a namespace.
struct Socket<A: Application> {
    member: MemberId,
    handle: SocketHandle,
    state: A::Socket,
}

/// How the packets of the session travel at this moment.
pub(crate) enum Transport {
    WebSocket(WebSocket),
    Polling(Box<Polling>),
    /// There is nobody left to tell anything.
    Gone,
}

enum Work<A: Application> {
    Connecting(Box<Joining<A>>),
    Handling(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// A wish to join that the application decides on.
struct Joining<A: Application> {
    member: MemberId,
    namespace: Namespace<'static>,
    handle: SocketHandle,
    decision: Pin<Box<dyn Future<Output = Decision<A>> + Send>>,
}

/// Whether a client is let in.
type Decision<A> = Result<Admission<<A as Application>::Socket>, Refusal>;

thread_local! {
    /// What every connection of a thread reads through.
    static READ_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_LEN_MAX].into());
}

/// Bytes that one read takes at most; also what a connection keeps while its application is busy.
const READ_LEN_MAX: usize = 32 << 10;

/// Nothing in it is pinned but what is boxed.
impl<A: Application> Unpin for Connection<A> {}

impl<A: Application> Connection<A> {
    pub(crate) fn new(
        registration: Registration<A>,
        task: TaskGuard<A>,
        outbox: Arc<Outbox>,
        handshake: Arc<Handshake>,
        transport: Transport,
    ) -> Self {
        let shared = registration.shared().clone();
        let now = Instant::now();
        Self {
            session: Session::new(shared.session.clone(), now.into_std()),
            timer: Box::pin(tokio::time::sleep_until(now + shared.config.ping_interval)),
            shared,
            registration,
            _task: task,
            outbox,
            handshake,
            sockets: Vec::new(),
            transport,
            work: None,
            work_deadline: None,
            pushed: Vec::new(),
            closing: None,
            again: false,
            is_behind: false,
        }
    }

    /// Whether what the client sends is read and handled.
    fn is_reading(&self) -> bool {
        self.closing.is_none() && self.work.is_none()
    }

    fn is_done(&self) -> bool {
        matches!(self.transport, Transport::Gone)
    }

    fn poll_orders(&mut self) {
        for order in self.outbox.take_orders() {
            match order {
                Order::Leave(member) => self.dismiss(member),
                Order::Close(reason) => self.close(reason),
            }
        }
    }

    /// Tells the application when the outbox fell behind, once it has time to listen.
    fn poll_behind(&mut self) {
        self.is_behind |= self.outbox.take_behind();
        if !self.is_reading() || !std::mem::take(&mut self.is_behind) {
            return;
        }
        let application = self.shared.application.clone();
        let states: Vec<_> = self
            .sockets
            .iter()
            .map(|socket| socket.state.clone())
            .collect();
        let mut later = Vec::new();
        for state in states {
            match application.behind(&state) {
                crate::Handling::Done => {}
                crate::Handling::Later(work) => later.push(work),
                crate::Handling::Close(reason) => return self.close(reason),
            }
        }
        if !later.is_empty() {
            self.start(Work::Handling(Box::pin(async move {
                for work in later {
                    work.await;
                }
            })));
        }
    }

    fn poll_work(&mut self, context: &mut Context<'_>) {
        let Some(work) = &mut self.work else {
            return;
        };
        match work {
            Work::Handling(work) => {
                let Poll::Ready(()) = work.as_mut().poll(context) else {
                    return;
                };
                self.finish_work();
            }
            Work::Connecting(joining) => {
                let Poll::Ready(decision) = joining.decision.as_mut().poll(context) else {
                    return;
                };
                if let Some(Work::Connecting(joining)) = self.finish_work() {
                    self.decided(*joining, decision);
                }
            }
        }
    }

    fn start(&mut self, work: Work<A>) {
        self.work = Some(work);
        self.work_deadline = Some(Instant::now() + self.shared.config.handling_timeout);
        self.again = true;
    }

    fn finish_work(&mut self) -> Option<Work<A>> {
        self.work_deadline = None;
        self.again = true;
        self.work.take()
    }

    fn poll_time(&mut self) {
        let now = Instant::now();
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if let Some(deadline) = self.closing {
            if deadline <= now {
                self.vanish();
            }
            return;
        }
        if due(self.work_deadline) {
            return self.close(CloseReason::HandlingTimeout);
        }
        if due(self.write_deadline()) {
            return self.close(CloseReason::WriteTimeout);
        }
        if due(self.session_deadline())
            && let Some(signal) = self.session.handle_timeout(now.into_std())
        {
            self.handle_signal(signal);
            self.again = true;
        }
    }

    /// When to be polled at the latest.
    fn deadline(&self) -> Instant {
        let far =
            Instant::now() + self.shared.config.ping_interval + self.shared.config.ping_timeout;
        let deadlines = match self.closing {
            Some(deadline) => [Some(deadline), None, None, None],
            None => [
                self.session_deadline(),
                self.work_deadline,
                self.write_deadline(),
                self.probe_deadline(),
            ],
        };
        deadlines.into_iter().flatten().min().unwrap_or(far)
    }

    /// A pong that may wait unread behind the application's work is not late.
    fn session_deadline(&self) -> Option<Instant> {
        if self.work.is_some() && self.session.is_awaiting_pong() {
            return None;
        }
        Some(Instant::from_std(self.session.poll_timeout()))
    }

    /// Tells the requests of a polling client until when there is a session.
    fn tell_expiry(&self) {
        if let Transport::Polling(polling) = &self.transport {
            let is_told = self.closing.is_none() && self.session_deadline().is_some();
            polling
                .mailbox
                .expire(is_told.then(|| Instant::from_std(self.session.expires_at())));
        }
    }

    fn write_deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::WebSocket(socket) => socket.write_deadline(self.shared.config.write_timeout),
            Transport::Polling(_) | Transport::Gone => None,
        }
    }

    fn probe_deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Polling(polling) => polling.probe.as_ref().map(|probe| probe.deadline),
            Transport::WebSocket(_) | Transport::Gone => None,
        }
    }

    /// Arms the timer; true if its time has come already.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline();
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(context).is_ready()
    }
}

impl<A: Application> Future for Connection<A> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        loop {
            this.again = false;
            this.poll_requests(context);
            this.poll_orders();
            this.poll_behind();
            this.poll_work(context);
            this.poll_upgrade(context);
            this.poll_input(context);
            let was_laden = this.outbox.is_laden();
            let blocked = this.poll_output(context);
            this.again |= was_laden && !this.outbox.is_laden();
            this.poll_time();
            this.tell_expiry();
            if this.is_done() {
                return Poll::Ready(());
            }
            let waits = !this.again && this.outbox.listen(context.waker(), blocked);
            if waits && !this.poll_timer(context) {
                return Poll::Pending;
            }
        }
    }
}

impl<A: Application> Drop for Connection<A> {
    /// A task that is dropped before its end, by a panic or by its runtime, tells its sockets too.
    fn drop(&mut self) {
        self.leave_all(CloseReason::ShuttingDown);
        self.outbox.close();
    }
}

impl<A: Application> Connection<A> {
    /// Tells the application that all sockets ended.
    fn leave_all(&mut self, reason: CloseReason) {
        for socket in std::mem::take(&mut self.sockets) {
            self.leave(socket, DisconnectReason::Closed(reason));
        }
    }

    fn leave(&self, socket: Socket<A>, reason: DisconnectReason) {
        debug!(socket = %socket.handle.id(), %reason, "left");
        socket.handle.leave();
        self.shared.sessions.sockets.fetch_sub(1, Ordering::Relaxed);
        self.shared.application.disconnect(socket.state, reason);
    }
}
