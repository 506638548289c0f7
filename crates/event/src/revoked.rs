//! What is remembered of revocations, for tokens that are shown later.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::id::UserId;
use crate::order::TokenId;
use crate::room::Room;
use crate::time::Timestamp;

/// The state key of what is revoked, within its tenant: `revoked:user:{id}`, or
/// `revoked:token:{hash}`, as ids of tokens may hold anything.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RevokedKey(String);

impl RevokedKey {
    /// The key of what is revoked of a user: [`UserRevocations`].
    pub fn user(user: &UserId) -> Self {
        Self(format!("revoked:user:{user}"))
    }

    /// The key of a token: it is revoked if the key has a value.
    pub fn token(token: &TokenId) -> Self {
        let hash = Sha256::digest(token.as_str());
        let half = hash[..16].iter().map(|byte| format!("{byte:02x}"));
        Self(format!("revoked:token:{}", half.collect::<String>()))
    }

    /// The key as the journal takes it, at most 141 bytes.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The value under [`RevokedKey::user`].
///
/// As bytes it is JSON with a version, as [`MessageState`](crate::MessageState) is.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRevocations {
    /// Tokens issued before it are worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_before: Option<Timestamp>,
    /// Rooms that tokens issued before the time beside them do not cover.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    rooms: BTreeMap<Room, Timestamp>,
}

/// The most rooms that are taken from one user: beyond it, everything is to be revoked.
pub const ROOMS_TAKEN_MAX: usize = 1_000;

/// One more room would be more than [`ROOMS_TAKEN_MAX`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{ROOMS_TAKEN_MAX} rooms are taken from the user already")]
pub struct TooManyRoomsTaken;

/// Bytes that are no value of a [`RevokedKey`], or that of a newer version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRevocations {
    /// They cannot be read.
    #[error("revocations cannot be read")]
    Unreadable(#[from] serde_json::Error),
    /// A newer version wrote them.
    #[error("revocations have version {version}, known is {VERSION}")]
    Version {
        /// Which one.
        version: u32,
    },
}

impl UserRevocations {
    /// Every token issued before `instant` is worth nothing; an earlier revocation stays in force.
    pub fn revoke(&mut self, instant: Timestamp) {
        self.issued_before = self.issued_before.max(Some(instant));
        self.rooms.retain(|_, taken| *taken > instant);
    }

    /// No token issued before `instant` covers `room`.
    ///
    /// # Errors
    ///
    /// [`TooManyRoomsTaken`]; nothing changed then.
    pub fn take(&mut self, room: Room, instant: Timestamp) -> Result<(), TooManyRoomsTaken> {
        if self.issued_before >= Some(instant) {
            return Ok(());
        }
        if self.rooms.len() >= ROOMS_TAKEN_MAX && !self.rooms.contains_key(&room) {
            return Err(TooManyRoomsTaken);
        }
        let taken = self.rooms.entry(room).or_insert(instant);
        *taken = (*taken).max(instant);
        Ok(())
    }

    /// Whether a token of this time is worth nothing; one that tells no time counts as old.
    pub fn is_revoked(&self, issued_at: Option<Timestamp>) -> bool {
        let before = |instant| is_before(issued_at, instant);
        self.issued_before.is_some_and(before)
    }

    /// Whether a token of this time may be newer than what makes it worth nothing: tokens tell whole
    /// seconds, and this one is of the very second in which older ones were revoked.
    pub fn may_be_newer(&self, issued_at: Option<Timestamp>) -> bool {
        let second = |time: Timestamp| time.as_millis().div_euclid(1_000);
        match (issued_at, self.issued_before) {
            (Some(issued_at), Some(instant)) => second(issued_at) == second(instant),
            _ => false,
        }
    }

