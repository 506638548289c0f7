//! Keeps the leases of the people on this node, and ends those that nobody keeps.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_event::payload::PresenceUpdate;
use switchboard_event::{
    Audience, Clock, FleetingEvent, Id, Payload, Room, TenantId, Timestamp, UserId,
};
use switchboard_hub::{NodeWord, Status, Word};
use switchboard_journal::{LEASES_MAX, Lease, LeaseError, LeaseName, Leases};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::Floor;
use super::telling::presence;
use crate::lane::Lane;

/// The task that speaks for the people on this node, of one lane.
///
/// What it says of a person is a lease before it is said, so that it ends when this node dies, and
/// so that whoever asks what is held knows at least what was said.
pub(super) struct Attendant {
    lane: Arc<Lane>,
    leases: Arc<dyn Leases>,
    clock: Clock,
    /// When leases are renewed next, and words said again.
    renews_at: Timestamp,
    /// When leases that nobody keeps are looked for next.
    takes_at: Timestamp,
    /// Not to be tried again before this time.
    rests_until: Timestamp,
    /// When there may be something to say again.
    speaks_at: Instant,
}

impl Attendant {
    pub(super) fn new(lane: Arc<Lane>, leases: Arc<dyn Leases>, clock: Clock) -> Self {
        let now = clock.now();
        let lease = lane.floor.config.lease;
        Self {
            lane,
            leases,
            clock,
            renews_at: next_turn(now, lease / 3),
            // While the store was away nobody could keep a lease: who comes back in time was never
            // gone.
            takes_at: Floor::after(now, lease),
            rests_until: now,
            speaks_at: Instant::now(),
        }
    }

    /// Works until the store is closed.
    pub(super) async fn run(mut self) {
        while let Err(failure) = self.begin().await {
            if failure == LeaseError::Closed {
                return;
            }
            warn!(partition = %self.floor().partition, error = %failure, "leases are not readable");
            tokio::time::sleep(PAUSE).await;
        }
        loop {
            self.idle().await;
            match self.work().await {
                Ok(()) => {}
                Err(LeaseError::Closed) => return,
                Err(failure) => {
                    warn!(partition = %self.floor().partition, error = %failure, "presence waits");
                    self.rests_until = Floor::after(self.clock.now(), PAUSE);
                }
            }
        }
    }

    fn floor(&self) -> &Floor {
        &self.lane.floor
    }

    /// Learns who was there before this node was. Nobody was told anything yet.
    async fn begin(&self) -> Result<(), LeaseError> {
        self.floor().tables.lock().heard = Some(HashSet::new());
        let words = self.list().await?;
        debug!(partition = %self.floor().partition, people = words.len(), "found who was there");
        let mut tables = self.floor().tables.lock();
        let heard = tables.heard.take().unwrap_or_default();
        tables.presence.reconcile(words, &heard, self.clock.now());
        Ok(())
    }

    /// Waits until there is something to do. Who comes alone is spoken of at once; of many who come
    /// one after the other is spoken together, in one write.
    async fn idle(&mut self) {
        let now = self.clock.now();
        let grace_ends = self.floor().attendance.lock().next_end();
        let ends = [Some(self.renews_at), Some(self.takes_at), grace_ends];
        let next = ends.into_iter().flatten().min().unwrap_or(now);
        if self.rests_until > now {
            tokio::time::sleep(until(now, self.rests_until)).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(until(now, next)) => {}
            () = self.floor().news.notified() => {
                tokio::time::sleep_until(self.speaks_at).await;
                self.speaks_at = Instant::now() + NEWS_INTERVAL;
            }
        }
    }

    async fn work(&mut self) -> Result<(), LeaseError> {
        let now = self.clock.now();
        self.floor().attendance.lock().expire(now);
        self.tell().await?;
        let lease = self.floor().config.lease;
        if self.renews_at <= now {
            self.renews_at = next_turn(now, lease / 3);
            self.floor().say_again(now);
            self.renew().await?;
            self.tell().await?;
        }
        if self.takes_at <= now {
            self.takes_at = next_turn(now, (lease / 6).clamp(TAKE_MIN, TAKE_MAX));
            self.take().await?;
        }
        self.list_anew().await
    }

