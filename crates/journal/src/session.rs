//! What is kept of a client, so that it can come back.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use switchboard_event::{Offset, Position, Room, TenantId, Timestamp, UserId};

use crate::SessionError;

/// What names a session and lets its client take it up again: Socket.IO's secret `pid`.
///
/// Holds the SHA-256 of the text only, here as in every store: who reads a copied database, or
/// this process's memory, cannot come back as somebody else. The text has to be random, as a
/// hash without salt protects nothing that can be guessed.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionKey([u8; 32]);

impl SessionKey {
    /// How long the text is, in characters.
    pub const TEXT_LEN: usize = 20;

    /// What stores keep.
    pub fn digest(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Reads the text: exactly 20 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`.
impl FromStr for SessionKey {
    type Err = InvalidSessionKey;

    fn from_str(text: &str) -> Result<Self, InvalidSessionKey> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.len() != Self::TEXT_LEN || !text.bytes().all(is_allowed) {
            return Err(InvalidSessionKey);
        }
        Ok(Self(Sha256::digest(text).into()))
    }
}

impl fmt::Debug for SessionKey {
    /// Shows nothing: not even the hash belongs in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

/// A text that names no session. Does not show it: it may be a secret mistyped.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("session key is not 20 letters, digits, `-` or `_`")]
pub struct InvalidSessionKey;

/// Which of the connections that shared a session's key: the highest one owns it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Generation(u64);

impl Generation {
    /// That of a session which was never claimed.
    pub const FIRST: Self = Self(1);

    /// A generation as a store counted it. Other code takes [`FIRST`](Self::FIRST) or claims.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as a store keeps it.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// That of the connection which takes over from this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What is kept of a client so that it can come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredSession {
    /// The public id of its Socket.IO socket, which it keeps.
    pub socket_id: Box<str>,
    /// Whose client it is; also says the partition of its line.
    pub tenant: TenantId,
    /// Which person's.
    pub user: UserId,
    /// Where its line began. Nothing before belongs to it, whatever offset a client claims.
    pub start: Position,
    /// What it hears: at most [`ROOMS_MAX`](Self::ROOMS_MAX).
    pub rooms: Vec<StoredRoom>,
}

impl StoredSession {
    /// The most rooms of one session.
    pub const ROOMS_MAX: usize = 10_000;

    /// Whether it may be stored.
    pub fn check(&self) -> Result<(), SessionError> {
        let (count, count_max) = (self.rooms.len(), Self::ROOMS_MAX);
        if count > count_max {
            return Err(SessionError::TooManyRooms { count, count_max });
        }
        Ok(())
    }
}

/// A room of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoredRoom {
    /// Which one, of the session's tenant.
    pub room: Room,
    /// The offset from which on the session hears it live: what lies beyond is its own.
    pub from: Offset,
}

/// A session that was taken over.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claimed {
    /// What was last saved.
    pub session: StoredSession,
    /// What its new owner shows from now on.
    pub generation: Generation,
}

/// Who owns a stored session, and until when: the one place where owners are fenced off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Tenure {
    pub(crate) generation: Generation,
    pub(crate) expires_at: Timestamp,
}

impl Tenure {
    /// Whether the session counts as unknown.
    pub(crate) fn is_over(self, now: Timestamp) -> bool {
        self.expires_at <= now
    }

    /// Whether an owner of that generation has lost the session to a later one.
    pub(crate) fn supersedes(self, generation: Generation) -> bool {
        self.generation > generation
    }

    /// The tenure of whoever claims the session now. Never shorter than what was left of it.
    pub(crate) fn claimed(self, expires_at: Timestamp) -> Self {
        Self {
            generation: self.generation.next(),
            expires_at: self.expires_at.max(expires_at),
        }
    }

    /// The same owner's, longer.
    pub(crate) fn touched(self, expires_at: Timestamp) -> Self {
        Self {
            expires_at: self.expires_at.max(expires_at),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_20_characters_that_are_safe_in_a_url() {
        let key: SessionKey = "YHcX2sdAF1z452-HAAAW".parse().unwrap();

        assert_eq!(key, "YHcX2sdAF1z452-HAAAW".parse().unwrap());
        assert_ne!(key, "YHcX2sdAF1z452_HAAAW".parse().unwrap());
        for text in [
            "",
            "YHcX2sdAF1z452-HAAA",
            "YHcX2sdAF1z452-HAAAWW",
            "YHcX2sdAF1z452+HAAAW",
            "YHcX2sdAF1z452 HAAAW",
            "YHcX2sdAF1z452-HAA\u{e9}",
        ] {
            assert_eq!(text.parse::<SessionKey>(), Err(InvalidSessionKey));
        }
    }

    #[test]
    fn a_key_holds_a_hash_and_shows_nothing() {
        let key: SessionKey = "aaaaaaaaaaaaaaaaaaaa".parse().unwrap();

        // Changing the hash makes every stored session unreachable.
        assert_eq!(key.digest()[..4], [0x42, 0x49, 0x2d, 0xa0]);
        assert_eq!(format!("{key:?}"), "SessionKey(..)");
    }

    #[test]
    fn a_claim_never_shortens_a_life() {
        let [early, late] = [1_000, 2_000].map(Timestamp::from_millis);
        let tenure = Tenure {
            generation: Generation::FIRST,
            expires_at: late,
        };

        let claimed = tenure.claimed(early);

        assert_eq!(claimed.expires_at, late);
        assert!(claimed.supersedes(Generation::FIRST));
        assert!(!claimed.supersedes(claimed.generation));
        assert!(claimed.is_over(late) && !claimed.is_over(early));
    }
}