    /// The rooms that a token of this time does not cover, with the times before which it is so.
    pub fn taken(&self, issued_at: Option<Timestamp>) -> impl Iterator<Item = (&Room, Timestamp)> {
        let rooms = self.rooms.iter().map(|(room, taken)| (room, *taken));
        rooms.filter(move |(_, taken)| is_before(issued_at, *taken))
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidRevocations> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(InvalidRevocations::Version { version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The revocations as the journal keeps them.
    pub fn to_bytes(&self) -> Bytes {
        #[derive(Serialize)]
        struct Versioned<'a> {
            version: u32,
            #[serde(flatten)]
            revocations: &'a UserRevocations,
        }
        let versioned = Versioned {
            version: VERSION,
            revocations: self,
        };
        serde_json::to_vec(&versioned)
            .expect("text and numbers are always JSON")
            .into()
    }
}

/// Whether a token counts as issued before `instant`. One that does not tell does, always.
pub fn is_before(issued_at: Option<Timestamp>, instant: Timestamp) -> bool {
    issued_at.is_none_or(|issued_at| issued_at < instant)
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_issued_before_is_revoked_and_what_tells_no_time_is_too() {
        let mut revocations = UserRevocations::default();
        assert!(!revocations.is_revoked(None));

        revocations.revoke(at(5));
        revocations.revoke(at(3));

        assert!(revocations.is_revoked(Some(at(4))));
        assert!(!revocations.is_revoked(Some(at(5))));
        assert!(revocations.is_revoked(None));
    }

    #[test]
    fn a_token_of_the_second_of_a_revocation_may_be_newer() {
        let mut revocations = UserRevocations::default();
        revocations.revoke(Timestamp::from_millis(5_700));

        let may_be_newer = |millis| {
            let issued_at = Some(Timestamp::from_millis(millis));
            assert!(revocations.is_revoked(issued_at));
            revocations.may_be_newer(issued_at)
        };

        assert!(may_be_newer(5_000));
        assert!(!may_be_newer(4_000));
        assert!(!revocations.may_be_newer(None));
    }

    #[test]
    fn a_room_is_taken_from_older_tokens_until_all_of_them_are_revoked() {
        let mut revocations = UserRevocations::default();
        revocations.take(room("contact:1"), at(5)).unwrap();
        revocations.take(room("contact:2"), at(7)).unwrap();
        revocations.take(room("contact:1"), at(4)).unwrap();
        let taken = |revocations: &UserRevocations, issued_at| {
            let rooms = revocations.taken(issued_at);
            rooms
                .map(|(room, _)| room.name().to_owned())
                .collect::<Vec<_>>()
        };

        assert_eq!(taken(&revocations, Some(at(4))), ["contact:1", "contact:2"]);
        assert_eq!(taken(&revocations, Some(at(5))), ["contact:2"]);
        assert_eq!(taken(&revocations, None), ["contact:1", "contact:2"]);

        revocations.revoke(at(6));

        assert_eq!(taken(&revocations, None), ["contact:2"]);
        assert!(!revocations.is_revoked(Some(at(6))));
    }

    #[test]
    fn rooms_that_are_taken_have_a_limit() {
        let mut revocations = UserRevocations::default();
        for number in 0..ROOMS_TAKEN_MAX {
            let room = room(&format!("contact:{number}"));
            revocations.take(room, at(1)).unwrap();
        }

        let one_more = revocations.take(room("contact:more"), at(1));

        assert_eq!(one_more, Err(TooManyRoomsTaken));
        assert_eq!(revocations.take(room("contact:0"), at(2)), Ok(()));
    }

    #[test]
    fn revocations_read_back_from_their_bytes() {
        let mut revocations = UserRevocations::default();
        revocations.revoke(at(5));
        revocations.take(room("contact:1"), at(7)).unwrap();

        let bytes = revocations.to_bytes();

        assert_eq!(
            &*bytes,
            br#"{"version":1,"issuedBefore":"1970-01-01T00:00:00.005Z","rooms":{"contact:1":"1970-01-01T00:00:00.007Z"}}"#
        );
        assert_eq!(UserRevocations::from_bytes(&bytes).unwrap(), revocations);
        for other in ["", "{}", r#"{"version":2}"#] {
            assert!(
                UserRevocations::from_bytes(other.as_bytes()).is_err(),
                "{other}"
            );
        }
    }

    #[test]
    fn a_key_holds_the_id_of_a_user_and_a_hash_of_that_of_a_token() {
        let token: TokenId = "a\nb".parse().unwrap();

        assert_eq!(
            RevokedKey::user(&"7".parse().unwrap()).as_str(),
            "revoked:user:7"
        );
        assert_eq!(
            RevokedKey::token(&token).as_str(),
            "revoked:token:7e18f737311b2dc3b2f269dd78396b03"
        );
        assert!("".parse::<TokenId>().is_err());
        assert!("x".repeat(129).parse::<TokenId>().is_err());
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn room(name: &str) -> Room {
        name.parse().unwrap()
    }
}
