use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use parking_lot::Mutex;
use switchboard_protocol::session::CloseReason;
use tokio::{sync::oneshot, time::Instant};

use crate::websocket::WebSocket;

/// Where HTTP requests of a polling session meet its task.
///
/// Slots, not a queue: a session has at most one GET, one POST and one probing WebSocket at a
/// time, and a second one is against the protocol.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    poll: Option<oneshot::Sender<Bytes>>,
    push: Push,
    /// Ends the request whose POST is in flight.
    push_abort: Option<oneshot::Sender<()>>,
    probe: Probe,
    /// Set by a request that broke the rules or its connection.
    fault: Option<CloseReason>,
    /// When the session has ended for want of a pong, though its task may not have noticed.
    expires_at: Option<Instant>,
    closed: bool,
    task: Option<Waker>,
}

#[derive(Debug, Default)]
enum Push {
    #[default]
    None,
    /// The body is still being read, or the session handles it.
    InFlight,
    Ready(PushRequest),
}

#[derive(Debug, Default)]
enum Probe {
    #[default]
    None,
    /// The request is being answered, or the session has the socket.
    InFlight,
    Ready(Box<WebSocket>),
}

/// A whole POST body, and where to send the answer.
#[derive(Debug)]
pub(crate) struct PushRequest {
    pub(crate) body: Bytes,
    pub(crate) reply: oneshot::Sender<PushReply>,
}

/// What a POST is answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PushReply {
    Taken,
    Refused,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Denied {
    /// There is no session any more.
    Closed,
    /// There is a request of this kind already.
    Busy,
}

/// The side of the HTTP requests.
impl Mailbox {
    /// Lets a GET wait for what there is to say. A second one ends the session.
    pub(crate) fn poll(&self) -> Result<oneshot::Receiver<Bytes>, Denied> {
        let mut state = self.state.lock();
        state.check_open()?;
        if state.poll.is_some() {
            state.fail(CloseReason::TransportError);
            return Err(Denied::Busy);
        }
        let (sender, receiver) = oneshot::channel();
        state.poll = Some(sender);
        state.wake();
        Ok(receiver)
    }

    /// Lets a POST in. A second one ends the session and the first.
    pub(crate) fn push(self: &Arc<Self>) -> Result<PushTicket, Denied> {
        let mut state = self.state.lock();
        state.check_open()?;
        if !matches!(state.push, Push::None) {
            state.push_abort = None;
            state.fail(CloseReason::TransportError);
            return Err(Denied::Busy);
        }
        let (abort, aborted) = oneshot::channel();
        state.push = Push::InFlight;
        state.push_abort = Some(abort);
        Ok(PushTicket {
            mailbox: self.clone(),
            aborted,
            settled: false,
        })
    }

    /// Lets a WebSocket probe the session. A second one is refused, and the session goes on.
    pub(crate) fn probe(self: &Arc<Self>) -> Result<ProbeTicket, Denied> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(Denied::Closed);
        }
        if !matches!(state.probe, Probe::None) {
            return Err(Denied::Busy);
        }
        state.probe = Probe::InFlight;
        Ok(ProbeTicket {
            mailbox: Some(self.clone()),
        })
    }

    /// Ends the session: a request broke the rules.
    pub(crate) fn fail(&self, reason: CloseReason) {
        self.state.lock().fail(reason);
    }
}

/// The side of the session's task.
impl Mailbox {
    /// Registers the task and tells what went wrong, if anything did. A GET whose client went
    /// away is wrong too.
    pub(crate) fn poll_fault(&self, context: &mut Context<'_>) -> Option<CloseReason> {
        let mut state = self.state.lock();
        match &state.task {
            Some(known) if known.will_wake(context.waker()) => {}
            _ => state.task = Some(context.waker().clone()),
        }
        let gone = match &mut state.poll {
            Some(sender) => sender.poll_closed(context) == Poll::Ready(()),
            None => false,
        };
        if gone {
            state.poll = None;
            state.fault.get_or_insert(CloseReason::TransportError);
        }
        state.fault
    }

