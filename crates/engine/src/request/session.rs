//! The requests of a polling session: one GET and one POST at a time.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderMap, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::{Aborted, Answered, Asked, Refused};
use crate::{
    Application, CloseReason,
    mailbox::{Denied, Mailbox, PushReply, PushTicket},
    refused::Cause,
    response,
};

impl<A: Application> Asked<'_, A> {
    /// Holds a poll until there is something to say.
    pub(super) async fn poll(&self, mailbox: &Mailbox) -> Answered {
        match mailbox.poll() {
            Ok(body) => match body.await {
                Ok(body) => Ok(response::packets(body)),
                Err(_ended) => Err(self.refuse(Cause::SessionUnknown)),
            },
            Err(denied) => Err(self.deny(denied, Cause::SecondPoll)),
        }
    }

    /// Turns away a request for which there is no session any more, or that was sent beside
    /// another one of its kind.
    fn deny(&self, denied: Denied, second: Cause) -> Refused {
        match denied {
            Denied::Closed => self.refuse(Cause::SessionUnknown),
            Denied::Busy => self.refuse_with(second, response::empty(StatusCode::BAD_REQUEST)),
        }
    }

    /// Takes what a client pushes.
    pub(super) async fn push(mut self, mailbox: &Arc<Mailbox>) -> Result<Answered, Aborted> {
        let mut ticket = match mailbox.push() {
            Ok(ticket) => ticket,
            Err(denied) => return Ok(Err(self.deny(denied, Cause::SecondPush))),
        };
        let config = &self.shared.config;
        let headers = self.request.headers();
        if is_binary(headers) {
            mailbox.fail(CloseReason::TransportError);
            ticket.settle();
            let answer = response::empty(StatusCode::BAD_REQUEST);
            return Ok(Err(self.refuse_with(Cause::BinaryBody, answer)));
        }
        let too_large = || response::empty(StatusCode::PAYLOAD_TOO_LARGE);
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        if announced > config.payload_max {
            ticket.settle();
            return Ok(Err(self.refuse_with(Cause::PayloadMax, too_large())));
        }
        let body = read(self.request.body_mut(), announced, config.payload_max);
        let body = tokio::select! {
            biased;
            () = ticket.aborted() => return Err(Aborted),
            body = tokio::time::timeout(config.body_timeout, body) => body,
        };
        match body {
            Ok(Ok(body)) => {
                self.shared.counters.bytes_in.add(body.len() as u64);
                self.answer_push(ticket, body).await
            }
            Ok(Err(Unread::TooLong)) => {
                ticket.settle();
                Ok(Err(self.refuse_with(Cause::PayloadMax, too_large())))
            }
            Ok(Err(Unread::Broken)) => Err(Aborted),
            Err(_elapsed) => {
                let answer = response::empty(StatusCode::REQUEST_TIMEOUT);
                Ok(Err(self.refuse_with(Cause::BodyTimeout, answer)))
            }
        }
    }

    async fn answer_push(&self, mut ticket: PushTicket, body: Bytes) -> Result<Answered, Aborted> {
        let reply = ticket.hand_in(body);
        let reply = tokio::select! {
            biased;
            reply = reply => reply,
            () = ticket.aborted() => return Err(Aborted),
        };
        ticket.settle();
        Ok(match reply {
            Ok(PushReply::Taken) => Ok(response::taken()),
            // Counted with the session, which ends by it.
            Ok(PushReply::Refused) => Ok(response::empty(StatusCode::BAD_REQUEST)),
            Err(_ended) => Err(self.refuse(Cause::SessionUnknown)),
        })
    }
}

/// Whether a body says that it is bytes, which no client of this version sends.
fn is_binary(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|content_type| {
        content_type
            .as_bytes()
            .to_ascii_lowercase()
            .starts_with(b"application/octet-stream")
    })
}

/// Why a body was not read.
enum Unread {
    TooLong,
    Broken,
}

async fn read(body: &mut Incoming, announced: usize, len_max: usize) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::with_capacity(announced.min(BODY_RESERVED_MAX));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Broken)?.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > len_max {
            return Err(Unread::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Room made for a body before it comes: more is only made for what has come.
const BODY_RESERVED_MAX: usize = 16 << 10;
