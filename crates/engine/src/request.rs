use std::sync::Arc;

use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{
        CONNECTION, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
        UPGRADE,
    },
};
use http_body::Body;
use hyper::body::Incoming;
use switchboard_protocol::{
    SessionId,
    engine_io::{Query, SessionParameter, Transport, Version},
    websocket,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use crate::{
    Application, Client, Handshake, Layer,
    admission::{Admissions, Place, Unopened},
    connection::{self, Connection},
    engine::{Found, Shared},
    mailbox::{Denied, Mailbox},
    origin::{self, Verdict},
    polling::Polling,
    refused::Cause,
    response::{self, Answer},
    takeover::{Takeover, open_packet},
};

mod session;

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
        let (answered, takeover) = if self.is_for_client_file() {
            let answer = response::client_elsewhere();
            (Err(self.refuse_with(Cause::ClientFile, answer)), None)
        } else if headers.contains_key(UPGRADE) {
            match self.upgrade() {
                Ok((answer, takeover)) => (Ok(answer), Some(takeover)),
                Err(refused) => (Err(refused), None),
            }
        } else {
            (self.plain().await?, None)
        };
        let counters = &shared.counters;
        if is_handshake {
            counters.shake_hands(match (&answered, &takeover) {
                (Err(refused), _) => Err(refused.cause),
                // Only polite.
                (Ok(_), Some(Takeover::Close)) => Err(Cause::TransportMismatch),
                (Ok(_), _) => Ok(()),
            });
        }
        let mut answer = answered.unwrap_or_else(|refused| *refused.answer);
        counters
            .bytes_out
            .add(answer.body().size_hint().exact().unwrap_or_default());
        origins.allow(&headers, answer.headers_mut());
        Ok((answer, takeover))
    }

    /// Whether the request names no session, and so is to open one.
    fn is_handshake(&self) -> bool {
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        matches!(query.session, SessionParameter::Absent) && !self.is_for_client_file()
    }

    /// Whether a page wants the script of the client, or its map, as Node's server has them.
    fn is_for_client_file(&self) -> bool {
        let Shared { config, .. } = &**self.shared;
        let path = self.request.uri().path();
        let file = path.strip_prefix(&config.path).unwrap_or_default();
        let script = file.strip_suffix(".map").unwrap_or(file);
        config.layer == Layer::SocketIo && CLIENT_FILES.contains(&script)
    }

    async fn plain(self) -> Result<Answered, Aborted> {
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        let Some(transport) = query.transport else {
            return Ok(Err(self.refuse(Cause::TransportUnknown)));
        };
        if let Err(cause) = self.check_origin() {
            return Ok(Err(Refused::new(cause, response::refused(cause.code()))));
        }
        let id = match query.session {
            SessionParameter::Absent => return Ok(self.open(transport, &query)),
            SessionParameter::Malformed => return Ok(Err(self.refuse(Cause::SessionUnknown))),
            SessionParameter::Present(id) => id,
        };
        let mailbox = match self.shared.sessions.find(&id) {
            Found::Nothing => return Ok(Err(self.refuse(Cause::SessionUnknown))),
            Found::Polling(mailbox) if transport == Transport::Polling => mailbox,
            Found::Polling(_) | Found::WebSocket => {
                return Ok(Err(self.refuse(Cause::TransportMismatch)));
            }
        };
        if !is_served(query.version, true) {
            return Ok(Err(self.refuse(Cause::VersionUnsupported)));
        }
        match *self.request.method() {
            Method::GET => Ok(self.poll(&mailbox).await),
            Method::POST => self.push(&mailbox).await,
            _ => {
                let answer = response::empty(StatusCode::INTERNAL_SERVER_ERROR);
                Ok(Err(self.refuse_with(Cause::Method, answer)))
            }
        }
    }

    /// Turns the request away for what it is.
    fn refuse(&self, cause: Cause) -> Refused {
        self.refuse_with(cause, response::refused(cause.code()))
    }

    fn refuse_with(&self, cause: Cause, answer: Answer) -> Refused {
        let refused = &self.shared.refused;
        refused.fault(self.client, cause, Instant::now());
        Refused::new(cause, answer)
    }

    /// Opens a polling session.
    fn open(&self, transport: Transport, query: &Query) -> Answered {
        if self.request.method() != Method::GET {
            return Err(self.refuse(Cause::Method));
        }
        if transport != Transport::Polling {
            return Err(self.refuse(Cause::TransportMismatch));
        }
        if !is_served(query.version, false) {
            return Err(self.refuse(Cause::VersionUnsupported));
        }
        let place = self
            .reserve()
            .map_err(|unopened| Refused::new(unopened.cause, response::unopened(unopened)))?;
        let id = random().map(SessionId::from_random);
        let id = id.ok_or_else(|| self.refuse(Cause::Randomness))?;
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
        let open = open_packet(self.shared, &id, &[Transport::WebSocket]);
        Ok(response::packets(open.into()))
    }

    /// Checks a request for a WebSocket.
    fn upgrade(&self) -> Result<(Answer, Takeover<A>), Refused> {
        let refused = |cause: Cause| self.refuse_with(cause, response::upgrade_refused(cause));
        let query = Query::parse(self.request.uri().query().unwrap_or_default());
        let transport = query
            .transport
            .ok_or_else(|| refused(Cause::TransportUnknown))?;
        self.check_origin()
            .map_err(|cause| Refused::new(cause, response::upgrade_refused(cause)))?;
        let found = match query.session {
            SessionParameter::Absent => None,
            SessionParameter::Malformed => return Err(refused(Cause::SessionUnknown)),
            SessionParameter::Present(id) => match self.shared.sessions.find(&id) {
                Found::Nothing => return Err(refused(Cause::SessionUnknown)),
                found => Some(found),
            },
        };
        if !is_served(query.version, found.is_some()) {
            return Err(refused(Cause::VersionUnsupported));
        }
        let answer = self.switch_protocols()?;
        let takeover = match found {
            _ if transport != Transport::WebSocket => self.close(Cause::TransportMismatch),
            None => Takeover::Open {
                place: self.reserve().map_err(|unopened| {
                    let answer = response::closing(response::unopened(unopened));
                    Refused::new(unopened.cause, answer)
                })?,
                id: random()
                    .map(SessionId::from_random)
                    .ok_or_else(|| refused(Cause::Randomness))?,
                handshake: self.handshake(),
                base64: query.base64_only,
            },
            Some(Found::Polling(mailbox)) => match mailbox.probe() {
                Ok(ticket) => Takeover::Probe {
                    ticket,
                    base64: query.base64_only,
                },
                Err(Denied::Busy) => self.close(Cause::SecondWebSocket),
                Err(Denied::Closed) => return Err(refused(Cause::SessionUnknown)),
            },
            Some(Found::Nothing | Found::WebSocket) => self.close(Cause::SecondWebSocket),
        };
        Ok((answer, takeover))
    }

    /// Opens a WebSocket only to close it, as clients expect.
    fn close(&self, cause: Cause) -> Takeover<A> {
        let refused = &self.shared.refused;
        refused.fault(self.client, cause, Instant::now());
        Takeover::Close
    }

    fn switch_protocols(&self) -> Result<Answer, Refused> {
        let headers = self
            .request
            .headers()
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let handshake = websocket::Handshake::check(self.request.method().as_str(), headers)
            .map_err(|error| {
                debug!(client = %self.client, %error, "websocket refused");
                let mut answer = response::upgrade_refused(Cause::WebSocketHandshake);
                *answer.status_mut() =
                    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
                if answer.status() == StatusCode::UPGRADE_REQUIRED {
                    answer
                        .headers_mut()
                        .insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
                }
                self.refuse_with(Cause::WebSocketHandshake, answer)
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

    /// The caller answers; it is counted and logged here.
    fn check_origin(&self) -> Result<(), Cause> {
        let config = &self.shared.config;
        let headers = self.request.headers();
        match self.shared.doors().origins.check(headers) {
            Verdict::Allowed => Ok(()),
            Verdict::Malformed => {
                let (refused, cause) = (&self.shared.refused, Cause::OriginMalformed);
                refused.fault(self.client, cause, Instant::now());
                Err(cause)
            }
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
                Err(Cause::Origin)
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
}

/// The scripts that Node's server serves by default.
const CLIENT_FILES: [&str; 4] = [
    "socket.io.js",
    "socket.io.min.js",
    "socket.io.esm.min.js",
    "socket.io.msgpack.min.js",
];

/// A request that is turned away: counted and logged already, not answered yet.
struct Refused {
    cause: Cause,
    answer: Box<Answer>,
}

impl Refused {
    fn new(cause: Cause, answer: Answer) -> Self {
        Self {
            cause,
            answer: Box::new(answer),
        }
    }
}

type Answered = Result<Answer, Refused>;

/// Whether requests of this version are answered. A session has told its version once and need not
/// again, but a request of another one is none of its own.
fn is_served(version: Version, has_session: bool) -> bool {
    match version {
        Version::V4 => true,
        Version::Absent => has_session,
        Version::Unsupported => false,
    }
}

/// The randomness of one id; none if the system has none to give.
pub(crate) fn random() -> Option<[u8; 15]> {
    let mut bytes = [0; 15];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}
