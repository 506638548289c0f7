use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU16;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Event, EventParts, Offset, Position, TenantId, Timestamp};

use super::fixture::{Fixture, key, later, now, parts, take, tenant, tenant_room};
use super::rng::Rng;
use super::{Setup, Subject};
use crate::{AppendError, Appended, Batch, Change, Expect, Partition, Query, Version};

/// Random batches, reads and values, compared with what a few maps say. A seed that fails is
/// printed; put it into `SEEDS` to repeat it.
pub async fn random_batches_do_as_a_simple_model_says(open: impl AsyncFn(Setup) -> Subject) {
    let fresh = getrandom::u64().unwrap();
    for seed in SEEDS.into_iter().chain([fresh]) {
        eprintln!("seed {seed}");
        run(&open, seed).await;
    }
}

async fn run(open: impl AsyncFn(Setup) -> Subject, seed: u64) {
    let mut rng = Rng::new(seed);
    let partitions = NonZeroU16::new(2).unwrap();
    let setup = Setup {
        partitions,
        forgetful: rng.one_in(2),
        ..Setup::default()
    };
    let fixture = Fixture::with(open, setup).await;
    let mut model = Model::default();
    for step in 0..STEPS {
        model.now = later(Duration::from_secs(step));
        match rng.below(10) {
            0 => model.check_values(&fixture, &mut rng).await,
            1 => model.check_read(&fixture, &mut rng).await,
            _ => model.check_append(&fixture, &mut rng).await,
        }
    }
    for partition in fixture.journal.partitions().all() {
        model.check_tail(&fixture, partition).await;
    }
}

