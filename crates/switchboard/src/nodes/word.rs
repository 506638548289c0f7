use std::time::Duration;

use serde::{Deserialize, Serialize};
use switchboard_event::Timestamp;
use switchboard_journal::{Holder, Lease, LeaseName};

use super::name::NodeName;
use super::stats::Headcount;

/// What a node says of itself, as the value of its lease: JSON with short keys, because a value is
/// short. Nodes of a later version may say more.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
pub(super) struct Word {
    pub(super) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<NodeName>,
    #[serde(rename = "addr")]
    pub(super) address: String,
    #[serde(rename = "v")]
    pub(super) version: String,
    #[serde(rename = "up")]
    pub(super) started_at_ms: i64,
    #[serde(rename = "at")]
    pub(super) at_ms: i64,
    #[serde(rename = "n", with = "in_order")]
    pub(super) count: Headcount,
}

impl Word {
    /// Reads the value of a lease.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// The lease that says it.
    pub(super) fn lease(
        &self,
        name: &LeaseName,
        holder: Holder,
        now: Timestamp,
        lifetime: Duration,
    ) -> Lease {
        let value = serde_json::to_vec(self).expect("texts and numbers are JSON");
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        Lease {
            name: name.clone(),
            holder,
            value: value.into(),
            expires_at: Timestamp::from_millis(now.as_millis().saturating_add(lifetime)),
        }
    }
}

/// Counts as `[connected, rooms, users]`.
mod in_order {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    use super::Headcount;

    pub(super) fn serialize<S: Serializer>(
        count: &Headcount,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        [count.connected, count.rooms, count.users].serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Headcount, D::Error> {
        let [connected, rooms, users] = <[u32; 3]>::deserialize(deserializer)?;
        Ok(Headcount {
            connected,
            rooms,
            users,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_word_fits_into_a_lease() {
        let longest = word("x".repeat(40).parse().unwrap(), u32::MAX);

        let value = serde_json::to_vec(&longest).unwrap();

        assert!(value.len() <= Lease::VALUE_LEN_MAX, "{}", value.len());
        assert_eq!(Word::read(&value), Some(longest));
    }

    #[test]
    fn what_is_no_word_is_not_read() {
        for value in [
            "",
            "{}",
            "[1]",
            r#"{"id":"a","addr":"b","v":"1","up":1,"at":2,"n":[1,2]}"#,
            r#"{"id":"a","addr":"b","v":"1","up":1,"at":2,"n":[1,2,-3]}"#,
            r#"{"id":"a","name":"two words","addr":"b","v":"1","up":1,"at":2,"n":[1,2,3]}"#,
        ] {
            assert_eq!(Word::read(value.as_bytes()), None, "{value}");
        }
        let more = r#"{"id":"a","addr":"b","v":"1","up":1,"at":2,"n":[1,2,3],"zone":"x"}"#;
        assert!(Word::read(more.as_bytes()).is_some());
    }

    fn word(name: NodeName, count: u32) -> Word {
        Word {
            id: "0123abcd".to_owned(),
            name: Some(name),
            address: "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535".to_owned(),
            version: "100.100.100-rc.10".to_owned(),
            started_at_ms: 9_999_999_999_999,
            at_ms: 9_999_999_999_999,
            count: Headcount {
                connected: count,
                rooms: count,
                users: count,
            },
        }
    }
}
