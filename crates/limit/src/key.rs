use std::hash::{BuildHasher, Hash, RandomState};

/// Names one bucket: a number made of whatever is limited.
///
/// Nothing of an address, a user or a key is kept in a table, and nobody can choose a name that
/// meets another one's: the hash is keyed anew with each start.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Key(u64);

/// Makes keys that belong together.
#[derive(Clone, Debug, Default)]
pub struct Keys(RandomState);

impl Keys {
    /// The key of `named`.
    pub fn of(&self, named: impl Hash) -> Key {
        Key(self.0.hash_one(named))
    }
}

impl Key {
    /// Which of `count` parts of a table the key belongs to.
    pub(crate) fn shard(self, count: usize) -> usize {
        let upper = usize::try_from(self.0 >> 48).unwrap_or(0);
        upper % count
    }
}
