//! What is held for a while, by whom, and until when.

use std::fmt;

use bytes::Bytes;
use switchboard_event::{TenantId, Timestamp};

use crate::Key;

/// Who holds leases: one life of one process. Random, so that a process that was started again
/// does not take its predecessor's leases for its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Holder(u64);

impl Holder {
    /// The holder of this random number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// 16 hexadecimal digits.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What may be held: a name within a tenant, such as `presence:7`. Several may hold it at once.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LeaseName {
    /// Whose it is; also says the partition.
    pub tenant: TenantId,
    /// The name.
    pub name: Key,
}

/// A name that somebody holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Lease {
    /// What is held.
    pub name: LeaseName,
    /// By whom.
    pub holder: Holder,
    /// What the holder says of it: at most [`Lease::VALUE_LEN_MAX`] bytes.
    pub value: Bytes,
    /// From when on it may be taken from its holder. Until it is, it is held.
    pub expires_at: Timestamp,
}

impl Lease {
    /// The longest value, in bytes.
    pub const VALUE_LEN_MAX: usize = 256;
}

/// Where a list of leases goes on: behind this one.
pub type LeaseCursor = (LeaseName, Holder);