    /// Tells requests until when there is a session; none if its pong may wait unread.
    pub(crate) fn expire(&self, at: Option<Instant>) {
        self.state.lock().expires_at = at;
    }

    pub(crate) fn is_polled(&self) -> bool {
        self.state.lock().poll.is_some()
    }

    /// Takes the GET that waits.
    pub(crate) fn take_poll(&self) -> Option<oneshot::Sender<Bytes>> {
        self.state.lock().poll.take()
    }

    /// Takes a POST whose body is complete.
    pub(crate) fn take_push(&self) -> Option<PushRequest> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.push, Push::InFlight) {
            Push::Ready(request) => Some(request),
            other => {
                state.push = other;
                None
            }
        }
    }

    /// Takes the WebSocket that wants to take over.
    pub(crate) fn take_probe(&self) -> Option<Box<WebSocket>> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.probe, Probe::InFlight) {
            Probe::Ready(socket) => Some(socket),
            other => {
                state.probe = other;
                None
            }
        }
    }

    /// Lets another WebSocket probe.
    pub(crate) fn end_probe(&self) {
        self.state.lock().probe = Probe::None;
    }

    /// Lets no request in any more.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.task = None;
        state.probe = Probe::None;
        // A POST that nobody took is answered that there is no session.
        state.push = Push::None;
    }
}

impl State {
    /// Lets a request in while there is a session. One that comes too late for the heartbeat finds
    /// none, however coarse the timer of the task is. If a GET waits, the client is there, and its
    /// task decides.
    fn check_open(&mut self) -> Result<(), Denied> {
        if self.closed {
            return Err(Denied::Closed);
        }
        let is_past = |at: Instant| at <= Instant::now();
        if self.poll.is_none() && self.expires_at.is_some_and(is_past) {
            self.fail(CloseReason::PingTimeout);
            return Err(Denied::Closed);
        }
        Ok(())
    }

    fn fail(&mut self, reason: CloseReason) {
        self.fault.get_or_insert(reason);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(task) = self.task.take() {
            task.wake();
        }
    }
}

/// The right to hand in one POST. Dropping it early ends the session: the client's connection
/// broke in the middle of its request.
#[derive(Debug)]
pub(crate) struct PushTicket {
    mailbox: Arc<Mailbox>,
    aborted: oneshot::Receiver<()>,
    settled: bool,
}

impl PushTicket {
    /// Waits until a second POST ends this one.
    pub(crate) async fn aborted(&mut self) {
        let _ = (&mut self.aborted).await;
    }

    /// Hands in the whole body. The answer is an error if the session ended.
    pub(crate) fn hand_in(&self, body: Bytes) -> oneshot::Receiver<PushReply> {
        let (reply, answer) = oneshot::channel();
        let mut state = self.mailbox.state.lock();
        if !state.closed {
            state.push = Push::Ready(PushRequest { body, reply });
            state.wake();
        }
        answer
    }

    /// Says that the request came to its end, and lets the next one in.
    pub(crate) fn settle(mut self) {
        self.settled = true;
    }
}

impl Drop for PushTicket {
    fn drop(&mut self) {
        let mut state = self.mailbox.state.lock();
        state.push = Push::None;
        state.push_abort = None;
        if !self.settled && !state.closed {
            state.fail(CloseReason::TransportError);
        }
    }
}

/// The right to hand in one probing WebSocket.
#[derive(Debug)]
pub(crate) struct ProbeTicket {
    mailbox: Option<Arc<Mailbox>>,
}

impl ProbeTicket {
    /// Hands in the socket, unless the session ended meanwhile.
    pub(crate) fn hand_in(mut self, socket: Box<WebSocket>) -> Result<(), Box<WebSocket>> {
        let Some(mailbox) = self.mailbox.take() else {
            return Err(socket);
        };
        let mut state = mailbox.state.lock();
        if state.closed {
            return Err(socket);
        }
        state.probe = Probe::Ready(socket);
        state.wake();
        Ok(())
    }
}

impl Drop for ProbeTicket {
    fn drop(&mut self) {
        if let Some(mailbox) = self.mailbox.take() {
            mailbox.end_probe();
        }
    }
}
