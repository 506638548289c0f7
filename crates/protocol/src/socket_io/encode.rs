//! Packets of the server, as text.
//!
//! Every function writes a whole Engine.IO message, its `4` included: the one text that goes into
//! a WebSocket frame and into a polling body alike, so that it is made once for everybody.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::{RecoveryId, SocketId};

use super::{AckId, Namespace};

/// Lets a client into a namespace. `recovery_id` is the secret with which it may recover later.
pub fn encode_connect(
    namespace: &Namespace<'_>,
    socket_id: &SocketId,
    recovery_id: Option<&RecoveryId>,
) -> Bytes {
    let mut text = start(b'0', 0, namespace, None, 64);
    text.extend_from_slice(br#"{"sid":""#);
    text.extend_from_slice(socket_id.as_str().as_bytes());
    if let Some(recovery_id) = recovery_id {
        text.extend_from_slice(br#"","pid":""#);
        text.extend_from_slice(recovery_id.as_str().as_bytes());
    }
    text.extend_from_slice(br#""}"#);
    text.into()
}

/// Refuses to let a client into a namespace. The stock client does not try again by itself.
pub fn encode_connect_error(
    namespace: &Namespace<'_>,
    message: &str,
    data: Option<&RawValue>,
) -> Bytes {
    let data_len = data.map_or(0, |data| data.get().len());
    let mut text = start(b'4', 0, namespace, None, message.len() + data_len + 32);
    text.extend_from_slice(br#"{"message":"#);
    push_json_string(&mut text, message);
    if let Some(data) = data {
        text.extend_from_slice(br#","data":"#);
        text.extend_from_slice(data.get().as_bytes());
    }
    text.push(b'}');
    text.into()
}

/// Takes a client out of a namespace. The stock client does not come back by itself.
pub fn encode_disconnect(namespace: &Namespace<'_>) -> Bytes {
    start(b'1', 0, namespace, None, 0).into()
}

/// An event. Each of `arguments` is JSON, or JSON values joined by commas, such as
/// [`Arguments::as_str`](super::Arguments::as_str); an empty one adds nothing.
///
/// If the arguments hold placeholders, `attachments` says how many binary messages must follow
/// this one, with nothing between them; else it is zero.
pub fn encode_event(
    namespace: &Namespace<'_>,
    ack_id: Option<AckId>,
    name: &str,
    arguments: &[&[u8]],
    attachments: usize,
) -> Bytes {
    let kind = if attachments == 0 { b'2' } else { b'5' };
    let len = name.len() + array_len(arguments);
    let mut text = start(kind, attachments, namespace, ack_id, len);
    text.push(b'[');
    push_json_string(&mut text, name);
    push_arguments(&mut text, arguments);
    text.push(b']');
    text.into()
}

/// The answer to an event. The arguments and attachments are as in [`encode_event`].
pub fn encode_ack(
    namespace: &Namespace<'_>,
    id: AckId,
    arguments: &[&[u8]],
    attachments: usize,
) -> Bytes {
    let kind = if attachments == 0 { b'3' } else { b'6' };
    let mut text = start(kind, attachments, namespace, Some(id), array_len(arguments));
    text.push(b'[');
    push_arguments(&mut text, arguments);
    text.push(b']');
    text.into()
}

/// The JSON that stands for attachment number `index`, counted from zero.
pub fn encode_placeholder(index: usize) -> String {
    format!(r#"{{"_placeholder":true,"num":{index}}}"#)
}

/// Everything before the payload, in a buffer with room for a payload of `payload_len` bytes.
fn start(
    kind: u8,
    attachments: usize,
    namespace: &Namespace<'_>,
    ack_id: Option<AckId>,
    payload_len: usize,
) -> Vec<u8> {
    /// `4`, the kind, a dash, a comma, and two numbers of up to 20 digits.
    const HEADER_LEN_MAX: usize = 44;

    let mut text = Vec::with_capacity(HEADER_LEN_MAX + namespace.as_str().len() + payload_len);
    text.extend_from_slice(&[b'4', kind]);
    if attachments > 0 {
        text.extend_from_slice(attachments.to_string().as_bytes());
        text.push(b'-');
    }
    if !namespace.is_root() {
        text.extend_from_slice(namespace.as_str().as_bytes());
        text.push(b',');
    }
    if let Some(id) = ack_id {
        text.extend_from_slice(id.to_string().as_bytes());
    }
    text
}

fn push_arguments(text: &mut Vec<u8>, arguments: &[&[u8]]) {
    for argument in arguments.iter().filter(|argument| !argument.is_empty()) {
        if text.last() != Some(&b'[') {
            text.push(b',');
        }
        text.extend_from_slice(argument);
    }
}

/// How long the arguments are with their brackets, commas and the quotes of a name.
fn array_len(arguments: &[&[u8]]) -> usize {
    arguments
        .iter()
        .map(|argument| argument.len() + 1)
        .sum::<usize>()
        + 4
}

fn push_json_string(text: &mut Vec<u8>, string: &str) {
    serde_json::to_writer(text, string).expect("a vector takes whatever is written");
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: AckId = AckId(12);

    #[test]
    fn packets_are_the_texts_that_stock_clients_expect() {
        let sid: SocketId = "wZX3oN0bSVIhsaknAAAI".parse().unwrap();
        let pid: RecoveryId = "YHcX2sdAF1z452-HAAAW".parse().unwrap();
        let admin = Namespace::new("/admin").unwrap();
        let root = Namespace::ROOT;
        let data = serde_json::from_str(r#"{"code":"unauthorized"}"#).unwrap();
        let placeholders = format!("{},{}", encode_placeholder(0), encode_placeholder(1));
        let echo = br#"1,"2",{"3":[false]}"#;

        for (encoded, text) in [
            (
                encode_connect(&root, &sid, None),
                r#"40{"sid":"wZX3oN0bSVIhsaknAAAI"}"#,
            ),
            (
                encode_connect(&admin, &sid, Some(&pid)),
                r#"40/admin,{"sid":"wZX3oN0bSVIhsaknAAAI","pid":"YHcX2sdAF1z452-HAAAW"}"#,
            ),
            (
                encode_connect_error(
                    &Namespace::new("/random").unwrap(),
                    "Invalid namespace",
                    None,
                ),
                r#"44/random,{"message":"Invalid namespace"}"#,
            ),
            (
                encode_connect_error(&root, "a \"b\"\n", Some(data)),
                r#"44{"message":"a \"b\"\n","data":{"code":"unauthorized"}}"#,
            ),
            (encode_disconnect(&root), "41"),
            (encode_disconnect(&admin), "41/admin,"),
            (
                encode_event(&root, None, "auth", &[b"{}"], 0),
                r#"42["auth",{}]"#,
            ),
            (encode_event(&root, None, "a", &[], 0), r#"42["a"]"#),
            (
                encode_event(&root, None, "a\"b", &[b""], 0),
                r#"42["a\"b"]"#,
            ),
            (
                encode_event(&root, None, "a", &[b"", b"1", b"", b"2"], 0),
                r#"42["a",1,2]"#,
            ),
            (
                encode_event(&admin, Some(ID), "a", &[b"1", b"[]"], 0),
                r#"42/admin,12["a",1,[]]"#,
            ),
            (
                encode_event(&root, None, "message-back", &[placeholders.as_bytes()], 2),
                r#"452-["message-back",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            ),
            (
                encode_event(&admin, Some(AckId(7)), "f", &[placeholders.as_bytes()], 2),
                r#"452-/admin,7["f",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
            ),
            (
                encode_ack(&root, AckId(456), &[echo], 0),
                r#"43456[1,"2",{"3":[false]}]"#,
            ),
            (encode_ack(&admin, ID, &[], 0), "43/admin,12[]"),
            (encode_ack(&admin, ID, &[b"", b"1"], 0), "43/admin,12[1]"),
            (
                encode_ack(&root, AckId(789), &[encode_placeholder(0).as_bytes()], 1),
                r#"461-789[{"_placeholder":true,"num":0}]"#,
            ),
        ] {
            assert_eq!(encoded, text);
        }
    }
}
