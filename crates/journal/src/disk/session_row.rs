//! How a session lies in its row.

use rusqlite::{Connection, Row};
use switchboard_event::{Epoch, Offset, Position, Room, TenantId, UserId};

use crate::disk::row;
use crate::session::Tenure;
use crate::{SessionError, SessionKey, StoredRoom, StoredSession};

/// What a session's row says of it, apart from its tenure. Made and read outside of the writer's
/// thread, which only moves it.
#[derive(Debug)]
pub(super) struct SessionRow {
    tenant: String,
    user: String,
    socket_id: String,
    epoch: i64,
    start: i64,
    rooms: Vec<u8>,
}

impl SessionRow {
    pub(super) fn new(session: &StoredSession) -> Self {
        Self {
            tenant: session.tenant.as_str().to_owned(),
            user: session.user.as_str().to_owned(),
            socket_id: session.socket_id.to_string(),
            epoch: session.start.epoch.as_u64().cast_signed(),
            start: row::stored(session.start.offset.as_u64()),
            rooms: encode_rooms(&session.rooms),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.tenant.len() + self.user.len() + self.socket_id.len() + self.rooms.len()
    }

    pub(super) fn into_session(self) -> Result<StoredSession, SessionError> {
        self.parse().ok_or_else(Self::damaged)
    }

    pub(super) fn is_of(&self, tenant: &TenantId, user: &UserId) -> bool {
        self.tenant == tenant.as_str() && self.user == user.as_str()
    }

    pub(super) fn damaged() -> SessionError {
        SessionError::Damaged {
            reason: "its row is not as written".to_owned(),
        }
    }

    fn parse(self) -> Option<StoredSession> {
        Some(StoredSession {
            tenant: TenantId::from_stored(&self.tenant).ok()?,
            user: self.user.parse().ok()?,
            start: Position {
                epoch: Epoch::new(self.epoch.cast_unsigned()),
                offset: row::offset(self.start),
            },
            rooms: decode_rooms(&self.rooms)?,
            socket_id: self.socket_id.into(),
        })
    }

    /// Writes the row, new or in place of what was there.
    pub(super) fn write(
        &self,
        connection: &Connection,
        key: &SessionKey,
        tenure: Tenure,
    ) -> rusqlite::Result<()> {
        let mut replace = connection.prepare_cached(
            "INSERT INTO session (key, generation, expires_at, tenant, user, socket_id, epoch, \
             start, checksum, rooms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (key) DO UPDATE SET generation = excluded.generation, \
             expires_at = excluded.expires_at, tenant = excluded.tenant, user = excluded.user, \
             socket_id = excluded.socket_id, epoch = excluded.epoch, start = excluded.start, \
             checksum = excluded.checksum, rooms = excluded.rooms",
        )?;
        replace.execute((
            key.digest(),
            row::stored(tenure.generation.number()),
            tenure.expires_at.as_millis(),
            &self.tenant,
            &self.user,
            &self.socket_id,
            self.epoch,
            self.start,
            self.checksum(key.digest()),
            &self.rooms,
        ))?;
        Ok(())
    }

    /// Reads the row of this key; `None` if there is none, or not as it was written.
    pub(super) fn read(
        connection: &Connection,
        key: &SessionKey,
    ) -> rusqlite::Result<Option<Self>> {
        let mut select = connection.prepare_cached(
            "SELECT tenant, user, socket_id, epoch, start, rooms, checksum FROM session \
             WHERE key = ?1",
        )?;
        let mut rows = select.query([key.digest()])?;
        Ok(rows.next()?.and_then(|row| Self::check(row, key.digest())))
    }

    /// A row of the columns above; `None` if it is not as it was written.
    pub(super) fn check(row: &Row<'_>, digest: &[u8; 32]) -> Option<Self> {
        let session = Self {
            tenant: row.get(0).ok()?,
            user: row.get(1).ok()?,
            socket_id: row.get(2).ok()?,
            epoch: row.get(3).ok()?,
            start: row.get(4).ok()?,
            rooms: row.get(5).ok()?,
        };
        let checksum: i64 = row.get(6).ok()?;
        (checksum == session.checksum(digest)).then_some(session)
    }

    /// Over everything but the tenure, which changes without the rest being read.
    fn checksum(&self, digest: &[u8; 32]) -> i64 {
        row::checksum_of(&[
            digest,
            self.tenant.as_bytes(),
            self.user.as_bytes(),
            self.socket_id.as_bytes(),
            &self.epoch.to_le_bytes(),
            &self.start.to_le_bytes(),
            &self.rooms,
        ])
    }
}

/// Each room as the length of its name in one byte, the name, and the offset in LEB128.
fn encode_rooms(rooms: &[StoredRoom]) -> Vec<u8> {
    let names: usize = rooms.iter().map(|each| each.room.name().len()).sum();
    let mut bytes = Vec::with_capacity(names + rooms.len() * ROOM_OVERHEAD);
    for StoredRoom { room, from } in rooms {
        let name = room.name().as_bytes();
        bytes.push(u8::try_from(name.len()).expect("a room's name is at most 160 bytes"));
        bytes.extend_from_slice(name);
        let mut rest = from.as_u64();
        while rest >= 0x80 {
            bytes.push(rest.to_le_bytes()[0] | 0x80);
            rest >>= 7;
        }
        bytes.push(rest.to_le_bytes()[0]);
    }
    bytes
}

/// Reads what [`encode_rooms`] wrote.
fn decode_rooms(mut bytes: &[u8]) -> Option<Vec<StoredRoom>> {
    let mut rooms = Vec::new();
    while let Some((len, rest)) = bytes.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(*len))?;
        let room: Room = std::str::from_utf8(name).ok()?.parse().ok()?;
        let (from, rest) = decode_offset(rest)?;
        rooms.push(StoredRoom { room, from });
        bytes = rest;
    }
    Some(rooms)
}

