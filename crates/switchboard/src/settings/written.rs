//! Which keys were written with which values, to tell what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use super::tree::{Node, Table, Value};

/// Every key that is written, with a hash of its value: secrets are among them. What a `_file`
/// names counts with its content.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Written(BTreeMap<String, u64>);

impl Written {
    pub(super) fn of(table: &Table, directory: &Path) -> Self {
        let mut keys = BTreeMap::new();
        collect("", table, directory, &mut keys);
        Self(keys)
    }

    /// The keys whose value is another one in `other`, or which only one of the two has.
    #[must_use]
    pub fn differences(&self, other: &Self) -> BTreeSet<String> {
        let keys = self.0.keys().chain(other.0.keys());
        let differing = keys.filter(|key| self.0.get(*key) != other.0.get(*key));
        differing.cloned().collect()
    }
}

/// The keys alone: a short secret could be guessed by its hash.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn collect(path: &str, table: &Table, directory: &Path, keys: &mut BTreeMap<String, u64>) {
    for (key, entry) in table {
        let path = match key.parse::<usize>() {
            Ok(index) => format!("{path}[{index}]"),
            Err(_) if path.is_empty() => key.clone(),
            Err(_) => format!("{path}.{key}"),
        };
        match &entry.node {
            Node::Table(table) => collect(&path, table, directory, keys),
            Node::Value(value) => {
                let hash = hash(key, value, directory);
                keys.insert(path, hash);
            }
        }
    }
}

fn hash(key: &str, value: &Value, directory: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A variable says a text where the file may say a number.
    match value {
        Value::Text(text) | Value::Untyped(text) => text.hash(&mut hasher),
        other => format!("{other:?}").hash(&mut hasher),
    }
    // A certificate is read again by itself when its file changes.
    if key.ends_with("_file")
        && !key.starts_with("tls_")
        && let Some(name) = value.as_text()
    {
        // What cannot be read is refused elsewhere.
        fs::read(directory.join(name)).ok().hash(&mut hasher);
    }
    hasher.finish()
}
