//! What a client asks for, from an event's name and arguments.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;
use switchboard_event::{Catalogue, Id, Position, Room, RoomKind};

use crate::floor::FloorCommand;
use crate::replay::{RECORDS_DEFAULT, RECORDS_MAX, Wanted};
use crate::reply::Refused;

/// One wish of a client.
#[derive(Eq, PartialEq)]
pub(crate) enum Command {
    Subscribe {
        room: Room,
        after: Option<Position>,
    },
    Unsubscribe {
        room: Room,
    },
    Refresh {
        token: Box<str>,
    },
    Replay(Wanted),
    Ping,
    /// About what is so right now.
    Floor(FloorCommand),
}

/// The second argument of a subscription.
#[derive(Deserialize)]
struct Options<'a> {
    #[serde(borrow)]
    after: Option<&'a RawValue>,
}

/// The argument of a replay.
#[derive(Deserialize)]
struct ReplayOptions<'a> {
    rooms: Option<Vec<String>>,
    #[serde(borrow)]
    after: &'a RawValue,
    limit: Option<usize>,
}

/// Every event that clients may send; `{kind}` is that of a room with subscribers.
pub const CLIENT_EVENTS: [&str; 12] = [
    "subscribe",
    "subscribe:{kind}",
    "unsubscribe",
    "unsubscribe:{kind}",
    "session:refresh",
    "session:replay",
    "typing:start",
    "typing:stop",
    "presence:viewing",
    "presence:update",
    "presence:list",
    "ping",
];

impl Command {
    /// How many arguments are looked at.
    pub(crate) const ARGS_MAX: usize = 2;

    /// Reads one of [`CLIENT_EVENTS`]: with a whole room name, with the id of a room whose kind is in
    /// the event's name, with a token, with what is so right now, or with nothing.
    pub(crate) fn parse(
        name: &str,
        args: &[&RawValue],
        catalogue: &Catalogue,
    ) -> Result<Self, Refused> {
        let (event, kind) = known(name).ok_or(Refused::UnknownEvent)?;
        match event {
            "subscribe" | "subscribe:{kind}" => Ok(Self::Subscribe {
                room: room(kind, args, catalogue)?,
                after: after(args)?,
            }),
            "unsubscribe" | "unsubscribe:{kind}" => Ok(Self::Unsubscribe {
                room: room(kind, args, catalogue)?,
            }),
            "session:refresh" => Ok(Self::Refresh {
                token: token(args)?,
            }),
            "session:replay" => replay(args, catalogue).map(Self::Replay),
            "ping" => Ok(Self::Ping),
            _ => FloorCommand::parse(event, args).map(Self::Floor),
        }
    }
}

/// Whether a client's event can be read, by its name and arguments alone.
///
/// # Errors
///
/// The code with which it is refused, as docs/wire.md has it.
pub fn check_client_event(
    name: &str,
    args: &[&RawValue],
    catalogue: &Catalogue,
) -> Result<(), &'static str> {
    let args = &args[..args.len().min(Command::ARGS_MAX)];
    let command = Command::parse(name, args, catalogue);
    command.map(drop).map_err(|refused| refused.code())
}

/// Which of [`CLIENT_EVENTS`] an event is, and the kind of room that its name holds.
fn known(name: &str) -> Option<(&'static str, Option<&str>)> {
    let is = |event: &&str| **event == *name;
    if let Some(event) = CLIENT_EVENTS.into_iter().find(is) {
        return Some((event, None));
    }
    let (verb, kind) = name.split_once(':')?;
    let is = |event: &&str| event.strip_suffix(":{kind}") == Some(verb);
    let event = CLIENT_EVENTS.into_iter().find(is)?;
    Some((event, Some(kind)))
}

/// The token is not shown.
impl fmt::Debug for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscribe { room, after } => formatter
                .debug_struct("Subscribe")
                .field("room", room)
                .field("after", after)
                .finish(),
            Self::Unsubscribe { room } => formatter
                .debug_struct("Unsubscribe")
                .field("room", room)
                .finish(),
            Self::Refresh { .. } => formatter.write_str("Refresh(..)"),
            Self::Replay(wanted) => formatter.debug_tuple("Replay").field(wanted).finish(),
            Self::Floor(command) => formatter.debug_tuple("Floor").field(command).finish(),
            Self::Ping => formatter.write_str("Ping"),
        }
    }
}

