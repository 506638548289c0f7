//! What the CRM's backend answers about a right: nothing but an outright yes is a yes.
//!
//! Input: the status (2 bytes), then the body.

#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard_access::{Answer, AskError};

fuzz_target!(|data: &[u8]| {
    let [first, second, body @ ..] = data else {
        return;
    };
    // Most of what is tried should be read, and so the status is one that is.
    let number = u16::from_be_bytes([*first, *second]);
    let status = StatusCode::from_u16(number).unwrap_or(StatusCode::OK);

    match Answer::of_response(status, body) {
        Ok(answer) => {
            assert_eq!(status, StatusCode::OK);
            // Fields that nobody asked for are passed over, whatever their texts and numbers are.
            let Ok(told) = serde_json::from_slice::<Value>(body) else {
                let yes = body.windows(4).any(|four| four == b"true");
                assert!(yes || !answer.is_allowed, "a yes that nobody said");
                return;
            };
            // An array has the fields in their order.
            let allow = told.get("allow").or_else(|| told.get(0));
            assert_eq!(allow, Some(&Value::Bool(answer.is_allowed)));
        }
        Err(AskError::Unanswered(reason) | AskError::Invalid(reason)) => {
            assert!(reason.len() < 200, "a reason as long as the body");
        }
        Err(other) => panic!("{other} without having asked"),
    }
});
