use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_event::Timestamp;

use crate::lease::LeaseCursor;
use crate::leases::{check, check_count};
use crate::memory::MemoryJournal;
use crate::{Holder, LEASES_MAX, Lease, LeaseError, LeaseName, Leases, Partition, Partitions};

/// The leases of a [`MemoryJournal`].
#[derive(Debug, Default)]
pub(super) struct Table {
    closed: bool,
    entries: BTreeMap<LeaseCursor, (Bytes, Timestamp)>,
    /// When leases expire, to find those that may be taken without a search.
    expiries: BTreeSet<(Timestamp, LeaseCursor)>,
}

impl Table {
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    fn open(&mut self) -> Result<&mut Self, LeaseError> {
        if self.closed {
            return Err(LeaseError::Closed);
        }
        Ok(self)
    }

    fn hold(&mut self, lease: &Lease) {
        let id = (lease.name.clone(), lease.holder);
        self.release(&id);
        self.expiries.insert((lease.expires_at, id.clone()));
        let held = (lease.value.clone(), lease.expires_at);
        self.entries.insert(id, held);
    }

    /// Whether it was held.
    fn renew(&mut self, id: &LeaseCursor, until: Timestamp) -> bool {
        let Some((_, expires_at)) = self.entries.get_mut(id) else {
            return false;
        };
        if *expires_at < until {
            self.expiries.remove(&(*expires_at, id.clone()));
            self.expiries.insert((until, id.clone()));
            *expires_at = until;
        }
        true
    }

    fn release(&mut self, id: &LeaseCursor) -> Option<Lease> {
        let (value, expires_at) = self.entries.remove(id)?;
        self.expiries.remove(&(expires_at, id.clone()));
        Some(Lease {
            name: id.0.clone(),
            holder: id.1,
            value,
            expires_at,
        })
    }

    fn held(&self, scope: &Scope<'_>, after: Option<&LeaseCursor>) -> Vec<Lease> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.entries.range((from, Bound::Unbounded));
        let held = range.filter(|(id, _)| scope.covers(&id.0));
        held.take(LEASES_MAX)
            .map(|(id, (value, expires_at))| Lease {
                name: id.0.clone(),
                holder: id.1,
                value: value.clone(),
                expires_at: *expires_at,
            })
            .collect()
    }

    fn take_expired(&mut self, scope: &Scope<'_>, now: Timestamp) -> Vec<Lease> {
        let due = self.expiries.iter().take_while(|(end, _)| *end <= now);
        let due = due.filter(|(_, id)| scope.covers(&id.0)).take(LEASES_MAX);
        let due: Vec<LeaseCursor> = due.map(|(_, id)| id.clone()).collect();
        due.iter().filter_map(|id| self.release(id)).collect()
    }
}

/// Which leases are asked for.
struct Scope<'a> {
    partitions: Partitions,
    partition: Partition,
    prefix: &'a str,
}

impl Scope<'_> {
    fn covers(&self, name: &LeaseName) -> bool {
        name.name.as_str().starts_with(self.prefix)
            && self.partitions.of(&name.tenant) == self.partition
    }
}

#[async_trait]
impl Leases for MemoryJournal {
    async fn hold(&self, leases: &[Lease]) -> Result<(), LeaseError> {
        check(leases)?;
        let mut table = self.leases.lock();
        let table = table.open()?;
        for lease in leases {
            table.hold(lease);
        }
        Ok(())
    }

    async fn renew(
        &self,
        holder: Holder,
        names: &[LeaseName],
        expires_at: Timestamp,
    ) -> Result<Vec<usize>, LeaseError> {
        check_count(names.len())?;
        let mut table = self.leases.lock();
        let table = table.open()?;
        let mut gone = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if !table.renew(&(name.clone(), holder), expires_at) {
                gone.push(index);
            }
        }
        Ok(gone)
    }

    async fn release(&self, holder: Holder, names: &[LeaseName]) -> Result<(), LeaseError> {
        check_count(names.len())?;
        let mut table = self.leases.lock();
        let table = table.open()?;
        for name in names {
            table.release(&(name.clone(), holder));
        }
        Ok(())
    }

    async fn held(
        &self,
        partition: Partition,
        prefix: &str,
        after: Option<&LeaseCursor>,
    ) -> Result<Vec<Lease>, LeaseError> {
        let scope = Scope {
            partitions: self.partitions,
            partition,
            prefix,
        };
        let mut table = self.leases.lock();
        Ok(table.open()?.held(&scope, after))
    }

    async fn take_expired(
        &self,
        partition: Partition,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Lease>, LeaseError> {
        let scope = Scope {
            partitions: self.partitions,
            partition,
            prefix,
        };
        let mut table = self.leases.lock();
        Ok(table.open()?.take_expired(&scope, now))
    }
}
