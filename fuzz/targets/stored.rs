//! What nodes leave for each other in the journal: read again it is the same, or it is refused.
//!
//! Input: what it is (1 byte), then its bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_event::snapshot::SnapshotEntry;
use switchboard_event::{
    Event, EventParts, Invalidation, MessageState, Order, ROOMS_TAKEN_MAX, Timestamp,
    UserRevocations,
};

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else {
        return;
    };
    match kind % 4 {
        0 => order(bytes),
        1 => revocations(bytes),
        2 => message(bytes),
        _ => snapshot(bytes),
    }
});

/// An order is obeyed by every node alike, so it has one meaning.
fn order(bytes: &[u8]) {
    let at = Timestamp::from_millis(1_762_336_800_000);
    let event = |order: Order| {
        let (tenant, id) = ("acme".parse(), "e1".parse());
        order.into_event(tenant.expect("a tenant"), id.expect("an id"), at)
    };
    let parts = event(Order::Invalidate(Invalidation::default())).into_parts();
    for name in Order::NAMES {
        let found = Event::from_parts(EventParts {
            name: name.into(),
            data: bytes.to_vec().into(),
            ..parts.clone()
        });
        assert!(Order::is(&found));
        let Some(Ok(order)) = Order::of(&found) else {
            continue;
        };
        let again = Order::of(&event(order.clone()));
        assert_eq!(again.expect("an order").expect("ours is valid"), order);
    }
}

fn revocations(bytes: &[u8]) {
    let Ok(revocations) = UserRevocations::from_bytes(bytes) else {
        return;
    };
    let again = UserRevocations::from_bytes(&revocations.to_bytes());
    assert_eq!(again.expect("ours is valid"), revocations);
    if revocations.is_revoked(Some(Timestamp::from_millis(0))) {
        assert!(
            revocations.is_revoked(None),
            "no time is newer than an old one"
        );
    }
    let room = "contact:42".parse().expect("a room");
    let mut more = revocations.clone();
    let rooms = revocations.taken(None).count();
    if more.take(room, Timestamp::from_millis(5)).is_ok() {
        assert!(more.taken(None).count() <= rooms + 1);
    } else {
        assert!(rooms >= ROOMS_TAKEN_MAX);
    }
    more.revoke(Timestamp::MAX);
    assert!(more.is_revoked(Some(Timestamp::from_millis(0))));
    assert_eq!(
        more.taken(None).count(),
        0,
        "everything is revoked, and rooms with it"
    );
}

fn message(bytes: &[u8]) {
    let Ok(state) = MessageState::from_bytes(bytes) else {
        return;
    };
    let again = MessageState::from_bytes(&state.to_bytes());
    assert_eq!(again.expect("ours is valid").rooms, state.rooms);
}

fn snapshot(bytes: &[u8]) {
    let Ok(entry) = SnapshotEntry::from_bytes(bytes) else {
        return;
    };
    assert!(entry.data.get().len() <= bytes.len());
}