/// The room that the first argument names, alone or together with the event's own name.
fn room(kind: Option<&str>, args: &[&RawValue], catalogue: &Catalogue) -> Result<Room, Refused> {
    let expected = if kind.is_some() {
        "an id"
    } else {
        "the name of a room"
    };
    let invalid = || Refused::Argument {
        argument: 0,
        expected,
    };
    let text = args
        .first()
        .and_then(|raw| text_of(raw))
        .ok_or_else(invalid)?;
    let Some(kind) = kind else {
        return Ok(catalogue.room(&text)?);
    };

    let id: Id = text.parse().map_err(|_| invalid())?;
    match kind {
        "whatsapp" => Ok(Room::whatsapp(&id)?),
        "campaign" => Ok(Room::campaign(&id)),
        "contact" => Ok(Room::contact(&id)),
        "flow" => Ok(Room::flow(&id)),
        _ => match catalogue.room(&format!("{kind}:{id}")) {
            Ok(room) if matches!(room.kind(), RoomKind::Custom(_)) => Ok(room),
            _ => Err(Refused::UnknownEvent),
        },
    }
}

/// The token that the first argument is, or holds as `token`, as in the CONNECT payload.
fn token(args: &[&RawValue]) -> Result<Box<str>, Refused> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Given {
        Bare(Box<str>),
        Named { token: Box<str> },
    }
    let given = args
        .first()
        .and_then(|raw| serde_json::from_str(raw.get()).ok());
    match given {
        Some(Given::Bare(token) | Given::Named { token }) => Ok(token),
        None => Err(Refused::Argument {
            argument: 0,
            expected: "an object with a `token`",
        }),
    }
}

/// The position in `{after}` of the second argument.
fn after(args: &[&RawValue]) -> Result<Option<Position>, Refused> {
    let Some(raw) = args.get(1).filter(|raw| raw.get() != "null") else {
        return Ok(None);
    };
    let options: Options<'_> = serde_json::from_str(raw.get()).map_err(|_| Refused::Argument {
        argument: 1,
        expected: "an object of options",
    })?;
    options.after.map(|raw| position(1, raw)).transpose()
}

