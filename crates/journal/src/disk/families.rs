use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::Connection;
use switchboard_event::{TenantId, Timestamp};

use crate::disk::retention::instant;
use crate::disk::{StorageError, row};
use crate::{Key, Value};

/// What is known of current values without reading the disk: small families of keys, wholly in
/// memory, so that what has no value is known too.
///
/// A family is the keys of a tenant that begin alike, up to their first colon: what is revoked, what
/// rooms show. It is read once, when somebody asks for one of its keys; from then on the writer
/// tells of each change, after its commit and before anybody hears of it, so that what is answered
/// from here is what a read would find. A family that is too large is left to the disk.
#[derive(Debug, Default)]
pub(super) struct Families(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    by_tenant: HashMap<TenantId, HashMap<Box<str>, Family>>,
    /// How many families there are, of whatever kind.
    count: usize,
    /// What the whole ones hold.
    bytes: usize,
    loads: u64,
    is_closed: bool,
}

#[derive(Debug)]
enum Family {
    /// It is being read. Whoever changes it takes this away, and what is read is not kept; nor after
    /// this time, when somebody else may read it.
    Loading(u64, Instant),
    /// It is as it was read, and changed since.
    Whole(Content),
    /// It is too large, or cannot be read; not to be tried again before this time.
    Left(Instant),
}

/// The values of a family. One that expired stays until it is replaced.
#[derive(Debug, Default)]
struct Content {
    values: HashMap<Key, Value>,
    bytes: usize,
}

/// A change that was committed.
#[derive(Debug)]
pub(super) struct Changed {
    pub(super) tenant: TenantId,
    pub(super) key: Key,
    /// The new value; `None` if it was deleted.
    pub(super) value: Option<Value>,
}

/// A family that somebody is to read and [keep](Families::keep).
#[derive(Debug)]
pub(super) struct Load {
    family: Box<str>,
    number: u64,
}

/// What is known of some keys.
#[derive(Debug)]
pub(super) enum Found {
    /// Their values.
    Known(Vec<Option<Value>>),
    /// Not all of them; to be read, and these families along with them.
    Unknown(Vec<Load>),
}

impl Families {
    /// The values of `keys`, as of one commit, if all of them are known.
    pub(super) fn find(&self, tenant: &TenantId, keys: &[Key], now: Timestamp) -> Found {
        let mut table = self.0.lock();
        if table.is_closed {
            return Found::Unknown(Vec::new());
        }
        if let Some(families) = table.by_tenant.get(tenant) {
            let known = keys.iter().map(|key| Some((whole(families, key)?, key)));
            if let Some(known) = known.collect::<Option<Vec<_>>>() {
                let value = |(content, key): (&Content, &Key)| content.value(key, now);
                return Found::Known(known.into_iter().map(value).collect());
            }
        }
        let loads = keys.iter().filter_map(|key| table.begin(tenant, key));
        Found::Unknown(loads.collect())
    }

    /// Keeps a family as it was read, unless it was changed meanwhile or is too large.
    pub(super) fn keep(
        &self,
        tenant: &TenantId,
        load: &Load,
        read: Result<Vec<(Key, Value)>, StorageError>,
    ) {
        let content = read.ok().and_then(Content::of);
        let table = &mut *self.0.lock();
        let families = table.by_tenant.get_mut(tenant);
        let family = families.and_then(|families| families.get_mut(&load.family));
        let Some(family) = family else {
            return;
        };
        if !matches!(family, Family::Loading(number, _) if *number == load.number) {
            return;
        }
        *family = match content {
            Some(content) => {
                table.bytes += content.bytes;
                Family::Whole(content)
            }
            None => Family::Left(instant() + RETRY_INTERVAL),
        };
        if table.bytes > BYTES_MAX {
            table.clear();
        }
    }

    /// Takes note of what was committed together.
    pub(super) fn apply(&self, changes: Vec<Changed>) {
        if changes.is_empty() {
            return;
        }
        let mut table = self.0.lock();
        for change in changes {
            table.apply(change);
        }
    }

    /// Forgets everything: what is stored may be something else.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Knows nothing any more.
    pub(super) fn close(&self) {
        let mut table = self.0.lock();
        table.clear();
        table.is_closed = true;
    }
}

impl Table {
    /// Begins to read the family of `key`, unless somebody does or it is not worth it.
    fn begin(&mut self, tenant: &TenantId, key: &Key) -> Option<Load> {
        let name = family_of(key);
        let known = self.by_tenant.get(tenant).and_then(|all| all.get(name));
        match known {
            Some(Family::Left(until) | Family::Loading(_, until)) if *until <= instant() => {}
            Some(_) => return None,
            None if self.count >= FAMILIES_MAX => self.clear(),
            None => {}
        }
        self.loads += 1;
        let families = self.by_tenant.entry(tenant.clone()).or_default();
        let loading = Family::Loading(self.loads, instant() + LOAD_WAIT_MAX);
        let before = families.insert(name.into(), loading);
        self.count += usize::from(before.is_none());
        Some(Load {
            family: name.into(),
            number: self.loads,
        })
    }

