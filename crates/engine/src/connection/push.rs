//! What a client pushes by POST. It is answered without waiting for the application, because a
//! client that is about to switch sends nothing before the answer of its last POST, and the
//! application may wait for that switch.

use std::task::Context;

use switchboard_protocol::engine_io;
use tokio::time::Instant;

use super::{Connection, Transport, closing::push_reply};
use crate::{
    Application, CloseReason,
    mailbox::{PushReply, PushRequest},
    polling::PushBody,
};

impl<A: Application> Connection<A> {
    /// Handles what was pushed, and takes more of it as long as it may wait.
    pub(super) fn poll_pushes(&mut self, context: &mut Context<'_>) {
        self.handle_pushed(context);
        while let Some(request) = self.take_push() {
            self.push(context, request);
        }
    }

    /// Handles bodies in order, until there is none, the application is busy or too many answers
    /// wait for a poll.
    fn handle_pushed(&mut self, context: &mut Context<'_>) {
        while self.is_taking()
            && let Some(mut body) = self.pushed.next()
        {
            while self.is_taking()
                && let Some(packet) = body.next()
            {
                match packet {
                    Ok(packet) => self.handle_packet(packet),
                    Err(_) => self.close(CloseReason::ParseError),
                }
                // What takes no time is done before the POST is answered.
                self.poll_work(context);
            }
            if !self.is_closing() && !body.is_done() {
                self.pushed.put_back(body);
            }
        }
    }

    fn handle_packet(&mut self, packet: engine_io::Packet<'_>) {
        if let Some(signal) = self
            .session
            .handle_packet(Instant::now().into_std(), packet)
        {
            self.handle_signal(signal);
        }
    }

    /// The next POST that is complete, if it may wait behind those that wait already.
    fn take_push(&self) -> Option<PushRequest> {
        match &self.transport {
            Transport::Polling(polling)
                if !self.is_closing() && self.pushed.len() < polling.pushes_max() =>
            {
                polling.mailbox.take_push()
            }
            Transport::Polling(_) | Transport::WebSocket(_) | Transport::Gone => None,
        }
    }

    /// Handles a body as far as the application has time, and answers its POST.
    fn push(&mut self, context: &mut Context<'_>, request: PushRequest) {
        self.pushed.push(PushBody::new(request.body));
        self.handle_pushed(context);
        let reply = match (self.session.close_reason(), self.pushed.last()) {
            (Some(reason), _) => push_reply(reason),
            (None, Some(unhandled)) => unhandled.reply(),
            (None, None) => PushReply::Taken,
        };
        // The client may have gone; its ticket tells the session.
        let _ = request.reply.send(reply);
    }
}
