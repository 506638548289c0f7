//! Sets of public keys (RFC 7517).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::algorithm::{Algorithm, KeyKind};
use super::key::{Key, P256_LEN, P384_LEN};
use super::token::KEY_ID_LEN_MAX;

/// The keys of one issuer. A key never leaves the set that it came in, so a `kid` means nothing
/// beyond its issuer.
pub(crate) struct KeySet {
    keys: Box<[NamedKey]>,
    /// How many were left out, because nothing that is configured could use them.
    pub(crate) ignored: usize,
}

/// A key of a set.
struct NamedKey {
    id: Option<Box<str>>,
    /// The one algorithm that it is for, if it says so.
    only: Option<Algorithm>,
    key: Key,
}

/// Which key of a set a token needs.
#[derive(Clone, Copy)]
pub(crate) enum Found<'a> {
    /// This one.
    Key(&'a DecodingKey),
    /// None that is there: perhaps one that is newer.
    Unknown,
    /// It does not say which, and more than one could be meant.
    Ambiguous,
    /// The one that it names is for another algorithm.
    OtherAlgorithm,
}

/// The text is no set of keys that can be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwks {
    /// Not JSON, or no list of keys.
    #[error("no JWK set: {0}")]
    Malformed(String),
    /// More keys than anybody has.
    #[error("a JWK set of {count} keys, at most {count_max} are taken")]
    TooMany {
        /// So many are there.
        count: usize,
        /// The limit.
        count_max: usize,
    },
    /// Nothing in it can verify anything that is configured.
    #[error("a JWK set of {count} keys, none of which the algorithms can use")]
    NoneUsable {
        /// So many are there.
        count: usize,
    },
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
}

impl KeySet {
    /// The most keys of one set.
    pub(crate) const KEYS_MAX: usize = 64;

    /// Reads a set, and leaves out what none of `algorithms` can use.
    pub(crate) fn parse(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, InvalidJwks> {
        let set: Jwks = serde_json::from_slice(text)
            .map_err(|error| InvalidJwks::Malformed(error.to_string()))?;
        let count = set.keys.len();
        if count > Self::KEYS_MAX {
            return Err(InvalidJwks::TooMany {
                count,
                count_max: Self::KEYS_MAX,
            });
        }
        let read = |value| NamedKey::read(serde_json::from_value(value).ok()?, algorithms);
        let keys: Box<[_]> = set.keys.into_iter().filter_map(read).collect();
        if keys.is_empty() {
            return Err(InvalidJwks::NoneUsable { count });
        }
        Ok(Self {
            ignored: count - keys.len(),
            keys,
        })
    }

    /// The key for a token that names `id` and is signed by `algorithm`.
    pub(crate) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Found<'_> {
        let mut named = self
            .keys
            .iter()
            .filter(|key| id.is_none() || key.id.as_deref() == id)
            .peekable();
        if named.peek().is_none() {
            return Found::Unknown;
        }
        let mut fitting = named.filter(|key| key.verifies(algorithm));
        match (fitting.next(), fitting.next(), id) {
            (None, _, _) => Found::OtherAlgorithm,
            (Some(_), Some(_), None) => Found::Ambiguous,
            (Some(key), _, _) => Found::Key(&key.key.key),
        }
    }

    /// How many keys it has.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl NamedKey {
    /// None if nothing that is configured can, or should, use it.
    fn read(jwk: Jwk, algorithms: &[Algorithm]) -> Option<Self> {
        let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk
                .key_ops
                .as_ref()
                .is_none_or(|uses| uses.iter().any(|one| one == "verify"));
        // A private key that was published is everybody's.
        if !is_for_signatures || jwk.d.is_some() {
            return None;
        }
        if jwk.kid.as_ref().is_some_and(|id| id.len() > KEY_ID_LEN_MAX) {
            return None;
        }
        let only = match &jwk.alg {
            None => None,
            Some(name) => Some(name.parse().ok()?),
        };
        let named = Self {
            only,
            key: Key::read(&jwk)?,
            id: jwk.kid.map(String::into_boxed_str),
        };
        let mut usable = algorithms.iter();
        usable.any(|one| named.verifies(*one)).then_some(named)
    }

    fn verifies(&self, algorithm: Algorithm) -> bool {
        self.only.is_none_or(|only| only == algorithm) && self.key.verifies(algorithm)
    }
}

impl Key {
    fn read(jwk: &Jwk) -> Option<Self> {
        let decode = |part: &Option<String>| BASE64_URL_SAFE_NO_PAD.decode(part.as_ref()?).ok();
        let point = |len: usize| {
            let point = [vec![UNCOMPRESSED], decode(&jwk.x)?, decode(&jwk.y)?].concat();
            (point.len() == len).then(|| DecodingKey::from_ec_der(&point))
        };
        let (kind, key) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
            ("RSA", _) => {
                let (modulus, exponent) = (decode(&jwk.n)?, decode(&jwk.e)?);
                let is_usable =
                    RSA_LENS.contains(&modulus.len()) && exponent.len() <= EXPONENT_LEN_MAX;
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                (KeyKind::Rsa, is_usable.then_some(key)?)
            }
            ("EC", Some("P-256")) => (KeyKind::P256, point(P256_LEN)?),
            ("EC", Some("P-384")) => (KeyKind::P384, point(P384_LEN)?),
            ("OKP", Some("Ed25519")) => {
                let point = decode(&jwk.x).filter(|point| point.len() == ED25519_LEN)?;
                (KeyKind::Ed25519, DecodingKey::from_ed_der(&point))
            }
            // Secrets (`oct`) have no business in a set of public keys.
            _ => return None,
        };
        Some(Self { kind, key })
    }
}

/// How a point begins that has both coordinates.
const UNCOMPRESSED: u8 = 4;
const ED25519_LEN: usize = 32;
/// 2048 to 8192 bits: what is safe, and what does not take long to verify.
const RSA_LENS: std::ops::RangeInclusive<usize> = 256..=1024;
/// 65537 takes three.
const EXPONENT_LEN_MAX: usize = 4;
