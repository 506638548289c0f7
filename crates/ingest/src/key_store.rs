//! API keys that were made while the server ran: in the journal, under state keys of the tenant
//! that is nobody's, so that every node knows them.
//!
//! All keys are one value, because they are few, are read whole and change rarely: its version is
//! what a change expects, so that no two nodes undo each other's. When each was used last is a value
//! of its own, as that changes often and does not matter much.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use switchboard_event::{TenantId, Timestamp};
use switchboard_journal::{
    AppendError, Batch, Change, Expect, Journal, Key, ReadError, VALUES_MAX, Version,
};
use tracing::warn;

use crate::api_key::{ApiKey, KeyHash, KeyId};
use crate::keys::{Keys, Known};
use crate::outcome::Unavailable;
use crate::producer::Reach;
use crate::scope::Scopes;

/// The stored keys as of one version; none while there never was one.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoredKeys {
    pub(crate) version: Option<Version>,
    pub(crate) keys: Vec<StoredKey>,
}

/// One of them. What is stored of it is its JSON.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StoredKey {
    pub(crate) name: String,
    pub(crate) sha256: KeyHash,
    /// `*` for all tenants.
    pub(crate) tenant: String,
    pub(crate) scopes: Scopes,
    /// In milliseconds since 1970.
    pub(crate) created_at: i64,
}

/// Why the stored keys did not change, or cannot be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyStoreError {
    #[error("there are {KEYS_MAX} API keys already")]
    TooMany,
    #[error("there is no such API key")]
    Unknown,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    #[error("{0}")]
    Read(#[from] ReadError),
    /// Another version of this program wrote them, or somebody else.
    #[error("the stored API keys cannot be read: {0}")]
    Unreadable(serde_json::Error),
}

/// The keys in the journal.
pub(crate) struct KeyStore<'a> {
    pub(crate) journal: &'a dyn Journal,
    pub(crate) keys: &'a Keys,
}

