use async_trait::async_trait;
use switchboard_event::Timestamp;

use crate::lease::LeaseCursor;
use crate::{Holder, Lease, LeaseError, LeaseName, Partition};

/// What ends when its holder dies: facts that are true as long as a process says so.
///
/// A lease is held from [`hold`](Self::hold) until it is released or taken: that its time is over
/// only means that it may be taken, so that a store that was away with its holders ends nothing by
/// itself. Several may hold a name at once. How many leases there are is bounded by what their
/// holders serve. Not the log's promises: a crash of the process loses nothing, the loss of power
/// may lose the last moments. `conformance` holds every implementation to what is said here.
#[async_trait]
pub trait Leases: Send + Sync + 'static {
    /// Writes these leases, in place of what their holders held under the same names.
    async fn hold(&self, leases: &[Lease]) -> Result<(), LeaseError>;

    /// Extends what `holder` holds of `names`; never shortens it. Answers which are not held, as
    /// indices of `names` in order: they were taken, and others have been told.
    async fn renew(
        &self,
        holder: Holder,
        names: &[LeaseName],
        expires_at: Timestamp,
    ) -> Result<Vec<usize>, LeaseError>;

    /// Gives up what `holder` holds of `names`. Nothing happens where it holds nothing.
    async fn release(&self, holder: Holder, names: &[LeaseName]) -> Result<(), LeaseError>;

    /// What is held in the partition, by anybody, of the names that begin with `prefix`: at most
    /// [`LEASES_MAX`], in an order of the store's own, beginning behind `after`. Fewer than that
    /// are the last ones.
    async fn held(
        &self,
        partition: Partition,
        prefix: &str,
        after: Option<&LeaseCursor>,
    ) -> Result<Vec<Lease>, LeaseError>;

    /// Takes leases of the partition whose names begin with `prefix` and whose time is over by
    /// `now` from their holders, at most [`LEASES_MAX`], the oldest first: each goes to exactly one
    /// caller, and is then held no more.
    async fn take_expired(
        &self,
        partition: Partition,
        prefix: &str,
        now: Timestamp,
    ) -> Result<Vec<Lease>, LeaseError>;
}

/// The most leases or names of one call.
pub const LEASES_MAX: usize = 1_000;

/// Checks how much a call asks for.
pub fn check_count(count: usize) -> Result<(), LeaseError> {
    if count > LEASES_MAX {
        let count_max = LEASES_MAX;
        return Err(LeaseError::TooMany { count, count_max });
    }
    Ok(())
}

/// Checks what is to be held.
pub fn check(leases: &[Lease]) -> Result<(), LeaseError> {
    check_count(leases.len())?;
    match leases
        .iter()
        .find(|one| one.value.len() > Lease::VALUE_LEN_MAX)
    {
        Some(lease) => Err(LeaseError::TooLong {
            len: lease.value.len(),
            len_max: Lease::VALUE_LEN_MAX,
        }),
        None => Ok(()),
    }
}
