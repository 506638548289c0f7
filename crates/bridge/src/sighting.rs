//! Ids for what has none: Pub/Sub tells every node the same, and none of them how often.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use sha2::{Digest, Sha256};
use switchboard_event::{EventId, Timestamp};
use tokio::time::Instant;

/// What begins the ids of events that came over a bridge: they are not told back.
pub(crate) const BRIDGED: &str = "sio:";

/// Gives ids that two nodes give alike where they hear one message, so that one that takes over
/// repeats little.
///
/// **Never the same id for two messages.** An id is shared only by a message whose like was not heard
/// for [`QUIET`] by whoever listened for all that time, together with a number that changes every
/// [`SPAN`]: a like message that was shared before is further away than its number reaches. All
/// others have an id that nobody else gives: then a takeover may repeat them, and loses none.
#[derive(Debug)]
pub(crate) struct Sightings {
    mapping: String,
    /// Random, of this subscription.
    salt: u64,
    unique: u64,
    /// From when on everything was heard.
    since: Instant,
    last: HashMap<[u8; 16], Instant>,
    order: VecDeque<(Instant, [u8; 16])>,
}

impl Sightings {
    /// Of a subscription that begins now.
    pub(crate) fn new(mapping: String, salt: u64, now: Instant) -> Self {
        Self {
            mapping,
            salt,
            unique: 0,
            since: now,
            last: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// The id of a message that was heard now.
    pub(crate) fn id(&mut self, body: &[u8], now: Instant, at: Timestamp) -> EventId {
        let hash = hash(&[self.mapping.as_bytes(), body]);
        while let Some((seen, old)) = self.order.front().copied() {
            if now.duration_since(seen) < QUIET {
                break;
            }
            self.order.pop_front();
            if self.last.get(&old) == Some(&seen) {
                self.last.remove(&old);
            }
        }
        if self.order.len() >= SIGHTINGS_MAX {
            // What is not known to be quiet is not: as if we had just begun.
            self.since = now;
            self.order.clear();
            self.last.clear();
        }
        let is_quiet = self.last.insert(hash, now).is_none();
        self.order.push_back((now, hash));
        let number = if is_quiet && now.duration_since(self.since) >= QUIET {
            at.as_millis() / i64::try_from(SPAN.as_millis()).unwrap_or(i64::MAX)
        } else {
            self.unique += 1;
            let own = self::hash(&[&hash, &self.salt.to_be_bytes(), &self.unique.to_be_bytes()]);
            return id(&own);
        };
        id(&self::hash(&[&hash, &number.to_be_bytes()]))
    }
}

/// The id of an entry of a stream, the same wherever it is read.
pub(crate) fn of_entry(stream: &str, entry: &str) -> Option<EventId> {
    let hash = hash(&[stream.as_bytes()]);
    format!("{BRIDGED}{}-{entry}", hex(&hash[..4])).parse().ok()
}

fn id(hash: &[u8; 16]) -> EventId {
    format!("{BRIDGED}{}", hex(hash))
        .parse()
        .expect("hexadecimal digits are an id")
}

fn hash(parts: &[&[u8]]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut half = [0; 16];
    half.copy_from_slice(&hash.finalize()[..16]);
    half
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// How long a message's like must not have been heard for its id to be shared: more than two spans,
/// and whatever clocks differ by.
const QUIET: Duration = Duration::from_secs(90);
const SPAN: Duration = Duration::from_secs(30);
/// How many messages are remembered, some 8 MB.
const SIGHTINGS_MAX: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_nodes_give_one_id_to_what_is_heard_once_and_never_one_to_two_messages() {
        let start = Instant::now();
        let mut nodes = [1, 2].map(|salt| Sightings::new("m".to_owned(), salt, start));
        let mut hear = |after: u64, body: &[u8]| {
            let now = start + Duration::from_secs(after);
            let at = Timestamp::from_millis(i64::try_from(after).unwrap() * 1_000);
            nodes.each_mut().map(|node| node.id(body, now, at))
        };

        let [a, b] = hear(10, b"x");
        assert_ne!(a, b, "nobody has listened for long");
        let [a, b] = hear(95, b"y");
        assert_eq!(a, b);
        let mut all = vec![a];
        for after in [95, 96, 130, 190, 240] {
            let [a, b] = hear(after, b"y");
            assert_ne!(a, b, "{after}: heard before");
            all.extend([a, b]);
        }
        let [a, b] = hear(340, b"y");
        assert_eq!(a, b, "quiet for long enough");
        all.push(a);
        let [z, _] = hear(340, b"z");
        all.push(z);
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "two messages have one id");
        assert!(all.iter().all(|id| id.as_str().starts_with(BRIDGED)));
    }

    #[test]
    fn an_entry_of_a_stream_has_one_id() {
        let id = of_entry("socket.io", "1526919030474-55").unwrap();

        assert_eq!(Some(id.clone()), of_entry("socket.io", "1526919030474-55"));
        assert_ne!(Some(id.clone()), of_entry("other", "1526919030474-55"));
        assert!(id.as_str().ends_with("-1526919030474-55"));
    }
}
