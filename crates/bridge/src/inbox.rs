//! What Pub/Sub said and is not durable yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_dialect::MESSAGE_LEN_MAX;
use switchboard_event::{Clock, EventId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::seat::{LEASE, Seat};
use crate::sighting::Sightings;
use crate::stats::Stats;

/// A bounded queue. Nodes that do not work for the mapping keep what they would have to say if the one
/// that does had just died.
pub(crate) struct Inbox {
    mapping: String,
    seat: Seat,
    stats: Arc<Stats>,
    clock: Clock,
    state: Mutex<State>,
    /// Something is there.
    filled: Notify,
    /// Nothing is there any more.
    emptied: Notify,
}

struct State {
    sightings: Sightings,
    messages: VecDeque<Heard>,
    bytes: usize,
    /// What was taken out and may come back.
    taken: usize,
}

/// What was heard.
pub(crate) struct Heard {
    pub(crate) id: EventId,
    pub(crate) body: Vec<u8>,
    at: Instant,
}

impl Inbox {
    pub(crate) fn new(mapping: String, seat: Seat, stats: Arc<Stats>, clock: Clock) -> Self {
        let empty = State {
            sightings: Sightings::new(mapping.clone(), 0, Instant::now()),
            messages: VecDeque::new(),
            bytes: 0,
            taken: 0,
        };
        Self {
            mapping,
            seat,
            stats,
            clock,
            state: Mutex::new(empty),
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// A subscription begins: what is heard from now on may be less than what was said. `salt` is
    /// random.
    pub(crate) fn begin(&self, salt: u64) {
        let sightings = Sightings::new(self.mapping.clone(), salt, Instant::now());
        self.state.lock().sightings = sightings;
    }

    /// Takes what was heard. Never waits: what finds no room is lost, and counted.
    pub(crate) fn push(&self, body: Vec<u8>) {
        if body.len() > MESSAGE_LEN_MAX {
            self.stats.dropped.increment("too_large");
            return;
        }
        let is_held = self.seat.is_held();
        let now = Instant::now();
        let mut state = self.state.lock();
        let id = state.sightings.id(&body, now, self.clock.now());
        if !is_held {
            let is_old = |one: &Heard| now.duration_since(one.at) > BACKLOG;
            while state.messages.front().is_some_and(is_old) || state.is_full(body.len()) {
                state.pop();
            }
        } else if state.is_full(body.len()) {
            drop(state);
            self.stats.dropped.increment("overflow");
            return;
        }
        state.bytes += body.len();
        state.messages.push_back(Heard { id, body, at: now });
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for messages and takes the first ones out.
    pub(crate) async fn take(&self) -> Vec<Heard> {
        loop {
            let taken = self.state.lock().take();
            if !taken.is_empty() {
                return taken;
            }
            self.filled.notified().await;
        }
    }

    /// What was taken is durable.
    pub(crate) fn settle(&self) {
        let mut state = self.state.lock();
        state.taken = 0;
        let is_empty = state.messages.is_empty();
        drop(state);
        if is_empty {
            self.emptied.notify_waiters();
        }
    }

    /// What was taken is not durable, and no business of ours unless the seat comes back.
    pub(crate) fn restore(&self, messages: Vec<Heard>) {
        let mut state = self.state.lock();
        state.taken = 0;
        for message in messages.into_iter().rev() {
            state.bytes += message.body.len();
            state.messages.push_front(message);
        }
    }

    /// Waits until everything that this node has to say is durable.
    pub(crate) async fn drained(&self) {
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            emptied.as_mut().enable();
            if self.is_drained() || !self.seat.is_held() {
                return;
            }
            emptied.await;
        }
    }

    fn is_drained(&self) -> bool {
        let state = self.state.lock();
        state.messages.is_empty() && state.taken == 0
    }
}

impl State {
    fn is_full(&self, more: usize) -> bool {
        self.messages.len() >= MESSAGES_MAX
            || (self.bytes + more > BYTES_MAX && !self.messages.is_empty())
    }

    fn take(&mut self) -> Vec<Heard> {
        let mut taken = Vec::new();
        let mut bytes = 0;
        while let Some(first) = self.messages.front()
            && taken.len() < BATCH_MAX
            && (taken.is_empty() || bytes + first.body.len() <= BATCH_BYTES_MAX)
        {
            bytes += first.body.len();
            taken.extend(self.pop());
        }
        self.taken = taken.len();
        taken
    }

    fn pop(&mut self) -> Option<Heard> {
        let first = self.messages.pop_front()?;
        self.bytes -= first.body.len();
        Some(first)
    }
}

/// For how long a node keeps what another one should have taken: as long as that one may be dead
/// before this one takes over.
const BACKLOG: Duration = Duration::from_secs(LEASE.as_secs() + 5);
const MESSAGES_MAX: usize = 8_192;
const BYTES_MAX: usize = 32 << 20;
/// How much becomes records at once.
const BATCH_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use switchboard_event::Timestamp;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_does_not_work_keeps_the_newest_for_as_long_as_another_may_be_dead() {
        let (tell, seat) = Seat::taken();
        tell.send_replace(None);
        let (inbox, stats) = inbox(seat);

        inbox.push(b"old".to_vec());
        tokio::time::advance(BACKLOG + Duration::from_secs(1)).await;
        inbox.push(b"new".to_vec());
        tokio::time::advance(Duration::from_secs(1)).await;
        inbox.push(b"newer".to_vec());

        assert_eq!(bodies(&inbox.take().await), ["new", "newer"]);
        assert!(stats.counts().dropped.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_finds_no_room_is_counted_and_what_is_there_stays() {
        let (tell, seat) = Seat::taken();
        let (inbox, stats) = inbox(seat);

        for number in 0..=MESSAGES_MAX {
            inbox.push(number.to_string().into_bytes());
        }
        inbox.push(vec![0; MESSAGE_LEN_MAX + 1]);

        assert_eq!(stats.counts().dropped["overflow"], 1);
        assert_eq!(stats.counts().dropped["too_large"], 1);
        let first = inbox.take().await;
        assert_eq!((first.len(), &*first[0].body), (BATCH_MAX, &b"0"[..]));
        inbox.restore(first);
        assert_eq!(inbox.take().await[0].body, b"0");
        drop(tell);
    }

    fn inbox(seat: Seat) -> (Inbox, Arc<Stats>) {
        let stats = Arc::new(Stats::default());
        let clock = Clock::new(|| Timestamp::MIN);
        (
            Inbox::new("m".to_owned(), seat, Arc::clone(&stats), clock),
            stats,
        )
    }

    fn bodies(heard: &[Heard]) -> Vec<&str> {
        let text = |one| str::from_utf8(one).unwrap();
        heard.iter().map(|one| text(&one.body)).collect()
    }
}
