//! How records, fleeting events and sessions lie on Redis: numbers big-endian, texts behind their
//! lengths.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{
    Audience, Epoch, Event, EventParts, FleetingEvent, Offset, Position, Room, TenantId, Timestamp,
    UserId,
};
use switchboard_journal::{StoredRoom, StoredSession};

/// An event as it is stored, without its position.
pub(crate) fn encode_event(event: &Event) -> Vec<u8> {
    let audience = event.audience();
    let mut out = Vec::with_capacity(ROW_LEN + event.data().len());
    out.push(FORMAT);
    put_time(&mut out, Some(event.at()));
    put_time(&mut out, event.expires_at());
    put_time(&mut out, event.receipt_by());
    out.extend_from_slice(&event.fingerprint());
    put_text(&mut out, event.tenant().as_str());
    put_text(&mut out, event.id().as_str());
    put_text(&mut out, event.name());
    put_rooms(&mut out, &audience.rooms);
    put_rooms(&mut out, &audience.except);
    out.extend_from_slice(event.data());
    out
}

/// Reads what [`encode_event`] wrote; `None` if it is something else.
pub(crate) fn decode_event(stored: Vec<u8>) -> Option<Event> {
    let stored = Bytes::from(stored);
    let mut rest = Rest(&stored);
    if rest.take(1)? != [FORMAT] {
        return None;
    }
    let (at, expires_at, receipt_by) = (rest.time()??, rest.time()?, rest.time()?);
    let fingerprint = rest.take(16)?.try_into().ok()?;
    let tenant = TenantId::from_stored(rest.text()?).ok()?;
    let id = rest.text()?.parse().ok()?;
    let name = rest.text()?.into();
    let (rooms, except) = (rest.rooms()?, rest.rooms()?);
    let data = stored.slice_ref(rest.0);
    Some(Event::from_parts(EventParts {
        id,
        tenant,
        at,
        name,
        data,
        audience: Audience { rooms, except },
        expires_at,
        receipt_by,
        fingerprint,
    }))
}

pub(crate) fn encode_fleeting(event: &FleetingEvent, out: &mut Vec<u8>) {
    out.push(FORMAT);
    put_time(out, Some(event.expires_at));
    put_text(out, event.tenant.as_str());
    put_text(out, event.voice.as_str());
    put_text(out, &event.name);
    put_rooms(out, &event.audience.rooms);
    put_rooms(out, &event.audience.except);
    out.extend_from_slice(&event.data);
}

pub(crate) fn decode_fleeting(said: &[u8]) -> Option<FleetingEvent> {
    let mut rest = Rest(said);
    if rest.take(1)? != [FORMAT] {
        return None;
    }
    let expires_at = rest.time()??;
    let tenant = TenantId::from_stored(rest.text()?).ok()?;
    let voice = rest.text()?.parse().ok()?;
    let name = Arc::from(rest.text()?);
    let (rooms, except) = (rest.rooms()?, rest.rooms()?);
    Some(FleetingEvent {
        tenant,
        name,
        data: Bytes::copy_from_slice(rest.0),
        audience: Audience { rooms, except },
        voice,
        expires_at,
    })
}

/// Whose a session is, as the scripts compare it.
pub(crate) fn owner(tenant: &TenantId, user: &UserId) -> String {
    format!("{}\n{}", tenant.as_str(), user.as_str())
}

/// A session as it is stored: its owner behind its length, and the rest.
pub(crate) fn encode_session(session: &StoredSession) -> Vec<u8> {
    let owner = owner(&session.tenant, &session.user);
    let mut out = format!("{}:{owner}", owner.len()).into_bytes();
    out.push(FORMAT);
    put_text(&mut out, &session.socket_id);
    out.extend_from_slice(&session.start.epoch.as_u64().to_be_bytes());
    out.extend_from_slice(&session.start.offset.as_u64().to_be_bytes());
    for StoredRoom { room, from } in &session.rooms {
        put_text(&mut out, room.name());
        out.extend_from_slice(&from.as_u64().to_be_bytes());
    }
    out
}

/// Reads what follows the owner.
pub(crate) fn decode_session(
    stored: &[u8],
    tenant: &TenantId,
    user: &UserId,
) -> Option<StoredSession> {
    let mut rest = Rest(stored);
    if rest.take(1)? != [FORMAT] {
        return None;
    }
    let socket_id = rest.text()?.into();
    let start = Position {
        epoch: Epoch::new(rest.number()?),
        offset: Offset::new(rest.number()?),
    };
    let mut rooms = Vec::new();
    while !rest.0.is_empty() {
        let room = rest.text()?.parse().ok()?;
        let from = Offset::new(rest.number()?);
        rooms.push(StoredRoom { room, from });
    }
    Some(StoredSession {
        socket_id,
        tenant: tenant.clone(),
        user: user.clone(),
        start,
        rooms,
    })
}

fn put_time(out: &mut Vec<u8>, time: Option<Timestamp>) {
    let millis = time.map_or(NEVER, Timestamp::as_millis);
    out.extend_from_slice(&millis.to_be_bytes());
}

/// Names and ids are far shorter than what two bytes count.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let len = u16::try_from(text.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&text.as_bytes()[..usize::from(len)]);
}

fn put_rooms(out: &mut Vec<u8>, rooms: &[Room]) {
    let count = u16::try_from(rooms.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&count.to_be_bytes());
    for room in rooms.iter().take(usize::from(count)) {
        put_text(out, room.name());
    }
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        Some(u64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    #[expect(clippy::option_option, reason = "cut off is not without an end")]
    fn time(&mut self) -> Option<Option<Timestamp>> {
        let millis = self.number()?.cast_signed();
        Some((millis != NEVER).then(|| Timestamp::from_millis(millis)))
    }

    fn len(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = usize::from(self.len()?);
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn rooms(&mut self) -> Option<Vec<Room>> {
        let count = self.len()?;
        (0..count).map(|_| self.text()?.parse().ok()).collect()
    }
}

const FORMAT: u8 = 1;
/// Far outside of the years that a timestamp has.
const NEVER: i64 = i64::MIN;
/// What a record takes beside its payload, about.
const ROW_LEN: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_garbled_is_nothing_and_no_panic() {
        let event = Event::from_parts(EventParts {
            id: "wamid.1".parse().unwrap(),
            tenant: TenantId::everyone(),
            at: Timestamp::from_millis(7),
            name: "contact:updated".into(),
            data: Bytes::from_static(b"{}"),
            audience: Audience {
                rooms: vec!["contact:1".parse().unwrap()],
                except: vec!["user:7".parse().unwrap()],
            },
            expires_at: None,
            receipt_by: Some(Timestamp::from_millis(9)),
            fingerprint: [3; 16],
        });
        let stored = encode_event(&event);

        assert!(decode_event(stored.clone()) == Some(event));
        for len in 0..stored.len() - 2 {
            assert!(decode_event(stored[..len].to_vec()).is_none(), "{len}");
        }
        for at in 0..stored.len() {
            let mut garbled = stored.clone();
            garbled[at] ^= 0xff;
            let _ = decode_event(garbled.clone());
            let _ = decode_fleeting(&garbled);
        }
    }
}
