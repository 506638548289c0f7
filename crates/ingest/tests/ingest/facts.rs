//! What holds for every body: ids, times, secrets, and what is no body at all.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use switchboard_ingest::Ignored;
use switchboard_ingest::meta::{Accounts, map};

use crate::world::now;
use crate::{bodies, world};

#[test]
fn no_payload_has_a_secret_or_an_id_that_holds_a_phone_number() {
    for (name, body) in bodies::all() {
        for item in map(&accounts(), &body, now()).items {
            for draft in item.drafts {
                let data = draft.data.get();
                assert!(!data.contains("SECRET"), "{name}: {data}");
                assert!(!data.contains("wamid."), "{name}: {data}");
                assert!(!draft.id.unwrap().as_str().contains("1555"), "{name}");
            }
        }
    }
}

#[test]
fn the_same_fact_has_the_same_id_and_no_two_facts_share_one() {
    let mut ids = BTreeMap::new();
    for (name, body) in bodies::all() {
        for item in map(&accounts(), &body, now()).items {
            for draft in item.drafts {
                let event = draft.event.clone();
                let earlier = ids.insert(draft.id.unwrap(), (name.clone(), event));
                assert_eq!(earlier, None, "{name}");
            }
        }
    }

    let later = now().checked_add(Duration::from_mins(1)).unwrap();
    for (_, body) in bodies::all() {
        for item in map(&accounts(), &body, later).items {
            for draft in item.drafts {
                assert!(ids.contains_key(&draft.id.unwrap()));
            }
        }
    }
}

#[test]
fn a_message_that_was_heard_and_read_is_read_once() {
    let mut played = bodies::json("status-read");
    let read = ids_of(&played);
    played["entry"][0]["changes"][0]["value"]["statuses"][0]["status"] = "played".into();

    assert_eq!(ids_of(&played), read);
}

#[test]
fn a_time_that_is_none_is_the_time_of_arrival() {
    for time in [
        json!("soon"),
        json!(null),
        json!("-5"),
        json!("99999999999999"),
        json!({}),
    ] {
        let mut body = bodies::json("message-text");
        body["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"] = time;

        let mapped = map(&accounts(), &body, now());

        let data: Value = serde_json::from_str(mapped.items[0].drafts[0].data.get()).unwrap();
        assert_eq!(data["message"]["createdAt"], now().to_string());
    }
}

#[test]
fn without_listed_accounts_the_phone_number_s_id_is_the_account() {
    let accounts = Accounts {
        by_phone_number: None,
        ..accounts()
    };

    let mapped = map(&accounts, &bodies::json("unknown-account"), now());

    let data: Value = serde_json::from_str(mapped.items[0].drafts[0].data.get()).unwrap();
    assert_eq!(data["message"]["whatsappAccountId"], "299999999999999");
}

#[test]
fn bodies_that_are_nothing_like_a_webhook_make_nothing() {
    for body in [
        json!(null),
        json!([]),
        json!("text"),
        json!({}),
        json!({"object": "page", "entry": [1]}),
    ] {
        let mapped = map(&accounts(), &body, now());

        assert!(mapped.items.is_empty());
        assert_eq!(mapped.ignored, BTreeMap::from([(Ignored::Malformed, 1)]));
    }
}

#[test]
fn samples_from_elsewhere_are_mapped_too() {
    for (name, body) in bodies::samples() {
        let accounts = Accounts {
            by_phone_number: None,
            ..accounts()
        };

        let mapped = map(&accounts, &body, now());

        let ignored: u64 = mapped.ignored.values().sum();
        assert_eq!(mapped.items.len() as u64 + ignored, 1, "{name}");
    }
}

fn ids_of(body: &Value) -> Vec<String> {
    map(&accounts(), body, now())
        .items
        .into_iter()
        .flat_map(|item| item.drafts)
        .map(|draft| draft.id.unwrap().to_string())
        .collect()
}

fn accounts() -> Accounts {
    world::accounts("acme")
}
