//! How a WebSocket takes a polling session over.

use std::{
    mem,
    task::{Context, Poll},
};

use bytes::Bytes;
use switchboard_protocol::{
    engine_io,
    websocket::{Input, Limits, Message},
};
use tokio::time::Instant;
use tracing::debug;

use super::{Connection, READ_BUFFER, Stage, Transport, output::NOOP};
use crate::{
    Application, Packet,
    counters::Counters,
    polling::{Probe, ProbeState},
    refused::Cause,
    websocket::{Backlog, WebSocket},
};

impl<A: Application> Connection<A> {
    /// Carries the probing socket on. What goes wrong there is its own business: the polling
    /// session lives on.
    pub(super) fn poll_upgrade(&mut self, context: &mut Context<'_>) {
        if self.is_closing() {
            return;
        }
        let limits = self.frame_limits();
        let Transport::Polling(polling) = &mut self.transport else {
            return;
        };
        if let Some(socket) = polling.mailbox.take_probe() {
            polling.probe = Some(Probe {
                socket,
                state: ProbeState::Opened,
                deadline: Instant::now() + self.registration.shared().config.upgrade_timeout,
            });
        }
        let Some(probe) = &mut polling.probe else {
            return;
        };
        let counters = &self.registration.shared().counters;
        READ_BUFFER.with_borrow_mut(|buffer| probe.poll(context, buffer, &limits, counters));
        match probe.state {
            ProbeState::Opened | ProbeState::Probed => {}
            ProbeState::Failed(cause) => {
                let client = self.handshake.client();
                if let Some(cause) = cause {
                    self.registration
                        .shared()
                        .refused
                        .fault(client, cause, Instant::now());
                } else {
                    debug!(%client, "probe lost");
                }
                polling.probe = None;
                polling.mailbox.end_probe();
            }
            ProbeState::Confirmed => self.switch(context),
        }
    }

    /// Carries on a socket that was about to take over when the session ended. A client that has
    /// paused polling hears of the end nowhere else, and if this socket just went away it would
    /// wait for its heartbeat.
    pub(super) fn poll_last_probe(&mut self, context: &mut Context<'_>) {
        let limits = self.frame_limits();
        let Transport::Polling(polling) = &mut self.transport else {
            return;
        };
        let Some(probe) = &mut polling.probe else {
            return;
        };
        let counters = &self.registration.shared().counters;
        READ_BUFFER.with_borrow_mut(|buffer| probe.poll(context, buffer, &limits, counters));
        match probe.state {
            ProbeState::Opened | ProbeState::Probed => {}
            ProbeState::Failed(_) => polling.probe = None,
            ProbeState::Confirmed => {
                let Some(mut probe) = polling.probe.take() else {
                    return;
                };
                probe.socket.finish(mem::take(&mut polling.last), None);
                polling.mailbox.close();
                let timeout = self.registration.shared().config.close_timeout;
                self.registration.remove();
                self.transport = Transport::WebSocket(*probe.socket);
                self.stage = Stage::Closing(Instant::now() + timeout);
                self.again = true;
            }
        }
    }

    /// Moves to the probing socket, also while the application is busy: it may wait for this
    /// very socket to be written to. What comes on it is handled after what was pushed.
    fn switch(&mut self, context: &mut Context<'_>) {
        // Of a client that did not wait for the answer.
        self.poll_pushes(context);
        let Transport::Polling(polling) = &mut self.transport else {
            return;
        };
        let Some(probe) = polling.probe.take() else {
            return;
        };
        if let Some(poll) = polling.mailbox.take_poll() {
            let _ = poll.send(Bytes::from_static(NOOP));
        }
        polling.mailbox.close();
        self.registration.switch();
        self.transport = Transport::WebSocket(*probe.socket);
        self.session.handle_switch(Instant::now().into_std());
        self.again = true;
        debug!(client = %self.handshake.client(), "upgraded");
    }
}

impl ProbeState {
    /// It said what has no place there.
    const INVALID: Self = Self::Failed(Some(Cause::ProbeInvalid));
}

impl Probe {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
        limits: &Limits,
        counters: &Counters,
    ) {
        while matches!(self.state, ProbeState::Opened | ProbeState::Probed) {
            if let Some(mut backlog) = self.socket.take_backlog() {
                let unread = self.feed(backlog.unread(), limits);
                if let Some(rest) = backlog.keep(unread) {
                    self.socket.put_backlog(rest);
                }
                continue;
            }
            match self.socket.poll_read(context, buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(0) | Err(_)) => self.state = ProbeState::Failed(None),
                Poll::Ready(Ok(len)) => {
                    counters.bytes_in.add(len as u64);
                    let unread = self.feed(&mut buffer[..len], limits);
                    if unread > 0 {
                        self.socket
                            .put_backlog(Backlog::new(&buffer[len - unread..len]));
                    }
                }
            }
        }
        if matches!(self.state, ProbeState::Opened | ProbeState::Probed)
            && self.deadline <= Instant::now()
        {
            self.state = ProbeState::Failed(Some(Cause::UpgradeTimeout));
        }
        if matches!(self.state, ProbeState::Failed(_)) {
            self.socket.say(Packet::close(None));
        }
        if let Poll::Ready(Err(_)) = self.socket.poll_flush(context, &counters.bytes_out) {
            self.state = ProbeState::Failed(None);
        }
    }

    /// Handles messages until the socket takes over or fails. Returns how many bytes at the end
    /// of `bytes` were not looked at.
    fn feed(&mut self, bytes: &mut [u8], limits: &Limits) -> usize {
        let mut rest = Input::from(bytes);
        while matches!(self.state, ProbeState::Opened | ProbeState::Probed) {
            match self.socket.decoder.decode(&mut rest, limits) {
                Ok(Some(message)) => {
                    self.state = next_state(self.state, &message, &mut self.socket);
                }
                Ok(None) => break,
                Err(_) => self.state = ProbeState::INVALID,
            }
        }
        rest.len()
    }
}

/// Pongs that may wait to be written to a socket that has not taken over. No client pings there.
const PROBE_PONGS_MAX: usize = 8;

fn next_state(state: ProbeState, message: &Message<'_>, socket: &mut WebSocket) -> ProbeState {
    let text = match message {
        Message::Text(text) => text,
        Message::Ping(_) if socket.queued() >= PROBE_PONGS_MAX => return ProbeState::INVALID,
        Message::Ping(payload) => {
            socket.say(Packet::pong(Bytes::copy_from_slice(payload)));
            return state;
        }
        Message::Pong(_) => return state,
        Message::Close(_) => return ProbeState::Failed(None),
        Message::Binary(_) => return ProbeState::INVALID,
    };
    match (state, engine_io::Packet::decode(text)) {
        (ProbeState::Opened, Ok(engine_io::Packet::Ping("probe"))) => {
            socket.say(Packet::text("3probe"));
            ProbeState::Probed
        }
        (ProbeState::Probed, Ok(engine_io::Packet::Upgrade)) => ProbeState::Confirmed,
        _ => ProbeState::INVALID,
    }
}
