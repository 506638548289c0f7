//! Results of a campaign: any body is refused, or counts once.
//!
//! Input: the body of `POST /v1/campaigns/{id}/results`.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use producers::Producers;
use serde_json::Value;

mod producers;

thread_local!(static NODE: RefCell<Producers> = RefCell::new(begin()));

/// A node with a campaign that soon has results of all its recipients.
fn begin() -> Producers {
    let mut node = Producers::new();
    let (status, _) = node.post("/v1/campaigns/c/start", br#"{"totalRecipients":50}"#);
    assert_eq!(status.as_u16(), 200);
    node
}

fuzz_target!(|data: &[u8]| {
    NODE.with_borrow_mut(|node| {
        if node.is_worn() {
            *node = begin();
        }
        let (status, body) = node.post("/v1/campaigns/c/results", data);
        let answer: Value = serde_json::from_slice(&body).expect("answers are JSON");
        let records = node.records();
        if status.as_u16() != 200 {
            assert!(
                matches!(status.as_u16(), 400 | 403 | 409 | 413 | 422),
                "{answer}"
            );
            assert!(answer["code"].is_string(), "{answer}");
            return;
        }
        let stats = &answer["stats"];
        let count = |name: &str| stats[name].as_u64().expect("a count");
        assert!(count("sentCount") + count("failedCount") <= count("totalRecipients"));
        assert!(count("readCount") <= count("deliveredCount"));
        assert!(count("deliveredCount") <= count("sentCount"));

        let (_, again) = node.post("/v1/campaigns/c/results", data);
        let again: Value = serde_json::from_slice(&again).expect("answers are JSON");
        // A message that is told to have failed and to be sent does both again.
        let tells_failure = data
            .windows(4)
            .any(|word| word.eq_ignore_ascii_case(b"fail"))
            || data.contains(&b'\\');
        if !tells_failure {
            assert_eq!(again["counted"], 0, "{again}");
            assert_eq!(&again["stats"], stats);
            assert_eq!(node.records(), records, "counted twice");
        }
    });
});
