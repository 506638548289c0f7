//! What Node servers say on Redis: any bytes are refused with a reason, or read; and what is read can
//! be said to Node servers, who read the same.
//!
//! Input: the body of a message, or the data of an entry of a stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use switchboard_dialect::{
    ARGUMENTS_MAX, Broadcast, Message, NAME_LEN_MAX, ROOMS_MAX, Undecodable, classic, streams,
};

fuzz_target!(|data: &[u8]| {
    for read in [classic::decode(data), entry(data)] {
        match read {
            Ok(Message::Broadcast(broadcast)) => check(&broadcast),
            Ok(Message::Other(_)) => {}
            Err(refused) => assert!(refused.to_string().len() < 100),
        }
    }
});

fn entry(data: &[u8]) -> Result<Message, Undecodable> {
    streams::decode([
        (&b"uid"[..], &b"emitter"[..]),
        (b"nsp", b"/"),
        (b"type", b"3"),
        (b"data", data),
    ])
}

fn check(broadcast: &Broadcast) {
    assert!(broadcast.arguments.len() <= ARGUMENTS_MAX);
    assert!(broadcast.rooms.len() <= ROOMS_MAX && broadcast.except.len() <= ROOMS_MAX);
    assert!(broadcast.event.len() <= NAME_LEN_MAX);

    let arguments: Vec<_> = broadcast.arguments.iter().map(|one| &**one).collect();
    let rooms: Vec<_> = broadcast.rooms.iter().map(String::as_str).collect();
    let except: Vec<_> = broadcast.except.iter().map(String::as_str).collect();
    let event = (&*broadcast.event, &arguments[..]);
    let Ok(body) = classic::encode("swbrd_", &broadcast.namespace, event, &rooms, &except) else {
        return;
    };
    let again = match classic::decode(&body) {
        Ok(Message::Broadcast(again)) => again,
        // JSON of a stream passes as it is, and may be deeper.
        Err(Undecodable::TooDeep) => return,
        other => panic!("what was written is not read: {other:?}"),
    };
    assert_eq!(again.rooms, broadcast.rooms);
    assert_eq!(again.except, broadcast.except);
    assert_eq!(again.event, broadcast.event);
    for (one, other) in again.arguments.iter().zip(&broadcast.arguments) {
        let values: [Value; 2] = [one, other].map(|json| {
            serde_json::from_str(json.get()).expect("it was encoded, so it is within range")
        });
        // 5.0 is 5 to JavaScript.
        assert_eq!(shape(&values[0]), shape(&values[1]));
    }
}

/// A value with its numbers as one kind of number, as in JavaScript.
fn shape(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.iter().map(shape).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, one)| (name.clone(), shape(one)));
            Value::Object(members.collect())
        }
        other => other.clone(),
    }
}
