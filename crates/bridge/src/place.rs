//! How far a mapping has come, for whichever node goes on.

use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{Clock, TenantId};
use switchboard_journal::{
    AppendError, Batch, Change, Expect, InvalidBatch, Journal, Key, ReadError,
};

/// A text under a state key. Who has not read the last one cannot write the next.
pub(crate) struct Place {
    journal: Arc<dyn Journal>,
    clock: Clock,
    key: Key,
    expect: Expect,
}

/// Why a place was not read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceError {
    /// Another node has written it since.
    #[error("another node has gone on")]
    Superseded,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error(transparent)]
    Batch(#[from] InvalidBatch),
}

impl Place {
    pub(crate) fn new(journal: Arc<dyn Journal>, clock: Clock, key: Key) -> Self {
        Self {
            journal,
            clock,
            key,
            expect: Expect::Absent,
        }
    }

    /// What was written last.
    pub(crate) async fn load(&mut self) -> Result<Option<String>, PlaceError> {
        let keys = std::slice::from_ref(&self.key);
        let (tenant, now) = (TenantId::system(), self.clock.now());
        let value = self.journal.values(&tenant, keys, now).await?;
        let value = value.into_iter().flatten().next();
        self.expect = match &value {
            Some(value) => Expect::Version(value.version),
            None => Expect::Absent,
        };
        Ok(value.map(|value| String::from_utf8_lossy(&value.bytes).into_owned()))
    }

    /// Writes the next one.
    pub(crate) async fn store(&mut self, text: String) -> Result<(), PlaceError> {
        let tenant = TenantId::system();
        let change = Change {
            key: self.key.clone(),
            expect: self.expect,
            value: Some(Bytes::from(text)),
            expires_at: None,
            event: None,
        };
        let partition = self.journal.partitions().of(&tenant);
        let batch = Batch::new(partition, tenant, Vec::new(), vec![change])?;
        match self.journal.append(batch, self.clock.now()).await {
            Ok(_) => {}
            Err(AppendError::Conflict { .. }) => return Err(PlaceError::Superseded),
            Err(error) => return Err(error.into()),
        }
        // Versions are the journal's to count.
        self.load().await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use switchboard_event::{Epoch, Timestamp};
    use switchboard_journal::{MemoryConfig, MemoryJournal};

    use super::*;

    #[tokio::test]
    async fn who_woke_late_cannot_go_back() {
        let store = Arc::new(MemoryJournal::new(MemoryConfig::new(Epoch::new(1))));
        let place = || {
            let clock = Clock::new(|| Timestamp::MIN);
            Place::new(Arc::clone(&store) as _, clock, "bridge:x".parse().unwrap())
        };
        let (mut first, mut second) = (place(), place());
        assert_eq!(first.load().await.unwrap(), None);
        first.store("1".to_owned()).await.unwrap();
        first.store("2".to_owned()).await.unwrap();

        assert_eq!(second.load().await.unwrap().as_deref(), Some("2"));
        second.store("3".to_owned()).await.unwrap();

        let late = first.store("2".to_owned()).await;
        assert!(matches!(late, Err(PlaceError::Superseded)));
        assert_eq!(first.load().await.unwrap().as_deref(), Some("3"));
    }
}
