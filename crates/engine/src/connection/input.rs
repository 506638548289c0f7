//! What the client sends, from either transport to the session.

use std::{
    borrow::Cow,
    task::{Context, Poll},
};

use bytes::Bytes;
use switchboard_protocol::websocket::{Input, Limits, Message};
use tokio::time::Instant;

use super::{Connection, READ_BUFFER, Transport};
use crate::{Application, CloseReason, Packet};

impl<A: Application> Connection<A> {
    pub(super) fn poll_input(&mut self, context: &mut Context<'_>) {
        // Also of a WebSocket: what was pushed before the switch comes first.
        self.poll_pushes(context);
        if let Transport::WebSocket(_) = &self.transport {
            READ_BUFFER.with_borrow_mut(|buffer| self.poll_frames(context, buffer));
        }
    }

    pub(super) fn frame_limits(&self) -> Limits {
        Limits {
            message_len_max: self.registration.shared().config.payload_max,
            fragments_max: self.registration.shared().config.fragments_max,
        }
    }

    /// Whether what the client sends is handled: not while it leaves too many of our answers
    /// unread. The write deadline is what ends that, and over polling that of the pong.
    pub(super) fn is_taking(&self) -> bool {
        self.is_reading() && !self.outbox.is_laden()
    }

    fn poll_frames(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) {
        while self.is_taking() {
            let Transport::WebSocket(socket) = &mut self.transport else {
                return;
            };
            if let Some(mut backlog) = socket.take_backlog() {
                let unread = self.feed(backlog.unread());
                if let Some(rest) = backlog.keep(unread)
                    && let Transport::WebSocket(socket) = &mut self.transport
                {
                    socket.put_backlog(rest);
                }
                continue;
            }
            match socket.poll_read(context, buffer) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => self.lose(CloseReason::TransportClosed),
                Poll::Ready(Err(_)) => self.lose(CloseReason::TransportError),
                Poll::Ready(Ok(len)) => {
                    self.registration.shared().counters.bytes_in.add(len as u64);
                    let unread = self.feed(&mut buffer[..len]);
                    if unread > 0
                        && let Transport::WebSocket(socket) = &mut self.transport
                    {
                        let rest = &buffer[len - unread..len];
                        socket.put_backlog(crate::websocket::Backlog::new(rest));
                    }
                }
            }
        }
    }

    /// Handles messages until there is none or something has to happen before the next. Returns how many bytes
    /// at the end of `bytes` are still to be handled.
    fn feed(&mut self, bytes: &mut [u8]) -> usize {
        let limits = self.frame_limits();
        let mut rest = Input::from(bytes);
        while self.is_taking() {
            let Transport::WebSocket(socket) = &mut self.transport else {
                break;
            };
            match socket.decoder.decode(&mut rest, &limits) {
                Ok(Some(message)) => self.handle_message(message),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(client = %self.handshake.client(), %error, "frame refused");
                    self.close(error.into());
                }
            }
        }
        rest.len()
    }

    fn handle_message(&mut self, message: Message<'_>) {
        let signal = match message {
            Message::Text(Cow::Borrowed(text)) => {
                self.session.handle_text(Instant::now().into_std(), text)
            }
            Message::Text(Cow::Owned(text)) => {
                // What the session says borrows from the text, so it is handled here.
                if let Some(signal) = self.session.handle_text(Instant::now().into_std(), &text) {
                    self.handle_signal(signal);
                }
                return;
            }
            Message::Binary(bytes) => self.session.handle_binary(bytes),
            Message::Ping(payload) => {
                let payload = Bytes::copy_from_slice(&payload);
                self.outbox
                    .send_ahead(std::sync::Arc::new(Packet::pong(payload)));
                None
            }
            Message::Pong(_) => None,
            Message::Close(frame) => {
                let code = frame.map(|frame| frame.code);
                self.end_with(CloseReason::TransportClosed, code);
                None
            }
        };
        if let Some(signal) = signal {
            self.handle_signal(signal);
        }
    }

    /// Ends the session if one of its requests broke the rules or its connection. First of the
    /// verbs, because it registers for what the requests do from now on.
    pub(super) fn poll_requests(&mut self, context: &mut Context<'_>) {
        if let Transport::Polling(polling) = &mut self.transport
            && let Some(reason) = polling.mailbox.poll_fault(context)
        {
            self.lose(reason);
        }
    }
}
