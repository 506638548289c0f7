use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// How many random bytes make an id: 120 bits, which is 20 characters.
const RANDOM_LEN: usize = 15;

/// Tools around Socket.IO (sticky routing, the Redis adapter) know an id by this length.
const TEXT_LEN: usize = 20;

/// Text that is not 20 characters of `A-Z`, `a-z`, `0-9`, `-` and `_`.
///
/// Says nothing about the text: it may be somebody's session id with a slip in it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("id is not 20 characters of the url-safe base64 alphabet")]
pub struct InvalidId;

/// The id of an Engine.IO session: the secret in the URLs of one client.
///
/// Who knows it can read and write in that client's name, so `Debug` does not reveal it.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SessionId([u8; TEXT_LEN]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({}..)", &self.as_str()[..4])
    }
}

/// The id of a Socket.IO socket: one client in one namespace. It is public.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SocketId([u8; TEXT_LEN]);

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({})", self.as_str())
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The secret with which a client recovers what it missed after a reconnect (`pid` on the wire).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RecoveryId([u8; TEXT_LEN]);

impl fmt::Debug for RecoveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecoveryId({}..)", &self.as_str()[..4])
    }
}

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Makes an id of bytes from a cryptographically secure source.
            pub fn from_random(bytes: [u8; RANDOM_LEN]) -> Self {
                let mut text = [0; TEXT_LEN];
                URL_SAFE_NO_PAD
                    .encode_slice(bytes, &mut text)
                    .expect("15 bytes are 20 characters of base64");
                Self(text)
            }

            /// The id as it appears on the wire.
            pub fn as_str(&self) -> &str {
                str::from_utf8(&self.0).expect("only ASCII is ever stored")
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let bytes: [u8; TEXT_LEN] = text.as_bytes().try_into().map_err(|_| InvalidId)?;
                if bytes.iter().all(|&byte| is_id_byte(byte)) {
                    Ok(Self(bytes))
                } else {
                    Err(InvalidId)
                }
            }
        }
    };
}

id!(SessionId);
id!(SocketId);
id!(RecoveryId);

fn is_id_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2017-16031: ids that could be guessed. All of the caller's randomness is in ours.
    #[test]
    fn an_id_is_twenty_url_safe_characters_of_its_random_bytes() {
        let id = SessionId::from_random([0xff; RANDOM_LEN]);

        assert_eq!(id.as_str(), "____________________");
        assert_eq!(id.as_str().parse(), Ok(id));
        assert_ne!(id, SessionId::from_random([0xfe; RANDOM_LEN]));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        for text in [
            "",
            "__proto__",
            "constructor",
            "short",
            "123456789012345678901",
            "1234567890123456789 ",
            "1234567890123456789+",
            "../../../../../../..",
        ] {
            assert_eq!(text.parse::<SessionId>(), Err(InvalidId), "{text}");
        }
    }

    #[test]
    fn debug_keeps_the_session_id_secret() {
        let id = SessionId::from_random([7; RANDOM_LEN]);

        assert!(!format!("{id:?}").contains(id.as_str()));
    }
}
