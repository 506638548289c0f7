//! Who publishes: API keys, and the extractor that is the check.

use std::cmp::Ordering;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use aws_lc_rs::digest;
use axum::extract::{FromRef, FromRequestParts};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use switchboard_event::TenantId;
use tracing::error;

use crate::hex::{decode_hex, encode_hex};
use crate::ingest::Ingest;
use crate::problem::Problem;

/// Proof that a request came with a known API key. Made only by the check.
#[derive(Clone, Debug)]
pub struct Producer {
    name: String,
    reach: Reach,
}

/// Whose events a producer may publish.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reach {
    /// Those of one tenant, which its drafts need not name.
    Tenant(TenantId),
    /// Those of any tenant, which its drafts must name.
    Everyone,
}

/// SHA-256 of an API key: what is kept of it. Its equality takes the same time whatever differs.
#[derive(Clone, Copy)]
pub struct KeyHash([u8; KEY_HASH_LEN]);

/// One API key that is accepted.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// The producer's name, for the log.
    pub name: String,
    /// What is kept of the key.
    pub hash: KeyHash,
    /// Whose events it may publish.
    pub reach: Reach,
}

/// All API keys that are accepted.
#[derive(Clone, Debug, Default)]
pub struct ApiKeys(Vec<ApiKey>);

impl ApiKeys {
    /// The table of these keys.
    pub fn new(keys: Vec<ApiKey>) -> Self {
        Self(keys)
    }

    /// The producer of a key, in a time that depends on how many keys there are and nothing else.
    pub fn producer(&self, key: &str) -> Option<Producer> {
        let presented = KeyHash::of(key);
        let mut found = u64::MAX;
        for (index, known) in (0_u64..).zip(&self.0) {
            found.conditional_assign(&index, presented.ct_eq(&known.hash));
        }
        let known = self.0.get(usize::try_from(found).ok()?)?;
        Some(Producer {
            name: known.name.clone(),
            reach: known.reach.clone(),
        })
    }
}

impl Producer {
    /// The producer's name, as the settings have it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose events it may publish.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }
}

impl<S> FromRequestParts<S> for Producer
where
    Ingest: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let ingest = Ingest::from_ref(state);
        let client = parts.extensions.get().copied();
        let producer = ingest.producer_at(client, &parts.headers);
        if let Err(problem) = &producer {
            ingest.stats().answer(Err(problem));
        }
        producer
    }
}

impl Ingest {
    /// The producer whose API key a request bears: the check, for routes outside of this crate too.
    pub fn producer(&self, headers: &HeaderMap) -> Result<Producer, Problem> {
        self.producer_at(None, headers)
    }

    /// The same, for a log that says where the request came from.
    fn producer_at(
        &self,
        client: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Result<Producer, Problem> {
        let key = headers
            .get(AUTHORIZATION)
            .and_then(|value| bearer(value.as_bytes()));
        key.and_then(|key| self.keys().producer(key))
            .ok_or_else(|| {
                self.stats().refuse("unauthorized");
                let client = client.map(tracing::field::display);
                error!(client, code = "unauthorized", "refused a producer");
                Problem::unauthorized()
            })
    }
}

impl KeyHash {
    /// What is kept of `key`.
    pub fn of(key: &str) -> Self {
        let digest = digest::digest(&digest::SHA256, key.as_bytes());
        let mut hash = [0; KEY_HASH_LEN];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }

    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.ct_eq(other).into()
    }
}

impl Eq for KeyHash {}

/// For sets of hashes that are known. Not for the check of a key: its time tells of the bytes.
impl Ord for KeyHash {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for KeyHash {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// 64 hexadecimal digits, as `sha256sum` prints them.
impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut hash = [0; KEY_HASH_LEN];
        decode_hex(text.as_bytes(), &mut hash).ok_or_else(|| InvalidKeyHash {
            len: text.chars().count(),
        })?;
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(2 * KEY_HASH_LEN);
        encode_hex(&self.0, &mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// A text that is no SHA-256. It is not shown: it may be the key itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("is {len} characters long, must be 64 hexadecimal digits: the SHA-256 of the key")]
pub struct InvalidKeyHash {
    len: usize,
}

/// The token of a `Bearer` authorization.
fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = std::str::from_utf8(value).ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("Bearer") && !token.is_empty()).then_some(token)
}

const KEY_HASH_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_finds_its_own_producer_among_many() {
        let keys = ApiKeys::new(vec![
            key("first", "key-1", Reach::Everyone),
            key("second", "key-2", Reach::Tenant("acme".parse().unwrap())),
            key("third", "key-3", Reach::Everyone),
        ]);

        assert_eq!(keys.producer("key-1").unwrap().name(), "first");
        assert_eq!(keys.producer("key-2").unwrap().name(), "second");
        assert_eq!(keys.producer("key-3").unwrap().name(), "third");
        assert!(keys.producer("key-4").is_none());
        assert!(ApiKeys::default().producer("key-1").is_none());
    }

    #[test]
    fn a_key_hash_is_what_sha256sum_prints() {
        let text = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683";

        assert_eq!(KeyHash::of("key"), text.parse().unwrap());
        assert_eq!(KeyHash::of("key").to_string(), text);
        assert_ne!(KeyHash::of("key"), KeyHash::of("other"));
        assert!("2c70".parse::<KeyHash>().is_err());
        assert!("zz".repeat(32).parse::<KeyHash>().is_err());
    }

    #[test]
    fn only_a_bearer_authorization_holds_a_key() {
        assert_eq!(bearer(b"Bearer abc"), Some("abc"));
        assert_eq!(bearer(b"bearer  abc "), Some("abc"));
        assert_eq!(bearer(b"Basic abc"), None);
        assert_eq!(bearer(b"Bearer "), None);
        assert_eq!(bearer(b"abc"), None);
        assert_eq!(bearer(b"Bearer \xff"), None);
    }

    fn key(name: &str, key: &str, reach: Reach) -> ApiKey {
        ApiKey {
            name: name.to_owned(),
            hash: KeyHash::of(key),
            reach,
        }
    }
}
