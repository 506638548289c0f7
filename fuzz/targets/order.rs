//! What ends rights and makes keys, and drafts: any body is taken or refused with a code.
//!
//! Input: which route (1 byte), then the body.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use producers::Producers;
use serde_json::Value;

mod producers;

const PATHS: [&str; 8] = [
    "/v1/revocations",
    "/v1/access/invalidate",
    "/v1/users/7/disconnect",
    "/v1/producers",
    "/v1/campaigns/c/start",
    "/v1/campaigns/c/results",
    "/v1/campaigns/c/pause",
    "/v1/events",
];

thread_local!(static NODE: RefCell<Producers> = RefCell::new(Producers::new()));

fuzz_target!(|data: &[u8]| {
    let Some((path, body)) = data.split_first() else {
        return;
    };
    let path = PATHS[usize::from(*path) % PATHS.len()];
    NODE.with_borrow_mut(|node| {
        if node.is_worn() {
            *node = Producers::new();
        }
        let (status, body) = node.post(path, body);
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status.as_u16() {
            200..=299 => {}
            400 | 403 | 404 | 409 | 413 | 415 | 422 | 429 => {
                // Drafts are answered one by one.
                let is_told = answer["code"].is_string() || answer["results"].is_array();
                assert!(is_told, "{answer}");
            }
            other => panic!("{other}: {answer}"),
        }
    });
});
