//! Whether an account is connected.

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use switchboard_event::Timestamp;
use switchboard_event::machine::connection::{
    Connection, ConnectionNews, ConnectionState, ConnectionTimes, QrSignal, Signal, Step,
};
use switchboard_event::payload::{AccountSummary, ConnectionStatus};

use ConnectionState::{
    Conflict, Connected, Connecting, Disconnected, QrExpired, QrPending, Reconnecting,
};

/// A connection in simulated time, whose driver wakes it when it asked for that.
#[derive(Default)]
struct World {
    connection: Option<Connection>,
    times: ConnectionTimes,
    now: i64,
    wake_at: Option<Timestamp>,
    /// What was told, and when.
    told: Vec<(i64, ConnectionNews)>,
}

impl World {
    /// Lets time pass, and wakes the connection on its way.
    fn pass(&mut self, millis: i64) {
        let end = self.now + millis;
        while let Some(wake_at) = self.wake_at.filter(|at| at.as_millis() <= end) {
            self.now = self.now.max(wake_at.as_millis());
            let connection = self.connection.as_ref().map(reread).unwrap();
            let (connection, step) = connection.tick(at(self.now), &self.times);
            self.take(connection, step);
        }
        self.now = end;
    }

    fn hears(&mut self, signal: Signal) {
        let earlier = self.connection.as_ref().map(reread);
        let (connection, step) = Connection::apply(earlier, signal, at(self.now), &self.times);
        self.take(connection, step);
    }

    fn is(&mut self, state: ConnectionState) {
        self.hears(signal(state));
    }

    fn take(&mut self, connection: Connection, step: Step) {
        self.connection = Some(connection);
        self.wake_at = step.wake_at;
        let now = self.now;
        self.told
            .extend(step.news.into_iter().map(|news| (now, news)));
    }

    /// What was told since this was last asked, in short.
    fn take_told(&mut self) -> Vec<(i64, String)> {
        let told = std::mem::take(&mut self.told);
        let short = |(at, news)| match news {
            ConnectionNews::Status(status) if status.is_stale => (at, "stale".to_owned()),
            ConnectionNews::Status(status) => (at, status.state.as_str().to_owned()),
            ConnectionNews::Ready(_) => (at, "ready".to_owned()),
            ConnectionNews::Disconnected(reason) => (at, format!("lost: {reason}")),
            ConnectionNews::Qr { code, .. } => (at, format!("code {code}")),
        };
        told.into_iter().map(short).collect()
    }

    #[track_caller]
    fn assert_told(&mut self, expected: &[(i64, &str)]) {
        let told = self.take_told();
        let told: Vec<_> = told.iter().map(|(at, text)| (*at, text.as_str())).collect();
        assert_eq!(told, expected);
    }
}

#[test]
fn an_account_that_is_paired_tells_each_step_and_is_ready_once() {
    let mut world = World::default();

    world.is(Connecting);
    world.pass(2_000);
    world.hears(code("a", None));
    world.pass(2_000);
    world.is(Connected);
    world.pass(2_000);
    world.is(Connected);
    world.pass(60_000);

    world.assert_told(&[
        (0, "connecting"),
        (2_000, "qr_pending"),
        (2_000, "code a"),
        (4_000, "connected"),
        (4_000, "ready"),
    ]);
}

#[test]
fn in_a_storm_the_first_is_told_at_once_and_the_last_after_a_quiet_second() {
    let mut world = World::default();

    for _ in 0..3 {
        world.is(Connected);
        world.pass(100);
        world.is(Reconnecting);
        world.pass(100);
    }
    world.pass(10_000);

    // The last change was at 500.
    world.assert_told(&[(0, "connected"), (0, "ready"), (1_500, "reconnecting")]);
}

#[test]
fn a_flap_that_ends_where_it_began_is_not_told_at_all() {
    let mut world = World::default();
    world.is(Connected);
    world.pass(100);
    world.take_told();

    world.is(Reconnecting);
    world.pass(100);
    world.is(Connected);
    world.pass(10_000);

    world.assert_told(&[]);
}

