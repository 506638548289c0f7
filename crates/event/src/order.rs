//! What the server tells its own nodes on the line: records that no client hears and no producer makes.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::{Audience, Event, EventParts};
use crate::id::{EventId, ID_LEN_MAX, TenantId, UserId};
use crate::room::{Room, RoomKind};
use crate::time::Timestamp;

/// An order to every node that has sessions of the tenant, in force for what comes after it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Order {
    /// A right ended before its time.
    Revoke(Revocation),
    /// The connections of a user are closed; the user may come back with the same token.
    Disconnect {
        /// Whose connections.
        user: UserId,
    },
    /// What was decided about rooms is to be decided again.
    Invalidate(Invalidation),
}

/// A right that ended before its time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Revocation {
    /// Every token of a user that was issued before an instant.
    User {
        /// Whose tokens.
        user: UserId,
        /// Tokens issued from then on are good; those that do not tell are not.
        issued_before: Timestamp,
    },
    /// One token.
    Token {
        /// Its id, the claim `jti`.
        token: TokenId,
    },
    /// A room, for every token of a user that was issued before an instant.
    Room {
        /// From whom it is taken.
        user: UserId,
        /// Which room; with an account's room its inner room.
        room: Room,
        /// A token issued from then on may cover it again.
        issued_before: Timestamp,
    },
}

/// Which decisions count no more: those that fit everything that is named; all if nothing is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Invalidation {
    /// Decisions about this user.
    pub user: Option<UserId>,
    /// Decisions about this room.
    pub room: Option<Room>,
    /// Decisions about rooms of this kind.
    pub kind: Option<RoomKind>,
}

/// Names a token: the claim `jti`, 1 to 128 bytes.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct TokenId(Box<str>);

/// A text that cannot be the id of a token.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("id of a token is {len} bytes, allowed are 1 to {ID_LEN_MAX}")]
pub struct InvalidTokenId {
    /// How long it was.
    pub len: usize,
}

/// A record of this name that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidOrder {
    /// It is not JSON of this form.
    #[error("order cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// It names too little, or what does not belong together.
    #[error("order names nothing that can be ended")]
    Incomplete,
}

impl Order {
    /// The names of the records. They are reserved: the settings can declare no event of them.
    pub const NAMES: [&'static str; 3] = [REVOKED, DISCONNECTED, INVALIDATED];

    /// Whether `event` is one of these.
    pub fn is(event: &Event) -> bool {
        Self::NAMES.contains(&event.name())
    }

    /// Reads what [`into_event`](Self::into_event) made; `None` if the event is none of these.
    pub fn of(event: &Event) -> Option<Result<Self, InvalidOrder>> {
        let read = || serde_json::from_slice::<Fields>(event.data());
        Some(match event.name() {
            REVOKED => read().map_err(Into::into).and_then(Fields::revocation),
            DISCONNECTED => read().map_err(Into::into).and_then(|fields| {
                let user = fields.user.ok_or(InvalidOrder::Incomplete)?;
                Ok(Self::Disconnect { user })
            }),
            INVALIDATED => read().map_err(Into::into).map(|fields| {
                Self::Invalidate(Invalidation {
                    user: fields.user,
                    room: fields.room,
                    kind: fields.kind,
                })
            }),
            _ => return None,
        })
    }

    /// The event that carries it, which is for no room.
    pub fn into_event(self, tenant: TenantId, id: EventId, at: Timestamp) -> Event {
        let (name, fields) = self.into_fields();
        let data = serde_json::to_vec(&fields).expect("texts are always JSON");
        let hash = Sha256::new().chain_update(name).chain_update(&data);
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&hash.finalize()[..16]);
        Event::from_parts(EventParts {
            id,
            tenant,
            at,
            name: name.into(),
            data: Bytes::from(data),
            audience: Audience::default(),
            expires_at: None,
            receipt_by: None,
            fingerprint,
        })
    }

    fn into_fields(self) -> (&'static str, Fields) {
        match self {
            Self::Revoke(revocation) => (REVOKED, revocation.into()),
            Self::Disconnect { user } => {
                let user = Some(user);
                let fields = Fields {
                    user,
                    ..Fields::default()
                };
                (DISCONNECTED, fields)
            }
            Self::Invalidate(Invalidation { user, room, kind }) => {
                let fields = Fields {
                    user,
                    room,
                    kind,
                    ..Fields::default()
                };
                (INVALIDATED, fields)
            }
        }
    }
}

impl Invalidation {
    /// Whether a decision about that room is one of these.
    pub fn concerns(&self, room: &Room) -> bool {
        self.room.as_ref().is_none_or(|one| one.includes(room))
            && (self.kind.as_ref()).is_none_or(|kind| kind.includes(room.kind()))
    }
}

impl TokenId {
    /// The id as the token has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenId {
    type Err = InvalidTokenId;

