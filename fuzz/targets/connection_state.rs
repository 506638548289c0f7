//! An account's connection: whatever is stored is read or refused, and whatever comes then is told in
//! an order that makes sense.
//!
//! Input: the stored state (or nothing), a zero byte, and then what happens, byte by byte.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use switchboard_event::Timestamp;
use switchboard_event::machine::connection::{
    Connection, ConnectionNews, ConnectionState, ConnectionTimes, QrSignal, Signal, Step,
};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (stored, happens) = (parts.next().unwrap_or_default(), parts.next());
    let mut connection = Connection::from_bytes(stored).ok();
    let mut now = Timestamp::from_millis(1_762_336_800_000);
    let times = ConnectionTimes {
        silence_max: Some(Duration::from_mins(1)),
    };
    for byte in happens.unwrap_or_default() {
        let number = byte >> 4;
        let (next, step) = match (signal(byte & 15, number), connection.take()) {
            (Some(signal), earlier) => Connection::apply(earlier, signal, now, &times),
            (None, None) => continue,
            (None, Some(earlier)) => match byte & 15 {
                14 => {
                    // A clock that is set.
                    now = Timestamp::from_millis(now.as_millis() - 1_000 * i64::from(number));
                    earlier.tick(now, &times)
                }
                15 => {
                    let state = ConnectionState::ALL[usize::from(number) % 10];
                    (earlier.learn(state, now), Step::default())
                }
                _ => {
                    now = Timestamp::from_millis(now.as_millis() + 250 * i64::from(number));
                    earlier.tick(now, &times)
                }
            },
        };
        check(&step, now);
        let read = Connection::from_bytes(&next.to_bytes());
        assert!(
            read.expect("what we wrote") == next,
            "it reads back as another"
        );
        connection = Some(next);
    }
});

fn signal(kind: u8, number: u8) -> Option<Signal> {
    Some(match kind {
        0..=9 => Signal::State {
            state: ConnectionState::ALL[usize::from(kind)],
            reason: (number & 1 == 1).then(|| number.to_string()),
            reason_code: (number & 2 == 2).then(|| i64::from(number)),
            account: None,
        },
        10 => Signal::Qr(QrSignal {
            code: number.to_string(),
            attempt: (number & 3 != 0).then(|| u32::from(number & 3)),
            expires_at: None,
        }),
        11 => Signal::Health((number != 0).then(|| number.to_string())),
        12 => Signal::Heard,
        _ => return None,
    })
}

/// What holds for everything that is told at once.
fn check(step: &Step, now: Timestamp) {
    let mut told = None;
    for news in &step.news {
        match news {
            ConnectionNews::Status(status) => {
                assert!(told.is_none(), "two states at once");
                told = Some(status.state);
            }
            ConnectionNews::Ready(_) => assert_eq!(told, Some(ConnectionState::Connected)),
            ConnectionNews::Disconnected(_) => {
                assert!(told.is_some() && told != Some(ConnectionState::Connected));
            }
            ConnectionNews::Qr { expires_at, .. } => assert!(*expires_at > now, "a dead code"),
        }
    }
}
