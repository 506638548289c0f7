//! What a screen must show at once: the current values of the rooms that a client subscribed to.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use switchboard_event::snapshot::{self, SnapshotEntry, SnapshotKey};
use switchboard_event::{Room, Timestamp};
use switchboard_journal::{Journal, Key, ReadError, Value};
use tracing::warn;

use crate::session::Session;

/// The last events that still say what is so, by name: each can be handled as if it came now.
pub(crate) type Snapshot = BTreeMap<String, Box<RawValue>>;

/// Whether there is anything to show of a room of this kind, ever.
pub(crate) fn is_of(room: &Room) -> bool {
    !snapshot::keys(room).is_empty()
}

/// Reads what is so in these rooms, which the session is in.
///
/// It is read after the join, so it is never older than where the membership comes live; what is
/// newer in it comes live once more, after the ack.
pub(crate) async fn read<'a>(
    journal: &dyn Journal,
    session: &Session,
    rooms: impl Iterator<Item = &'a Room>,
    now: Timestamp,
) -> Result<Snapshot, ReadError> {
    let keys: Vec<(&Room, Key)> = rooms
        .flat_map(|room| snapshot::keys(room).into_iter().map(move |key| (room, key)))
        .map(|(room, key)| (room, journal_key(&key)))
        .collect();
    if keys.is_empty() {
        return Ok(Snapshot::new());
    }
    let tenant = session.identity().rights.tenant().clone();
    let (rooms, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let values = journal.values(&tenant, &keys, now).await?;
    // As of now: a right may have ended meanwhile.
    let joined = session.rooms_heard();
    let mine = rooms.into_iter().zip(&values);
    let mine = mine.filter(|(room, _)| joined.contains(room));
    let entries = mine.filter_map(|(_, value)| read_entry(value.as_ref()?));
    let heard = entries.filter(|entry| !entry.except.iter().any(|room| joined.contains(room)));
    Ok(heard.map(|entry| (entry.event, entry.data)).collect())
}

/// A value that cannot be read is as good as none: a newer version of us wrote it.
fn read_entry(value: &Value) -> Option<SnapshotEntry> {
    SnapshotEntry::from_bytes(&value.bytes)
        .inspect_err(|invalid| warn!(error = %invalid, "left out a value of a snapshot"))
        .ok()
}

fn journal_key(key: &SnapshotKey) -> Key {
    key.as_str()
        .parse()
        .expect("a room with a prefix is shorter than a key may be")
}
