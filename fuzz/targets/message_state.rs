//! What is remembered of a message: whatever is stored is read or refused, and no status goes back.
//!
//! Input: the stored state (or nothing), a zero byte, and then what is told, byte by byte.

#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::machine::message::{Progress, Verdict};
use switchboard_event::{EventId, Id, MessageFact, MessageKey, MessageState};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (stored, told) = (parts.next().unwrap_or_default(), parts.next());
    let mut state = MessageState::from_bytes(stored).unwrap_or_default();
    let message: Id = "m".parse().expect("an id");
    for byte in told.unwrap_or_default() {
        let (kind, number) = (byte & 7, byte >> 3);
        let Some(status) = STATUSES.get(usize::from(kind)).copied() else {
            let id: EventId = format!("e-{byte}").parse().expect("an id");
            state.tell(id.clone());
            assert!(state.is_told(&id));
            continue;
        };
        let fact = MessageFact {
            message: MessageKey::new(&message),
            participant: if number == 0 {
                "".into()
            } else {
                number.to_string().into()
            },
            status,
            campaign: None,
        };
        let before = state.reached(&fact.participant);
        let verdict = state.advance(&fact);
        let after = state.reached(&fact.participant);
        match verdict {
            Verdict::News => assert_eq!(after, Some(status)),
            Verdict::Known | Verdict::Overtaken => assert_eq!(after, before),
        }
        assert!(rank(after) >= rank(before), "{before:?} became {after:?}");
        assert_ne!(
            state.advance(&fact),
            Verdict::News,
            "the same is news twice"
        );
        let read = MessageState::from_bytes(&state.to_bytes());
        assert_eq!(read.expect("what we wrote"), state);
    }
});

/// What a status may never fall below: a failure counts only for what was not delivered, and is
/// overcome by anything.
fn rank(progress: Option<Progress>) -> u8 {
    match progress {
        Some(Progress::Delivered) => 1,
        Some(Progress::Read) => 2,
        _ => 0,
    }
}

const STATUSES: [Progress; 5] = [
    Progress::Queued,
    Progress::Sent,
    Progress::Delivered,
    Progress::Read,
    Progress::Failed,
];
