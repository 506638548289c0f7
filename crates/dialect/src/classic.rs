//! Pub/Sub as `@socket.io/redis-adapter` (classic) and `@socket.io/redis-emitter` use it.

use serde_json::value::RawValue;

use crate::broadcast::{
    ARGUMENTS_MAX, Broadcast, MESSAGE_LEN_MAX, Message, ROOMS_MAX, Undecodable,
};
use crate::encode::{self, Unencodable};
use crate::msgpack::{Head, Reader};
use crate::transcode;

/// The sender that is no server.
pub const EMITTER: &str = "emitter";

/// The channel of what goes to these rooms: one of its own for exactly one.
pub fn channel(prefix: &str, namespace: &str, rooms: &[&str]) -> String {
    match rooms {
        [room] => format!("{prefix}#{namespace}#{room}#"),
        _ => format!("{prefix}#{namespace}#"),
    }
}

/// The pattern of all channels of broadcasts in a namespace. Neither may hold `*`, `?`, `[`, `]` or
/// `\`.
pub fn pattern(prefix: &str, namespace: &str) -> String {
    format!("{prefix}#{namespace}#*")
}

/// Reads what was published on a channel of broadcasts.
pub fn decode(body: &[u8]) -> Result<Message, Undecodable> {
    if body.len() > MESSAGE_LEN_MAX {
        return Err(Undecodable::TooLong);
    }
    let mut reader = Reader::new(body);
    if reader.head()? != Head::List(3) {
        return Err(Undecodable::Part { part: "broadcast" });
    }
    let sender = sender(&mut reader)?;
    let Some(packet) = packet(&mut reader)? else {
        return Ok(Message::Other("packet"));
    };
    let options = options(&mut reader)?;
    reader.finish()?;
    Ok(Message::Broadcast(Broadcast {
        sender,
        // The first servers did not name the only one.
        namespace: packet.namespace.unwrap_or_else(|| "/".to_owned()),
        rooms: options.rooms,
        except: options.except,
        event: packet.event,
        arguments: packet.arguments,
        is_volatile: options.is_volatile,
    }))
}

/// What one server says to those that are Node's: exactly the shape that they take unchecked.
pub fn encode(
    uid: &str,
    namespace: &str,
    (event, arguments): (&str, &[&RawValue]),
    rooms: &[&str],
    except: &[&str],
) -> Result<Vec<u8>, Unencodable> {
    let mut bytes = Vec::new();
    encode::list(3, &mut bytes);
    encode::string(uid, &mut bytes);
    encode::map(3, &mut bytes);
    encode::string("type", &mut bytes);
    encode::unsigned(EVENT, &mut bytes);
    encode::string("data", &mut bytes);
    encode::list(1 + arguments.len(), &mut bytes);
    encode::string(event, &mut bytes);
    for argument in arguments {
        encode::json(argument.get(), &mut bytes)?;
    }
    encode::string("nsp", &mut bytes);
    encode::string(namespace, &mut bytes);
    encode::map(3, &mut bytes);
    for (name, rooms) in [("rooms", rooms), ("except", except)] {
        encode::string(name, &mut bytes);
        encode::list(rooms.len(), &mut bytes);
        for room in rooms {
            encode::string(room, &mut bytes);
        }
    }
    encode::string("flags", &mut bytes);
    encode::map(0, &mut bytes);
    Ok(bytes)
}

/// An event in its packet, and where it belongs.
pub(crate) struct Packet {
    pub(crate) namespace: Option<String>,
    pub(crate) event: String,
    pub(crate) arguments: Vec<Box<RawValue>>,
}

/// For whom it is.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) rooms: Vec<String>,
    pub(crate) except: Vec<String>,
    pub(crate) is_volatile: bool,
}

fn sender(reader: &mut Reader<'_>) -> Result<String, Undecodable> {
    let mut ahead = reader.clone();
    if matches!(ahead.head()?, Head::Nil | Head::Undefined) {
        *reader = ahead;
        return Ok(String::new());
    }
    reader.name("uid")
}

/// Reads a packet; none if it is no event.
pub(crate) fn packet(reader: &mut Reader<'_>) -> Result<Option<Packet>, Undecodable> {
    let (mut kind, mut namespace, mut data) = (None, None, None);
    for _ in 0..reader.map("packet")? {
        match &*reader.name("packet")? {
            "type" => kind = Some(reader.head()?),
            "nsp" => namespace = Some(reader.name("nsp")?),
            "data" => {
                data = Some(reader.clone());
                reader.skip()?;
            }
            _ => reader.skip()?,
        }
    }
    match kind {
        // 5 is an event with bytes, as the first emitters told them apart.
        Some(Head::Unsigned(EVENT | BINARY_EVENT)) => {}
        Some(Head::Unsigned(_)) => return Ok(None),
        _ => return Err(Undecodable::Part { part: "type" }),
    }
    let mut data = data.ok_or(Undecodable::Part { part: "data" })?;
    let len = match data.list("data")? {
        0 => return Err(Undecodable::Part { part: "event" }),
        len => bounded(len, ARGUMENTS_MAX + 1, "arguments")?,
    };
    // Numbers name rooms, but no event of ours.
    if !matches!(data.clone().head()?, Head::Text(_)) {
        return Err(Undecodable::Part { part: "event" });
    }
    let event = data.name("event")?;
    let arguments = (1..len).map(|_| transcode::json(&mut data));
    Ok(Some(Packet {
        namespace,
        event,
        arguments: arguments.collect::<Result<_, _>>()?,
    }))
}

pub(crate) fn options(reader: &mut Reader<'_>) -> Result<Options, Undecodable> {
    let mut options = Options::default();
    for _ in 0..reader.map("opts")? {
        match &*reader.name("opts")? {
            "rooms" => options.rooms = rooms(reader, "rooms")?,
            "except" => options.except = rooms(reader, "except")?,
            "flags" => {
                for _ in 0..reader.map("flags")? {
                    match &*reader.name("flags")? {
                        "volatile" => options.is_volatile = reader.head()? == Head::Flag(true),
                        _ => reader.skip()?,
                    }
                }
            }
            _ => reader.skip()?,
        }
    }
    Ok(options)
}

fn rooms(reader: &mut Reader<'_>, part: &'static str) -> Result<Vec<String>, Undecodable> {
    let len = reader.list(part)?;
    let len = bounded(len, ROOMS_MAX, "rooms")?;
    (0..len).map(|_| reader.name(part)).collect()
}

fn bounded(len: u32, len_max: usize, what: &'static str) -> Result<usize, Undecodable> {
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len > len_max {
        return Err(Undecodable::TooMany { what });
    }
    Ok(len)
}

const EVENT: u64 = 2;
const BINARY_EVENT: u64 = 5;

#[cfg(test)]
mod tests;