impl KeyStore<'_> {
    /// Reads what is stored, and lets it be in force here.
    pub(crate) async fn refresh(&self, now: Timestamp) -> Result<(), KeyStoreError> {
        let stored = self.read(now).await?;
        self.keys.learn(stored);
        Ok(())
    }

    /// Adds a key, durable and in force here when this returns.
    pub(crate) async fn add(&self, key: StoredKey, now: Timestamp) -> Result<(), KeyStoreError> {
        self.change(now, |keys| {
            if keys.len() >= KEYS_MAX {
                return Err(KeyStoreError::TooMany);
            }
            keys.push(key.clone());
            Ok(())
        })
        .await
    }

    /// Takes a key away, durable and in force here when this returns.
    pub(crate) async fn remove(&self, id: KeyId, now: Timestamp) -> Result<(), KeyStoreError> {
        self.change(now, |keys| {
            let before = keys.len();
            keys.retain(|key| key.sha256.id() != id);
            if keys.len() == before {
                return Err(KeyStoreError::Unknown);
            }
            Ok(())
        })
        .await
    }

    /// When each of these keys was used last, on whichever node.
    pub(crate) async fn used(
        &self,
        known: &[Known],
        now: Timestamp,
    ) -> Result<Vec<Option<Timestamp>>, KeyStoreError> {
        let mut used = Vec::with_capacity(known.len());
        for chunk in known.chunks(VALUES_MAX) {
            let keys: Vec<_> = chunk.iter().map(|known| used_key(known.id)).collect();
            let values = self.journal.values(&TenantId::system(), &keys, now).await?;
            for (known, value) in chunk.iter().zip(values) {
                let text = value
                    .as_ref()
                    .and_then(|value| str::from_utf8(&value.bytes).ok());
                let written = text.and_then(|text| text.parse().ok());
                let written = written.map(Timestamp::from_millis);
                used.push(written.max(known.used.last()));
            }
        }
        Ok(used)
    }

    /// Writes down when keys were used since this was last done.
    pub(crate) async fn write_used(&self, now: Timestamp) -> Result<(), KeyStoreError> {
        let known = self.keys.all();
        let unwritten = known
            .iter()
            .filter_map(|known| Some((known, known.used.unwritten()?)));
        let unwritten: Vec<_> = unwritten.collect();
        for chunk in unwritten.chunks(Batch::CHANGES_MAX) {
            let change = |(known, last): &(&Known, Timestamp)| Change {
                key: used_key(known.id),
                expect: Expect::Anything,
                value: Some(last.as_millis().to_string().into()),
                expires_at: now.checked_add(USED_TTL),
                event: None,
            };
            self.append(chunk.iter().map(change).collect(), now)
                .await
                .map_err(|error| unavailable(&error))?;
            for (known, last) in chunk {
                known.used.write(*last);
            }
        }
        Ok(())
    }

    async fn read(&self, now: Timestamp) -> Result<StoredKeys, KeyStoreError> {
        let values = self
            .journal
            .values(&TenantId::system(), &[keys_key()], now)
            .await?;
        let Some(value) = values.into_iter().flatten().next() else {
            return Ok(StoredKeys::default());
        };
        let keys = serde_json::from_slice(&value.bytes).map_err(KeyStoreError::Unreadable)?;
        Ok(StoredKeys {
            version: Some(value.version),
            keys,
        })
    }

    /// Changes what is stored in one step, whoever else does so at the same time.
    async fn change(
        &self,
        now: Timestamp,
        mut edit: impl FnMut(&mut Vec<StoredKey>) -> Result<(), KeyStoreError>,
    ) -> Result<(), KeyStoreError> {
        for _ in 0..ATTEMPTS_MAX {
            let StoredKeys { version, mut keys } = self.read(now).await?;
            edit(&mut keys)?;
            let json = serde_json::to_vec(&keys).expect("keys have text fields");
            let change = Change {
                key: keys_key(),
                expect: version.map_or(Expect::Absent, Expect::Version),
                value: Some(Bytes::from(json)),
                expires_at: None,
                event: None,
            };
            match self.append(vec![change], now).await {
                Ok(()) => return self.refresh(now).await,
                Err(AppendError::Conflict { .. }) => {}
                Err(error) => return Err(unavailable(&error).into()),
            }
        }
        Err(Unavailable::Overloaded.into())
    }

    async fn append(&self, changes: Vec<Change>, now: Timestamp) -> Result<(), AppendError> {
        let tenant = TenantId::system();
        let partition = self.journal.partitions().of(&tenant);
        let batch = Batch::new(partition, tenant, Vec::new(), changes)
            .expect("few and short changes of one tenant are a batch");
        self.journal.append(batch, now).await.map(drop)
    }
}

impl StoredKey {
    /// The key as it is accepted, and when it was made.
    pub(crate) fn api_key(&self) -> (ApiKey, Timestamp) {
        let tenant = TenantId::from_stored(&self.tenant);
        let key = ApiKey {
            name: self.name.clone(),
            hash: self.sha256,
            // A tenant that is none was written by somebody else: then nobody hears of it.
            reach: Reach::of(tenant.unwrap_or_else(|_| TenantId::system())),
            scopes: self.scopes.clone(),
        };
        (key, Timestamp::from_millis(self.created_at))
    }
}

fn unavailable(error: &AppendError) -> Unavailable {
    warn!(%error, "API keys could not be written");
    match error {
        AppendError::Overloaded => Unavailable::Overloaded,
        AppendError::Closed => Unavailable::Closed,
        _ => Unavailable::Failing,
    }
}

fn keys_key() -> Key {
    "producers".parse().expect("a short word is a key")
}

fn used_key(id: KeyId) -> Key {
    let key = format!("producer-used:{id}");
    key.parse().expect("a short text is a key")
}

/// The most keys that are stored.
pub(crate) const KEYS_MAX: usize = 1_000;
/// How often a change is tried while others change the same.
const ATTEMPTS_MAX: usize = 8;
/// For how long it is known when a key was used.
const USED_TTL: Duration = Duration::from_hours(400 * 24);
