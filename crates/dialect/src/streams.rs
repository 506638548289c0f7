//! Entries of a stream as `@socket.io/redis-streams-emitter` and the streams adapter write them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broadcast::{
    ARGUMENTS_MAX, Broadcast, MESSAGE_LEN_MAX, Message, NAME_LEN_MAX, ROOMS_MAX, Undecodable,
};
use crate::classic::{self, Options, Packet};
use crate::msgpack::Reader;

/// Reads the fields of an entry.
pub fn decode<'a>(
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Message, Undecodable> {
    let (mut sender, mut namespace, mut kind, mut data) = (None, None, None, None);
    for (name, value) in fields {
        match name {
            b"uid" => sender = Some(text(value, "uid")?),
            b"nsp" => namespace = Some(text(value, "nsp")?),
            b"type" => kind = Some(value),
            b"data" => data = Some(value),
            _ => {}
        }
    }
    // As Node does with it.
    let Some(namespace) = namespace else {
        return Ok(Message::Other("none"));
    };
    let kind = kind.ok_or(Undecodable::Part { part: "type" })?;
    if kind != b"3" {
        return Ok(Message::Other(other(kind)?));
    }
    let data = data.ok_or(Undecodable::Part { part: "data" })?;
    if data.len() > MESSAGE_LEN_MAX {
        return Err(Undecodable::TooLong);
    }
    let read = if data.first() == Some(&b'{') {
        json(data)?
    } else {
        let bytes = STANDARD.decode(data);
        msgpack(&bytes.map_err(|_| Undecodable::Text { expected: "base64" })?)?
    };
    let Some((packet, options)) = read else {
        return Ok(Message::Other("packet"));
    };
    Ok(Message::Broadcast(Broadcast {
        sender: sender.unwrap_or_default(),
        // The entry's own counts, as it does for Node.
        namespace,
        rooms: options.rooms,
        except: options.except,
        event: packet.event,
        arguments: packet.arguments,
        is_volatile: options.is_volatile,
    }))
}

/// What an entry is that is no broadcast.
fn other(kind: &[u8]) -> Result<&'static str, Undecodable> {
    Ok(match kind {
        b"1" | b"2" | b"13" => "heartbeat",
        b"4" => "join",
        b"5" => "leave",
        b"6" => "disconnect",
        b"7" | b"8" => "fetch",
        b"9" | b"10" => "server_side_emit",
        b"11" | b"12" => "ack",
        _ => return Err(Undecodable::Part { part: "type" }),
    })
}

fn text(value: &[u8], part: &'static str) -> Result<String, Undecodable> {
    let refused = Undecodable::Part { part };
    if value.len() > NAME_LEN_MAX {
        return Err(refused);
    }
    let text = str::from_utf8(value).map_err(|_| refused)?;
    Ok(text.to_owned())
}

fn msgpack(bytes: &[u8]) -> Result<Option<(Packet, Options)>, Undecodable> {
    let mut reader = Reader::new(bytes);
    let (mut packet, mut options) = (None, Options::default());
    for _ in 0..reader.map("data")? {
        match &*reader.name("data")? {
            "packet" => match classic::packet(&mut reader)? {
                Some(read) => packet = Some(read),
                None => return Ok(None),
            },
            "opts" => options = classic::options(&mut reader)?,
            _ => reader.skip()?,
        }
    }
    reader.finish()?;
    let packet = packet.ok_or(Undecodable::Part { part: "packet" })?;
    Ok(Some((packet, options)))
}

