//! A published message, framed once for everybody.

use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Draft<'a> {
    event: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
    rooms: Vec<&'a str>,
}

/// One message: the rooms that hear it and its bytes as they go over the wire.
pub(crate) struct Message {
    /// Who hears it.
    pub(crate) rooms: Vec<String>,
    /// A whole WebSocket frame.
    pub(crate) frame: Vec<u8>,
}

/// Reads a body of `POST /v1/events`, one draft or an array, and frames what it holds.
pub(crate) fn read(body: &[u8], published: &mut u64) -> serde_json::Result<Vec<Message>> {
    let drafts: Vec<Draft<'_>> = if body.first() == Some(&b'[') {
        serde_json::from_slice(body)?
    } else {
        vec![serde_json::from_slice(body)?]
    };
    let frame = |draft: Draft<'_>| {
        *published += 1;
        // The number stands in for Switchboard's position: the last argument of every event.
        let text = format!(
            "42[\"{}\",{},\"0123456789abcdef-{published}\"]",
            draft.event,
            draft.data.get()
        );
        Message {
            rooms: draft.rooms.into_iter().map(str::to_owned).collect(),
            frame: text_frame(text.as_bytes()),
        }
    };
    Ok(drafts.into_iter().map(frame).collect())
}

/// Wraps text in an unmasked WebSocket frame.
pub(crate) fn text_frame(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 10);
    frame.push(0x81);
    match (u8::try_from(text.len()), u16::try_from(text.len())) {
        (Ok(len @ 0..=125), _) => frame.push(len),
        (_, Ok(len)) => {
            frame.push(126);
            frame.extend_from_slice(&len.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(text);
    frame
}
