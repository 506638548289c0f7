//! The current values of a room: what a screen must show at once.
//!
//! Some events say what is so until the next one says otherwise: an account is connected, a campaign
//! is at 40 %. The last of them is kept under a state key, written in one batch with the event, and
//! handed to whoever joins the room. One table, [`changes`], says which events do that, and
//! [`keys`] which values a room has.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::event::Event;
use crate::id::Id;
use crate::json::{Kind, text_of};
use crate::machine::{InvalidState, state};
use crate::payload::ConnectionStatus;
use crate::room::{Room, RoomKind};
use crate::time::Timestamp;

/// The longest payload that is shown, in bytes. The five values of a room are one ack, for which a
/// connection's own queue must have space.
pub const SNAPSHOT_DATA_LEN_MAX: usize = 64 << 10;

/// How one value of a snapshot changes with an event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SnapshotChange {
    /// The state key, within the tenant of the event.
    pub key: SnapshotKey,
    /// The new value; `None`: there is none any more.
    pub value: Option<Bytes>,
    /// For how long it is kept.
    pub kept: Kept,
}

/// For how long a value of a snapshot is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kept {
    /// Until it changes.
    Always,
    /// For as long as the settings say.
    ForAWhile,
    /// Until then, when it stops being true.
    Until(Timestamp),
}

/// The state key of one value of a room's snapshot: `snapshot:{slot}:{room}`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SnapshotKey(String);

/// One value of a snapshot: the last event of its kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// The event's name.
    pub event: String,
    /// Its payload.
    pub data: Box<RawValue>,
    /// The rooms whose members do not hear it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<Room>,
}

impl SnapshotKey {
    fn new(slot: Slot, room: &Room) -> Self {
        Self(format!("snapshot:{}:{}", slot.as_str(), room.name()))
    }

    /// The key as the journal takes it, at most 182 bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SnapshotEntry {
    /// Reads a value that [`changes`] made.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidState> {
        state::read(bytes)
    }
}

/// The keys of everything in a room's snapshot; none for most kinds of rooms.
pub fn keys(room: &Room) -> Vec<SnapshotKey> {
    let slots: &[Slot] = match room.kind() {
        RoomKind::Whatsapp => &[Slot::Connection, Slot::Ready, Slot::Loss],
        RoomKind::WhatsappLink => &[Slot::Code],
        RoomKind::Campaign => &[
            Slot::Started,
            Slot::Progress,
            Slot::Phase,
            Slot::Completed,
            Slot::Stats,
        ],
        RoomKind::Flow => &[Slot::Execution],
        RoomKind::User
        | RoomKind::Team
        | RoomKind::Contact
        | RoomKind::Contacts
        | RoomKind::Custom(_) => &[],
    };
    slots
        .iter()
        .map(|slot| SnapshotKey::new(*slot, room))
        .collect()
}

/// The key of the last `whatsapp:connection:status` of an account; none if the account can have no
/// room.
pub fn connection_key(account: &Id) -> Option<SnapshotKey> {
    let room = Room::whatsapp(account).ok()?;
    Some(SnapshotKey::new(Slot::Connection, &room))
}

/// What `event` changes. A value is shown only if the event goes to the room itself; what is no
/// longer true goes, whoever hears of it.
pub fn changes(event: &Event) -> Vec<SnapshotChange> {
    let Some(rule) = Rule::of(event.name()) else {
        return Vec::new();
    };
    let Ok(subject) = serde_json::from_slice::<Subject<'_>>(event.data()) else {
        return Vec::new();
    };
    let id = match rule.id {
        IdField::Account => &subject.account_id,
        IdField::Campaign => &subject.campaign_id,
        IdField::Flow => &subject.flow_id,
    };
    let Some(rooms) = id.as_ref().and_then(|id| Rooms::of(rule.id, id)) else {
        return Vec::new();
    };
    let mut changes: Vec<_> = rule
        .clears
        .iter()
        .filter(|slot| **slot != Slot::Code || !subject.may_wait_for_a_code())
        .map(|slot| cleared(SnapshotKey::new(*slot, rooms.of_slot(*slot))))
        .collect();
    if rule.sets == Slot::Connection {
        let outlived = subject.outlived().iter();
        changes.extend(outlived.map(|slot| cleared(SnapshotKey::new(*slot, &rooms.own))));
    }
    let room = rooms.of_slot(rule.sets);
    if event.audience().rooms.contains(room) {
        changes.push(set(event, SnapshotKey::new(rule.sets, room), rule.sets));
    }
    changes
}

fn cleared(key: SnapshotKey) -> SnapshotChange {
    SnapshotChange {
        key,
        value: None,
        kept: Kept::Always,
    }
}

