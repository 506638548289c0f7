//! Who signs tokens, with keys that are nobody else's.

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use switchboard_metrics::Tally;
use switchboard_outbound::Client;

use super::jwks::{Found, KeySet};
use super::key::{InvalidKey, Key};
use super::key_server::{KeyServer, KeyServerConfig};
use super::token::{Claims, Unverified};
use super::{IssuerConfig, KeySource, Verification};
use crate::unauthorized::{InvalidToken, Unauthorized};

/// One issuer.
pub(super) struct Issuer {
    pub(super) config: IssuerConfig,
    keys: Keys,
}

/// What asking key servers takes.
pub(super) struct KeyServers {
    /// None if nobody has to be asked.
    pub(super) client: Option<Client>,
    pub(super) config: KeyServerConfig,
    pub(super) fetches: Arc<Tally>,
}

enum Keys {
    One(Key),
    Set(KeySet),
    Server(Arc<KeyServer>),
}

impl Issuer {
    /// Prepares its keys.
    pub(super) fn new(config: IssuerConfig, servers: &KeyServers) -> Result<Self, InvalidKey> {
        let verification = &config.verification;
        verification.check()?;
        let Verification { algorithms, keys } = verification;
        let keys = match keys {
            KeySource::Secret(secret) => Keys::One(Key::secret(secret, algorithms)?),
            KeySource::PublicKey(pem) => Keys::One(Key::public(pem, algorithms)?),
            KeySource::Jwks(text) => Keys::Set(KeySet::parse(text, algorithms)?),
            KeySource::JwksUrl(url) => Keys::Server(Arc::new(KeyServer::new(
                url.clone(),
                algorithms,
                servers.client.clone().expect("made if anybody is asked"),
                servers.config,
                Arc::clone(&servers.fetches),
            ))),
        };
        Ok(Self { config, keys })
    }

    /// Checks the signature with the key that the token needs, if it is one of this issuer's and for
    /// an algorithm that is configured.
    pub(super) async fn verify(&self, token: Unverified<'_>) -> Result<Claims, Unauthorized> {
        let algorithm = token.algorithm();
        if !self.config.verification.algorithms.contains(&algorithm) {
            return Err(Unauthorized::Invalid(InvalidToken::Algorithm));
        }
        match &self.keys {
            Keys::One(key) => token.verify(&key.key),
            Keys::Set(set) => {
                let key = the_key(set.find(token.key_id(), algorithm))?;
                token.verify(key)
            }
            Keys::Server(server) => {
                let mut keys = server.keys().await?;
                if matches!(keys.find(token.key_id(), algorithm), Found::Unknown) {
                    keys = server.newer_keys().await?;
                }
                let key = the_key(keys.find(token.key_id(), algorithm))?;
                token.verify(key)
            }
        }
    }

    /// Where its keys are asked for, if they are.
    pub(super) fn key_server(&self) -> Option<&Arc<KeyServer>> {
        match &self.keys {
            Keys::One(_) | Keys::Set(_) => None,
            Keys::Server(server) => Some(server),
        }
    }
}

fn the_key(found: Found<'_>) -> Result<&DecodingKey, Unauthorized> {
    Err(Unauthorized::Invalid(match found {
        Found::Key(key) => return Ok(key),
        Found::Unknown => InvalidToken::KeyUnknown,
        Found::Ambiguous => InvalidToken::KeyAmbiguous,
        Found::OtherAlgorithm => InvalidToken::Algorithm,
    }))
}
