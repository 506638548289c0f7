use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::streams;

/// `["emitter",{type:2,data:["hello","world"],nsp:"/"},{rooms:[],flags:{},except:[]}]`
const TO_ALL: &str = "93a7656d697474657283a47479706502a46461746192a568656c6c6fa5776f726c64a36e7370a12f83a5726f6f6d7390a5666c61677380a665786365707490";
/// `["emitter",{type:2,data:["msg",{id:1}],nsp:"/"},{rooms:["room1"],flags:{volatile:true},except:[]}]`
const TO_ONE_ROOM: &str = "93a7656d697474657283a47479706502a46461746192a36d736781a2696401a36e7370a12f83a5726f6f6d7391a5726f6f6d31a5666c61677381a8766f6c6174696c65c3a665786365707490";
/// `["AbC123",{type:2,data:["msg",1,1.5,null,undefined,true,<01 02 03>],nsp:"/"},{rooms:["a","b"],except:["c"],flags:{}}]`
const OF_A_SERVER: &str = "93a641624331323383a47479706502a46461746197a36d736701cb3ff8000000000000c0c0c3c403010203a36e7370a12f83a5726f6f6d7392a161a162a665786365707491a163a5666c61677380";
/// A request, which goes over another channel.
const REQUEST: &str = "85a3756964a6416243313233a9726571756573744964a6724571303031a47479706507a67061636b657483a47479706502a46461746191a171a36e7370a12fa46f70747383a5726f6f6d7390a665786365707490a5666c61677381a774696d656f7574cd03e8";
/// An answer to one.
const RESPONSE: &str = "83a47479706509a9726571756573744964a6724571303031a67061636b6574a26f6b";

