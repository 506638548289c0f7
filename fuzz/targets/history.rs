//! `GET /v1/events`: any query is answered with a page, or refused with a code.
//!
//! Input: the query, without its question mark.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use producers::Producers;
use serde_json::Value;
use switchboard_event::Position;

mod producers;

thread_local!(static NODE: RefCell<Producers> = RefCell::new(begin()));

/// A node on which a contact was heard of.
fn begin() -> Producers {
    let mut node = Producers::new();
    let draft = br#"{"event":"contact:deleted","data":{"contactId":"42"}}"#;
    let (status, _) = node.post("/v1/events", draft);
    assert_eq!(status.as_u16(), 202);
    node
}

fuzz_target!(|query: &str| {
    // A position has one text.
    for part in query.split(['&', '=']) {
        if let Ok(position) = part.parse::<Position>() {
            assert_eq!(position.to_string(), part);
        }
    }
    NODE.with_borrow_mut(|node| {
        if node.is_worn() {
            *node = begin();
        }
        let Some((status, body)) = node.get(&format!("/v1/events?{query}")) else {
            return;
        };
        let answer: Value = serde_json::from_slice(&body).expect("answers are JSON");
        match status.as_u16() {
            200 => {
                let position = answer["position"].as_str().expect("a position");
                assert!(position.parse::<Position>().is_ok(), "{position}");
                let events = answer["events"].as_array().expect("events");
                assert!(events.len() <= 1 && events.iter().all(|event| event["rooms"].is_array()));
            }
            400 | 403 | 410 | 422 => assert!(answer["code"].is_string(), "{answer}"),
            other => panic!("{other}: {answer}"),
        }
    });
});
