//! Rooms: who an event is for.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};

use crate::id::{Id, InvalidId, TenantId, UserId};

/// The longest room name, in bytes: the longest kind, a colon, the longest id.
pub const ROOM_NAME_LEN_MAX: usize = 160;

/// The longest name of a declared kind of room, in bytes.
pub const ROOM_KIND_LEN_MAX: usize = 31;

/// What a room is about. Exhaustive, so that whoever decides over rooms decides over each kind.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RoomKind {
    /// `user:{userId}`: one person, on all devices.
    User,
    /// `team:{tenant}`: everybody of a tenant.
    Team,
    /// `whatsapp:{accountId}`: a WhatsApp account.
    Whatsapp,
    /// `whatsapp:{accountId}:link`: those who may pair the account; hears its QR codes.
    WhatsappLink,
    /// `campaign:{campaignId}`.
    Campaign,
    /// `contact:{contactId}`.
    Contact,
    /// `contacts:{tenant}`: those whose rights cover every contact of a tenant.
    Contacts,
    /// `flow:{flowId}`.
    Flow,
    /// A kind that the settings declare.
    Custom(Arc<str>),
}

impl RoomKind {
    /// What stands before the first colon of a room's name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::User => "user",
            Self::Team => "team",
            Self::Whatsapp | Self::WhatsappLink => "whatsapp",
            Self::Campaign => "campaign",
            Self::Contact => "contact",
            Self::Contacts => "contacts",
            Self::Flow => "flow",
            Self::Custom(kind) => kind,
        }
    }

    /// Whether what is said of this kind is said of `other` too: of accounts, also of pairing them; of
    /// contacts, also of the list of all of them.
    pub fn includes(&self, other: &Self) -> bool {
        matches!(
            (self, other),
            (Self::Whatsapp, Self::WhatsappLink) | (Self::Contact, Self::Contacts)
        ) || self == other
    }

    /// The built-in kind of that name, or a custom one.
    pub(crate) fn named(name: &str) -> Result<Self, InvalidRoom> {
        Ok(match name {
            "user" => Self::User,
            "team" => Self::Team,
            "whatsapp" => Self::Whatsapp,
            "campaign" => Self::Campaign,
            "contact" => Self::Contact,
            "contacts" => Self::Contacts,
            "flow" => Self::Flow,
            _ if is_kind(name) => Self::Custom(name.into()),
            _ => return Err(InvalidRoom::Kind),
        })
    }
}

/// Reads the word before the colon: that of an account's room stands for its inner room too.
impl FromStr for RoomKind {
    type Err = InvalidRoom;

    fn from_str(name: &str) -> Result<Self, InvalidRoom> {
        Self::named(name)
    }
}

impl Serialize for RoomKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RoomKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// `a-z`, digits, `-` and `_`, starting with a letter.
fn is_kind(name: &str) -> bool {
    name.len() <= ROOM_KIND_LEN_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
}

/// Why a text is not a room.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRoom {
    /// There is no colon between a kind and an id.
    #[error("room is not of the form `kind:id`")]
    Form,
    /// The kind is longer than [`ROOM_KIND_LEN_MAX`] or not of `a-z`, `0-9`, `-` and `_`.
    #[error("kind of room is not a word of `a-z`, `0-9`, `-` and `_`")]
    Kind,
    /// The kind is neither built in nor declared in the settings.
    #[error("kind of room `{kind}` is not declared")]
    UndeclaredKind {
        /// The kind.
        kind: Box<str>,
    },
    /// The id after the colon is none.
    #[error("room's {0}")]
    Id(#[from] InvalidId),
    /// A WhatsApp account's id ends in `:link`, which would name another account's inner room.
    #[error("account id ends in `:link`")]
    LinkSuffix,
    /// `team:*` and `contacts:*` are not for drafts or clients to name.
    #[error("room of every tenant cannot be named")]
    Everyone,
}

/// The name of a group of sockets, within a tenant. Cheap to clone.
///
/// A name says its kind: no two kinds share one, so equality of names is equality of rooms.
#[derive(Clone)]
pub struct Room(Arc<Named>);

/// Behind one pointer: every session keeps its rooms, and many share one.
struct Named {
    kind: RoomKind,
    name: Box<str>,
}

impl Room {
    /// `user:{user}`
    pub fn user(user: &UserId) -> Self {
        Self::new(RoomKind::User, user.as_str())
    }

    /// `team:{tenant}`
    pub fn team(tenant: &TenantId) -> Self {
        Self::new(RoomKind::Team, tenant.as_str())
    }

    /// `contacts:{tenant}`
    pub fn contacts(tenant: &TenantId) -> Self {
        Self::new(RoomKind::Contacts, tenant.as_str())
    }

    /// `whatsapp:{account}`
    ///
    /// An account whose id ends in `:link` is refused: `whatsapp:x:link` has one meaning, and
    /// nobody reaches the inner room by naming it as an account.
    pub fn whatsapp(account: &Id) -> Result<Self, InvalidRoom> {
        Self::of(RoomKind::Whatsapp, account)
    }

    /// `whatsapp:{account}:link`
    pub fn whatsapp_link(account: &Id) -> Result<Self, InvalidRoom> {
        Self::of(RoomKind::WhatsappLink, account)
    }

    /// `campaign:{campaign}`
    pub fn campaign(campaign: &Id) -> Self {
        Self::new(RoomKind::Campaign, campaign.as_str())
    }

    /// `contact:{contact}`
    pub fn contact(contact: &Id) -> Self {
        Self::new(RoomKind::Contact, contact.as_str())
    }

