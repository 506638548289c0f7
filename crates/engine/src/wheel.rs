use std::{collections::BTreeMap, sync::Arc, task::Waker, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

/// The passing of time, for all connections of an engine: a connection has no timer of its own,
/// only a place in a slot that it shares with those who are due in the same moment.
///
/// Turned by one task, which is there as long as somebody waits.
#[derive(Debug)]
pub(crate) struct Wheel {
    start: Instant,
    state: Mutex<State>,
    /// Something is due before what the turning task waits for.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<u64, Vec<Option<Waker>>>,
    /// The last tick whose slot was emptied. It is not filled again, so that whoever was in it and
    /// cancels late finds nobody else there.
    turned: u64,
    is_turning: bool,
}

/// When a task is woken, and where that is noted. Never by default.
#[derive(Debug)]
pub(crate) struct Alarm {
    tick: u64,
    index: usize,
}

impl Default for Alarm {
    fn default() -> Self {
        Self {
            tick: u64::MAX,
            index: 0,
        }
    }
}

/// How late a task may be woken: heartbeats and deadlines are far longer.
const TICK_MS: u64 = 20;

impl Wheel {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            state: Mutex::default(),
            sooner: Notify::new(),
        }
    }

    /// Wakes `task` at `deadline`, or before: whoever is woken looks at the time and sets its alarm
    /// again.
    pub(crate) fn set(self: &Arc<Self>, alarm: &mut Alarm, deadline: Instant, task: &Waker) {
        let tick = self.tick(deadline).saturating_add(1);
        let is_pending = alarm.tick <= tick && alarm.tick > self.tick(Instant::now());
        if is_pending {
            return;
        }
        self.cancel(alarm);
        let mut state = self.state.lock();
        let tick = tick.max(state.turned + 1);
        let is_first = state
            .slots
            .first_key_value()
            .is_none_or(|(&first, _)| tick < first);
        let slot = state.slots.entry(tick).or_default();
        *alarm = Alarm {
            tick,
            index: slot.len(),
        };
        slot.push(Some(task.clone()));
        let begins = !std::mem::replace(&mut state.is_turning, true);
        drop(state);
        if begins {
            tokio::spawn(self.clone().turn());
        } else if is_first {
            self.sooner.notify_one();
        }
    }

    /// Does not wake its task any more.
    pub(crate) fn cancel(&self, alarm: &mut Alarm) {
        let Alarm { tick, index } = std::mem::take(alarm);
        if tick == u64::MAX {
            return;
        }
        let mut state = self.state.lock();
        let Some(slot) = state.slots.get_mut(&tick) else {
            return;
        };
        let task = slot.get_mut(index).and_then(Option::take);
        while slot.last().is_some_and(Option::is_none) {
            slot.pop();
        }
        if slot.is_empty() {
            state.slots.remove(&tick);
        }
        drop(state);
        drop(task);
    }

    /// Wakes whoever is due, until nobody waits any more.
    async fn turn(self: Arc<Self>) {
        while let Some(next) = self.next() {
            tokio::select! {
                () = sleep_until(next) => self.wake_due(),
                () = self.sooner.notified() => {}
            }
        }
    }

    /// When somebody is due; if nobody is, the wheel stands still.
    fn next(&self) -> Option<Instant> {
        let mut state = self.state.lock();
        let next = state.slots.first_key_value().map(|(&tick, _)| tick);
        state.is_turning = next.is_some();
        Some(self.start + Duration::from_millis(next?.saturating_mul(TICK_MS)))
    }

    fn wake_due(&self) {
        let now = self.tick(Instant::now());
        let due = {
            let mut state = self.state.lock();
            state.turned = now;
            let later = state.slots.split_off(&(now + 1));
            std::mem::replace(&mut state.slots, later)
        };
        for task in due.into_values().flatten().flatten() {
            task.wake();
        }
    }

    /// The tick that has come at `time`.
    fn tick(&self, time: Instant) -> u64 {
        let since_start = time.saturating_duration_since(self.start);
        let tick = since_start.as_millis() / u128::from(TICK_MS);
        u64::try_from(tick).unwrap_or(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering::Relaxed},
        task::Wake,
    };

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// A wheel and one who waits in it.
    struct Waiting {
        wheel: Arc<Wheel>,
        woken: Arc<Woken>,
        alarm: Alarm,
    }

    impl Waiting {
        fn new() -> Self {
            Self {
                wheel: Arc::new(Wheel::new(Instant::now())),
                woken: Arc::default(),
                alarm: Alarm::default(),
            }
        }

        fn set(&mut self, after_ms: u64) {
            let deadline = Instant::now() + Duration::from_millis(after_ms);
            let task = self.woken.clone().into();
            self.wheel.set(&mut self.alarm, deadline, &task);
        }

        /// How often it was woken `after_ms` from now.
        async fn woken(&self, after_ms: u64) -> usize {
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            self.woken.0.load(Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_woken_once_its_time_has_come_and_at_most_a_tick_later() {
        let mut waiting = Waiting::new();

        waiting.set(25_003);

        assert_eq!(waiting.woken(25_002).await, 0);
        assert_eq!(waiting.woken(2 + TICK_MS).await, 1);
        assert_eq!(waiting.woken(60_000).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_deadline_counts_and_a_later_one_is_left_to_who_is_woken() {
        let mut waiting = Waiting::new();

        waiting.set(10_000);
        waiting.set(1_000);
        waiting.set(20_000);

        assert_eq!(waiting.woken(1_000 + TICK_MS + 1).await, 1);
        waiting.set(2_000);
        assert_eq!(waiting.woken(2_000 + TICK_MS + 1).await, 2);
        assert_eq!(waiting.woken(60_000).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cancels_is_not_woken_and_leaves_nothing_behind() {
        let mut waiting = Waiting::new();
        let mut other = Alarm::default();
        let deadline = Instant::now() + Duration::from_millis(100);
        waiting.wheel.set(&mut other, deadline, Waker::noop());
        waiting.set(100);

        waiting.wheel.cancel(&mut waiting.alarm);
        waiting.wheel.cancel(&mut other);

        assert!(waiting.wheel.state.lock().slots.is_empty());
        assert_eq!(waiting.woken(1_000).await, 0);
        assert!(!waiting.wheel.state.lock().is_turning);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cancels_late_takes_nobody_else_away() {
        let mut waiting = Waiting::new();
        let mut late = Alarm::default();
        let deadline = Instant::now() + Duration::from_millis(100);
        waiting.wheel.set(&mut late, deadline, Waker::noop());
        tokio::time::sleep(Duration::from_secs(1)).await;

        let task = waiting.woken.clone().into();
        waiting.wheel.set(&mut waiting.alarm, deadline, &task);
        waiting.wheel.cancel(&mut late);

        assert_eq!(waiting.woken(2 * TICK_MS).await, 1);
    }
}