/// What to replay, of the first argument.
fn replay(args: &[&RawValue], catalogue: &Catalogue) -> Result<Wanted, Refused> {
    let refused = |expected| Refused::Argument {
        argument: 0,
        expected,
    };
    let options = args
        .first()
        .and_then(|raw| serde_json::from_str::<ReplayOptions<'_>>(raw.get()).ok());
    let options =
        options.ok_or_else(|| refused("an object with `after`, and `rooms` and `limit` if any"))?;
    let limit = options.limit.unwrap_or(RECORDS_DEFAULT);
    if !(1..=RECORDS_MAX).contains(&limit) {
        return Err(refused("an object whose `limit` is from 1 to 10000"));
    }
    let names = options.rooms.as_deref();
    if names.is_some_and(|names| names.is_empty() || names.len() > REPLAY_ROOMS_MAX) {
        return Err(refused("an object whose `rooms` are from 1 to 1000"));
    }
    let after = position(0, options.after)?;
    let rooms = names.map(|names| names.iter().map(|name| catalogue.room(name)).collect());
    Ok(Wanted {
        rooms: rooms.transpose()?,
        after,
        limit,
    })
}

/// A position in the options of an argument.
fn position(argument: usize, raw: &RawValue) -> Result<Position, Refused> {
    serde_json::from_str(raw.get()).map_err(|_| Refused::Position { argument })
}

/// A text, or a number as its text.
fn text_of(raw: &RawValue) -> Option<String> {
    let text = raw.get();
    if text.starts_with('"') {
        return serde_json::from_str(text).ok();
    }
    let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    is_number.then(|| text.to_owned())
}

/// The most rooms that one replay names: as many as a session is in, unless the settings say otherwise.
const REPLAY_ROOMS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use switchboard_event::CatalogueConfig;

    use super::*;

    #[test]
    fn a_kind_and_an_id_name_a_room() {
        for (name, args, room) in [
            ("subscribe:whatsapp", r#"["1"]"#, "whatsapp:1"),
            ("subscribe:campaign", "[7]", "campaign:7"),
            (
                "subscribe:contact",
                r#"["55@s.whatsapp.net", null]"#,
                "contact:55@s.whatsapp.net",
            ),
            ("subscribe:flow", r#"["f", {}]"#, "flow:f"),
            ("subscribe:order", r#"["9"]"#, "order:9"),
            ("subscribe", r#"["whatsapp:1:link"]"#, "whatsapp:1:link"),
            ("subscribe", r#"["order:9"]"#, "order:9"),
        ] {
            let room = room.parse().unwrap();
            assert_eq!(
                parse(name, args),
                Ok(Command::Subscribe { room, after: None })
            );
        }
    }

    #[test]
    fn nobody_reaches_the_inner_room_by_an_id() {
        assert_eq!(
            parse("subscribe:whatsapp", r#"["1:link"]"#).map_err(|refused| refused.code()),
            Err("invalid_room")
        );
    }

    #[test]
    fn a_token_comes_alone_or_in_an_object_and_is_not_shown() {
        for args in [r#"["secret"]"#, r#"[{"token":"secret"}]"#] {
            let command = parse("session:refresh", args).unwrap();

            assert!(!format!("{command:?}").contains("secret"));
            let token = "secret".into();
            assert_eq!(command, Command::Refresh { token });
        }
        for args in ["[]", "[7]", r#"[{"tokens":"t"}]"#] {
            let refused = parse("session:refresh", args).unwrap_err();
            assert_eq!(refused.code(), "invalid_argument", "{args}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_argument() {
        let code = |name: &str, args: &str| parse(name, args).map_err(|refused| refused.code());

        assert_eq!(code("subscribe:contact", "[]"), Err("invalid_argument"));
        assert_eq!(code("subscribe:contact", "[{}]"), Err("invalid_argument"));
        assert_eq!(code("subscribe:contact", "[true]"), Err("invalid_argument"));
        assert_eq!(
            code("subscribe:contact", r#"["a b"]"#),
            Err("invalid_argument")
        );
        assert_eq!(
            code("subscribe:contact", r#"["a", 7]"#),
            Err("invalid_argument")
        );
        assert_eq!(
            code("subscribe:contact", r#"["a", {"after": "x"}]"#),
            Err("position_malformed")
        );
        assert_eq!(code("subscribe", r#"["a"]"#), Err("invalid_room"));
        assert_eq!(code("subscribe", r#"["nothing:a"]"#), Err("invalid_room"));
        assert_eq!(code("subscribe:user", r#"["a"]"#), Err("unknown_event"));
        assert_eq!(code("subscribe:nothing", r#"["a"]"#), Err("unknown_event"));
        assert_eq!(code("message:received", "[{}]"), Err("unknown_event"));
    }

    #[test]
    fn a_position_to_go_on_from_is_read() {
        let after = "00000000000000ab-7".parse().unwrap();

        assert_eq!(
            parse(
                "subscribe:contact",
                r#"["a", {"after": "00000000000000ab-7"}]"#
            ),
            Ok(Command::Subscribe {
                room: "contact:a".parse().unwrap(),
                after: Some(after)
            })
        );
    }

    #[test]
    fn a_replay_says_where_from_and_may_say_of_what_and_how_much() {
        let after = "00000000000000ab-7".parse().unwrap();
        let wanted = |rooms, limit| {
            Ok(Command::Replay(Wanted {
                rooms,
                after,
                limit,
            }))
        };

        assert_eq!(
            parse("session:replay", r#"[{"after":"00000000000000ab-7"}]"#),
            wanted(None, RECORDS_DEFAULT)
        );
        assert_eq!(
            parse(
                "session:replay",
                r#"[{"after":"00000000000000ab-7","rooms":["order:9"],"limit":5,"requestId":1}]"#
            ),
            wanted(Some(vec!["order:9".parse().unwrap()]), 5)
        );
        for (args, code) in [
            ("[]", "invalid_argument"),
            ("[{}]", "invalid_argument"),
            (r#"["00000000000000ab-7"]"#, "invalid_argument"),
            (r#"[{"after":null}]"#, "position_malformed"),
            (r#"[{"after":7}]"#, "position_malformed"),
            (r#"[{"after":"7"}]"#, "position_malformed"),
            (
                r#"[{"after":"00000000000000ab-7","rooms":[]}]"#,
                "invalid_argument",
            ),
            (
                r#"[{"after":"00000000000000ab-7","rooms":["no"]}]"#,
                "invalid_room",
            ),
            (
                r#"[{"after":"00000000000000ab-7","limit":0}]"#,
                "invalid_argument",
            ),
            (
                r#"[{"after":"00000000000000ab-7","limit":10001}]"#,
                "invalid_argument",
            ),
            (
                r#"[{"after":"00000000000000ab-7","limit":"5"}]"#,
                "invalid_argument",
            ),
        ] {
            let refused = parse("session:replay", args).unwrap_err();
            assert_eq!(refused.code(), code, "{args}");
        }
    }

    fn parse(name: &str, args: &str) -> Result<Command, Refused> {
        let config = CatalogueConfig {
            rooms: vec!["order".into()],
            ..CatalogueConfig::default()
        };
        let args: Vec<&RawValue> = serde_json::from_str(args).unwrap();
        Command::parse(name, &args, &Catalogue::new(config).unwrap())
    }
}
