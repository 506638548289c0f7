//! What clients say of themselves: typing, looking, being there.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use switchboard_engine::{Handling, Incoming};
use switchboard_event::{Id, InvalidRoom, Room, RoomKind, UserId};
use switchboard_hub::Status;

use super::Speaker;
use crate::gateway::{Gateway, refuse};
use crate::reply::{Refused, answer};
use crate::requests::Asked;
use crate::session::Session;

/// One wish of a client that is about what is so right now.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum FloorCommand {
    /// `typing:start`
    BeginTyping {
        contact: Id,
        account: Id,
        lifetime: Option<Duration>,
    },
    /// `typing:stop`
    EndTyping { contact: Id, account: Id },
    /// `presence:viewing`
    View { contact: Id, is_viewing: bool },
    /// `presence:update`
    SetStatus(Status),
    /// `presence:list` of the team
    ListTeam { after: Option<UserId> },
    /// `presence:list` of a contact
    ListContact { contact: Id },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    contact_id: Id,
    whatsapp_account_id: Id,
    #[serde(default)]
    ttl_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Viewing {
    contact_id: Id,
    is_viewing: bool,
}

#[derive(Deserialize)]
struct Update {
    status: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct List {
    #[serde(default)]
    contact_id: Option<Id>,
    #[serde(default)]
    after: Option<UserId>,
}

impl FloorCommand {
    /// Reads `typing:{name}` and `presence:{name}`.
    pub(crate) fn parse(name: &str, args: &[&RawValue]) -> Result<Self, Refused> {
        let argument = args.first().map_or("null", |raw| raw.get());
        match name {
            "typing:start" => {
                let typing: Typing = read(argument, TYPING)?;
                Ok(Self::BeginTyping {
                    contact: typing.contact_id,
                    account: typing.whatsapp_account_id,
                    lifetime: typing.ttl_ms.map(Duration::from_millis),
                })
            }
            "typing:stop" => {
                let typing: Typing = read(argument, TYPING)?;
                Ok(Self::EndTyping {
                    contact: typing.contact_id,
                    account: typing.whatsapp_account_id,
                })
            }
            "presence:viewing" => {
                let viewing: Viewing = read(argument, "an object with `contactId`, `isViewing`")?;
                Ok(Self::View {
                    contact: viewing.contact_id,
                    is_viewing: viewing.is_viewing,
                })
            }
            "presence:update" => {
                let expected = "an object whose `status` is `online` or `away`";
                let update: Update = read(argument, expected)?;
                let invalid = Refused::Argument {
                    argument: 0,
                    expected,
                };
                Status::from_word(&update.status)
                    .map(Self::SetStatus)
                    .ok_or(invalid)
            }
            "presence:list" => {
                let list: Option<List> = read(argument, "an object of options")?;
                let List { contact_id, after } = list.unwrap_or_default();
                Ok(match contact_id {
                    Some(contact) => Self::ListContact { contact },
                    None => Self::ListTeam { after },
                })
            }
            _ => Err(Refused::UnknownEvent),
        }
    }

    /// The rooms of what it is about, which its client must be allowed to hear: of the contact, and
    /// of an account that it says to write from. To end that takes no right to the account.
    fn rooms(&self) -> Result<Vec<Room>, InvalidRoom> {
        Ok(match self {
            Self::BeginTyping {
                contact, account, ..
            } => vec![Room::contact(contact), Room::whatsapp(account)?],
            Self::EndTyping { contact, .. }
            | Self::View { contact, .. }
            | Self::ListContact { contact } => vec![Room::contact(contact)],
            Self::SetStatus(_) | Self::ListTeam { .. } => Vec::new(),
        })
    }
}

impl Gateway {
    /// Does what a client wishes, if it may hear what it is about.
    pub(crate) fn floor(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: &Incoming,
        command: FloorCommand,
        ack: Asked,
    ) -> Handling {
        let mut rooms = match command.rooms() {
            Ok(rooms) => rooms,
            Err(invalid) => return refuse(session, &event.name, ack, invalid.into()),
        };
        // Who is in a room was asked already.
        rooms.retain(|room| !session.is_in(room));
        if rooms.is_empty() {
            let done = self.do_on_floor(session, command);
            return reply(session, &event.name, ack, done);
        }
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        let name = event.name.clone();
        Handling::later(async move {
            let done = async {
                for room in rooms {
                    gateway.may_hear(&session, room).await?;
                }
                gateway.do_on_floor(&session, command)
            };
            let done = done.await;
            reply(&session, &name, ack, done);
        })
    }