#[test]
fn the_golden_vectors_are_read() {
    let all = broadcast(&hex(TO_ALL));
    assert_eq!((&*all.sender, &*all.namespace), (EMITTER, "/"));
    assert_eq!((all.rooms.len(), all.except.len()), (0, 0));
    assert_eq!(all.event, "hello");
    assert_eq!(texts(&all), [r#""world""#]);
    assert!(!all.is_volatile);

    let room = broadcast(&hex(TO_ONE_ROOM));
    assert_eq!(room.rooms, ["room1"]);
    assert_eq!(texts(&room), [r#"{"id":1}"#]);
    assert!(room.is_volatile);

    let server = broadcast(&hex(OF_A_SERVER));
    assert_eq!(server.sender, "AbC123");
    assert_eq!(server.rooms, ["a", "b"]);
    assert_eq!(server.except, ["c"]);
    let expected = ["1", "1.5", "null", "null", "true", r#"{"$binary":"AQID"}"#];
    assert_eq!(texts(&server), expected);
}

#[test]
fn what_is_written_is_byte_for_byte_what_a_node_server_writes() {
    let arguments = ["1", "1.5", "null", "null", "true", r#"{"$binary":"AQID"}"#];
    let arguments = arguments.map(|text| RawValue::from_string(text.to_owned()).unwrap());
    let arguments: Vec<_> = arguments.iter().map(|one| &**one).collect();

    let bytes = encode("AbC123", "/", ("msg", &arguments), &["a", "b"], &["c"]);

    assert_eq!(bytes.unwrap(), hex(OF_A_SERVER));
}

#[test]
fn exactly_one_room_has_a_channel_of_its_own() {
    assert_eq!(channel("socket.io", "/", &[]), "socket.io#/#");
    assert_eq!(channel("socket.io", "/", &["a"]), "socket.io#/#a#");
    assert_eq!(channel("socket.io", "/crm", &["a", "b"]), "socket.io#/crm#");
    assert_eq!(pattern("socket.io", "/crm"), "socket.io#/crm#*");
}

#[test]
fn old_emitters_name_neither_except_nor_namespace_and_number_rooms() {
    // [null,{type:5,data:["a"]},{rooms:[7]}]
    let read = broadcast(b"\x93\xc0\x82\xa4type\x05\xa4data\x91\xa1a\x81\xa5rooms\x91\x07");

    assert_eq!((&*read.sender, &*read.namespace), ("", "/"));
    assert_eq!(read.rooms, ["7"]);
    assert!(read.except.is_empty() && read.arguments.is_empty());
    // Without any options it is for everybody.
    assert!(
        broadcast(b"\x93\xc0\x82\xa4type\x02\xa4data\x91\xa1a\xc0")
            .rooms
            .is_empty()
    );
}

#[test]
fn what_is_no_event_is_none_and_what_is_no_broadcast_is_refused() {
    let ack = b"\x93\xa1x\x82\xa4type\x03\xa4data\x91\xa1a\x80";
    assert!(matches!(decode(ack), Ok(Message::Other("packet"))));
    for body in [hex(REQUEST), hex(RESPONSE), b"{\"type\":2}".to_vec()] {
        let refused = decode(&body).unwrap_err();
        assert_eq!(refused.code(), "no_broadcast");
    }
    for body in [
        &b""[..],
        b"\x93",
        b"\x93\xa1x\x80\x80",
        b"\x93\xa1x\x82\xa4type\x02\xa4data\x90\x80",
        b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\x07\x80",
        b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1a\x81\xa5rooms\x91\x90",
        b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1a\x81\xa5rooms\xdd\xff\xff\xff\xff",
        b"\x93\xa1x\x82\xa4type\x02\xa4data\x91\xa1a\x80\x00",
    ] {
        assert!(decode(body).is_err(), "{body:02x?}");
    }
}

#[test]
fn every_cut_of_a_broadcast_is_refused() {
    for vector in [TO_ALL, TO_ONE_ROOM, OF_A_SERVER] {
        let body = hex(vector);
        for end in 0..body.len() {
            assert!(decode(&body[..end]).is_err(), "{end}");
        }
    }
}

proptest! {
    #[test]
    fn whatever_comes_nothing_panics(bytes in vec(any::<u8>(), 0..512)) {
        let _ = decode(&bytes);
        let _ = streams::decode([(&b"nsp"[..], &b"/"[..]), (b"type", b"3"), (b"data", &bytes)]);
    }

    #[test]
    fn a_broadcast_with_a_wrong_byte_is_read_or_refused(
        vector in prop::sample::select(vec![TO_ALL, TO_ONE_ROOM, OF_A_SERVER]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut body = hex(vector);
        let at = at.index(body.len());
        body[at] = byte;

        if let Ok(Message::Broadcast(broadcast)) = decode(&body) {
            let len: usize = broadcast.arguments.iter().map(|one| one.get().len()).sum();
            prop_assert!(len <= 8 * body.len());
        }
    }

    #[test]
    fn what_is_written_is_read_again(
        event in "[a-z:]{1,20}",
        text in ".{0,50}",
        number in any::<i64>(),
        rooms in vec("[a-z]{1,8}:[0-9]{1,40}", 0..40),
        except in vec("[a-z]{1,8}", 0..3),
    ) {
        let data = serde_json::json!({"text": text, "number": number, "list": [1.5, null, {}]});
        let data = serde_json::value::to_raw_value(&data).unwrap();
        let borrow = |names: &[String]| -> Vec<String> { names.to_vec() };
        let (given, left_out) = (borrow(&rooms), borrow(&except));
        let given: Vec<_> = given.iter().map(String::as_str).collect();
        let left_out: Vec<_> = left_out.iter().map(String::as_str).collect();

        let body = encode("swbrd_", "/crm", (&event, &[&*data]), &given, &left_out).unwrap();
        let read = broadcast(&body);

        prop_assert_eq!(read.rooms, rooms);
        prop_assert_eq!(read.except, except);
        prop_assert_eq!(read.event, event);
        prop_assert_eq!(read.arguments[0].get(), data.get());
    }
}

fn broadcast(body: &[u8]) -> Broadcast {
    match decode(body).unwrap() {
        Message::Broadcast(broadcast) => broadcast,
        Message::Other(what) => panic!("{what}"),
    }
}

fn texts(broadcast: &Broadcast) -> Vec<&str> {
    broadcast.arguments.iter().map(|one| one.get()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}
