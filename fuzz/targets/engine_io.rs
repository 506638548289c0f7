//! Engine.IO packets and polling bodies: what is read is written again as it was.
//!
//! Input: a polling body.

#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use switchboard_protocol::engine_io::{Packet, PacketError, Payload, Payloads};

const SEPARATOR: char = '\u{1e}';

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        assert_eq!(Payloads::decode(data).err(), Some(PacketError::InvalidUtf8));
        return;
    };
    let payloads = Payloads::decode(data).expect("text is a body");
    let packets: Vec<_> = payloads.collect();

    check_order(text, &packets);
    let packets: Vec<_> = packets.into_iter().filter_map(Result::ok).collect();
    for packet in &packets {
        check_packet(packet);
    }
    check_body(&packets);
});

/// Each element of the body gives its packet, up to the first that is none.
fn check_order(text: &str, packets: &[Result<Packet<'_>, PacketError>]) {
    let expected = text.split(SEPARATOR).map(Packet::decode);
    let mut failed = false;
    let expected: Vec<_> = expected
        .take_while(|packet| !std::mem::replace(&mut failed, packet.is_err()))
        .collect();
    assert_eq!(packets, expected);
}

fn check_packet(packet: &Packet<'_>) {
    let text = packet.encode();
    assert_eq!(Packet::decode(&text).as_ref(), Ok(packet));
}

/// The server's own encoder gives a body of the same messages.
fn check_body(packets: &[Packet<'_>]) {
    let mut payload = Payload::new();
    for packet in packets {
        let len = payload.len();
        match packet {
            Packet::Binary(bytes) => {
                payload.push_binary(bytes);
                assert!(payload.len() - len <= Payload::binary_len(bytes.len()));
            }
            text => {
                let text = text.encode();
                payload.push_text(text.as_bytes());
                assert!(payload.len() - len <= Payload::text_len(text.len()));
            }
        }
    }
    let body = payload.finish();
    let read: Result<Vec<_>, _> = Payloads::decode(&body).expect("a body is text").collect();
    // A body of nothing says so.
    let noop = [Packet::Noop];
    let expected = if packets.is_empty() {
        &noop[..]
    } else {
        packets
    };
    assert_eq!(read.as_deref(), Ok(expected));
    if let [Packet::Binary(Cow::Owned(bytes))] = packets {
        assert!(bytes.len() <= body.len());
    }
}
