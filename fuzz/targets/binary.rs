//! Binary values in payloads: refused with their path, or split so that a client finds all of them.
//!
//! Input: a payload.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use switchboard_event::binary::{self, BINARIES_MAX, BINARY_LEN_MAX};
use switchboard_event::{
    Accepted, Catalogue, CatalogueConfig, Context, CustomEvent, Draft, Maker, Timestamp,
};

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let config = CatalogueConfig {
        events: vec![CustomEvent {
            name: "news".to_owned(),
            schema: None,
            audience: vec!["team:{tenant}".to_owned()],
        }],
        ..CatalogueConfig::default()
    };
    Catalogue::new(config).expect("valid settings")
});

fuzz_target!(|data: &[u8]| {
    // Also what was never accepted must not stop a server that reads it back.
    let unchecked = binary::split(data);
    let Some(payload) = str::from_utf8(data).ok().and_then(|text| {
        let raw = RawValue::from_string(text.to_owned());
        raw.ok()
    }) else {
        return;
    };
    let context = Context {
        tenant: "acme".parse().expect("a tenant"),
        fresh_id: "fresh".parse().expect("an id"),
        at: Timestamp::from_millis(1_762_336_800_000),
        maker: Maker::Producer,
    };
    let event = match CATALOGUE.accept(Draft::new("news", payload), context) {
        Ok(Accepted::Event(accepted)) => accepted.event,
        Ok(_) => return,
        Err(rejected) => {
            assert!(rejected.field().is_some(), "refused without its path");
            return;
        }
    };
    let split = binary::split(event.data());
    assert_eq!(
        split.is_some(),
        unchecked.is_some(),
        "a payload that has some splits"
    );
    let Some(split) = split else {
        return;
    };
    assert!((1..=BINARIES_MAX).contains(&split.attachments.len()));
    assert!(
        split
            .attachments
            .iter()
            .all(|one| one.len() <= BINARY_LEN_MAX)
    );
    let sent: Value = serde_json::from_slice(&split.data).expect("what clients get is JSON");
    let mut found = Vec::new();
    find(&sent, &mut found);
    // A member that is there twice is one to a client.
    assert!(found.len() <= split.attachments.len());
    assert!(found.iter().all(|number| *number < split.attachments.len()));
});

fn find(value: &Value, found: &mut Vec<usize>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| find(one, found)),
        Value::Object(all) if all.contains_key("_placeholder") => {
            assert_eq!(all["_placeholder"], true);
            let number = all["num"].as_u64().expect("a number");
            found.push(usize::try_from(number).expect("a small one"));
        }
        Value::Object(all) => all.values().for_each(|one| find(one, found)),
        _ => {}
    }
}