#[test]
fn only_who_was_away_for_three_seconds_is_ready_anew() {
    let mut world = World::default();
    world.is(Connected);
    world.pass(10_000);
    world.take_told();

    world.is(Reconnecting);
    world.pass(2_999);
    world.is(Connected);
    world.pass(7_001);
    world.assert_told(&[(10_000, "reconnecting"), (12_999, "connected")]);

    world.is(Reconnecting);
    world.pass(3_000);
    world.is(Connected);
    world.assert_told(&[
        (20_000, "reconnecting"),
        (23_000, "connected"),
        (23_000, "ready"),
    ]);
}

#[test]
fn who_was_told_that_it_is_disconnected_is_told_when_it_is_ready_however_short_it_was() {
    let mut world = World::default();
    world.is(Connected);
    world.pass(10_000);
    world.take_told();

    world.is(Disconnected);
    world.pass(1_000);
    world.is(Connecting);
    world.pass(1_000);
    world.is(Connected);

    world.assert_told(&[
        (10_000, "disconnected"),
        (10_000, "lost: disconnected"),
        (11_000, "connecting"),
        (12_000, "connected"),
        (12_000, "ready"),
    ]);
}

#[test]
fn who_an_account_is_stays_known_until_it_is_told() {
    let account = AccountSummary {
        phone_number: Some("15550100001".to_owned()),
        display_name: None,
    };
    let mut world = World::default();
    world.is(Connecting);
    world.hears(Signal::State {
        state: Connected,
        reason: None,
        reason_code: None,
        account: Some(account.clone()),
    });
    // Once more, before it could be told.
    world.is(Connected);
    world.pass(1_000);

    let ready = world.told.iter().find_map(|(_, news)| match news {
        ConnectionNews::Ready(account) => Some(account.clone()),
        _ => None,
    });
    assert_eq!(ready, Some(Some(account)));
}

#[test]
fn a_new_code_replaces_the_earlier_one_and_the_same_is_told_once() {
    let mut world = World::default();
    world.hears(code("a", Some(1)));
    world.hears(code("a", Some(1)));
    world.pass(20_000);
    world.hears(code("b", Some(2)));

    let lifetimes: Vec<_> = world
        .told
        .iter()
        .filter_map(|(at, news)| match news {
            ConnectionNews::Qr { expires_at, .. } => Some(expires_at.as_millis() - at),
            _ => None,
        })
        .collect();
    assert_eq!(lifetimes, [60_000, 20_000]);
}

#[test]
fn a_code_that_has_expired_is_not_told() {
    let mut world = World::default();
    world.pass(5_000);

    world.hears(Signal::Qr(QrSignal {
        code: "a".to_owned(),
        attempt: None,
        expires_at: Some(at(5_000)),
    }));

    world.assert_told(&[(5_000, "qr_pending")]);
}

#[test]
fn what_ends_a_connection_is_told_with_its_reason() {
    for (state, reason) in [
        (Disconnected, "lost: disconnected"),
        (QrExpired, "lost: qr_timeout"),
        (Conflict, "lost: replaced"),
        (ConnectionState::Banned, "lost: banned"),
    ] {
        let mut world = World::default();

        world.is(state);
        world.is(state);

        world.assert_told(&[(0, state.as_str()), (0, reason)]);
    }
}

#[test]
fn an_account_that_is_silent_for_too_long_is_stale_until_it_is_heard() {
    let mut world = World {
        times: ConnectionTimes {
            silence_max: Some(Duration::from_mins(5)),
        },
        ..World::default()
    };
    world.is(Connected);
    world.pass(200_000);
    world.hears(Signal::Heard);
    world.take_told();

    world.pass(600_000);
    world.hears(Signal::Heard);

    world.assert_told(&[(500_000, "stale"), (800_000, "connected")]);
}

#[test]
fn of_an_account_whose_state_nobody_told_nothing_is_guessed() {
    let mut world = World::default();

    world.hears(Signal::Heard);
    world.hears(Signal::Health(Some("restricted".to_owned())));
    world.pass(10_000);

    world.assert_told(&[]);
}

