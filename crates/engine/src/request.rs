use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use switchboard_protocol::{
    SessionId,
    engine_io::{ErrorCode, Query, SessionParameter, Transport, Version},
    websocket,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    Application, Client, CloseReason, Handshake,
    admission::{Admissions, Place, Unopened},
    connection::{self, Connection},
    engine::{Found, Shared},
    mailbox::{Denied, Mailbox, PushReply, PushTicket},
    origin::{self, Verdict},
    polling::Polling,
    refused::Cause,
    response::{self, Answer},
    takeover::{Takeover, open_packet},
};

/// The connection must end without an answer.
#[derive(Debug, thiserror::Error)]
#[error("request ended by a second one of its session")]
pub(crate) struct Aborted;

/// One request for the engine: what is asked, by whom.
pub(crate) struct Asked<'a, A> {
    pub(crate) shared: &'a Arc<Shared<A>>,
    pub(crate) client: Client,
    pub(crate) request: Request<Incoming>,
}

impl<A: Application> Asked<'_, A> {
    /// Checks the request in the order that clients know, and answers it.
    pub(crate) async fn answer(self) -> Result<(Answer, Option<Takeover<A>>), Aborted> {
        let shared = self.shared.clone();
        let headers = self.request.headers().clone();
        let is_handshake = self.is_handshake();
        let doors = shared.doors();
        let origins = &doors.origins;
        if *self.request.method() == Method::OPTIONS && origins.is_cors() {
            let mut answer = response::empty(StatusCode::NO_CONTENT);
            origins.allow(&headers, answer.headers_mut());
            origin::allow_preflight(&headers, answer.headers_mut());
            return Ok((answer, None));
        }
        let (mut answer, takeover) = if headers.contains_key(UPGRADE) {
            match self.upgrade() {
                Ok((answer, takeover)) => (answer, Some(takeover)),
                Err(answer) => (*answer, None),
            }
        } else {
            (self.plain().await?, None)
        };
        let counters = &shared.counters;
        if is_handshake {
            let opens = !matches!(takeover, Some(Takeover::Close));
            counters.shake_hands(answer.status(), opens);
        }
        counters
            .bytes_out
            .add(answer.body().size_hint().exact().unwrap_or_default());
        origins.allow(&headers, answer.headers_mut());
        Ok((answer, takeover))
    }

    /// Whether the request names no session, and so is to open one.
    fn is_handshake(&self) -> bool {
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        matches!(query.session, SessionParameter::Absent)
    }

    async fn plain(self) -> Result<Answer, Aborted> {
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        let Some(transport) = query.transport else {
            return Ok(response::refused(ErrorCode::TransportUnknown));
        };
        if let Err(code) = self.check_origin() {
            return Ok(response::refused(code));
        }
        let id = match query.session {
            SessionParameter::Absent => return Ok(self.open(transport, &query)),
            SessionParameter::Malformed => {
                return Ok(response::refused(ErrorCode::SessionUnknown));
            }
            SessionParameter::Present(id) => id,
        };
        let mailbox = match self.shared.sessions.find(&id) {
            Found::Nothing => return Ok(response::refused(ErrorCode::SessionUnknown)),
            Found::Polling(mailbox) if transport == Transport::Polling => mailbox,
            Found::Polling(_) | Found::WebSocket => {
                return Ok(response::refused(ErrorCode::BadRequest));
            }
        };
        if !is_served(query.version, true) {
            return Ok(response::refused(ErrorCode::UnsupportedProtocolVersion));
        }
        match *self.request.method() {
            Method::GET => Ok(poll(&mailbox).await),
            Method::POST => self.push(&mailbox).await,
            _ => Ok(response::empty(StatusCode::INTERNAL_SERVER_ERROR)),
        }
    }

    /// Opens a polling session.
    fn open(&self, transport: Transport, query: &Query) -> Answer {
        if self.request.method() != Method::GET {
            return response::refused(ErrorCode::BadHandshakeMethod);
        }
        if transport != Transport::Polling {
            return response::refused(ErrorCode::BadRequest);
        }
        if !is_served(query.version, false) {
            return response::refused(ErrorCode::UnsupportedProtocolVersion);
        }
        let place = match self.reserve() {
            Ok(place) => place,
            Err(unopened) => return response::unopened(unopened),
        };
        let Some(id) = random().map(SessionId::from_random) else {
            return response::refused(ErrorCode::BadRequest);
        };
        let outbox = Arc::new(self.shared.outbox());
        let mailbox = Arc::new(Mailbox::default());
        let connection = Connection::new(
            place.register(id, &outbox, Some(mailbox.clone())),
            outbox,
            self.handshake(),
            connection::Transport::Polling(Box::new(Polling::new(mailbox))),
        );
        tokio::spawn(connection);
        debug!(client = %self.client, transport = "polling", "session opened");
        response::packets(open_packet(self.shared, &id, &[Transport::WebSocket]).into())
    }

    /// Checks a request for a WebSocket.
    fn upgrade(&self) -> Result<(Answer, Takeover<A>), Box<Answer>> {
        let refused =
            |code: ErrorCode| response::upgrade_refused(StatusCode::BAD_REQUEST, code.message());
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        let transport = query
            .transport
            .ok_or_else(|| refused(ErrorCode::TransportUnknown))?;
        self.check_origin().map_err(refused)?;
        let found = match query.session {
            SessionParameter::Absent => None,
            SessionParameter::Malformed => return Err(refused(ErrorCode::SessionUnknown)),
            SessionParameter::Present(id) => match self.shared.sessions.find(&id) {
                Found::Nothing => return Err(refused(ErrorCode::SessionUnknown)),
                found => Some(found),
            },
        };
        if !is_served(query.version, found.is_some()) {
            return Err(refused(ErrorCode::UnsupportedProtocolVersion));
        }
        let answer = self.switch_protocols()?;
        let takeover = match found {
            _ if transport != Transport::WebSocket => Takeover::Close,
            None => Takeover::Open {
                place: self
                    .reserve()
                    .map_err(|unopened| response::closing(response::unopened(unopened)))?,
                id: random()
                    .map(SessionId::from_random)
                    .ok_or_else(|| refused(ErrorCode::BadRequest))?,
                handshake: self.handshake(),
                base64: query.base64_only,
            },
            Some(Found::Polling(mailbox)) => match mailbox.probe() {
                Ok(ticket) => Takeover::Probe {
                    ticket,
                    base64: query.base64_only,
                },
                Err(Denied::Busy) => Takeover::Close,
                Err(Denied::Closed) => return Err(refused(ErrorCode::SessionUnknown)),
            },
            Some(Found::Nothing | Found::WebSocket) => Takeover::Close,
        };
        Ok((answer, takeover))
    }

    fn switch_protocols(&self) -> Result<Answer, Box<Answer>> {
        let headers = self
            .request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let handshake = websocket::Handshake::check(self.request.method().as_str(), headers)
            .map_err(|error| {
                debug!(client = %self.client, %error, "websocket refused");
                let status =
                    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
                let mut answer = response::upgrade_refused(status, ErrorCode::BadRequest.message());
                if status == StatusCode::UPGRADE_REQUIRED {
                    answer
                        .headers_mut()
                        .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                }
                answer
            })?;
        let mut answer = response::empty(StatusCode::SWITCHING_PROTOCOLS);
        let headers = answer.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(handshake.accept()) {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(Ok(protocol)) = handshake.protocol().map(HeaderValue::from_str) {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        Ok(answer)
    }

    fn check_origin(&self) -> Result<(), ErrorCode> {
        let config = &self.shared.config;
        let headers = self.request.headers();
        match self.shared.doors().origins.check(headers) {
            Verdict::Allowed => Ok(()),
            Verdict::Malformed => Err(ErrorCode::BadRequest),
            Verdict::Forbidden => {
                let noted = self.shared.refused.note(Cause::Origin, Instant::now());
                if let Some(suppressed) = noted {
                    warn!(
                        client = %self.client,
                        origin = ?headers.get(ORIGIN),
                        setting = config.origins_setting,
                        suppressed,
                        "origin refused"
                    );
                }
                Err(ErrorCode::Forbidden)
            }
        }
    }

    fn reserve(&self) -> Result<Place<A>, Unopened> {
        Admissions::reserve(self.shared, self.client, Instant::now())
    }

    fn handshake(&self) -> Arc<Handshake> {
        Arc::new(Handshake::new(
            self.client,
            self.request.headers(),
            &self.shared.config.headers_kept,
            self.request.uri().query().unwrap_or_default(),
        ))
    }

    /// Takes what a client pushes.
    async fn push(self, mailbox: &Arc<Mailbox>) -> Result<Answer, Aborted> {
        let mut ticket = match mailbox.push() {
            Ok(ticket) => ticket,
            Err(Denied::Busy) => return Ok(response::empty(StatusCode::BAD_REQUEST)),
            Err(Denied::Closed) => return Ok(response::refused(ErrorCode::SessionUnknown)),
        };
        let config = &self.shared.config;
        let headers = self.request.headers();
        let is_binary = headers.get(CONTENT_TYPE).is_some_and(|content_type| {
            content_type
                .as_bytes()
                .to_ascii_lowercase()
                .starts_with(b"application/octet-stream")
        });
        if is_binary {
            mailbox.fail(CloseReason::TransportError);
            ticket.settle();
            return Ok(response::empty(StatusCode::BAD_REQUEST));
        }
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|len| len.to_str().ok()?.parse::<usize>().ok())
            .unwrap_or(0);
        if announced > config.payload_max {
            ticket.settle();
            return Ok(response::empty(StatusCode::PAYLOAD_TOO_LARGE));
        }
        let body = read(self.request.into_body(), announced, config.payload_max);
        let body = tokio::select! {
            biased;
            () = ticket.aborted() => return Err(Aborted),
            body = tokio::time::timeout(config.body_timeout, body) => body,
        };
        match body {
            Ok(Ok(body)) => {
                self.shared.counters.bytes_in.add(body.len() as u64);
                answer_push(ticket, body).await
            }
            Ok(Err(Unread::TooLong)) => {
                ticket.settle();
                Ok(response::empty(StatusCode::PAYLOAD_TOO_LARGE))
            }
            Ok(Err(Unread::Broken)) => Err(Aborted),
            Err(_elapsed) => Ok(response::empty(StatusCode::REQUEST_TIMEOUT)),
        }
    }
}