    fn do_on_floor(&self, session: &Session, command: FloorCommand) -> Result<Value, Refused> {
        let (floor, speaker, now) = (&session.lane.floor, session.speaker(), self.now());
        match command {
            FloorCommand::BeginTyping {
                contact,
                account,
                lifetime,
            } => floor.begin_typing(&speaker, contact, account, lifetime, now)?,
            FloorCommand::EndTyping { contact, account } => {
                floor.end_typing(&speaker, contact, account, now);
            }
            FloorCommand::View {
                contact,
                is_viewing: true,
            } => {
                // Whoever leaves the room stops looking; who is not in it has no right that ends.
                let room = Room::contact(&contact);
                let is_in = session.is_in(&room);
                floor.begin_viewing(&speaker, contact, is_in, now)?;
                // It may have been taken out of the room at this very moment, and told nobody so.
                if is_in && !session.is_in(&room) {
                    session.turn_from(&room);
                }
            }
            FloorCommand::View { contact, .. } => floor.end_viewing(&speaker, contact, now),
            FloorCommand::SetStatus(status) => floor.set_status(&speaker, status, now),
            FloorCommand::ListTeam { after } => {
                let (users, next) = floor.team(&speaker.tenant, after.as_ref());
                let mut list = json!({ "ok": true, "users": users });
                if let Some(next) = next {
                    list["next"] = json!(next);
                }
                return Ok(list);
            }
            FloorCommand::ListContact { contact } => {
                let mut list = floor.contact(&speaker.tenant, &contact, &session.rooms());
                list.insert("ok".to_owned(), true.into());
                return Ok(list.into());
            }
        }
        Ok(json!({ "ok": true }))
    }
}

impl Session {
    /// This connection, as it speaks.
    pub(crate) fn speaker(&self) -> Speaker {
        Speaker {
            tenant: self.tenant().clone(),
            user: self.user(),
            voice: self.voice(),
        }
    }

    /// What a screen that shows `room` must show at once.
    pub(crate) fn snapshot(&self, room: &Room) -> Map<String, Value> {
        match room.kind() {
            RoomKind::Contact => match room.id().parse() {
                Ok(contact) => {
                    let floor = &self.lane.floor;
                    floor.snapshot(self.tenant(), &contact, &self.rooms())
                }
                Err(_) => Map::new(),
            },
            _ => Map::new(),
        }
    }

    /// Says nothing more of the contact whose room was left: of its own will, or because it may not
    /// hear it any more.
    pub(crate) fn turn_from(&self, room: &Room) {
        if matches!(room.kind(), RoomKind::Contact) {
            self.lane.floor.turn_from(&self.speaker(), room.id());
        }
    }

    /// The name of this connection: a client that came back keeps its socket's id, and is another
    /// connection.
    fn voice(&self) -> Id {
        let generation = self.credential().generation.number();
        let voice = format!("{}.{generation}", self.socket_id().as_str());
        voice.parse().expect("a socket's id and a number are an id")
    }
}

fn reply(session: &Session, event: &str, ack: Asked, done: Result<Value, Refused>) -> Handling {
    match done {
        Ok(value) => answer(&session.handle, event, ack, Ok(value)),
        Err(refused) => return refuse(session, event, ack, refused),
    }
    Handling::Done
}

fn read<'a, T: Deserialize<'a>>(argument: &'a str, expected: &'static str) -> Result<T, Refused> {
    serde_json::from_str(argument).map_err(|_| Refused::Argument {
        argument: 0,
        expected,
    })
}

const TYPING: &str = "an object with `contactId`, `whatsappAccountId`, and `ttlMs` if any";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_with_ids_of_text_or_numbers() {
        let typing = r#"{"contactId":42,"whatsappAccountId":"w","ttlMs":5000}"#;

        assert_eq!(
            parse("typing:start", typing),
            Ok(FloorCommand::BeginTyping {
                contact: id("42"),
                account: id("w"),
                lifetime: Some(Duration::from_secs(5)),
            })
        );
        assert_eq!(
            parse("presence:viewing", r#"{"contactId":"c","isViewing":false}"#),
            Ok(FloorCommand::View {
                contact: id("c"),
                is_viewing: false
            })
        );
        assert_eq!(
            parse("presence:update", r#"{"status":"away"}"#),
            Ok(FloorCommand::SetStatus(Status::Away))
        );
        let team = Ok(FloorCommand::ListTeam { after: None });
        assert_eq!(FloorCommand::parse("presence:list", &[]), team);
        assert_eq!(parse("presence:list", "{}"), team);
        assert_eq!(
            parse("presence:list", r#"{"contactId":"c"}"#),
            Ok(FloorCommand::ListContact { contact: id("c") })
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (name, argument) in [
            ("typing:start", "null"),
            ("typing:start", r#"{"contactId":"c"}"#),
            (
                "typing:start",
                r#"{"contactId":"a b","whatsappAccountId":"w"}"#,
            ),
            (
                "typing:start",
                r#"{"contactId":"c","whatsappAccountId":"w","ttlMs":-1}"#,
            ),
            (
                "typing:start",
                r#"{"contactId":"c","whatsappAccountId":"w","ttlMs":"5"}"#,
            ),
            ("typing:stop", r#""c""#),
            ("presence:viewing", r#"{"contactId":"c"}"#),
            ("presence:update", r#"{"status":"offline"}"#),
            ("presence:update", r#"{"status":true}"#),
            ("presence:list", r#""team""#),
        ] {
            let code = parse(name, argument).map_err(|refused| refused.code());
            assert_eq!(code, Err("invalid_argument"), "{name} {argument}");
        }
        let code = parse("typing:faster", "{}").map_err(|refused| refused.code());
        assert_eq!(code, Err("unknown_event"));
    }

    fn parse(name: &str, argument: &str) -> Result<FloorCommand, Refused> {
        let argument: &RawValue = serde_json::from_str(argument).unwrap();
        FloorCommand::parse(name, &[argument])
    }

    fn id(text: &str) -> Id {
        text.parse().unwrap()
    }
}
