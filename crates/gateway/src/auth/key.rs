//! Keys that verify, each of one kind.

use jsonwebtoken::DecodingKey;

use super::algorithm::{Algorithm, KeyKind};
use super::jwks::{InvalidJwks, KeySet};
use super::{KeySource, Verification};

/// A key, and what it may verify.
pub(crate) struct Key {
    pub(crate) kind: KeyKind,
    pub(crate) key: DecodingKey,
}

/// The key does not fit the algorithms.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// No algorithm is named.
    #[error("no algorithm is named")]
    NoAlgorithm,
    /// The algorithm is verified with another kind of key.
    #[error("{algorithm} needs {needed}")]
    Kind {
        /// The algorithm that it cannot verify.
        algorithm: Algorithm,
        /// What could.
        needed: KeyKind,
    },
    /// The secret is easier to guess than the hash.
    #[error("is {len} bytes long, must be at least {len_min}")]
    SecretTooShort {
        /// Its length.
        len: usize,
        /// What the algorithm asks for.
        len_min: usize,
    },
    /// Nothing that can be read.
    #[error("is not {0} in PEM")]
    Unreadable(KeyKind),
    /// Whoever reads the settings could sign.
    #[error("is a private key, must be the public one")]
    Private,
    /// Nobody verifies with it any more.
    #[error("is an RSA key of less than 2048 bits")]
    RsaTooShort,
    /// The set of keys cannot be used.
    #[error("is {0}")]
    Jwks(#[from] InvalidJwks),
}

impl Verification {
    /// Whether the keys can verify the algorithms. A key server is not asked.
    ///
    /// # Errors
    ///
    /// [`InvalidKey`], as a predicate of the key: "is a private key, ...".
    pub fn check(&self) -> Result<(), InvalidKey> {
        match &self.keys {
            KeySource::Secret(secret) => Key::secret(secret, &self.algorithms).map(drop),
            KeySource::PublicKey(pem) => Key::public(pem, &self.algorithms).map(drop),
            KeySource::Jwks(text) => {
                self.check_public()?;
                Ok(KeySet::parse(text, &self.algorithms).map(drop)?)
            }
            KeySource::JwksUrl(_) => self.check_public(),
        }
    }

    /// A set of keys is public, so there must be no secret in it.
    fn check_public(&self) -> Result<(), InvalidKey> {
        let is_secret = |algorithm: &&Algorithm| algorithm.key_kind() == KeyKind::Secret;
        match self.algorithms.iter().find(is_secret) {
            _ if self.algorithms.is_empty() => Err(InvalidKey::NoAlgorithm),
            None => Ok(()),
            Some(algorithm) => Err(InvalidKey::Kind {
                algorithm: *algorithm,
                needed: KeyKind::Secret,
            }),
        }
    }
}

impl Key {
    /// A shared secret.
    pub(crate) fn secret(secret: &[u8], algorithms: &[Algorithm]) -> Result<Self, InvalidKey> {
        all_of(KeyKind::Secret, algorithms)?;
        let len_min = algorithms
            .iter()
            .map(|algorithm| algorithm.secret_len_min());
        let len_min = len_min.max().unwrap_or_default();
        if secret.len() < len_min {
            return Err(InvalidKey::SecretTooShort {
                len: secret.len(),
                len_min,
            });
        }
        Ok(Self {
            kind: KeyKind::Secret,
            key: DecodingKey::from_secret(secret),
        })
    }

    /// A public key in PEM, of the kind that the algorithms need.
    pub(crate) fn public(pem: &[u8], algorithms: &[Algorithm]) -> Result<Self, InvalidKey> {
        let kind = algorithms
            .first()
            .ok_or(InvalidKey::NoAlgorithm)?
            .key_kind();
        all_of(kind, algorithms)?;
        let read = match kind {
            KeyKind::Secret => {
                return Err(InvalidKey::Kind {
                    algorithm: algorithms[0],
                    needed: kind,
                });
            }
            KeyKind::Rsa => DecodingKey::from_rsa_pem(pem),
            KeyKind::P256 | KeyKind::P384 => DecodingKey::from_ec_pem(pem),
            KeyKind::Ed25519 => DecodingKey::from_ed_pem(pem),
        };
        if String::from_utf8_lossy(pem).contains("PRIVATE KEY") {
            return Err(InvalidKey::Private);
        }
        let key = read.map_err(|_| InvalidKey::Unreadable(kind))?;
        let len = key.try_get_as_bytes().map_or(0, <[u8]>::len);
        match kind {
            KeyKind::Rsa if len < RSA_DER_LEN_MIN => Err(InvalidKey::RsaTooShort),
            KeyKind::P256 if len != P256_LEN => Err(InvalidKey::Unreadable(kind)),
            KeyKind::P384 if len != P384_LEN => Err(InvalidKey::Unreadable(kind)),
            _ => Ok(Self { kind, key }),
        }
    }

    /// Whether it can verify `algorithm`.
    pub(crate) fn verifies(&self, algorithm: Algorithm) -> bool {
        algorithm.key_kind() == self.kind
    }
}

fn all_of(kind: KeyKind, algorithms: &[Algorithm]) -> Result<(), InvalidKey> {
    if algorithms.is_empty() {
        return Err(InvalidKey::NoAlgorithm);
    }
    match algorithms.iter().find(|one| one.key_kind() != kind) {
        None => Ok(()),
        Some(other) => Err(InvalidKey::Kind {
            algorithm: *other,
            needed: other.key_kind(),
        }),
    }
}

/// An uncompressed point: a byte, and two coordinates.
pub(crate) const P256_LEN: usize = 1 + 2 * 32;
pub(crate) const P384_LEN: usize = 1 + 2 * 48;
/// A modulus of 2048 bits alone takes 256 bytes; one of 2040 takes less than this with its frame.
const RSA_DER_LEN_MIN: usize = 268;
