//! Webhooks of the Cloud API: any body is taken or refused as a whole, and means the same twice.
//!
//! Input: the body that Meta signed.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use producers::Producers;

mod producers;

thread_local!(static NODE: RefCell<Producers> = RefCell::new(Producers::new()));

fuzz_target!(|data: &[u8]| {
    NODE.with_borrow_mut(|node| {
        if node.is_worn() {
            *node = Producers::new();
        }
        let (status, body) = node.post("/webhooks/meta/cloud", data);
        let records = node.records();
        assert!(
            matches!(status.as_u16(), 200 | 400),
            "{status} {}",
            String::from_utf8_lossy(&body)
        );

        let (again, _) = node.post("/webhooks/meta/cloud", data);
        assert_eq!(again, status);
        assert_eq!(node.records(), records, "told again, it happened again");
    });
});