    fn from_str(text: &str) -> Result<Self, InvalidTokenId> {
        let len = text.len();
        if !(1..=ID_LEN_MAX).contains(&len) {
            return Err(InvalidTokenId { len });
        }
        Ok(Self(text.into()))
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What an order says, in one flat object.
#[derive(Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<TokenId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    room: Option<Room>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<RoomKind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<Timestamp>,
}

impl Fields {
    fn revocation(self) -> Result<Order, InvalidOrder> {
        let revocation = match (self.token, self.user, self.room, self.issued_before) {
            (Some(token), None, None, None) => Revocation::Token { token },
            (None, Some(user), None, Some(issued_before)) => Revocation::User {
                user,
                issued_before,
            },
            (None, Some(user), Some(room), Some(issued_before)) => Revocation::Room {
                user,
                room,
                issued_before,
            },
            _ => return Err(InvalidOrder::Incomplete),
        };
        Ok(Order::Revoke(revocation))
    }
}

impl From<Revocation> for Fields {
    fn from(revocation: Revocation) -> Self {
        let none = Self::default();
        match revocation {
            Revocation::Token { token } => Self {
                token: Some(token),
                ..none
            },
            Revocation::User {
                user,
                issued_before,
            } => Self {
                user: Some(user),
                issued_before: Some(issued_before),
                ..none
            },
            Revocation::Room {
                user,
                room,
                issued_before,
            } => Self {
                user: Some(user),
                room: Some(room),
                issued_before: Some(issued_before),
                ..none
            },
        }
    }
}

const REVOKED: &str = "session:revoked";
const DISCONNECTED: &str = "session:disconnected";
const INVALIDATED: &str = "access:invalidated";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalidation_of_a_kind_concerns_what_follows_from_it() {
        let concerns = |kind: RoomKind, room: &str| {
            let invalidation = Invalidation {
                user: None,
                room: None,
                kind: Some(kind),
            };
            invalidation.concerns(&room.parse().unwrap())
        };

        assert!(concerns(RoomKind::Contact, "contact:1"));
        assert!(concerns(RoomKind::Contact, "contacts:acme"));
        assert!(!concerns(RoomKind::Contacts, "contact:1"));
        assert!(concerns(RoomKind::Whatsapp, "whatsapp:1:link"));
        assert!(!concerns(RoomKind::Whatsapp, "campaign:1"));
    }

    #[test]
    fn every_control_reads_back_from_its_event_which_no_room_hears() {
        let user = || "7".parse::<UserId>().unwrap();
        let issued_before = Timestamp::from_millis(1_762_336_800_000);
        let room = || "contact:42".parse::<Room>().unwrap();
        let revoke = Order::Revoke;
        for (order, json) in [
            (
                revoke(Revocation::User {
                    user: user(),
                    issued_before,
                }),
                r#"{"user":"7","issuedBefore":"2025-11-05T10:00:00.000Z"}"#,
            ),
            (
                revoke(Revocation::Token {
                    token: "a b".parse().unwrap(),
                }),
                r#"{"token":"a b"}"#,
            ),
            (
                revoke(Revocation::Room {
                    user: user(),
                    room: room(),
                    issued_before,
                }),
                r#"{"user":"7","room":"contact:42","issuedBefore":"2025-11-05T10:00:00.000Z"}"#,
            ),
            (Order::Disconnect { user: user() }, r#"{"user":"7"}"#),
            (
                Order::Invalidate(Invalidation {
                    kind: Some(RoomKind::Contact),
                    ..Invalidation::default()
                }),
                r#"{"kind":"contact"}"#,
            ),
            (Order::Invalidate(Invalidation::default()), "{}"),
        ] {
            let event = event(order.clone());

            assert_eq!(event.data(), json);
            assert!(event.audience().rooms.is_empty());
            assert_eq!(Order::of(&event).unwrap().unwrap(), order);
        }
    }

    #[test]
    fn what_names_too_little_is_no_control_and_other_events_are_none() {
        let order = Order::Disconnect {
            user: "7".parse().unwrap(),
        };
        let parts = event(order).into_parts();
        let with = |name: &str, data: &'static str| {
            Order::of(&Event::from_parts(EventParts {
                name: name.into(),
                data: Bytes::from_static(data.as_bytes()),
                ..parts.clone()
            }))
        };

        assert!(with(REVOKED, "{}").unwrap().is_err());
        assert!(with(REVOKED, r#"{"user":"7"}"#).unwrap().is_err());
        assert!(with(DISCONNECTED, "{}").unwrap().is_err());
        assert!(with(INVALIDATED, "[").unwrap().is_err());
        assert!(with("contact:updated", "{}").is_none());
    }

    #[test]
    fn an_invalidation_concerns_what_fits_everything_that_it_names() {
        let concerns = |room: Option<&str>, kind: Option<RoomKind>, name: &str| {
            let invalidation = Invalidation {
                user: None,
                room: room.map(|room| room.parse().unwrap()),
                kind,
            };
            invalidation.concerns(&name.parse().unwrap())
        };

        assert!(concerns(None, None, "contact:1"));
        assert!(concerns(Some("contact:1"), None, "contact:1"));
        assert!(!concerns(Some("contact:1"), None, "contact:2"));
        assert!(concerns(Some("whatsapp:1"), None, "whatsapp:1:link"));
        assert!(concerns(None, Some(RoomKind::Whatsapp), "whatsapp:1:link"));
        assert!(concerns(None, Some(RoomKind::Contact), "contacts:acme"));
    }

    fn event(order: Order) -> Event {
        let (tenant, id) = ("acme".parse().unwrap(), "e1".parse().unwrap());
        order.into_event(tenant, id, Timestamp::from_millis(0))
    }
}
