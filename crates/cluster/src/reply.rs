//! What Redis answers, taken apart.

use redis::{PushInfo, Value};
use switchboard_event::{Epoch, Offset};

use crate::dial::{Address, Slots};
use crate::error::Failure;

/// What a script says first: how far the partition is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Meta {
    pub(crate) epoch: Epoch,
    pub(crate) head: Offset,
    pub(crate) floor: Offset,
    /// Of the append that wrote the head.
    pub(crate) token: Vec<u8>,
    /// What the record after the head will name as its predecessor.
    pub(crate) link: Vec<u8>,
    pub(crate) bytes: u64,
}

/// The answer of a script on a partition.
#[derive(Debug)]
pub(crate) enum Answer {
    /// There is no history: somebody must begin one.
    None,
    /// What it did or refused, in a word, and what it found.
    Some(&'static str, Meta, Vec<Value>),
}

/// Reads what `answer` of prove.lua makes.
pub(crate) fn answer(value: Value) -> Result<Answer, Failure> {
    parse(value).ok_or_else(|| Failure::strange("a script"))
}

fn parse(value: Value) -> Option<Answer> {
    let Value::Array(list) = value else {
        return None;
    };
    let mut list = list.into_iter();
    let word = match &bytes(list.next()?)?[..] {
        b"none" => return Some(Answer::None),
        b"ok" => "ok",
        b"reused" => "reused",
        b"conflict" => "conflict",
        _ => return None,
    };
    let epoch = String::from_utf8(bytes(list.next()?)?).ok()?;
    let meta = Meta {
        epoch: Epoch::new(u64::from_str_radix(&epoch, 16).ok()?),
        head: Offset::new(number(&list.next()?)?),
        floor: Offset::new(number(&list.next()?)?),
        token: bytes(list.next()?)?,
        link: bytes(list.next()?)?,
        bytes: number(&list.next()?)?,
    };
    Some(Answer::Some(word, meta, list.collect()))
}

/// An epoch as the scripts keep it.
pub(crate) fn epoch_text(epoch: Epoch) -> String {
    format!("{:016x}", epoch.as_u64())
}

pub(crate) fn list(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(list) => Some(list),
        _ => None,
    }
}

pub(crate) fn bytes(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.into_bytes()),
        _ => None,
    }
}

pub(crate) fn text(value: &Value) -> Option<String> {
    String::from_utf8(bytes(value.clone())?).ok()
}

pub(crate) fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    integer(value)?.try_into().ok()
}

/// Reads an answer of CLUSTER SLOTS. A server that does not know its own name is whom we asked.
pub(crate) fn slots(value: Value, asked: &Address) -> Option<Slots> {
    let mut ranges = Vec::new();
    for range in list(value)? {
        let mut range = list(range)?.into_iter();
        let first = number(&range.next()?)?.try_into().ok()?;
        let last = number(&range.next()?)?.try_into().ok()?;
        let mut node = list(range.next()?)?.into_iter();
        let host = node.next().and_then(|host| text(&host)).unwrap_or_default();
        let port = number(&node.next()?)?.try_into().ok()?;
        let host = if host.is_empty() || host == "?" {
            asked.host.clone()
        } else {
            host
        };
        ranges.push((first, last, Address { host, port }));
    }
    Some(Slots(ranges))
}

/// A record that a blocking XREAD of one stream found: offset and fields.
pub(crate) struct Entry {
    pub(crate) offset: Offset,
    pub(crate) token: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) record: Vec<u8>,
}

/// Reads an answer of XREAD: none if nothing came in time.
pub(crate) fn entries(value: Value) -> Option<Vec<Entry>> {
    let entries = match value {
        Value::Nil => return Some(Vec::new()),
        Value::Map(streams) => streams.into_iter().next()?.1,
        Value::Array(streams) => list(streams.into_iter().next()?)?.into_iter().nth(1)?,
        _ => return None,
    };
    list(entries)?.into_iter().map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let mut parts = list(value)?.into_iter();
    let id = text(&parts.next()?)?;
    let offset = id.split('-').next()?.parse().ok()?;
    let (mut token, mut link, mut record) = (None, None, None);
    let mut fields = list(parts.next()?)?.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match bytes(name)?.as_slice() {
            b"k" => token = bytes(value),
            b"p" => link = bytes(value),
            b"r" => record = bytes(value),
            _ => {}
        }
    }
    Some(Entry {
        offset: Offset::new(offset),
        token: token?,
        link: link?,
        record: record?,
    })
}

/// Channel and payload of a message of sharded Pub/Sub.
pub(crate) fn message(push: PushInfo) -> Option<(String, Vec<u8>)> {
    let mut data = push.data.into_iter();
    let channel = String::from_utf8(bytes(data.next()?)?).ok()?;
    Some((channel, bytes(data.next()?)?))
}
