//! Events of clients that are repeated: each has its effect once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use switchboard_engine::{AckId, Handling};
use switchboard_event::Id;
use switchboard_protocol::SocketId;
use tokio::time::Instant;

use crate::gateway::refuse;
use crate::reply::{Refused, reply};
use crate::session::Session;

/// The requests of a partition's clients that were answered lately, or are being answered. Bounded:
/// beyond its limits the oldest is forgotten. Who sends no `requestId` costs nothing.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Table>>);

/// Who waits for an answer, and whether it is to be remembered.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) ack: Option<AckId>,
    pub(crate) request: Option<Request>,
}

/// A request that has its effect now. If it is dropped without an answer, it never was.
pub(crate) struct Request {
    requests: Requests,
    key: Key,
    is_answered: bool,
}

/// What a request is to the table.
enum Begun {
    /// It is new.
    New(Request),
    /// It was answered with this.
    Again(Arc<str>),
    /// It is being answered, on the connection that the session had before.
    Busy,
}

/// Whose request it is. Whatever a client can ask for changes its own session, which keeps its id when
/// it comes back: another session of the same user has to have an effect of its own.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    socket: SocketId,
    event: Box<str>,
    id: Id,
}

#[derive(Default)]
struct Table {
    answers: HashMap<Key, Option<Arc<str>>>,
    /// In the order in which they end.
    ends: VecDeque<(Instant, Key)>,
    bytes: usize,
}

/// Begins the request that an event is, if it has an id. One that is known is answered as before, and
/// has no other effect.
pub(crate) fn asked(
    session: &Session,
    event: &str,
    args: &[&RawValue],
    ack: Option<AckId>,
) -> Result<Asked, Handling> {
    let id = match id_in(args) {
        Ok(Some(id)) => id,
        Ok(None) => return Ok(ack.into()),
        Err(refused) => return Err(refuse(session, event, ack, refused)),
    };
    match session.lane.requests.begin(session, event, id) {
        Begun::New(request) => Ok(Asked {
            ack,
            request: Some(request),
        }),
        Begun::Again(answer) => {
            if let Some(ack) = ack {
                reply(&session.handle, ack, &answer);
            }
            Err(Handling::Done)
        }
        Begun::Busy => Err(refuse(session, event, ack, Refused::Unsettled)),
    }
}

impl Requests {
    /// Begins the request with this id, unless it was begun before.
    fn begin(&self, session: &Session, event: &str, id: Id) -> Begun {
        let key = Key {
            socket: session.socket_id(),
            event: event.into(),
            id,
        };
        self.begin_key(key, Instant::now())
    }

    fn begin_key(&self, key: Key, now: Instant) -> Begun {
        let mut table = self.0.lock();
        table.forget(now);
        match table.answers.get(&key) {
            Some(Some(answer)) => Begun::Again(Arc::clone(answer)),
            Some(None) => Begun::Busy,
            None => {
                table.answers.insert(key.clone(), None);
                Begun::New(Request {
                    requests: self.clone(),
                    key,
                    is_answered: false,
                })
            }
        }
    }
}

impl Request {
    /// Remembers what was answered, for whoever asks again.
    pub(crate) fn answered(self, answer: &str) {
        self.answered_at(answer, Instant::now());
    }

