use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use redis::{Cmd, Value};
use switchboard_event::{TenantId, Timestamp};
use switchboard_journal::implement::{check_lease_count, check_leases};
use switchboard_journal::{
    Holder, LEASES_MAX, Lease, LeaseCursor, LeaseError, LeaseName, Leases, Partition,
};

use crate::RedisJournal;
use crate::core::Core;
use crate::error::Failure;
use crate::reply;
use crate::script::{HELD, HOLD, RELEASE, RENEW, Script, TAKE};

impl Core {
    async fn lease(
        &self,
        partition: Partition,
        script: &Script,
        fill: impl FnOnce(&mut Cmd),
    ) -> Result<Value, Failure> {
        self.open()?;
        let shard = self.shards.get(usize::from(partition.index()));
        let shard = shard.ok_or_else(|| Failure::strange("no partition"))?;
        let keys = ["leases", "lease-names", "leases-due"].map(|name| shard.place.key(name));
        let mut call = script.call(&keys);
        fill(&mut call);
        self.router.run(&shard.place, script, &call).await
    }

    /// Indices of what belongs to each partition.
    fn shares<'a>(
        &self,
        names: impl IntoIterator<Item = &'a LeaseName>,
    ) -> BTreeMap<Partition, Vec<usize>> {
        let mut shares: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (index, name) in names.into_iter().enumerate() {
            let partition = self.partitions.of(&name.tenant);
            shares.entry(partition).or_default().push(index);
        }
        shares
    }
}

#[async_trait]
impl Leases for RedisJournal {
    async fn hold(&self, leases: &[Lease]) -> Result<(), LeaseError> {
        check_leases(leases)?;
        self.core.open()?;
        let shares = self.core.shares(leases.iter().map(|lease| &lease.name));
        for (partition, indices) in shares {
            let held = self.core.lease(partition, &HOLD, |call| {
                for lease in indices.iter().map(|index| &leases[*index]) {
                    call.arg(id(&lease.name, lease.holder))
                        .arg(lease.expires_at.as_millis())
                        .arg(&lease.value[..]);
                }
            });
            held.await?;
        }
        Ok(())
    }

    async fn renew(
        &self,
        holder: Holder,
        names: &[LeaseName],
        expires_at: Timestamp,
    ) -> Result<Vec<usize>, LeaseError> {
        check_lease_count(names.len())?;
        self.core.open()?;
        let mut gone = Vec::new();
        for (partition, indices) in self.core.shares(names) {
            let renewed = self.core.lease(partition, &RENEW, |call| {
                call.arg(expires_at.as_millis());
                for name in indices.iter().map(|index| &names[*index]) {
                    call.arg(id(name, holder));
                }
            });
            let found = reply::list(renewed.await?);
            let found = found.ok_or_else(|| Failure::strange("a renewal"))?;
            let index = |found: &Value| {
                let place = usize::try_from(reply::number(found)?).ok()?;
                indices.get(place).copied()
            };
            gone.extend(found.iter().filter_map(index));
        }
        gone.sort_unstable();
        Ok(gone)
    }

    async fn release(&self, holder: Holder, names: &[LeaseName]) -> Result<(), LeaseError> {
        check_lease_count(names.len())?;
        self.core.open()?;
        for (partition, indices) in self.core.shares(names) {
            let released = self.core.lease(partition, &RELEASE, |call| {
                for name in indices.iter().map(|index| &names[*index]) {
                    call.arg(id(name, holder));
                }
            });
            released.await?;
        }
        Ok(())
    }

    async fn held(
        &self,
        partition: Partition,
        prefix: &str,
        after: Option<&LeaseCursor>,
    ) -> Result<Vec<Lease>, LeaseError> {
        let mut cursor = after.map_or_else(String::new, |(name, holder)| id(name, *holder));
        let mut leases = Vec::new();
        self.core.reads.increment("leases");
        loop {
            let wanted = LEASES_MAX - leases.len();
            let answer = self.core.lease(partition, &HELD, |call| {
                call.arg(prefix).arg(&cursor).arg(wanted).arg(LOOK_MAX);
            });
            let mut found = reply::list(answer.await?).unwrap_or_default().into_iter();
            let next = found.next().and_then(|next| reply::text(&next));
            cursor = next.ok_or_else(|| Failure::strange("who holds"))?;
            leases.extend(parse(found)?);
            if cursor.is_empty() || leases.len() >= LEASES_MAX {
                return Ok(leases);
            }
        }
    }

    async fn take_expired(
        &self,
        partition: Partition,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Lease>, LeaseError> {
        let taken = self.core.lease(partition, &TAKE, |call| {
            call.arg(prefix).arg(now.as_millis()).arg(LEASES_MAX);
        });
        let taken = reply::list(taken.await?);
        let taken = taken.ok_or_else(|| Failure::strange("what was taken"))?;
        Ok(parse(taken.into_iter())?)
    }
}

/// A lease as it is named: tenant, name and holder, none of which has a line break.
fn id(name: &LeaseName, holder: Holder) -> String {
    format!("{}\n{}\n{holder}", name.tenant.as_str(), name.name.as_str())
}

fn parse(mut found: impl Iterator<Item = Value>) -> Result<Vec<Lease>, Failure> {
    let mut leases = Vec::new();
    while let (Some(id), Some(value)) = (found.next(), found.next()) {
        let damaged = || Failure::Damaged("a lease is not as written".to_owned());
        leases.push(lease(&id, value).ok_or_else(damaged)?);
    }
    Ok(leases)
}

fn lease(id: &Value, value: Value) -> Option<Lease> {
    let id = reply::text(id)?;
    let mut parts = id.split('\n');
    let (tenant, name, holder) = (parts.next()?, parts.next()?, parts.next()?);
    let value = Bytes::from(reply::bytes(value)?);
    let colon = value.iter().position(|byte| *byte == b':')?;
    let expires_at = std::str::from_utf8(&value[..colon]).ok()?.parse().ok()?;
    Some(Lease {
        name: LeaseName {
            tenant: TenantId::from_stored(tenant).ok()?,
            name: name.parse().ok()?,
        },
        holder: Holder::new(u64::from_str_radix(holder, 16).ok()?),
        value: value.slice(colon + 1..),
        expires_at: Timestamp::from_millis(expires_at),
    })
}

/// How many names one script looks at.
const LOOK_MAX: usize = 2_000;
