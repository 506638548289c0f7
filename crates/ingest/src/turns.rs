//! Turns: who on this node changes what many want to change goes one after the other.

use std::hash::{BuildHasher, RandomState};

use switchboard_event::{Id, TenantId};
use tokio::sync::{Mutex, MutexGuard};

/// A fixed number of turns, shared by all campaigns and accounts.
///
/// Compare-and-set alone is right already, also between nodes. But of many who try at once all but
/// one would try in vain; here they wait instead, for one append each.
#[derive(Debug)]
pub(crate) struct Turns {
    places: Box<[Mutex<()>]>,
    hasher: RandomState,
}

impl Turns {
    /// Waits for the turn of all of these ids at once.
    pub(crate) async fn take<'a>(
        &self,
        tenant: &TenantId,
        ids: impl IntoIterator<Item = &'a Id>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let place = |id| self.hasher.hash_one((tenant, id)) % self.places.len() as u64;
        let mut places: Vec<_> = ids.into_iter().map(place).collect();
        // In one order for everybody, so that no two wait for each other.
        places.sort_unstable();
        places.dedup();
        let mut turns = Vec::with_capacity(places.len());
        for place in places {
            let place = usize::try_from(place).unwrap_or_default();
            turns.push(self.places[place].lock().await);
        }
        turns
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            places: (0..PLACES).map(|_| Mutex::new(())).collect(),
            hasher: RandomState::new(),
        }
    }
}

/// How many turns there are.
const PLACES: usize = 64;
