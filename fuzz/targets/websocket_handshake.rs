//! The check of a request to become a WebSocket.
//!
//! Input: lines of `name: value`, as in the head of a request.

#![no_main]

use libfuzzer_sys::fuzz_target;
use switchboard_protocol::websocket::{Handshake, accept_key};

fuzz_target!(|data: &[u8]| {
    let headers: Vec<(&str, &[u8])> = data
        .split(|&byte| byte == b'\n')
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            Some((str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
        .collect();

    let value_of = |name: &str| {
        let mut values = headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim_ascii())
    };
    match Handshake::check("GET", headers.iter().copied()) {
        Ok(handshake) => {
            let key = value_of("sec-websocket-key").expect("no handshake is without a key");
            let key = str::from_utf8(key).expect("a key is text");
            assert_eq!(handshake.accept(), accept_key(key));
            assert_eq!(value_of("sec-websocket-version"), Some(&b"13"[..]));
            // It goes into the answer: nothing may end its line.
            if let Some(protocol) = handshake.protocol() {
                assert!(
                    !protocol.is_empty() && protocol.bytes().all(|byte| byte.is_ascii_graphic())
                );
                let offered = value_of("sec-websocket-protocol").expect("only what is offered");
                assert!(offered.starts_with(protocol.as_bytes()));
            }
        }
        Err(error) => assert!(matches!(error.status(), 400 | 426), "{error}"),
    }
    assert!(Handshake::check("POST", headers.iter().copied()).is_err());
});
