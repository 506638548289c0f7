use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use switchboard_protocol::session::{MemberId, Session};
use tokio::time::Instant;
use tracing::debug;

use crate::{
    Admission, Application, CloseReason, DisconnectReason, Handshake, Namespace, Outbox, Refusal,
    SocketHandle,
    engine::Registration,
    outbox::Order,
    polling::{Polling, Pushes},
    websocket::WebSocket,
    wheel::Alarm,
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
    session: Session,
    outbox: Arc<Outbox>,
    handshake: Arc<Handshake>,
    sockets: Vec<Socket<A>>,
    transport: Transport,
    stage: Stage<A>,
    /// What came by POST and waits for the application, at most
    /// [`pushes_max`](Polling::pushes_max) bodies.
    pushed: Pushes,
    /// Something happened after its verb in the order was called.
    again: bool,
    /// The outbox fell behind and the application does not know yet.
    is_behind: bool,
    alarm: Alarm,
    /// Last, so that whoever waits for the end of all tasks waits for all of each.
    registration: Registration<A>,
}

/// What is being done with what the client sends.
enum Stage<A: Application> {
    /// It is handled as it comes.
    Open,
    /// Nothing is handled while a future of the application is in flight.
    Busy(Box<Busy<A>>),
    /// The session ended, and gives up telling its client at this time.
    Closing(Instant),
}

struct Busy<A: Application> {
    work: Work<A>,
    deadline: Instant,
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
    Connecting(Joining<A>),
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
        outbox: Arc<Outbox>,
        handshake: Arc<Handshake>,
        transport: Transport,
    ) -> Self {
        let config = registration.shared().session.clone();
        Self {
            session: Session::new(config, Instant::now().into_std()),
            outbox,
            handshake,
            sockets: Vec::new(),
            transport,
            stage: Stage::Open,
            pushed: Pushes::default(),
            again: false,
            is_behind: false,
            alarm: Alarm::default(),
            registration,
        }
    }

    /// Whether what the client sends is read and handled.
    fn is_reading(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(_))
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
        let application = self.registration.shared().application.clone();
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
        let Stage::Busy(busy) = &mut self.stage else {
            return;
        };
        match &mut busy.work {
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
                    self.decided(joining, decision);
                }
            }
        }
    }

    fn start(&mut self, work: Work<A>) {
        let deadline = Instant::now() + self.registration.shared().config.handling_timeout;
        self.stage = Stage::Busy(Box::new(Busy { work, deadline }));
        self.again = true;
    }

    fn finish_work(&mut self) -> Option<Work<A>> {
        self.again = true;
        match std::mem::replace(&mut self.stage, Stage::Open) {
            Stage::Busy(busy) => Some(busy.work),
            Stage::Open | Stage::Closing(_) => None,
        }
    }

    fn poll_time(&mut self) {
        let now = Instant::now();
        let due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if let Stage::Closing(deadline) = self.stage {
            if deadline <= now {
                self.vanish();
            }
            return;
        }
        if due(self.work_deadline()) {
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
        let deadlines = match self.stage {
            Stage::Closing(deadline) => [Some(deadline), None, None, None],
            Stage::Open | Stage::Busy(_) => [
                self.session_deadline(),
                self.work_deadline(),
                self.write_deadline(),
                self.probe_deadline(),
            ],
        };
        let deadline = deadlines.into_iter().flatten().min();
        deadline.unwrap_or_else(|| {
            let config = &self.registration.shared().config;
            Instant::now() + config.ping_interval + config.ping_timeout
        })
    }

    fn work_deadline(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Busy(busy) => Some(busy.deadline),
            Stage::Open | Stage::Closing(_) => None,
        }
    }

    /// A pong that may wait unread behind the application's work is not late.
    fn session_deadline(&self) -> Option<Instant> {
        if matches!(self.stage, Stage::Busy(_)) && self.session.is_awaiting_pong() {
            return None;
        }
        Some(Instant::from_std(self.session.poll_timeout()))
    }

    /// Tells the requests of a polling client until when there is a session.
    fn tell_expiry(&self) {
        if let Transport::Polling(polling) = &self.transport {
            let is_told = !self.is_closing() && self.session_deadline().is_some();
            polling
                .mailbox
                .expire(is_told.then(|| Instant::from_std(self.session.expires_at())));
        }
    }

    fn write_deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::WebSocket(socket) => {
                socket.write_deadline(self.registration.shared().config.write_timeout)
            }
            Transport::Polling(_) | Transport::Gone => None,
        }
    }

    fn probe_deadline(&self) -> Option<Instant> {
        match &self.transport {
            Transport::Polling(polling) => polling.probe.as_ref().map(|probe| probe.deadline),
            Transport::WebSocket(_) | Transport::Gone => None,
        }
    }

    /// Sets the alarm; true if its time has come already.
    fn poll_alarm(&mut self, context: &mut Context<'_>) -> bool {
        let deadline = self.deadline();
        let is_due = deadline <= Instant::now();
        if !is_due {
            let wheel = &self.registration.shared().wheel;
            wheel.set(&mut self.alarm, deadline, context.waker());
        }
        is_due
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
            let is_laden = this.outbox.is_laden();
            this.again |= was_laden && !is_laden;
            this.poll_time();
            this.tell_expiry();
            if this.is_done() {
                return Poll::Ready(());
            }
            let waits = !this.again && this.outbox.listen(context.waker(), blocked, is_laden);
            if waits && !this.poll_alarm(context) {
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
        drop(self.outbox.retire());
        self.registration.shared().wheel.cancel(&mut self.alarm);
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
        self.registration
            .shared()
            .sessions
            .sockets
            .fetch_sub(1, Ordering::Relaxed);
        self.registration
            .shared()
            .application
            .disconnect(socket.state, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Connect, Handling, Incoming};

    struct Nobody;

    impl Application for Nobody {
        type Socket = Arc<()>;

        async fn connect(
            self: &Arc<Self>,
            _request: Connect,
        ) -> Result<Admission<Arc<()>>, Refusal> {
            Err(Refusal::invalid_namespace())
        }

        fn event(self: &Arc<Self>, _socket: &Arc<()>, _event: Incoming) -> Handling {
            Handling::Done
        }

        fn disconnect(self: &Arc<Self>, _socket: Arc<()>, _reason: DisconnectReason) {}
    }

    /// What an idle connection holds, in bytes: each is one allocation. The runtime adds 96 to the
    /// task, and rounds it up to a multiple of 128.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn an_idle_connection_takes_no_more_than_it_did() {
        const TASK_OVERHEAD: usize = 96;
        let sizes = [
            size_of::<Connection<Nobody>>() + TASK_OVERHEAD,
            size_of::<Outbox>(),
            size_of::<Socket<Nobody>>(),
            size_of::<Handshake>(),
        ];

        assert_eq!(sizes, [376, 168, 24, 40]);
    }
}