    /// `flow:{flow}`
    pub fn flow(flow: &Id) -> Self {
        Self::new(RoomKind::Flow, flow.as_str())
    }

    /// The room of that kind and id, whatever the kind.
    pub(crate) fn of(kind: RoomKind, id: &Id) -> Result<Self, InvalidRoom> {
        let of_account = matches!(kind, RoomKind::Whatsapp | RoomKind::WhatsappLink);
        if of_account && id.as_str().ends_with(LINK_SUFFIX) {
            return Err(InvalidRoom::LinkSuffix);
        }
        Ok(Self::new(kind, id.as_str()))
    }

    fn new(kind: RoomKind, id: &str) -> Self {
        let suffix = if kind == RoomKind::WhatsappLink {
            LINK_SUFFIX
        } else {
            ""
        };
        let name = format!("{}:{id}{suffix}", kind.as_str()).into();
        Self(Arc::new(Named { kind, name }))
    }

    /// What the room is about.
    pub fn kind(&self) -> &RoomKind {
        &self.0.kind
    }

    /// Which one of its kind.
    pub fn id(&self) -> &str {
        let id = &self.0.name[self.0.kind.as_str().len() + 1..];
        match self.0.kind {
            RoomKind::WhatsappLink => &id[..id.len() - LINK_SUFFIX.len()],
            _ => id,
        }
    }

    /// The whole name, as on the wire.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether `other` is this room, or the inner room of this one's account: who may not hear the
    /// account may not pair it.
    pub fn includes(&self, other: &Self) -> bool {
        let is_inner = matches!(self.kind(), RoomKind::Whatsapp)
            && matches!(other.kind(), RoomKind::WhatsappLink)
            && self.id() == other.id();
        is_inner || self == other
    }
}

/// Reads any well-formed name, as stores that read back need it.
///
/// Whether the kind is declared is another question: names that come from outside go through
/// [`Catalogue::room`](crate::Catalogue::room).
impl FromStr for Room {
    type Err = InvalidRoom;

    fn from_str(name: &str) -> Result<Self, InvalidRoom> {
        let (kind, id) = name.split_once(':').ok_or(InvalidRoom::Form)?;
        let kind = RoomKind::named(kind)?;
        match id.strip_suffix(LINK_SUFFIX) {
            Some(account) if kind == RoomKind::Whatsapp => {
                Self::of(RoomKind::WhatsappLink, &account.parse()?)
            }
            _ => Self::of(kind, &id.parse()?),
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.name)
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Room({})", self.0.name)
    }
}

impl Eq for Room {}

impl PartialEq for Room {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.name == other.0.name
    }
}

impl Hash for Room {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl Ord for Room {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl PartialOrd for Room {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Maps keyed by room can be asked by name.
impl Borrow<str> for Room {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl Serialize for Room {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.name)
    }
}

impl<'de> Deserialize<'de> for Room {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

const LINK_SUFFIX: &str = ":link";

const _: () = assert!(ROOM_NAME_LEN_MAX == ROOM_KIND_LEN_MAX + 1 + crate::id::ID_LEN_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back_as_itself() {
        let id: Id = "a:b".parse().unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let user: UserId = "7".parse().unwrap();
        check(&Room::user(&user), "user:7", "7");
        check(&Room::team(&tenant), "team:acme", "acme");
        check(&Room::contacts(&tenant), "contacts:acme", "acme");
        check(&Room::whatsapp(&id).unwrap(), "whatsapp:a:b", "a:b");
        check(
            &Room::whatsapp_link(&id).unwrap(),
            "whatsapp:a:b:link",
            "a:b",
        );
        check(&Room::campaign(&id), "campaign:a:b", "a:b");
        check(&Room::contact(&id), "contact:a:b", "a:b");
        check(&Room::flow(&id), "flow:a:b", "a:b");
        check(&"order:a:link".parse().unwrap(), "order:a:link", "a:link");
        check(&Room::team(&TenantId::everyone()), "team:*", "*");
    }

    #[track_caller]
    fn check(room: &Room, name: &str, id: &str) {
        let read: Room = name.parse().unwrap();
        assert_eq!((room.name(), room.id()), (name, id));
        assert_eq!((read.kind(), read.id(), &read), (room.kind(), id, room));
    }

    #[test]
    fn the_link_room_is_never_reached_as_an_account() {
        let id: Id = "x:link".parse().unwrap();

        assert_eq!(Room::whatsapp(&id), Err(InvalidRoom::LinkSuffix));
        assert_eq!(Room::whatsapp_link(&id), Err(InvalidRoom::LinkSuffix));
        let room: Room = "whatsapp:x:link".parse().unwrap();
        assert_eq!((room.kind(), room.id()), (&RoomKind::WhatsappLink, "x"));
        assert_eq!(
            "whatsapp:x:link:link".parse::<Room>(),
            Err(InvalidRoom::LinkSuffix)
        );
    }

    #[test]
    fn what_is_no_room_is_refused() {
        for name in [
            "",
            ":",
            "team",
            "team:",
            ":x",
            "Team:x",
            "te am:x",
            "7x:y",
            "team:a b",
            "whatsapp::link",
        ] {
            assert!(name.parse::<Room>().is_err(), "{name:?}");
        }
        assert!(format!("{}:x", "k".repeat(31)).parse::<Room>().is_ok());
        assert!(format!("{}:x", "k".repeat(32)).parse::<Room>().is_err());
    }
}