#[test]
fn health_is_told_beside_the_state() {
    let mut world = World::default();
    world.is(Connected);
    world.pass(2_000);
    world.take_told();

    world.hears(Signal::Health(Some("restricted".to_owned())));
    world.hears(Signal::Health(Some("restricted".to_owned())));

    let (_, ConnectionNews::Status(status)) = &world.told[0] else {
        panic!("{:?}", world.told);
    };
    assert_eq!(status.health.as_deref(), Some("restricted"));
    assert_eq!(world.told.len(), 1);
}

#[test]
fn what_a_producer_published_is_not_told_again() {
    let mut world = World::default();
    let published = Connection::new(at(0)).learn(Connected, at(0));
    world.connection = Some(published);
    world.pass(5_000);

    world.is(Connected);
    world.pass(5_000);
    world.assert_told(&[]);

    world.is(Reconnecting);
    world.assert_told(&[(10_000, "reconnecting")]);
}

#[test]
fn a_published_status_means_what_its_detail_says_if_the_two_agree() {
    let of = ConnectionState::of;
    assert_eq!(
        of(&ConnectionStatus::Connecting, Some("qr_pending")),
        Some(QrPending)
    );
    assert_eq!(
        of(&ConnectionStatus::Connected, Some("qr_pending")),
        Some(Connected)
    );
    assert_eq!(
        of(&ConnectionStatus::Disconnected, None),
        Some(Disconnected)
    );
    assert_eq!(of(&ConnectionStatus::Other("x".into()), None), None);
}

#[derive(Clone, Debug)]
enum Input {
    State(ConnectionState),
    Code(u8),
    Heard,
    Pass(i64),
}

fn input() -> impl Strategy<Value = Input> {
    prop_oneof![
        6 => select(ConnectionState::ALL.to_vec()).prop_map(Input::State),
        1 => (0_u8..3).prop_map(Input::Code),
        1 => Just(Input::Heard),
        4 => (0_i64..4_000).prop_map(Input::Pass),
    ]
}

proptest! {
    #[test]
    fn whatever_a_gateway_tells_the_last_state_is_told_and_never_in_a_storm(
        inputs in prop::collection::vec(input(), 1..100),
    ) {
        let mut world = World::default();
        let (mut last, mut entries) = (None, 0);
        for input in inputs {
            match input {
                Input::State(state) => {
                    entries += usize::from(state == Connected && last != Some(Connected));
                    last = Some(state);
                    world.is(state);
                }
                Input::Code(code_number) => {
                    last = Some(QrPending);
                    world.hears(code(&code_number.to_string(), None));
                }
                Input::Heard => world.hears(Signal::Heard),
                Input::Pass(millis) => world.pass(millis),
            }
        }
        world.pass(1_000);

        let statuses: Vec<_> = world.told.iter().filter_map(|(at, news)| match news {
            ConnectionNews::Status(status) => Some((*at, status.state)),
            _ => None,
        }).collect();
        prop_assert_eq!(statuses.last().map(|(_, state)| *state), last);
        for pair in statuses.windows(2) {
            prop_assert!(pair[1].0 - pair[0].0 >= 1_000, "{:?}", pair);
            prop_assert!(pair[0].1 != pair[1].1, "{:?}", pair);
        }
        let (mut connected, mut ready) = (false, false);
        let mut readies = 0;
        for (_, news) in &world.told {
            match news {
                ConnectionNews::Status(status) => connected = status.state == Connected,
                ConnectionNews::Ready(_) => {
                    prop_assert!(connected, "ready without being connected");
                    ready = true;
                    readies += 1;
                }
                ConnectionNews::Disconnected(_) => ready = false,
                ConnectionNews::Qr { .. } => {}
            }
        }
        prop_assert!(readies <= entries);
        prop_assert!(ready || !connected, "connected, and its end was told last");
    }
}

fn signal(state: ConnectionState) -> Signal {
    Signal::State {
        state,
        reason: None,
        reason_code: None,
        account: None,
    }
}

fn code(code: &str, attempt: Option<u32>) -> Signal {
    Signal::Qr(QrSignal {
        code: code.to_owned(),
        attempt,
        expires_at: None,
    })
}

/// The connection as a journal would give it back.
fn reread(connection: &Connection) -> Connection {
    Connection::from_bytes(&connection.to_bytes()).unwrap()
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}
