//! Connections that are kept, and how many there may be.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::source::Turn;

/// A bounded pool: whoever holds a permit may have one connection, kept or new.
///
/// A connection that failed is not put back. Kept ones are let go at some age, so that a database
/// that moved is found.
#[derive(Debug)]
pub(super) struct Pool<C> {
    idle: Mutex<Vec<Pooled<C>>>,
    permits: Arc<Semaphore>,
}

/// A connection, and since when it is open.
#[derive(Debug)]
pub(super) struct Pooled<C> {
    pub(super) connection: C,
    opened_at: Instant,
}

impl<C> Pool<C> {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            idle: Mutex::new(Vec::with_capacity(connections_max)),
            permits: Arc::new(Semaphore::new(connections_max)),
        }
    }

    /// Waits for a turn, in the order of asking.
    pub(super) async fn turn(&self) -> Turn {
        let turn = Arc::clone(&self.permits).acquire_owned().await;
        turn.expect("the semaphore of a pool is never closed")
            .into()
    }

    /// A kept connection, the one last used; for holders of a turn.
    pub(super) fn take(&self) -> Option<Pooled<C>> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let is_old =
            |pooled: &Pooled<C>| now.saturating_duration_since(pooled.opened_at) >= AGE_MAX;
        let mut young = std::iter::from_fn(|| idle.pop()).skip_while(is_old);
        young.next()
    }

    /// Keeps a connection for the next one; before the turn ends.
    pub(super) fn put(&self, pooled: Pooled<C>) {
        self.idle.lock().push(pooled);
    }
}

impl<C> Pooled<C> {
    pub(super) fn new(connection: C) -> Self {
        Self {
            connection,
            opened_at: Instant::now(),
        }
    }
}

const AGE_MAX: Duration = Duration::from_mins(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_kept_until_it_is_old() {
        let pool = Pool::new(2);
        pool.put(Pooled::new('a'));
        tokio::time::advance(AGE_MAX / 2).await;
        pool.put(Pooled::new('b'));

        tokio::time::advance(AGE_MAX / 2).await;
        let taken = pool.take().map(|pooled| pooled.connection);

        assert_eq!(taken, Some('b'));
        assert!(pool.take().is_none());
    }

    #[tokio::test]
    async fn there_are_as_many_turns_as_connections_may_be() {
        let pool: Pool<()> = Pool::new(1);

        let first = pool.turn().await;
        assert!(pool.permits.try_acquire().is_err());
        drop(first);

        let _second = pool.turn().await;
    }
}
