//! The end of a session: who is told what, and how long that may take.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use switchboard_protocol::websocket::CloseCode;
use tokio::time::Instant;
use tracing::debug;

use super::{Connection, READ_BUFFER, Stage, Transport, output::NOOP};
use crate::{
    Application, CloseReason,
    mailbox::PushReply,
    polling::{self, Polling, ProbeState, Pushes},
};

/// Tells a poll that the session ended.
const CLOSE: &[u8] = b"1";

/// Between two packets of a body.
const SEPARATOR: &[u8] = b"\x1e";

/// Tells it to a poll that came after the end.
const CLOSE_LATE: &[u8] = b"6\x1e1";

impl<A: Application> Connection<A> {
    /// Ends the session, unless it has ended.
    pub(super) fn close(&mut self, reason: CloseReason) {
        if self.session.close(reason).is_some() {
            self.end(reason, reason.close_code());
        }
    }

    /// Ends the session because the client's side of the transport ended with `code`.
    pub(super) fn end_with(&mut self, reason: CloseReason, code: Option<CloseCode>) {
        if self.session.close(reason).is_some() {
            self.end(reason, code);
        }
    }

    /// Ends the session without a WebSocket to tell it on.
    pub(super) fn lose(&mut self, reason: CloseReason) {
        self.close(reason);
        self.vanish();
    }

    /// Does what follows from the end of the session.
    pub(super) fn end(&mut self, reason: CloseReason, code: Option<CloseCode>) {
        debug!(client = %self.handshake.client(), %reason, cause = reason.name(), "session ended");
        self.registration.shared().counters.close(reason);
        self.stage = Stage::Closing(Instant::now());
        self.pushed = Pushes::default();
        self.again = true;
        self.leave_all(reason);
        let mut last = self.outbox.close();
        if !reason.is_graceful() {
            last.clear();
        }
        let now = Instant::now();
        match &mut self.transport {
            Transport::Gone => {}
            Transport::WebSocket(socket) => {
                self.registration.remove();
                if !reason.is_graceful() {
                    socket.discard();
                }
                socket.finish(last, code);
                let timeout = self.registration.shared().config.close_timeout;
                self.stage = Stage::Closing(now + timeout);
            }
            Transport::Polling(polling) => {
                // Who is about to move, and does not poll any more, is told where it moves to.
                polling
                    .probe
                    .take_if(|probe| probe.state != ProbeState::Probed);
                polling.ended_polled = last.is_empty() && polling.mailbox.is_polled();
                polling.last = last;
                let timeout = self.registration.shared().config.polling_close_timeout;
                self.stage = Stage::Closing(now + timeout);
                if !reason.is_graceful() {
                    tell_poll(polling, poll_farewell(reason));
                    self.vanish();
                }
            }
        }
    }

    /// Gives the transport up. A request that still waits is answered.
    pub(super) fn vanish(&mut self) {
        self.registration.remove();
        if let Transport::Polling(mut polling) = mem::replace(&mut self.transport, Transport::Gone)
        {
            tell_poll(&mut polling, CLOSE);
            polling.mailbox.close();
        }
    }

    /// Tells the client what is left to tell, then waits for its side to end.
    pub(super) fn poll_closing(&mut self, context: &mut Context<'_>) {
        match &mut self.transport {
            Transport::Gone => {}
            Transport::Polling(polling) => {
                if answer_last(polling) {
                    self.vanish();
                } else {
                    self.poll_last_probe(context);
                }
            }
            Transport::WebSocket(socket) => {
                let bytes_out = &self.registration.shared().counters.bytes_out;
                let told = match socket.poll_finish(context, &self.outbox, bytes_out) {
                    Poll::Pending => return,
                    Poll::Ready(told) => told,
                };
                let finished = told.is_err()
                    || READ_BUFFER.with_borrow_mut(|buffer| {
                        loop {
                            match socket.poll_read(context, buffer) {
                                Poll::Pending => return false,
                                Poll::Ready(Ok(0) | Err(_)) => return true,
                                // What comes after the end has no meaning.
                                Poll::Ready(Ok(_)) => {}
                            }
                        }
                    });
                if finished {
                    self.vanish();
                }
            }
        }
    }
}

/// Answers the GET that waits; true once the client knows of the end.
fn answer_last(polling: &mut Polling) -> bool {
    if let Some(request) = polling.mailbox.take_push() {
        let _ = request.reply.send(PushReply::Taken);
    }
    let Some(poll) = polling.mailbox.take_poll() else {
        return false;
    };
    if !polling.last.is_empty() {
        let last = polling::payload(&mem::take(&mut polling.last));
        if polling.probe.is_none() {
            return poll.send(last).is_err();
        }
        // Who is about to move does not poll once more.
        let _ = poll.send([&last[..], SEPARATOR, CLOSE].concat().into());
        return true;
    }
    let farewell = if polling.ended_polled {
        CLOSE
    } else {
        CLOSE_LATE
    };
    let _ = poll.send(farewell.into());
    true
}

fn tell_poll(polling: &mut Polling, farewell: &'static [u8]) {
    if let Some(poll) = polling.mailbox.take_poll() {
        let _ = poll.send(Bytes::from_static(farewell));
    }
}

/// What a GET that waits is told when the session ends.
fn poll_farewell(reason: CloseReason) -> &'static [u8] {
    match reason {
        // The client said so itself.
        CloseReason::TransportClosed => NOOP,
        _ => CLOSE,
    }
}

/// What the POST in hand is answered when the session ends.
pub(super) fn push_reply(reason: CloseReason) -> PushReply {
    match reason {
        CloseReason::ParseError | CloseReason::TransportError => PushReply::Refused,
        _ => PushReply::Taken,
    }
}