async fn answer_push(mut ticket: PushTicket, body: Bytes) -> Result<Answer, Aborted> {
    let reply = ticket.hand_in(body);
    let reply = tokio::select! {
        biased;
        reply = reply => reply,
        () = ticket.aborted() => return Err(Aborted),
    };
    ticket.settle();
    Ok(match reply {
        Ok(PushReply::Taken) => response::taken(),
        Ok(PushReply::Refused) => response::empty(StatusCode::BAD_REQUEST),
        Err(_ended) => response::refused(ErrorCode::SessionUnknown),
    })
}

/// Holds a poll until there is something to say.
async fn poll(mailbox: &Mailbox) -> Answer {
    match mailbox.poll() {
        Ok(body) => match body.await {
            Ok(body) => response::packets(body),
            Err(_ended) => response::refused(ErrorCode::SessionUnknown),
        },
        Err(Denied::Busy) => response::empty(StatusCode::BAD_REQUEST),
        Err(Denied::Closed) => response::refused(ErrorCode::SessionUnknown),
    }
}

/// Whether requests of this version are answered. A session has told its version once and need not
/// again, but a request of another one is none of its own.
fn is_served(version: Version, has_session: bool) -> bool {
    match version {
        Version::V4 => true,
        Version::Absent => has_session,
        Version::Unsupported => false,
    }
}

/// Why a body was not read.
enum Unread {
    TooLong,
    Broken,
}

async fn read(mut body: Incoming, announced: usize, len_max: usize) -> Result<Bytes, Unread> {
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

/// The randomness of one id; none if the system has none to give.
pub(crate) fn random() -> Option<[u8; 15]> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}