    fn apply(&mut self, Changed { tenant, key, value }: Changed) {
        let Some(families) = self.by_tenant.get_mut(&tenant) else {
            return;
        };
        let name = family_of(&key);
        let Some(family) = families.get_mut(name) else {
            return;
        };
        let content = match family {
            Family::Left(_) => return,
            Family::Loading(..) => None,
            Family::Whole(content) => Some(content),
        };
        let before = content.as_ref().map_or(0, |content| content.bytes);
        // Not the whole request that it came with.
        let value = value.map(|value| Value {
            bytes: Bytes::copy_from_slice(&value.bytes),
            ..value
        });
        let after = content.and_then(|content| content.set(&key, value));
        self.bytes = self.bytes - before + after.unwrap_or(0);
        if after.is_none() {
            families.remove(name);
            self.count -= 1;
        }
        if self.bytes > BYTES_MAX {
            self.clear();
        }
    }

    fn clear(&mut self) {
        self.by_tenant = HashMap::new();
        (self.count, self.bytes) = (0, 0);
    }
}

impl Content {
    /// `None` if it is too much.
    fn of(values: Vec<(Key, Value)>) -> Option<Self> {
        let mut content = Self::default();
        for (key, value) in values {
            content.set(&key, Some(value))?;
        }
        Some(content)
    }

    /// Answers how many bytes there are now; `None` if it is too much.
    fn set(&mut self, key: &Key, value: Option<Value>) -> Option<usize> {
        let size = |value: &Value| key.as_str().len() + value.bytes.len() + VALUE_OVERHEAD;
        self.bytes += value.as_ref().map_or(0, size);
        let before = match value {
            Some(value) => self.values.insert(key.clone(), value),
            None => self.values.remove(key),
        };
        self.bytes -= before.as_ref().map_or(0, size);
        let fits = self.values.len() <= FAMILY_KEYS_MAX && self.bytes <= FAMILY_BYTES_MAX;
        fits.then_some(self.bytes)
    }

    /// The value of `key`, unless it has none, or had one that expired.
    fn value(&self, key: &Key, now: Timestamp) -> Option<Value> {
        let value = self.values.get(key);
        let value = value.filter(|value| value.expires_at.is_none_or(|end| end > now));
        value.cloned()
    }
}

/// The family of `key`, if all of it is known.
fn whole<'a>(families: &'a HashMap<Box<str>, Family>, key: &Key) -> Option<&'a Content> {
    match families.get(family_of(key))? {
        Family::Whole(content) => Some(content),
        Family::Loading(..) | Family::Left(_) => None,
    }
}

/// How a key begins: up to its first colon, or all of it if it has none.
fn family_of(key: &Key) -> &str {
    let key = key.as_str();
    key.find(':').map_or(key, |colon| &key[..=colon])
}

/// Reads a family, or a little more of it than may be kept.
pub(super) fn read(
    connection: &Connection,
    tenant: &TenantId,
    load: &Load,
) -> Result<Vec<(Key, Value)>, StorageError> {
    let (first, end) = bounds(&load.family);
    let mut select = connection.prepare_cached(
        "SELECT version, expires_at, checksum, value, key FROM state \
         WHERE tenant = ?1 AND key >= ?2 AND key < ?3 LIMIT ?4",
    )?;
    let limit = row::stored(FAMILY_KEYS_MAX + 1);
    let mut rows = select.query((tenant.as_str(), first, &end, limit))?;
    let (mut values, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let damaged = |_| StorageError::Damaged("a key is not as written".to_owned());
        let text = row.get_ref(4)?.as_str();
        let text = text.map_err(|_| StorageError::Damaged("a key is no text".to_owned()))?;
        let key: Key = text.parse().map_err(damaged)?;
        let value = row::value(row, tenant, &key)?;
        bytes += value.bytes.len();
        values.push((key, value));
        if bytes > FAMILY_BYTES_MAX {
            break;
        }
    }
    Ok(values)
}

/// The first key of a family, and the first one behind it.
fn bounds(family: &str) -> (&str, String) {
    let end = match family.strip_suffix(':') {
        // A semicolon is what follows a colon.
        Some(begin) => format!("{begin};"),
        None => format!("{family}\u{1}"),
    };
    (family, end)
}