fn set(event: &Event, key: SnapshotKey, slot: Slot) -> SnapshotChange {
    // Nothing instead of what was before it, which is no longer true.
    let is_short = event.data().len() <= SNAPSHOT_DATA_LEN_MAX;
    let data = is_short.then(|| serde_json::from_slice(event.data()).ok());
    let data: Option<&RawValue> = data.flatten();
    let value = data.map(|data| {
        state::write(&Written {
            event: event.name(),
            data,
            except: &event.audience().except,
        })
    });
    let kept = match (event.expires_at(), slot) {
        (Some(end), _) => Kept::Until(end),
        (None, Slot::Connection | Slot::Ready | Slot::Loss) => Kept::Always,
        (None, _) => Kept::ForAWhile,
    };
    SnapshotChange { key, value, kept }
}

/// [`SnapshotEntry`] on its way out.
#[derive(Serialize)]
struct Written<'a> {
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "<[Room]>::is_empty")]
    except: &'a [Room],
}

/// What is remembered of the last event of a kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Slot {
    Connection,
    Ready,
    Loss,
    Code,
    Started,
    Progress,
    Phase,
    Completed,
    Stats,
    Execution,
}

impl Slot {
    fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Ready => "ready",
            Self::Loss => "loss",
            Self::Code => "code",
            Self::Started => "started",
            Self::Progress => "progress",
            Self::Phase => "phase",
            Self::Completed => "completed",
            Self::Stats => "stats",
            Self::Execution => "execution",
        }
    }
}

/// Which field says what an event is about.
#[derive(Clone, Copy)]
enum IdField {
    Account,
    Campaign,
    Flow,
}

/// What an event does to the snapshots of what it is about.
struct Rule {
    id: IdField,
    sets: Slot,
    clears: &'static [Slot],
}

impl Rule {
    /// The table.
    fn of(event: &str) -> Option<Self> {
        use IdField::{Account, Campaign, Flow};
        use Slot::{
            Code, Completed, Connection, Execution, Loss, Phase, Progress, Ready, Started, Stats,
        };

        let (id, sets, clears): (_, _, &'static [Slot]) = match event {
            "whatsapp:connection:status" => (Account, Connection, &[Code]),
            "whatsapp:ready" => (Account, Ready, &[Code, Loss]),
            "whatsapp:disconnected" => (Account, Loss, &[Code, Ready]),
            "whatsapp:qr:generated" => (Account, Code, &[]),
            "campaign:started" => (Campaign, Started, &[Progress, Phase, Completed, Stats]),
            "campaign:progress" => (Campaign, Progress, &[]),
            "campaign:paused" | "campaign:resumed" | "campaign:failed" => (Campaign, Phase, &[]),
            "campaign:completed" => (Campaign, Completed, &[Phase]),
            "campaign:stats" => (Campaign, Stats, &[]),
            "flow:execution:started" | "flow:execution:completed" | "flow:execution:failed" => {
                (Flow, Execution, &[])
            }
            _ => return None,
        };
        Some(Self { id, sets, clears })
    }
}

/// The fields that the table needs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Subject<'a> {
    #[serde(default)]
    account_id: Option<Id>,
    #[serde(default)]
    campaign_id: Option<Id>,
    #[serde(default)]
    flow_id: Option<Id>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    detail: Option<&'a RawValue>,
}

impl Subject<'_> {
    fn status(&self) -> Option<ConnectionStatus> {
        let text: String = serde_json::from_str(self.status?.get()).ok()?;
        Some(ConnectionStatus::from(text))
    }

    /// What is no longer true of an account with this status.
    fn outlived(&self) -> &'static [Slot] {
        match self.status() {
            Some(ConnectionStatus::Connected) => &[Slot::Loss],
            Some(ConnectionStatus::Connecting | ConnectionStatus::Reconnecting) => {
                &[Slot::Ready, Slot::Loss]
            }
            Some(_) | None => &[Slot::Ready],
        }
    }

    /// Whether a code that was shown may still be scanned: the contract's word covers that, and
    /// `detail`, if it is one of ours, says so.
    fn may_wait_for_a_code(&self) -> bool {
        let detail = self.detail.filter(|detail| Kind::of(detail) == Kind::Text);
        let is_pending =
            detail.is_none_or(|detail| text_of(detail).as_deref() == Some("qr_pending"));
        self.status() == Some(ConnectionStatus::Connecting) && is_pending
    }
}

/// The rooms of what an event is about.
struct Rooms {
    own: Room,
    inner: Option<Room>,
}

impl Rooms {
    fn of(field: IdField, id: &Id) -> Option<Self> {
        let (own, inner) = match field {
            IdField::Account => (Room::whatsapp(id).ok()?, Room::whatsapp_link(id).ok()),
            IdField::Campaign => (Room::campaign(id), None),
            IdField::Flow => (Room::flow(id), None),
        };
        Some(Self { own, inner })
    }

    fn of_slot(&self, slot: Slot) -> &Room {
        match (&self.inner, slot) {
            (Some(inner), Slot::Code) => inner,
            _ => &self.own,
        }
    }
}

#[cfg(test)]
mod tests;
