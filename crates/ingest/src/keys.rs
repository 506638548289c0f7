//! All API keys that are accepted now: those of the settings and those that are stored.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::{Mutex, RwLock};
use subtle::ConditionallySelectable as _;
use switchboard_event::Timestamp;

use crate::api_key::{ApiKey, KeyId};
use crate::key_store::{StoredKey, StoredKeys};
use crate::producer::Producer;

/// All API keys that are accepted now. Each request looks at one table, which is replaced whole.
#[derive(Debug)]
pub(crate) struct Keys {
    sources: Mutex<Sources>,
    table: RwLock<Arc<Vec<Known>>>,
}

#[derive(Debug)]
struct Sources {
    configured: Vec<ApiKey>,
    stored: StoredKeys,
}

/// A key and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: KeyId,
    pub(crate) key: ApiKey,
    /// When it was made; none if it is of the settings.
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) used: Arc<Used>,
}

/// When a key was used last, as far as this node knows, in milliseconds; 0 if never.
#[derive(Debug, Default)]
pub(crate) struct Used {
    last: AtomicI64,
    /// What of it is in the journal.
    written: AtomicI64,
}

impl Keys {
    pub(crate) fn new(configured: Vec<ApiKey>) -> Self {
        let keys = Self {
            sources: Mutex::new(Sources {
                configured: Vec::new(),
                stored: StoredKeys::default(),
            }),
            table: RwLock::default(),
        };
        keys.configure(configured);
        keys
    }

    /// Takes other keys from the settings.
    pub(crate) fn configure(&self, configured: Vec<ApiKey>) {
        let mut sources = self.sources.lock();
        sources.configured = configured;
        self.rebuild(&sources);
    }

    /// Takes what is stored, unless something later is known already.
    pub(crate) fn learn(&self, stored: StoredKeys) {
        let mut sources = self.sources.lock();
        if stored.version > sources.stored.version {
            sources.stored = stored;
            self.rebuild(&sources);
        }
    }

    /// The producer of a key, in a time that depends on how many keys there are and nothing else.
    pub(crate) fn producer(&self, key: &str, now: Timestamp) -> Option<Producer> {
        let presented = crate::KeyHash::of(key);
        let table = self.all();
        let mut found = u64::MAX;
        for (index, known) in (0_u64..).zip(&*table) {
            found.conditional_assign(&index, presented.ct_eq(&known.key.hash));
        }
        let known = table.get(usize::try_from(found).ok()?)?;
        known
            .used
            .last
            .fetch_max(now.as_millis(), Ordering::Relaxed);
        Some(Producer::new(known.key.clone()))
    }

    /// All of them as of one moment, those of the settings first.
    pub(crate) fn all(&self) -> Arc<Vec<Known>> {
        Arc::clone(&self.table.read())
    }

    fn rebuild(&self, sources: &Sources) {
        let old: HashMap<_, _> = self
            .all()
            .iter()
            .map(|known| (known.id, Arc::clone(&known.used)))
            .collect();
        let known = |key: ApiKey, created_at| {
            let id = key.hash.id();
            let used = old.get(&id).cloned().unwrap_or_default();
            Known {
                id,
                key,
                created_at,
                used,
            }
        };
        let configured = sources.configured.iter().cloned();
        let configured = configured.map(|key| known(key, None));
        let stored = sources.stored.keys.iter().map(StoredKey::api_key);
        let stored = stored.map(|(key, created_at)| known(key, Some(created_at)));
        *self.table.write() = Arc::new(configured.chain(stored).collect());
    }
}

impl Used {
    /// When it was used last; none if never.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        let last = self.last.load(Ordering::Relaxed);
        (last != 0).then(|| Timestamp::from_millis(last))
    }

    /// The same if the journal does not know it yet.
    pub(crate) fn unwritten(&self) -> Option<Timestamp> {
        let written = self.written.load(Ordering::Relaxed);
        self.last().filter(|last| last.as_millis() > written)
    }

    /// The journal knows that it was used at `last`.
    pub(crate) fn write(&self, last: Timestamp) {
        self.written.fetch_max(last.as_millis(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyHash, Reach, Scopes};

    #[test]
    fn a_key_finds_its_own_producer_among_many() {
        let keys = Keys::new(vec![
            key("first", "key-1", Reach::Everyone),
            key("second", "key-2", Reach::of("acme".parse().unwrap())),
            key("third", "key-3", Reach::Everyone),
        ]);
        let name = |key| Some(keys.producer(key, now())?.name().to_owned());

        assert_eq!(name("key-1").as_deref(), Some("first"));
        assert_eq!(name("key-2").as_deref(), Some("second"));
        assert_eq!(name("key-3").as_deref(), Some("third"));
        assert_eq!(name("key-4"), None);
        assert!(Keys::new(Vec::new()).producer("key-1", now()).is_none());
    }

    #[test]
    fn when_a_key_was_used_is_remembered_over_other_settings() {
        let keys = Keys::new(vec![key("first", "key-1", Reach::Everyone)]);
        assert_eq!(keys.all()[0].used.last(), None);
        assert!(keys.producer("key-1", now()).is_some());

        keys.configure(vec![
            key("another", "key-2", Reach::Everyone),
            key("renamed", "key-1", Reach::Everyone),
        ]);

        assert_eq!(keys.all()[0].used.last(), None);
        assert_eq!(keys.all()[1].used.last(), Some(now()));
        assert_eq!(keys.all()[1].used.unwritten(), Some(now()));
        keys.all()[1].used.write(now());
        assert_eq!(keys.all()[1].used.unwritten(), None);
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn key(name: &str, key: &str, reach: Reach) -> ApiKey {
        ApiKey {
            name: name.to_owned(),
            hash: KeyHash::of(key),
            reach,
            scopes: Scopes::default(),
        }
    }
}
