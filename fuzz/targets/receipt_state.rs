//! Who got an event: whatever is stored is read or refused, and what is known of a user only grows,
//! until it is closed.
//!
//! Input: the stored state, a zero byte, and then what happens, byte by byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::{EventId, Reached, ReceiptState, Timestamp, UserId};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (stored, happens) = (parts.next().unwrap_or_default(), parts.next());
    let Ok(mut state) = ReceiptState::from_bytes(stored) else {
        return;
    };
    let id: EventId = "e-1".parse().expect("an id");
    let mut now = Timestamp::from_millis(1_762_336_800_000);
    for byte in happens.unwrap_or_default() {
        let before = state.clone();
        let user: UserId = (byte >> 3).to_string().parse().expect("an id");
        let is_news = match byte & 7 {
            kind @ 0..=2 => {
                let reached = [Reached::Offline, Reached::Sent, Reached::Acknowledged];
                state.reach(&user, reached[usize::from(kind)])
            }
            3 | 4 => state.confirm(&user),
            5 => state.truncate(),
            _ => {
                now = Timestamp::from_millis(now.as_millis() + 100 * i64::from(byte >> 3));
                state.close(now)
            }
        };
        assert_eq!(
            is_news,
            state != before,
            "a change is news, and nothing else is"
        );
        assert!(
            !before.is_closed() || state == before,
            "a closed one changed"
        );
        check(&before, &state, &id, now);
    }
});

fn check(before: &ReceiptState, after: &ReceiptState, id: &EventId, now: Timestamp) {
    let read = ReceiptState::from_bytes(&after.to_bytes());
    assert_eq!(read.expect("what we wrote"), *after);
    let (earlier, view) = (before.view(id.clone(), now), after.view(id.clone(), now));
    for (user, reached) in &earlier.users {
        assert!(view.users[user] >= *reached, "somebody was forgotten");
    }
    let counts = &view.counts;
    let count = counts.sent + counts.acknowledged + counts.offline;
    assert_eq!(count, view.users.len() as u64);
    let is_everybody = count > 0 && counts.acknowledged == count && !view.truncated;
    assert_eq!(view.complete, is_everybody);
    assert_eq!(after.payload(id).complete, is_everybody);
}