    /// Says what there is to say of the people on this node.
    async fn tell(&self) -> Result<(), LeaseError> {
        loop {
            let words = self.floor().attendance.lock().take_words(LEASES_MAX);
            if words.is_empty() {
                return Ok(());
            }
            let now = self.clock.now();
            let written = self.write(&words, now).await;
            let mut attendance = self.floor().attendance.lock();
            if let Err(failure) = written {
                for word in &words {
                    attendance.put_back(&word.tenant, &word.user);
                }
                return Err(failure);
            }
            attendance.settle(&words);
            drop(attendance);
            for word in words {
                self.say(
                    &self.floor().node,
                    word.tenant,
                    &word.user,
                    word.status,
                    word.left_at,
                );
            }
        }
    }

    async fn write(&self, words: &[Word], now: Timestamp) -> Result<(), LeaseError> {
        let holder = self.floor().holder;
        let expires_at = Floor::after(now, self.floor().config.lease);
        let (mut here, mut gone) = (Vec::new(), Vec::new());
        for word in words {
            let name = name_of(&word.tenant, &word.user);
            match word.status {
                Some(status) => here.push(Lease {
                    name,
                    holder,
                    value: Bytes::from_static(status.as_str().as_bytes()),
                    expires_at,
                }),
                None => gone.push(name),
            }
        }
        if !here.is_empty() {
            self.leases.hold(&here).await?;
        }
        if !gone.is_empty() {
            self.leases.release(holder, &gone).await?;
        }
        Ok(())
    }

    async fn renew(&self) -> Result<(), LeaseError> {
        let names: Vec<LeaseName> = {
            let attendance = self.floor().attendance.lock();
            let people = attendance.people();
            people.map(|(tenant, user)| name_of(tenant, user)).collect()
        };
        let expires_at = Floor::after(self.clock.now(), self.floor().config.lease);
        for chunk in names.chunks(LEASES_MAX) {
            let holder = self.floor().holder;
            let gone = self.leases.renew(holder, chunk, expires_at).await?;
            // Others were told that they are gone.
            for name in gone.into_iter().filter_map(|index| chunk.get(index)) {
                self.say_later(name);
            }
        }
        Ok(())
    }

    /// Ends what nodes said that do not keep it.
    async fn take(&self) -> Result<(), LeaseError> {
        let floor = self.floor();
        loop {
            let now = self.clock.now();
            let taken = self.leases.take_expired(floor.partition, PREFIX, now);
            let taken = taken.await?;
            for lease in &taken {
                if lease.holder == floor.holder {
                    self.say_later(&lease.name);
                } else if let Some(word) = self.word_of(lease) {
                    self.say(&word.node, word.tenant, &word.user, None, word.seen_at);
                }
            }
            if taken.len() < LEASES_MAX {
                return Ok(());
            }
        }
    }

    /// Lists all people, if something that was said of them was lost.
    async fn list_anew(&self) -> Result<(), LeaseError> {
        {
            let mut tables = self.floor().tables.lock();
            if !tables.is_doubtful || tables.listed.is_some() {
                return Ok(());
            }
            tables.is_doubtful = false;
            tables.heard = Some(HashSet::new());
        }
        let words = self.list().await.inspect_err(|_| {
            self.floor().tables.lock().is_doubtful = true;
        })?;
        self.floor().tables.lock().listed = Some(words);
        self.floor().listed.notify_one();
        Ok(())
    }

    /// Everybody who is said to be there, on any node.
    async fn list(&self) -> Result<Vec<NodeWord>, LeaseError> {
        let (mut words, mut after) = (Vec::new(), None);
        loop {
            let partition = self.floor().partition;
            let page = self.leases.held(partition, PREFIX, after.as_ref()).await?;
            words.extend(page.iter().filter_map(|lease| self.word_of(lease)));
            match page.last() {
                Some(last) if page.len() == LEASES_MAX => {
                    after = Some((last.name.clone(), last.holder));
                }
                _ => return Ok(words),
            }
        }
    }