fn decode_offset(bytes: &[u8]) -> Option<(Offset, &[u8])> {
    let mut number = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(10) {
        let part = u64::from(byte & 0x7f);
        let shifted = part << (7 * index);
        if shifted >> (7 * index) != part {
            return None;
        }
        number |= shifted;
        if byte & 0x80 == 0 {
            return Some((Offset::new(number), &bytes[index + 1..]));
        }
    }
    None
}

const _: () = assert!(switchboard_event::room::ROOM_NAME_LEN_MAX <= u8::MAX as usize);
/// What a room takes up beside its name, for most offsets.
const ROOM_OVERHEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_read_as_they_were_written() {
        let room = |name: &str, from| StoredRoom {
            room: name.parse().unwrap(),
            from: Offset::new(from),
        };
        let rooms = [
            room("user:7", 0),
            room("team:acme", 127),
            room("whatsapp:a:b:link", 128),
            room(&format!("order:{}", "x".repeat(128)), u64::MAX),
        ];

        for count in 0..=rooms.len() {
            let bytes = encode_rooms(&rooms[..count]);
            assert_eq!(decode_rooms(&bytes).unwrap(), rooms[..count]);
        }
        let bytes = encode_rooms(&rooms[..2]);
        assert_eq!(bytes.len(), 1 + 6 + 1 + 1 + 9 + 1);
    }

    #[test]
    fn rooms_that_end_too_early_or_are_none_are_refused() {
        let whole = encode_rooms(&[StoredRoom {
            room: "user:7".parse().unwrap(),
            from: Offset::new(300),
        }]);

        for len in 1..whole.len() {
            assert_eq!(decode_rooms(&whole[..len]), None, "{len}");
        }
        for bytes in [
            &b"\x04nope\x00"[..],
            b"\x06user:\xff\x00",
            b"\x06user:7\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
            b"\x06user:7\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        ] {
            assert_eq!(decode_rooms(bytes), None, "{bytes:?}");
        }
    }
}
