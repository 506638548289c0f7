//! Rooms that clients are in by somebody else's yes, which ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use switchboard_event::Room;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, warn};

use crate::access::{Term, link_room};
use crate::audit::Left;
use crate::lane::Lane;
use crate::recovery::Recovery;
use crate::reply::Refused;
use crate::session::Session;

/// The leases of one partition, in the order in which they are to be asked about again.
///
/// Sessions whose rooms are decided by their tokens are not here and cost nothing.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    by_due: BTreeMap<Key, Lease>,
    /// By the address of a session, which tells it apart while it is here.
    by_session: HashMap<usize, HashMap<Room, Key>>,
    made: u64,
}

type Key = (Instant, u64);

/// A room of a session, until when.
#[derive(Debug)]
pub(crate) struct Lease {
    session: Arc<Session>,
    room: Room,
    times: Times,
}

/// When something is to be done about a lease.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// When it is to be asked about.
    due: Instant,
    /// How long it was to hold when it was made.
    ttl: Duration,
    lapses_at: Instant,
}

/// That leases fall behind, said once in a while.
#[derive(Debug, Default)]
struct Delays {
    said_at: Option<Instant>,
}

impl Leases {
    /// Has a room asked about again when `term` ends, a little later or earlier than others; instead
    /// of an earlier lease.
    pub(crate) fn hold(&mut self, session: &Arc<Session>, room: &Room, term: Term, now: Instant) {
        self.release(session, room);
        self.made += 1;
        let spread = term.until.saturating_duration_since(now) / SPREAD_PART;
        let due = term.until + spread * part(self.made) / PARTS;
        let key = (due, self.made);
        let lease = Lease {
            session: Arc::clone(session),
            room: room.clone(),
            times: Times {
                due,
                ttl: term.until.saturating_duration_since(now),
                lapses_at: term.lapses_at,
            },
        };
        self.by_due.insert(key, lease);
        let rooms = self.by_session.entry(address(session)).or_default();
        rooms.insert(room.clone(), key);
    }

    /// Forgets a room that a session has left.
    pub(crate) fn release(&mut self, session: &Arc<Session>, room: &Room) {
        let Some(rooms) = self.by_session.get_mut(&address(session)) else {
            return;
        };
        if let Some(key) = rooms.remove(room) {
            self.by_due.remove(&key);
        }
        if rooms.is_empty() {
            self.by_session.remove(&address(session));
        }
    }

    /// Forgets a session that has gone.
    pub(crate) fn forget(&mut self, session: &Arc<Session>) {
        let keys = self.by_session.remove(&address(session));
        for key in keys.into_iter().flat_map(HashMap::into_values) {
            self.by_due.remove(&key);
        }
    }

    /// The leases whose time has come, at most `count_max`.
    pub(crate) fn take_due(&mut self, now: Instant, count_max: usize) -> Vec<Lease> {
        let mut due = Vec::new();
        while due.len() < count_max
            && let Some(first) = self.by_due.first_entry()
            && first.key().0 <= now
        {
            let lease = first.remove();
            let session = address(&lease.session);
            if let Some(rooms) = self.by_session.get_mut(&session) {
                rooms.remove(&lease.room);
                if rooms.is_empty() {
                    self.by_session.remove(&session);
                }
            }
            due.push(lease);
        }
        due
    }

    pub(crate) fn len(&self) -> usize {
        self.by_due.len()
    }

    /// How many should have been asked about a while ago.
    fn overdue(&self, now: Instant) -> usize {
        let since = now.checked_sub(LATE_MIN).unwrap_or(now);
        self.by_due.range(..(since, 0)).count()
    }
}

impl Times {
    /// Whether it has been waiting for so long that the yes counts no more, whatever would be
    /// answered. Who comes in time is asked about once more, also where the yes ends with its lease.
    fn has_lapsed(&self, now: Instant) -> bool {
        now >= self.lapses_at.max(self.due + LATE_MAX)
    }

    /// How much too late it is, if that is more than it was to hold.
    fn overdue(&self, now: Instant) -> Option<Duration> {
        let late = now.saturating_duration_since(self.due);
        (late > self.ttl.max(LATE_MIN)).then_some(late)
    }
}

impl Delays {
    /// Takes a lease whose turn has come; returns how late it is, if that is to be said.
    fn note(&mut self, times: Times, now: Instant) -> Option<Duration> {
        let late = times.overdue(now)?;
        let is_said = self
            .said_at
            .is_some_and(|at| now.saturating_duration_since(at) < SAY_INTERVAL);
        if is_said {
            return None;
        }
        self.said_at = Some(now);
        Some(late)
    }
}

impl Lane {
    /// Has the rooms of `terms` asked about again in time.
    pub(crate) fn hold(&self, session: &Arc<Session>, terms: &[(Room, Term)]) {
        if terms.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut leases = self.leases.lock();
        for (room, term) in terms {
            leases.hold(session, room, *term, now);
        }
    }

    /// How many leases wait too long for their turn.
    pub(crate) fn leases_overdue(&self) -> usize {
        self.leases.lock().overdue(Instant::now())
    }

    /// Asks no more about rooms that a session has left at its client's wish.
    pub(crate) fn release(&self, session: &Arc<Session>, rooms: &[Room]) {
        let mut leases = self.leases.lock();
        for room in rooms {
            leases.release(session, room);
            if let Some(link) = link_room(room) {
                leases.release(session, &link);
            }
        }
    }
}

