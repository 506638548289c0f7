//! Identifiers: opaque text that is safe in room names, keys and logs' structure.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// The longest identifier, in bytes.
pub const ID_LEN_MAX: usize = 128;

/// Why a text is not an identifier.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Nothing, or more than [`ID_LEN_MAX`] bytes.
    #[error("id is {len} bytes, allowed are 1 to {ID_LEN_MAX}")]
    Length {
        /// How long it was.
        len: usize,
    },
    /// White space or a control character.
    #[error("id has white space or a control character at byte {offset}")]
    Character {
        /// Where it was.
        offset: usize,
    },
    /// `*`, which means every tenant and is nobody's name.
    #[error("`*` is no tenant's id")]
    Everyone,
    /// It begins with `*`, as the names of tenants do that are nobody's.
    #[error("an id that begins with `*` is no tenant's")]
    Reserved,
}

/// Checks the one rule of all identifiers.
fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() || text.len() > ID_LEN_MAX {
        return Err(InvalidId::Length { len: text.len() });
    }
    let refused = |character: char| character.is_whitespace() || character.is_control();
    match text.find(refused) {
        Some(offset) => Err(InvalidId::Character { offset }),
        None => Ok(()),
    }
}

macro_rules! ids {
    ($($(#[$docs:meta])* $name:ident by $check:path;)+) => {$(
        $(#[$docs])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it appears on the wire.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = text_or_integer(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

ids! {
    /// Names a contact, an account, a message, a campaign, a flow.
    ///
    /// 1 to 128 bytes without white space or control characters. Integers in JSON are taken as
    /// their text, because many databases number their rows.
    Id by check;
    /// Names a person who works in the CRM. The same rule as [`Id`].
    UserId by check;
    /// Names an event within its tenant; the same id is the same event. The same rule as [`Id`].
    EventId by check;
    /// Names a customer account, the border that nothing crosses. The same rule as [`Id`], and
    /// no `*` in the beginning.
    TenantId by check_tenant;
}

fn check_tenant(text: &str) -> Result<(), InvalidId> {
    if text == EVERYONE {
        return Err(InvalidId::Everyone);
    }
    if text.starts_with(EVERYONE) {
        return Err(InvalidId::Reserved);
    }
    check(text)
}

impl TenantId {
    /// The tenant of a record that every tenant hears.
    pub fn everyone() -> Self {
        Self(EVERYONE.into())
    }

    /// The tenant of what the program keeps for itself in the journal. No client, producer or
    /// webhook can be of it: its name is none that can be parsed.
    pub fn system() -> Self {
        Self(SYSTEM.into())
    }

    /// Reads what [`as_str`](Self::as_str) gave, `*` included.
    ///
    /// For stores that read back. Never for what comes from outside: that goes through `FromStr`.
    pub fn from_stored(text: &str) -> Result<Self, InvalidId> {
        check(text)?;
        Ok(Self(text.into()))
    }

    /// Whether this is [`everyone`](Self::everyone).
    pub fn is_everyone(&self) -> bool {
        &*self.0 == EVERYONE
    }
}

impl EventId {
    /// The id that the event's [tombstone](crate::Event::tombstone) has: a hash, because ids of
    /// webhooks hold a phone number. What hashes to the same is the same event.
    #[must_use]
    pub fn of_tombstone(&self, tenant: &TenantId) -> Self {
        let hash = Sha256::new()
            .chain_update(tenant.as_str())
            .chain_update([0])
            .chain_update(self.as_str())
            .finalize();
        let mut text = String::from(TOMBSTONE);
        for byte in &hash[..16] {
            // A string takes everything.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }
}

impl From<UserId> for Id {
    fn from(user: UserId) -> Self {
        Self(user.0)
    }
}

impl From<Id> for UserId {
    fn from(id: Id) -> Self {
        Self(id.0)
    }
}

/// Reads JSON text, or an integer as its text.
pub(crate) fn text_or_integer<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<String, D::Error> {
    deserializer.deserialize_any(TextOrInteger)
}

struct TextOrInteger;

impl de::Visitor<'_> for TextOrInteger {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an id: text or an integer")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// What the ids of tombstones begin with.
const TOMBSTONE: &str = "erased:";
const EVERYONE: &str = "*";
const SYSTEM: &str = "*system";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_opaque_text_of_1_to_128_bytes() {
        for text in [
            "a",
            "42",
            "wamid.HBgL",
            "uuid:4/5",
            "\u{e9}",
            &"x".repeat(128),
        ] {
            assert_eq!(text.parse::<Id>().unwrap().as_str(), text);
        }
        for len in [0, 129] {
            assert_eq!(
                "x".repeat(len).parse::<Id>(),
                Err(InvalidId::Length { len })
            );
        }
    }

    #[test]
    fn ids_have_no_white_space_and_no_control_characters() {
        for text in [
            "a b",
            "a\tb",
            "a\nb",
            "a\0b",
            "a\u{a0}b",
            "a\u{2003}b",
            "a\u{7f}b",
            "a\u{85}b",
        ] {
            let expected = Err(InvalidId::Character { offset: 1 });
            assert_eq!(text.parse::<UserId>(), expected, "{text:?}");
        }
    }

    #[test]
    fn integers_in_json_are_taken_as_their_text() {
        assert_eq!(serde_json::from_str::<Id>("42").unwrap().as_str(), "42");
        assert_eq!(serde_json::from_str::<Id>("-7").unwrap().as_str(), "-7");
        assert_eq!(serde_json::from_str::<Id>("\"a\"").unwrap().as_str(), "a");
        for json in ["1.5", "true", "null", "{}", "[]", "\"\""] {
            assert!(serde_json::from_str::<Id>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn no_tenant_is_called_everyone() {
        assert_eq!("*".parse::<TenantId>(), Err(InvalidId::Everyone));
        assert!(serde_json::from_str::<TenantId>("\"*\"").is_err());
        assert!(TenantId::from_stored("*").unwrap().is_everyone());
        assert_eq!("*system".parse::<TenantId>(), Err(InvalidId::Reserved));
        let system = TenantId::system();
        assert_eq!(TenantId::from_stored(system.as_str()), Ok(system));
        assert!(!TenantId::from_stored("acme").unwrap().is_everyone());
    }
}