    fn answered_at(mut self, answer: &str, now: Instant) {
        if answer.len() > ANSWER_LEN_MAX {
            return;
        }
        self.is_answered = true;
        let mut table = self.requests.0.lock();
        table.bytes += answer.len();
        table.answers.insert(self.key.clone(), Some(answer.into()));
        let end = (now + LIFETIME, self.key.clone());
        table.ends.push_back(end);
        while table.bytes > BYTES_MAX || table.ends.len() > ANSWERS_MAX {
            table.forget_oldest();
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if !self.is_answered {
            self.requests.0.lock().answers.remove(&self.key);
        }
    }
}

impl From<Option<AckId>> for Asked {
    fn from(ack: Option<AckId>) -> Self {
        Self { ack, request: None }
    }
}

impl Table {
    fn forget(&mut self, now: Instant) {
        while self.ends.front().is_some_and(|(end, _)| *end <= now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.ends.pop_front()
            && let Some(Some(answer)) = self.answers.remove(&key)
        {
            self.bytes -= answer.len();
        }
    }
}

/// The `requestId` in an event's options: the first object among its arguments that has one.
fn id_in(args: &[&RawValue]) -> Result<Option<Id>, Refused> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Options {
        request_id: Option<Id>,
    }
    for (argument, raw) in args.iter().enumerate() {
        let text = raw.get();
        if !text.starts_with('{') || !text.contains("equestId") {
            continue;
        }
        let options: Result<Options, _> = serde_json::from_str(text);
        let options = options.map_err(|_| Refused::Argument {
            argument,
            expected: "an object whose `requestId` is an id",
        })?;
        if options.request_id.is_some() {
            return Ok(options.request_id);
        }
    }
    Ok(None)
}

/// For how long a request is known.
const LIFETIME: Duration = Duration::from_mins(2);
/// How many answers of a partition are known, and how much of them.
const ANSWERS_MAX: usize = 10_000;
const BYTES_MAX: usize = 4 << 20;
/// The longest answer that is remembered. A longer one shows a room, which may be entered twice.
const ANSWER_LEN_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_the_same_for_two_minutes() {
        let (requests, now) = (Requests::default(), Instant::now());

        let Begun::New(request) = begin(&requests, "ping", "r", now) else {
            panic!("it is new");
        };
        assert!(matches!(begin(&requests, "ping", "r", now), Begun::Busy));
        request.answered_at("first", now);

        let soon = now + LIFETIME - Duration::from_millis(1);
        let again = begin(&requests, "ping", "r", soon);
        assert!(matches!(again, Begun::Again(answer) if &*answer == "first"));
        let other = begin(&requests, "subscribe", "r", soon);
        assert!(matches!(other, Begun::New(_)));
        let late = begin(&requests, "ping", "r", now + LIFETIME);
        assert!(matches!(late, Begun::New(_)));
    }

    #[test]
    fn what_had_no_answer_never_was() {
        let (requests, now) = (Requests::default(), Instant::now());

        drop(begin(&requests, "ping", "r", now));

        assert!(matches!(begin(&requests, "ping", "r", now), Begun::New(_)));
    }

    #[test]
    fn beyond_its_limits_the_oldest_is_forgotten() {
        let (requests, now) = (Requests::default(), Instant::now());
        let begin = |id: usize| begin(&requests, "ping", &id.to_string(), now);
        let answer = |id: usize, answer: &str| match begin(id) {
            Begun::New(request) => request.answered_at(answer, now),
            Begun::Again(_) | Begun::Busy => panic!("{id} is new"),
        };

        let long = "a".repeat(ANSWER_LEN_MAX);
        for id in 0..=BYTES_MAX / ANSWER_LEN_MAX {
            answer(id, &long);
        }
        assert!(matches!(begin(0), Begun::New(_)));
        assert!(matches!(begin(1), Begun::Again(_)));
        for id in 0..=ANSWERS_MAX {
            answer(1_000_000 + id, "{}");
        }

        let table = requests.0.lock();
        assert_eq!(table.answers.len(), ANSWERS_MAX);
        assert_eq!(table.bytes, 2 * ANSWERS_MAX);
    }

    #[test]
    fn an_id_is_found_in_the_options_and_must_be_one() {
        let id = |args: &str| {
            let args: Vec<&RawValue> = serde_json::from_str(args).unwrap();
            id_in(&args).map(|id| id.map(|id| id.as_str().to_owned()))
        };

        assert_eq!(id(r#"["1",{"requestId":"r"}]"#), Ok(Some("r".to_owned())));
        assert_eq!(
            id(r#"[{"contactId":1,"requestId":7}]"#),
            Ok(Some("7".to_owned()))
        );
        assert_eq!(id(r#"["requestId",{"after":null}]"#), Ok(None));
        assert_eq!(id(r#"[{"requestId":null}]"#), Ok(None));
        for args in [r#"[{"requestId":"a b"}]"#, r#"[{"requestId":{}}]"#] {
            assert_eq!(
                id(args).map_err(|refused| refused.code()),
                Err("invalid_argument")
            );
        }
    }

    fn begin(requests: &Requests, event: &str, id: &str, now: Instant) -> Begun {
        let key = Key {
            socket: SocketId::from_random([7; 15]),
            event: event.into(),
            id: id.parse().unwrap(),
        };
        requests.begin_key(key, now)
    }
}
