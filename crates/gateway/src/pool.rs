//! Values that many sessions have alike, kept once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;
use switchboard_event::TenantId;
use switchboard_hub::Pattern;

/// What tokens say alike: tenants, and lists of patterns, of which there are few kinds.
///
/// Bounded: a pool that is full begins anew, and what is in use stays with whoever uses it.
#[derive(Default)]
pub(crate) struct Pool {
    tenants: Mutex<HashSet<TenantId>>,
    patterns: Mutex<HashSet<Arc<[Pattern]>>>,
}

impl Pool {
    /// The same tenant, sharing its name with others.
    pub(crate) fn tenant(&self, tenant: TenantId) -> TenantId {
        shared(&mut self.tenants.lock(), tenant)
    }

    /// The same patterns, shared with others that have them.
    pub(crate) fn patterns(&self, patterns: Vec<Pattern>) -> Arc<[Pattern]> {
        if patterns.len() > PATTERNS_MAX {
            return patterns.into();
        }
        shared(&mut self.patterns.lock(), patterns.into())
    }
}

fn shared<T: Clone + Eq + Hash>(pool: &mut HashSet<T>, value: T) -> T {
    if let Some(known) = pool.get(&value) {
        return known.clone();
    }
    if pool.len() >= VALUES_MAX {
        pool.clear();
    }
    pool.insert(value.clone());
    value
}

/// The most values of one kind.
const VALUES_MAX: usize = 4_096;
/// Longer lists are somebody's own.
const PATTERNS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_a_full_pool_begins_anew() {
        let pool = Pool::default();
        let patterns = |text: &str| vec![text.parse::<Pattern>().unwrap()];

        let first = pool.patterns(patterns("contact:*"));

        assert!(Arc::ptr_eq(&first, &pool.patterns(patterns("contact:*"))));
        for number in 0..VALUES_MAX {
            pool.patterns(patterns(&format!("contact:{number}")));
        }
        assert!(pool.patterns.lock().len() <= VALUES_MAX);
        assert_eq!(first, pool.patterns(patterns("contact:*")));
    }
}