struct Model {
    now: Timestamp,
    records: HashMap<Partition, Vec<Event>>,
    values: BTreeMap<(TenantId, &'static str), Held>,
    /// Every version ever seen, the newest last.
    versions: Vec<Version>,
    /// The newest version of each tenant: those of different partitions are apart.
    newest: BTreeMap<TenantId, Version>,
}

struct Held {
    bytes: Bytes,
    /// `None` until it was read for the first time.
    version: Option<Version>,
    expires_at: Option<Timestamp>,
}

impl Default for Model {
    fn default() -> Self {
        let (records, values) = (HashMap::new(), BTreeMap::new());
        Self {
            now: now(),
            records,
            values,
            versions: Vec::new(),
            newest: BTreeMap::new(),
        }
    }
}

impl Model {
    async fn check_append(&mut self, fixture: &Fixture, rng: &mut Rng) {
        let partitions = fixture.journal.partitions();
        let (tenant, partition) = if rng.one_in(6) {
            let all: Vec<Partition> = partitions.all().collect();
            (TenantId::everyone(), rng.pick(&all))
        } else {
            let tenant = tenant(rng.pick(&TENANTS));
            let partition = partitions.of(&tenant);
            (tenant, partition)
        };
        let events: Vec<Event> = (0..rng.below(4))
            .map(|_| random_event(&tenant, self.now, rng))
            .collect();
        let mut changes: Vec<(&'static str, Change)> = Vec::new();
        if !tenant.is_everyone() {
            for _ in 0..rng.below(3) {
                changes.push(self.random_change(rng));
            }
        }
        let expected = self.predict(partition, &tenant, &events, &changes);
        let plain = changes.iter().map(|(_, change)| change.clone()).collect();
        let batch = Batch::new(partition, tenant.clone(), events.clone(), plain).unwrap();

        let outcome = fixture.journal.append(batch, self.now).await;

        let outcome = outcome.map(|appended| appended.iter().map(place).collect::<Vec<_>>());
        assert_eq!(outcome, expected);
        if let Ok(places) = expected {
            self.apply(partition, &tenant, events, &changes, &places);
        }
        self.learn(fixture, &tenant).await;
    }

    /// What the promises say must come of a batch.
    fn predict(
        &self,
        partition: Partition,
        tenant: &TenantId,
        events: &[Event],
        changes: &[(&'static str, Change)],
    ) -> Result<Vec<(u64, bool)>, AppendError> {
        let mut records = self.records.get(&partition).cloned().unwrap_or_default();
        let mut places = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let same = |known: &Event| known.tenant() == tenant && known.id() == event.id();
            match records.iter().position(same) {
                Some(at) if records[at].fingerprint() == event.fingerprint() => {
                    places.push((at as u64 + 1, true));
                }
                Some(_) => {
                    return Err(AppendError::IdReused {
                        index,
                        id: event.id().clone(),
                    });
                }
                None => {
                    records.push(event.clone());
                    places.push((records.len() as u64, false));
                }
            }
        }
        let is_retry = !places.is_empty() && places.iter().all(|(_, duplicate)| *duplicate);
        for (name, change) in changes.iter().filter(|_| !is_retry) {
            let held = self.held(tenant, name);
            let holds = match change.expect {
                Expect::Anything => true,
                Expect::Absent => held.is_none(),
                Expect::Version(version) => held.is_some_and(|held| held.version == Some(version)),
            };
            if !holds {
                return Err(AppendError::Conflict {
                    key: change.key.clone(),
                });
            }
        }
        Ok(places)
    }

    fn apply(
        &mut self,
        partition: Partition,
        tenant: &TenantId,
        events: Vec<Event>,
        changes: &[(&'static str, Change)],
        places: &[(u64, bool)],
    ) {
        let is_retry = !places.is_empty() && places.iter().all(|(_, duplicate)| *duplicate);
        let records = self.records.entry(partition).or_default();
        let new = events
            .into_iter()
            .zip(places)
            .filter(|(_, (_, duplicate))| !duplicate);
        records.extend(new.map(|(event, _)| event));
        for (name, change) in changes.iter().filter(|_| !is_retry) {
            self.values.remove(&(tenant.clone(), name));
            if let Some(bytes) = change.value.clone() {
                let held = Held {
                    bytes,
                    version: None,
                    expires_at: change.expires_at,
                };
                self.values.insert((tenant.clone(), name), held);
            }
        }
    }

    /// Reads the values of a tenant: they must be as written, under versions that are new for
    /// what is new and unchanged for what is not.
    async fn learn(&mut self, fixture: &Fixture, tenant: &TenantId) {
        if tenant.is_everyone() {
            return;
        }
        let newest = self.newest.get(tenant).copied();
        for name in KEYS {
            let found = fixture.value_at(tenant, &key(name), self.now).await;
            let now = self.now;
            let held = self.values.get_mut(&(tenant.clone(), name));
            let held = held.filter(|held| held.expires_at.is_none_or(|end| end > now));
            let (Some(found), Some(held)) = (&found, held) else {
                assert!(found.is_none(), "{name} came from nowhere");
                assert!(self.held(tenant, name).is_none(), "{name} was lost");
                continue;
            };
            assert_eq!(
                (&found.bytes, found.expires_at),
                (&held.bytes, held.expires_at)
            );
            if let Some(version) = held.version {
                assert_eq!(found.version, version);
            } else {
                assert!(newest.is_none_or(|newest| found.version > newest));
                held.version = Some(found.version);
                self.versions.push(found.version);
                let newest = self.newest.entry(tenant.clone()).or_insert(found.version);
                *newest = found.version.max(*newest);
            }
        }
    }

    async fn check_values(&mut self, fixture: &Fixture, rng: &mut Rng) {
        let tenant = tenant(rng.pick(&TENANTS));
        self.learn(fixture, &tenant).await;
    }

    async fn check_read(&self, fixture: &Fixture, rng: &mut Rng) {
        let partition = fixture.partition(&tenant(rng.pick(&TENANTS)));
        let records = self.records.get(&partition).map_or(&[][..], Vec::as_slice);
        let head = records.len() as u64;
        let (after, through) = (rng.below(head + 1), rng.below(head + 3));
        let tenants = TENANTS
            .map(tenant)
            .into_iter()
            .chain([TenantId::everyone()]);
        let tenants: Vec<TenantId> = tenants.collect();
        let rooms: Vec<_> = (0..rng.below(5))
            .map(|_| tenant_room(&rng.pick(&tenants), rng.pick(&ROOMS)))
            .collect();
        let query = Query {
            partition,
            rooms: rooms.clone(),
            after: fixture.at(partition, after).await,
            through: Offset::new(through),
            limit: usize::try_from(rng.below(6)).unwrap(),
            bytes_max: usize::try_from(rng.below(400)).unwrap(),
            now: self.now,
        };

        let found = fixture.all(query).await;

        let wanted = |event: &Event| {
            let audience = &event.audience().rooms;
            let named = rooms
                .iter()
                .any(|each| each.tenant == *event.tenant() && audience.contains(&each.room));
            named && event.expires_at().is_none_or(|end| end > self.now)
        };
        let expected: Vec<u64> = (1..)
            .zip(records)
            .filter(|(offset, event)| (after + 1..=through).contains(offset) && wanted(event))
            .map(|(offset, _)| offset)
            .collect();
        assert_eq!(found, Ok(expected));
    }

    async fn check_tail(&self, fixture: &Fixture, partition: Partition) {
        let records = self.records.get(&partition).map_or(&[][..], Vec::as_slice);
        let head: Position = fixture.head(partition).await;
        assert_eq!(head.offset.as_u64(), records.len() as u64);
        let mut tail = fixture
            .journal
            .tail(partition, fixture.at(partition, 0).await);

        let tailed = take(&mut *tail, records.len()).await;

        let tailed: Vec<&Event> = tailed.iter().map(|record| &record.event).collect();
        assert!(tailed == records.iter().collect::<Vec<_>>());
    }

    fn random_change(&self, rng: &mut Rng) -> (&'static str, Change) {
        let name = rng.pick(&KEYS);
        let expect = match rng.below(3) {
            0 => Expect::Anything,
            1 => Expect::Absent,
            _ if self.versions.is_empty() => Expect::Absent,
            _ => Expect::Version(rng.pick(&self.versions[self.versions.len().saturating_sub(8)..])),
        };
        let value = (!rng.one_in(4)).then(|| Bytes::from(rng.next().to_string()));
        let expires_at = rng.one_in(3).then(|| {
            self.now
                .checked_add(Duration::from_secs(rng.below(20)))
                .unwrap()
        });
        (
            name,
            Change {
                key: key(name),
                expect,
                value,
                expires_at,
                event: None,
            },
        )
    }

    fn held(&self, tenant: &TenantId, name: &'static str) -> Option<&Held> {
        let held = self.values.get(&(tenant.clone(), name))?;
        held.expires_at
            .is_none_or(|end| end > self.now)
            .then_some(held)
    }
}

fn random_event(tenant: &TenantId, now: Timestamp, rng: &mut Rng) -> Event {
    let id = rng.below(60).to_string();
    let mut rooms: Vec<&str> = ROOMS.into_iter().filter(|_| rng.one_in(3)).collect();
    rooms.dedup();
    let mut parts = parts(tenant, &id, &rooms);
    if rng.one_in(5) {
        parts.fingerprint = [0xff; 16];
    }
    parts.data = Bytes::from(vec![b' '; usize::try_from(rng.below(200)).unwrap()]);
    let lifetime = Duration::from_secs(rng.below(60));
    let expires_at = rng.one_in(4).then(|| now.checked_add(lifetime).unwrap());
    Event::from_parts(EventParts {
        expires_at,
        ..parts
    })
}

fn place(appended: &Appended) -> (u64, bool) {
    (appended.position.offset.as_u64(), appended.duplicate)
}

const SEEDS: [u64; 3] = [1, 2, 3];
const STEPS: u64 = 150;
const TENANTS: [&str; 3] = ["acme", "globex", "initech"];
const ROOMS: [&str; 4] = ["contact:1", "contact:2", "whatsapp:1", "whatsapp:1:link"];
const KEYS: [&str; 3] = ["message:1", "account:1", "count"];