    /// What a lease says.
    fn word_of(&self, lease: &Lease) -> Option<NodeWord> {
        let user = lease.name.name.as_str().strip_prefix(PREFIX)?;
        let node = if lease.holder == self.floor().holder {
            self.floor().node.clone()
        } else {
            lease.holder.to_string().parse().ok()?
        };
        // It was kept until then.
        let lifetime = self.floor().config.lease.as_millis();
        let lifetime = i64::try_from(lifetime).unwrap_or(i64::MAX);
        let seen_at = lease.expires_at.as_millis().saturating_sub(lifetime);
        Some(NodeWord {
            tenant: lease.name.tenant.clone(),
            user: user.parse().ok()?,
            node,
            status: Status::from_word(std::str::from_utf8(&lease.value).ok()?),
            seen_at: Timestamp::from_millis(seen_at),
        })
    }

    /// Says to all nodes how a person is on one.
    pub(super) fn say(
        &self,
        node: &Id,
        tenant: TenantId,
        user: &UserId,
        status: Option<Status>,
        seen_at: Timestamp,
    ) {
        let (floor, now) = (self.floor(), self.clock.now());
        let event = FleetingEvent {
            name: PresenceUpdate::EVENT.into(),
            data: presence(user, status, seen_at, now).into(),
            audience: Audience {
                rooms: vec![Room::team(&tenant)],
                except: Vec::new(),
            },
            voice: node.clone(),
            expires_at: Floor::after(now, floor.config.lease),
            tenant,
        };
        floor.fleeting.send(floor.partition, Arc::new(event));
    }

    /// Holds again, and says again, what was taken from this node.
    fn say_later(&self, name: &LeaseName) {
        let user = name.name.as_str().strip_prefix(PREFIX);
        if let Some(Ok(user)) = user.map(str::parse) {
            let mut attendance = self.floor().attendance.lock();
            attendance.put_back(&name.tenant, &user);
        }
    }
}

/// Speaks for the people who are here, on all lanes; ends only if that dies.
pub(crate) async fn attend(lanes: &[Arc<Lane>], leases: &Arc<dyn Leases>, clock: &Clock) {
    let mut tasks = JoinSet::new();
    for lane in lanes {
        let attendant = Attendant::new(Arc::clone(lane), Arc::clone(leases), clock.clone());
        tasks.spawn(attendant.run());
    }
    while let Some(ended) = tasks.join_next().await {
        if let Err(failure) = ended {
            error!(error = %failure, "a task of presence died");
            return;
        }
    }
    // All of them saw the store closed; so will the fan-out.
    std::future::pending::<()>().await;
}

fn name_of(tenant: &TenantId, user: &UserId) -> LeaseName {
    LeaseName {
        tenant: tenant.clone(),
        name: format!("{PREFIX}{user}")
            .parse()
            .expect("an id with a prefix is shorter than a key may be"),
    }
}

/// When the next of so many equal parts of all time begins: for all lanes at once, so that a disk
/// that is otherwise idle has quiet in between.
fn next_turn(now: Timestamp, part: Duration) -> Timestamp {
    let part = i64::try_from(part.as_millis()).unwrap_or(i64::MAX).max(1);
    let turn = now.as_millis() / part + 1;
    Timestamp::from_millis(turn.saturating_mul(part))
}

/// How long until then; no longer than a clock that was set may mislead.
pub(super) fn until(now: Timestamp, end: Timestamp) -> Duration {
    let millis = end.as_millis().saturating_sub(now.as_millis());
    let wait = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
    wait.min(WAIT_MAX)
}

/// How the names of these leases begin.
const PREFIX: &str = "presence:";
/// How long after news there are news again.
const NEWS_INTERVAL: Duration = Duration::from_millis(100);
/// How long a store that fails is left alone.
const PAUSE: Duration = Duration::from_secs(1);
/// How often leases that nobody keeps are looked for.
const TAKE_MIN: Duration = Duration::from_millis(100);
const TAKE_MAX: Duration = Duration::from_secs(5);
const WAIT_MAX: Duration = Duration::from_secs(5);
