use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::*;
use crate::catalogue::{Catalogue, CatalogueConfig, Context, Maker};
use crate::{Accepted, Draft};

/// What a journal would hold after these events.
#[derive(Default)]
struct World(BTreeMap<String, Bytes>);

impl World {
    fn hears(&mut self, event: &str, data: &str) {
        self.takes(draft(event, data));
    }

    fn takes(&mut self, draft: Draft) {
        for change in changes(&accept(draft)) {
            match change.value {
                Some(value) => self.0.insert(change.key.0, value),
                None => self.0.remove(&change.key.0),
            };
        }
    }

    /// The events that whoever joins `room` is shown.
    fn shows(&self, room: &str) -> Vec<String> {
        let keys = keys(&room.parse().unwrap());
        let entries = keys.iter().filter_map(|key| self.0.get(&key.0));
        entries
            .map(|bytes| SnapshotEntry::from_bytes(bytes).unwrap().event)
            .collect()
    }
}

#[test]
fn an_account_shows_its_state_and_whether_it_is_ready() {
    let mut world = World::default();
    world.hears(
        "whatsapp:connection:status",
        r#"{"accountId":"a","status":"Connected"}"#,
    );
    world.hears("whatsapp:ready", r#"{"accountId":"a"}"#);
    assert_eq!(
        world.shows("whatsapp:a"),
        ["whatsapp:connection:status", "whatsapp:ready"]
    );

    world.hears(
        "whatsapp:connection:status",
        r#"{"accountId":"a","status":"Reconnecting"}"#,
    );
    assert_eq!(world.shows("whatsapp:a"), ["whatsapp:connection:status"]);

    world.hears(
        "whatsapp:disconnected",
        r#"{"accountId":"a","reason":"logout"}"#,
    );
    assert_eq!(
        world.shows("whatsapp:a"),
        ["whatsapp:connection:status", "whatsapp:disconnected"]
    );

    world.hears(
        "whatsapp:connection:status",
        r#"{"accountId":"a","status":"Connected"}"#,
    );
    assert_eq!(world.shows("whatsapp:a"), ["whatsapp:connection:status"]);
    assert!(world.shows("whatsapp:b").is_empty());
}

#[test]
fn a_code_is_in_the_inner_room_only_and_until_the_account_is_anything_else() {
    for (event, data, is_shown) in [
        (
            "whatsapp:connection:status",
            r#"{"accountId":"a","status":"Connecting"}"#,
            true,
        ),
        (
            "whatsapp:connection:status",
            r#"{"accountId":"a","status":"Connecting","detail":"qr_pending"}"#,
            true,
        ),
        (
            "whatsapp:connection:status",
            r#"{"accountId":"a","status":"Connecting","detail":"connecting"}"#,
            false,
        ),
        (
            "whatsapp:connection:status",
            r#"{"accountId":"a","status":"Disconnected"}"#,
            false,
        ),
        ("whatsapp:ready", r#"{"accountId":"a"}"#, false),
        ("whatsapp:disconnected", r#"{"accountId":"a"}"#, false),
        ("whatsapp:ready", r#"{"accountId":"b"}"#, true),
    ] {
        let mut world = World::default();
        world.hears("whatsapp:qr:generated", r#"{"accountId":"a","qrCode":"q"}"#);
        assert_eq!(world.shows("whatsapp:a:link"), ["whatsapp:qr:generated"]);

        world.hears(event, data);

        let shown = !world.shows("whatsapp:a:link").is_empty();
        assert_eq!(shown, is_shown, "{event} {data}");
        assert!(
            !world
                .shows("whatsapp:a")
                .contains(&"whatsapp:qr:generated".to_owned())
        );
    }
}

#[test]
fn a_campaign_shows_how_it_stands_and_begins_anew_with_its_start() {
    let mut world = World::default();
    for event in [
        "started",
        "progress",
        "paused",
        "resumed",
        "completed",
        "stats",
    ] {
        world.hears(&format!("campaign:{event}"), r#"{"campaignId":7}"#);
    }
    assert_eq!(
        world.shows("campaign:7"),
        [
            "campaign:started",
            "campaign:progress",
            "campaign:completed",
            "campaign:stats"
        ]
    );

    world.hears("campaign:started", r#"{"campaignId":"7"}"#);
    assert_eq!(world.shows("campaign:7"), ["campaign:started"]);
}

#[test]
fn what_does_not_go_to_the_room_is_not_in_its_snapshot() {
    let mut world = World::default();
    let mut elsewhere = draft("campaign:progress", r#"{"campaignId":"7"}"#);
    elsewhere.rooms = Some(vec!["user:1".to_owned()]);

    world.takes(elsewhere);

    assert!(world.shows("campaign:7").is_empty());
}

#[test]
fn what_is_too_long_to_be_shown_takes_away_what_was_before_it() {
    let mut world = World::default();
    world.hears("campaign:progress", r#"{"campaignId":"7"}"#);

    let long = format!(
        r#"{{"campaignId":"7","note":"{}"}}"#,
        "x".repeat(SNAPSHOT_DATA_LEN_MAX)
    );
    world.hears("campaign:progress", &long);

    assert!(world.shows("campaign:7").is_empty());
}

#[test]
fn whoever_is_excepted_from_an_event_can_be_told_from_its_value() {
    let mut except = draft(
        "flow:execution:started",
        r#"{"flowId":"f","executionId":"e"}"#,
    );
    except.except = vec!["user:1".to_owned()];

    let changes = changes(&accept(except));

    let entry = SnapshotEntry::from_bytes(changes[0].value.as_ref().unwrap()).unwrap();
    assert_eq!(entry.except, ["user:1".parse().unwrap()]);
    assert_eq!(changes[0].kept, Kept::ForAWhile);
}

#[test]
fn what_is_about_nothing_with_a_value_changes_nothing() {
    for (event, data) in [
        ("contact:deleted", r#"{"contactId":"c"}"#),
        ("team:activity", r#"{"activity":{"userId":"u"}}"#),
    ] {
        assert!(changes(&accept(draft(event, data))).is_empty(), "{event}");
    }
}

#[test]
fn the_longest_key_is_one_for_the_journal() {
    let room: Room = format!("whatsapp:{}:link", "a".repeat(128))
        .parse()
        .unwrap();

    assert!(keys(&room).iter().all(|key| key.as_str().len() <= 182));
}

fn draft(event: &str, data: &str) -> Draft {
    Draft::new(event, RawValue::from_string(data.to_owned()).unwrap())
}

fn accept(draft: Draft) -> Event {
    let catalogue = Catalogue::new(CatalogueConfig::default()).unwrap();
    let context = Context {
        tenant: "acme".parse().unwrap(),
        fresh_id: "fresh".parse().unwrap(),
        at: Timestamp::from_millis(0),
        maker: Maker::Producer,
    };
    match catalogue.accept(draft, context) {
        Ok(Accepted::Event(accepted)) => accepted.event,
        other => panic!("{other:?}"),
    }
}
