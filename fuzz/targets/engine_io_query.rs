//! The query of a URL: how it is written makes no difference, and only our values have a meaning.
//!
//! Input: a query, without its question mark.

#![no_main]

use std::fmt::Write;

use libfuzzer_sys::fuzz_target;
use switchboard_protocol::engine_io::{Query, SessionParameter, Version};

fuzz_target!(|query: &str| {
    let parsed = Query::parse(query);

    assert_eq!(Query::parse(&escape(query)), parsed);
    // A later parameter of the same name counts, and one of another name changes nothing.
    assert_eq!(
        Query::parse(&format!("{query}&toString=4&__proto__")),
        parsed
    );
    let version = Query::parse(&format!("{query}&EIO=4")).version;
    assert_eq!(version, Version::V4);
    if let SessionParameter::Present(id) = parsed.session {
        let id = id.as_str();
        assert_eq!(id.len(), 20);
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
    }
});

/// The same query with every letter and digit percent-encoded that is not part of an escape.
fn escape(query: &str) -> String {
    let mut escaped = String::new();
    let mut rest = query;
    while let Some(character) = rest.chars().next() {
        let is_escape =
            rest.as_bytes()
                .first_chunk()
                .is_some_and(|[percent, digits @ ..]: &[u8; 3]| {
                    *percent == b'%' && digits.iter().all(u8::is_ascii_hexdigit)
                });
        let len = if is_escape { 3 } else { character.len_utf8() };
        let (taken, after) = rest.split_at(len);
        if character.is_ascii_alphanumeric() {
            let _ = write!(escaped, "%{:02X}", u32::from(character));
        } else {
            escaped.push_str(taken);
        }
        rest = after;
    }
    escaped
}