fn json(data: &[u8]) -> Result<Option<(Packet, Options)>, Undecodable> {
    let data: Data<'_> =
        serde_json::from_slice(data).map_err(|_| Undecodable::Text { expected: "JSON" })?;
    if !matches!(data.packet.r#type, 2 | 5) {
        return Ok(None);
    }
    let (event, arguments) = match &*data.packet.data {
        [event, arguments @ ..] if arguments.len() <= ARGUMENTS_MAX => (event, arguments),
        [] => return Err(Undecodable::Part { part: "event" }),
        _ => return Err(Undecodable::TooMany { what: "arguments" }),
    };
    let event: String =
        serde_json::from_str(event.get()).map_err(|_| Undecodable::Part { part: "event" })?;
    if event.len() > NAME_LEN_MAX {
        return Err(Undecodable::Part { part: "event" });
    }
    let names = |names: Option<Vec<Name>>| -> Result<Vec<String>, Undecodable> {
        let names = names.unwrap_or_default();
        if names.len() > ROOMS_MAX {
            return Err(Undecodable::TooMany { what: "rooms" });
        }
        let text = |name| match name {
            Name::Text(text) if text.len() <= NAME_LEN_MAX => Ok(text),
            Name::Text(_) => Err(Undecodable::Part { part: "rooms" }),
            Name::Number(number) => Ok(number.to_string()),
        };
        names.into_iter().map(text).collect()
    };
    let JsonOptions {
        rooms,
        except,
        flags,
    } = data.opts.unwrap_or_default();
    let arguments = arguments.iter().map(|&argument| argument.to_owned());
    Ok(Some((
        Packet {
            namespace: None,
            event,
            arguments: arguments.collect(),
        },
        Options {
            rooms: names(rooms)?,
            except: names(except)?,
            is_volatile: flags.unwrap_or_default().volatile,
        },
    )))
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow)]
    packet: JsonPacket<'a>,
    #[serde(default)]
    opts: Option<JsonOptions>,
}

#[derive(Deserialize)]
struct JsonPacket<'a> {
    r#type: u64,
    #[serde(borrow, default)]
    data: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
struct JsonOptions {
    #[serde(default)]
    rooms: Option<Vec<Name>>,
    #[serde(default)]
    except: Option<Vec<Name>>,
    #[serde(default)]
    flags: Option<Flags>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Name {
    Text(String),
    Number(i64),
}

#[derive(Default, Deserialize)]
struct Flags {
    #[serde(default)]
    volatile: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broadcast_is_read_from_json_and_from_base64() {
        let json = br#"{"packet":{"type":2,"data":["msg",{ "a": 1.0 }],"nsp":"/"},"opts":{"rooms":["a",7],"except":["c"],"flags":{"volatile":true}}}"#;
        // @msgpack/msgpack of {packet:{type:2,data:["msg",{b:<01 02 03>}],nsp:"/"},opts:{rooms:[],except:[],flags:{}}}
        let binary = b"\x82\xa6packet\x83\xa4type\x02\xa4data\x92\xa3msg\x81\xa1b\xc4\x03\x01\x02\x03\xa3nsp\xa1/\xa4opts\x83\xa5rooms\x90\xa6except\x90\xa5flags\x80";
        let base64 = STANDARD.encode(binary);

        let read = broadcast(json);
        assert_eq!(read.rooms, ["a", "7"]);
        assert_eq!(read.except, ["c"]);
        assert_eq!((&*read.event, &*read.namespace), ("msg", "/crm"));
        assert_eq!(read.arguments[0].get(), r#"{ "a": 1.0 }"#);
        assert!(read.is_volatile);
        let read = broadcast(base64.as_bytes());
        assert_eq!(read.arguments[0].get(), r#"{"b":{"$binary":"AQID"}}"#);
        assert_eq!(read.sender, "emitter");
    }

    #[test]
    fn what_servers_say_among_themselves_is_no_broadcast_and_the_rest_is_refused() {
        let kinds: [(&[u8], _); 4] = [
            (b"4", "join"),
            (b"6", "disconnect"),
            (b"9", "server_side_emit"),
            (b"13", "heartbeat"),
        ];
        for (kind, expected) in kinds {
            assert!(matches!(entry(kind, b"{}"), Ok(Message::Other(what)) if what == expected));
        }
        assert!(matches!(decode([]), Ok(Message::Other("none"))));
        for (kind, data) in [
            (&b"14"[..], &b"{}"[..]),
            (b"3", b""),
            (b"3", b"{"),
            (b"3", b"%%%"),
            (b"3", br#"{"packet":{"type":2,"data":[]}}"#),
            (b"3", br#"{"packet":{"type":2,"data":[1]}}"#),
            (b"3", br#"{"opts":{}}"#),
            (b"3", b"gA=="),
        ] {
            assert!(entry(kind, data).is_err(), "{data:?}");
        }
    }

    fn broadcast(data: &[u8]) -> Broadcast {
        match entry(b"3", data).unwrap() {
            Message::Broadcast(broadcast) => broadcast,
            Message::Other(what) => panic!("{what}"),
        }
    }

    fn entry(kind: &[u8], data: &[u8]) -> Result<Message, Undecodable> {
        decode([
            (&b"uid"[..], &b"emitter"[..]),
            (b"nsp", b"/crm"),
            (b"type", kind),
            (b"data", data),
        ])
    }
}
