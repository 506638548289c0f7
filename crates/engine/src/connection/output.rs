//! What the outbox holds, to either transport.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use super::{Connection, Transport};
use crate::{
    Application, CloseReason,
    outbox::{Entry, Written},
    polling,
};

impl<A: Application> Connection<A> {
    /// Writes what may be written; true if nothing more can be before the client takes some.
    pub(super) fn poll_output(&mut self, context: &mut Context<'_>) -> bool {
        if self.is_closing() {
            self.poll_closing(context);
            return true;
        }
        match &mut self.transport {
            Transport::Gone => true,
            Transport::WebSocket(socket) => {
                let bytes_out = &self.registration.shared().counters.bytes_out;
                match socket.poll_drain(context, &self.outbox, bytes_out) {
                    Poll::Pending => true,
                    Poll::Ready(Ok(())) => false,
                    Poll::Ready(Err(_)) => {
                        self.lose(CloseReason::TransportError);
                        true
                    }
                }
            }
            Transport::Polling(_) => self.answer_poll(),
        }
    }

    /// Answers the GET that waits, if there is something to say.
    fn answer_poll(&mut self) -> bool {
        let Transport::Polling(polling) = &mut self.transport else {
            return true;
        };
        let is_probed = polling.is_probed();
        if !is_probed && !self.outbox.has_packets() {
            return !polling.mailbox.is_polled();
        }
        let Some(poll) = polling.mailbox.take_poll() else {
            return true;
        };
        let mut entries: VecDeque<Entry> = VecDeque::new();
        self.outbox.refill(&Written::default(), &mut entries);
        let body = if entries.is_empty() {
            NOOP.into()
        } else {
            polling::payload(&entries)
        };
        if poll.send(body).is_err() {
            self.lose(CloseReason::TransportError);
            return true;
        }
        let mut written = Written::default();
        for entry in &entries {
            written.add(entry);
        }
        self.outbox.note(&written);
        true
    }
}

/// Ends a poll without a message.
pub(super) const NOOP: &[u8] = b"6";