impl Recovery {
    /// Asks again about leases that end, a few at a time, for ever.
    pub(crate) async fn renew_leases(&self, lanes: &[Arc<Lane>]) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way = JoinSet::new();
        let mut delays = Delays::default();
        loop {
            ticks.tick().await;
            for lane in lanes {
                let due = lane.leases.lock().take_due(Instant::now(), DUE_MAX);
                for lease in due {
                    while under_way.len() >= AT_ONCE_MAX {
                        under_way.join_next().await;
                    }
                    if let Some(late) = delays.note(lease.times, Instant::now()) {
                        let late_ms = late.as_millis();
                        warn!(partition = %lane.partition, late_ms, "rights are asked about too late");
                    }
                    let recovery = self.clone();
                    under_way.spawn(async move { recovery.renew_lease(lease).await });
                }
            }
            while under_way.try_join_next().is_some() {}
        }
    }

    async fn renew_lease(&self, lease: Lease) {
        let Lease {
            session,
            room,
            times,
        } = lease;
        if session.handle.is_closed() || !session.is_in(&room) {
            return;
        }
        let lapses_at = times.lapses_at;
        let (renewals, identity) = (session.renewals(), session.identity());
        if times.has_lapsed(Instant::now()) {
            // Asking takes its time too, and the room was heard for too long already.
            warn!(socket = %session.socket_id(), room = room.name(), "a right lapsed unasked");
            self.withdraw(&session, &[room], renewals, Left::Unavailable)
                .await;
            return;
        }
        let reason = match self.access.grant(&identity, room.clone()).await {
            Ok(granted) => {
                let term = granted.term.map(|term| (room, term));
                session.lane.hold(&session, term.as_slice());
                return;
            }
            Err(Refused::Denied(_)) => Left::Withdrawn,
            Err(reason) => {
                let now = Instant::now();
                if now < lapses_at {
                    debug!(socket = %session.socket_id(), room = room.name(), "kept unasked");
                    let until = lapses_at.min(now + PAUSE);
                    let term = Term { until, lapses_at };
                    session.lane.hold(&session, &[(room, term)]);
                    return;
                }
                warn!(socket = %session.socket_id(), room = room.name(), %reason, "a right lapsed");
                Left::Unavailable
            }
        };
        self.withdraw(&session, &[room], renewals, reason).await;
    }
}

fn address(session: &Arc<Session>) -> usize {
    Arc::as_ptr(session).addr()
}

/// Numbers below [`PARTS`] that lie evenly, however many they are.
fn part(number: u64) -> u32 {
    let high = number.wrapping_mul(GOLDEN) >> 56;
    u32::try_from(high).expect("8 bits are left")
}

/// What [`part`] stays below.
const PARTS: u32 = 256;
/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Those that end at once are asked about over this part of their time.
const SPREAD_PART: u32 = 8;
/// How often it is looked what has ended.
const TICK: Duration = Duration::from_millis(100);
/// How many leases are taken at a time, and how many are asked about at once: as many as a backend
/// is asked at once, so that a slow one is no reason to fall behind, and few beside all the
/// questions that clients may have under way.
const DUE_MAX: usize = 256;
const AT_ONCE_MAX: usize = 32;
/// How late a lease may be asked about though its yes has ended.
const LATE_MAX: Duration = Duration::from_secs(5);
/// Less is never too late.
const LATE_MIN: Duration = Duration::from_secs(1);
/// How often it is said that leases fall behind.
const SAY_INTERVAL: Duration = Duration::from_secs(10);
/// How long it is waited until somebody who could not be asked is asked again about a lease.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_lie_evenly() {
        let mut counts = [0; 8];
        for number in 0..800 {
            counts[part(number) as usize * 8 / PARTS as usize] += 1;
        }

        let is_even = counts.iter().all(|count| (98..=102).contains(count));
        assert!(is_even, "{counts:?}");
    }

    #[test]
    fn a_lease_that_waited_beyond_its_end_has_lapsed_before_anybody_is_asked() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let lapsing_at = |seconds| Times {
            lapses_at: at(seconds),
            ..times(now, 60)
        };

        assert!(!lapsing_at(600).has_lapsed(at(599)));
        assert!(lapsing_at(600).has_lapsed(at(600)));
        // It ends when it is due: there is time for one more question.
        assert!(!lapsing_at(60).has_lapsed(at(60)));
        assert!(lapsing_at(60).has_lapsed(at(60) + LATE_MAX));
    }

    #[test]
    fn leases_that_fall_behind_are_spoken_of_once_in_a_while() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let (lease, mut delays) = (times(now, 20), Delays::default());

        assert_eq!(delays.note(lease, at(40)), None);
        assert_eq!(delays.note(lease, at(41)), Some(Duration::from_secs(21)));
        assert_eq!(delays.note(lease, at(45)), None);
        assert_eq!(delays.note(lease, at(51)), Some(Duration::from_secs(31)));
        // A tick is no delay, however short the lease was.
        assert_eq!(delays.note(times(now, 0), now + TICK), None);
    }

    fn times(now: Instant, ttl_s: u64) -> Times {
        let ttl = Duration::from_secs(ttl_s);
        Times {
            due: now + ttl,
            ttl,
            lapses_at: now + ttl * 10,
        }
    }
}