/// How many keys of a family are kept, and how many bytes of it.
const FAMILY_KEYS_MAX: usize = 1_024;
const FAMILY_BYTES_MAX: usize = 256 * 1024;
/// How many families are known of, and how many bytes of them are kept. Beyond it all are forgotten.
const FAMILIES_MAX: usize = 16_384;
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a value takes up beside key and bytes, about.
const VALUE_OVERHEAD: usize = 128;
/// For how long a family that was too large is left to the disk.
const RETRY_INTERVAL: Duration = Duration::from_mins(1);
/// For how long nobody else reads a family that is being read.
const LOAD_WAIT_MAX: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    #[test]
    fn a_small_family_is_known_with_what_it_lacks() {
        let families = Families::default();
        assert!(known(&families, "revoked:user:1").is_none());

        let loads = begin(&families, "revoked:user:1");
        keep(&families, loads, &["revoked:user:2"]);

        assert_eq!(known(&families, "revoked:user:1"), Some(false));
        assert_eq!(known(&families, "revoked:user:2"), Some(true));
        assert_eq!(known(&families, "message:1"), None);
    }

    #[test]
    fn what_is_committed_is_known_at_once() {
        let families = Families::default();
        let loads = begin(&families, "revoked:user:1");
        keep(&families, loads, &[]);

        families.apply(vec![changed("revoked:user:1", Some(b"x"))]);
        assert_eq!(known(&families, "revoked:user:1"), Some(true));
        families.apply(vec![changed("revoked:user:1", None)]);

        assert_eq!(known(&families, "revoked:user:1"), Some(false));
        assert_eq!(families.0.lock().bytes, 0);
    }

    #[test]
    fn what_is_changed_while_it_is_read_is_not_kept_as_it_was_read() {
        let families = Families::default();
        let loads = begin(&families, "revoked:user:1");

        families.apply(vec![changed("revoked:user:1", Some(b"x"))]);
        keep(&families, loads, &[]);

        assert_eq!(known(&families, "revoked:user:1"), None);
        let loads = begin(&families, "revoked:user:1");
        keep(&families, loads, &["revoked:user:1"]);
        assert_eq!(known(&families, "revoked:user:1"), Some(true));
    }

    #[test]
    fn a_read_from_before_everything_was_forgotten_is_not_kept() {
        let families = Families::default();
        let early = begin(&families, "revoked:user:1");
        families.clear();
        let late = begin(&families, "revoked:user:1");

        keep(&families, early, &[]);
        assert_eq!(known(&families, "revoked:user:1"), None);
        keep(&families, late, &["revoked:user:1"]);

        assert_eq!(known(&families, "revoked:user:1"), Some(true));
    }

    #[test]
    fn a_family_that_is_too_large_is_left_to_the_disk() {
        let families = Families::default();
        let names: Vec<_> = (0..FAMILY_KEYS_MAX).map(|n| format!("m:{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let loads = begin(&families, "m:x");
        keep(&families, loads, &names);
        assert_eq!(known(&families, "m:x"), Some(false));

        families.apply(vec![changed("m:x", Some(b"x"))]);
        let loads = begin(&families, "m:x");
        keep(&families, loads, &[&names[..], &["m:x"]].concat());

        assert_eq!(known(&families, "m:x"), None);
        assert!(begin(&families, "m:x").is_empty());
        assert_eq!(families.0.lock().bytes, 0);
    }

    #[test]
    fn a_value_counts_as_none_once_it_expired() {
        let families = Families::default();
        let loads = begin(&families, "qr:1");
        keep(&families, loads, &[]);
        let mut change = changed("qr:1", Some(b"x"));
        let value = change.value.as_mut().unwrap();
        value.expires_at = Some(Timestamp::from_millis(5));
        families.apply(vec![change]);

        let at = |millis| families.find(&acme(), &[key("qr:1")], Timestamp::from_millis(millis));

        assert!(matches!(at(4), Found::Known(values) if values[0].is_some()));
        assert!(matches!(at(5), Found::Known(values) if values[0].is_none()));
    }

    #[test]
    fn families_end_where_others_begin() {
        assert_eq!(bounds("revoked:"), ("revoked:", "revoked;".to_owned()));
        assert_eq!(family_of(&key("revoked:user:1")), "revoked:");
        assert_eq!(family_of(&key("connections")), "connections");
        assert!(!("connections".."connections\u{1}").contains(&"connections:1"));
    }

    /// Whether a key has a value, if that is known.
    fn known(families: &Families, name: &str) -> Option<bool> {
        let table = families.0.lock();
        let content = whole(table.by_tenant.get(&acme())?, &key(name))?;
        Some(content.value(&key(name), now()).is_some())
    }

    fn begin(families: &Families, name: &str) -> Vec<Load> {
        match families.find(&acme(), &[key(name)], now()) {
            Found::Known(_) => panic!("{name} is known"),
            Found::Unknown(loads) => loads,
        }
    }

    fn keep(families: &Families, loads: Vec<Load>, names: &[&str]) {
        let value = |name: &&str| (key(name), changed(name, Some(b"x")).value.unwrap());
        for load in loads {
            families.keep(&acme(), &load, Ok(names.iter().map(value).collect()));
        }
    }

    fn changed(name: &str, bytes: Option<&'static [u8]>) -> Changed {
        Changed {
            tenant: acme(),
            key: key(name),
            value: bytes.map(|bytes| Value {
                bytes: Bytes::from_static(bytes),
                version: Version::new(1),
                expires_at: None,
            }),
        }
    }

    fn acme() -> TenantId {
        "acme".parse().unwrap()
    }

    fn key(name: &str) -> Key {
        name.parse().unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_millis(0)
    }
}
