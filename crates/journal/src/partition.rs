use std::fmt;
use std::num::NonZeroU16;

use switchboard_event::TenantId;

/// One of the parts of a journal: a sequence of records with dense offsets of its own.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Partition(u16);

impl Partition {
    /// The partition's number, counted from 0.
    pub fn index(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions a journal has, and so which one is a tenant's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partitions(NonZeroU16);

impl Partitions {
    /// A journal of `count` partitions.
    pub fn new(count: NonZeroU16) -> Self {
        Self(count)
    }

    /// How many there are.
    pub fn count(self) -> NonZeroU16 {
        self.0
    }

    /// The partition with this number, if the journal has it.
    pub fn at(self, index: u16) -> Option<Partition> {
        (index < self.0.get()).then_some(Partition(index))
    }

    /// The partition of a tenant: FNV-1a (64 bits) of its id, the upper half folded onto the
    /// lower, modulo the count.
    ///
    /// The function is part of the storage format and never changes. Records for every tenant
    /// have no partition of their own: each partition gets one.
    pub fn of(self, tenant: &TenantId) -> Partition {
        // The low bits of FNV-1a come from the low bits of the text alone, hence the fold.
        let hash = fnv_1a(tenant.as_str().as_bytes());
        let index = (hash ^ (hash >> 32)) % u64::from(self.0.get());
        Partition(u16::try_from(index).expect("a remainder is smaller than its 16-bit divisor"))
    }

    /// All of them, in the order of their numbers.
    pub fn all(self) -> impl Iterator<Item = Partition> {
        (0..self.0.get()).map(Partition)
    }

    /// Whether what belongs to `tenant` may lie in `partition`.
    pub fn allow(self, tenant: &TenantId, partition: Partition) -> bool {
        if tenant.is_everyone() {
            partition.0 < self.0.get()
        } else {
            partition == self.of(tenant)
        }
    }
}

/// The hash of Fowler, Noll and Vo, variant 1a, of 64 bits.
pub(crate) fn fnv_1a(bytes: &[u8]) -> u64 {
    fnv_1a_from(FNV_OFFSET_BASIS, bytes)
}

/// Goes on hashing from an earlier result.
pub(crate) fn fnv_1a_from(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME)
    })
}

pub(crate) const FNV_OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv_1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv_1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv_1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_tenant_stays_in_its_partition() {
        let partitions = Partitions::new(NonZeroU16::new(16).unwrap());
        let tenant: TenantId = "acme".parse().unwrap();

        let partition = partitions.of(&tenant);

        // Changing this number makes every existing journal unreadable.
        assert_eq!(partition.index(), 12);
        assert!(partitions.allow(&tenant, partition));
        assert!(!partitions.allow(&tenant, Partition(13)));
    }

    #[test]
    fn what_is_for_everyone_may_lie_in_each_partition() {
        let partitions = Partitions::new(NonZeroU16::new(4).unwrap());

        assert!(
            partitions
                .all()
                .all(|each| partitions.allow(&TenantId::everyone(), each))
        );
        assert!(!partitions.allow(&TenantId::everyone(), Partition(4)));
        assert_eq!(partitions.at(4), None);
    }
}
