//! The client's half of the protocol, without I/O: messages in, [`Output`]s out.

use std::borrow::Cow;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use switchboard_protocol::engine_io::Packet as Message;
use switchboard_protocol::socket_io::{Ack, Body, Decoder, Event, Limits, Packet};

/// What a message leads to.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::command) enum Output {
    /// A message for the server.
    Send(String),
    /// An event as a line of JSON, for stdout.
    Event(String),
    /// What became of the connection or of a subscription, for stderr.
    Notice(Value),
    /// The server answers at least this often, or the connection is dead.
    Heartbeat(Duration),
    /// The server does not want this client: trying again would change nothing.
    Refused(String),
}

/// Why a connection is given up. The next one starts afresh.
#[derive(Debug, thiserror::Error)]
pub(in crate::command) enum ClientError {
    #[error("not engine.io: {0}")]
    Message(#[from] switchboard_protocol::engine_io::PacketError),
    #[error("not socket.io: {0}")]
    Packet(#[from] switchboard_protocol::socket_io::DecodeError),
    #[error("not what a server says: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the server closed the connection")]
    Closed,
}

/// One client over all its connections: what it asks for, and how far it has heard each room.
#[derive(Debug)]
pub(in crate::command) struct Client {
    /// What names the namespace in a packet: nothing for `/`.
    namespace: String,
    auth: Option<Box<RawValue>>,
    rooms: Vec<Subscription>,
    decoder: Decoder,
}

#[derive(Debug)]
struct Subscription {
    room: String,
    is_joined: bool,
    /// Everything up to here was heard; after a reconnect the room goes on from here.
    position: Option<String>,
}

/// What an open packet says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Open {
    ping_interval: u64,
    ping_timeout: u64,
}

impl Client {
    pub(in crate::command) fn new(auth: Option<Box<RawValue>>, rooms: Vec<String>) -> Self {
        let rooms = rooms.into_iter().map(|room| Subscription {
            room,
            is_joined: false,
            position: None,
        });
        Self {
            namespace: String::new(),
            auth,
            rooms: rooms.collect(),
            decoder: Decoder::new(),
        }
    }

    /// The same in another namespace than `/`.
    pub(in crate::command) fn in_namespace(self, namespace: &str) -> Self {
        let namespace = match namespace {
            "/" => String::new(),
            other => format!("{other},"),
        };
        Self { namespace, ..self }
    }

    /// The message of an event to the server.
    pub(in crate::command) fn event(&self, arguments: &Value) -> String {
        format!("42{}{arguments}", self.namespace)
    }

    /// Forgets the connection that was, and keeps the positions.
    pub(super) fn handle_disconnect(&mut self) {
        self.decoder = Decoder::new();
        for subscription in &mut self.rooms {
            subscription.is_joined = false;
        }
    }

    pub(in crate::command) fn handle_text(
        &mut self,
        text: &str,
    ) -> Result<Vec<Output>, ClientError> {
        match Message::decode(text)? {
            Message::Open(open) => {
                let Open {
                    ping_interval,
                    ping_timeout,
                } = serde_json::from_str(open)?;
                let silence_max = Duration::from_millis(ping_interval.saturating_add(ping_timeout));
                let auth = self.auth.as_ref().map_or("", |auth| auth.get());
                Ok(vec![
                    Output::Heartbeat(silence_max),
                    Output::Send(format!("40{}{auth}", self.namespace)),
                ])
            }
            Message::Ping(payload) => Ok(vec![Output::Send(Message::Pong(payload).encode())]),
            Message::Message(text) => match self.decoder.decode_text(text, &LIMITS)? {
                Some(packet) => self.handle_packet(packet),
                None => Ok(Vec::new()),
            },
            Message::Close => Err(ClientError::Closed),
            Message::Pong(_) | Message::Upgrade | Message::Noop | Message::Binary(_) => {
                Ok(Vec::new())
            }
        }
    }

    pub(in crate::command) fn handle_binary(
        &mut self,
        bytes: &[u8],
    ) -> Result<Vec<Output>, ClientError> {
        match self.decoder.decode_binary(Cow::Borrowed(bytes), &LIMITS)? {
            Some(packet) => self.handle_packet(packet),
            None => Ok(Vec::new()),
        }
    }

    fn handle_packet(&mut self, packet: Packet<'_>) -> Result<Vec<Output>, ClientError> {
        match packet.body {
            Body::Connect(reply) => {
                let reply: Value =
                    reply.map_or(Ok(Value::Null), |reply| serde_json::from_str(reply.get()))?;
                let notice =
                    Output::Notice(json!({"notice": "connected", "sid": reply.get("sid")}));
                let subscribe = (0..self.rooms.len()).map(|index| self.subscribe(index));
                Ok(std::iter::once(notice).chain(subscribe).collect())
            }
            Body::Event(event) => Ok(vec![self.handle_event(&event)?]),
            Body::Ack(ack) => self.handle_ack(&ack),
            Body::ConnectError(error) => {
                let error: Value = serde_json::from_str(error.get())?;
                let message = error
                    .get("message")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason")
                    .to_owned();
                let notice = json!({"notice": "connect_error", "message": message, "data": error.get("data")});
                Ok(vec![Output::Notice(notice), Output::Refused(message)])
            }
            Body::Disconnect => Ok(vec![
                Output::Notice(json!({"notice": "disconnected", "reason": "io server disconnect"})),
                Output::Refused("the server ended the session".to_owned()),
            ]),
        }
    }

    fn handle_event(&mut self, event: &Event<'_>) -> Result<Output, ClientError> {
        // Events on the line end in its position; replayed ones do not, so that it never goes back.
        if let Some(last) = event.arguments.iter().last()
            && let Ok(position) = serde_json::from_str::<String>(last.get())
        {
            for subscription in self
                .rooms
                .iter_mut()
                .filter(|subscription| subscription.is_joined)
            {
                subscription.position = Some(position.clone());
            }
        }
        let args = event
            .arguments
            .iter()
            .map(|argument| shown(argument, &event.attachments));
        let args = args.collect::<Result<Vec<_>, _>>()?.join(",");
        let name = serde_json::to_string(&event.name)?;
        Ok(Output::Event(format!(
            r#"{{"event":{name},"args":[{args}]}}"#
        )))
    }

    fn handle_ack(&mut self, ack: &Ack<'_>) -> Result<Vec<Output>, ClientError> {
        let answer = ack.arguments.iter().next();
        let answer = answer.map_or(Ok(Value::Null), |answer| serde_json::from_str(answer.get()))?;
        let index = usize::try_from(ack.id.0).unwrap_or(usize::MAX);
        let Some(subscription) = self.rooms.get_mut(index) else {
            return Ok(Vec::new());
        };
        let room = &subscription.room;
        let text = |field: &str| answer.get(field).and_then(Value::as_str).map(str::to_owned);

        if answer.get("ok") == Some(&Value::Bool(true)) {
            subscription.is_joined = true;
            if let Some(next) = text("next") {
                subscription.position = Some(next);
                return Ok(vec![self.subscribe(index)]);
            }
            subscription.position = text("position");
            return Ok(vec![Output::Notice(json!({
                "notice": "subscribed",
                "room": room,
                "position": subscription.position,
                "snapshot": answer.get("snapshot"),
            }))]);
        }
        let error = answer.get("error").cloned().unwrap_or(Value::Null);
        let notice = Output::Notice(json!({"notice": "refused", "room": room, "error": error}));
        let code = error
            .get("code")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if code.starts_with("position_") && subscription.position.take().is_some() {
            // What was missed is gone; the room itself is not.
            return Ok(vec![notice, self.subscribe(index)]);
        }
        Ok(vec![notice])
    }

    /// The request for a room; the ack's id is the room's index.
    fn subscribe(&self, index: usize) -> Output {
        let Subscription { room, position, .. } = &self.rooms[index];
        let request = match position {
            Some(position) => json!(["subscribe", room, {"after": position}]),
            None => json!(["subscribe", room]),
        };
        Output::Send(format!("42{}{index}{request}", self.namespace))
    }
}

/// An argument on one line: as it came, with each placeholder as `{"$binary": "<base64>"}`.
fn shown(argument: &RawValue, attachments: &[Bytes]) -> Result<String, ClientError> {
    let text = argument.get();
    if attachments.is_empty() && !text.contains(['\n', '\r']) {
        return Ok(text.to_owned());
    }
    let mut value = serde_json::from_str(text)?;
    fill(&mut value, attachments);
    Ok(value.to_string())
}

fn fill(value: &mut Value, attachments: &[Bytes]) {
    match value {
        Value::Object(map) if map.get("_placeholder") == Some(&Value::Bool(true)) => {
            let index = map
                .get("num")
                .and_then(Value::as_u64)
                .and_then(|num| usize::try_from(num).ok());
            if let Some(bytes) = index.and_then(|index| attachments.get(index)) {
                *value = json!({"$binary": STANDARD.encode(bytes)});
            }
        }
        Value::Object(map) => map.values_mut().for_each(|value| fill(value, attachments)),
        Value::Array(items) => items.iter_mut().for_each(|value| fill(value, attachments)),
        _ => {}
    }
}

/// A test client trusts its server further than a server its clients.
const LIMITS: Limits = Limits {
    attachments_max: 100,
    attachment_bytes_max: 16 * 1024 * 1024,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_opens_connects_and_subscribes() {
        let mut client = client(&["whatsapp:1"]);

        let open = text(
            &mut client,
            r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1}"#,
        );
        let connected = text(&mut client, r#"40{"sid":"abc"}"#);

        assert_eq!(
            open,
            [
                Output::Heartbeat(Duration::from_secs(45)),
                send(r#"40{"token":"t"}"#)
            ]
        );
        assert_eq!(
            connected,
            [
                Output::Notice(json!({"notice": "connected", "sid": "abc"})),
                send(r#"420["subscribe","whatsapp:1"]"#),
            ]
        );
    }

    #[test]
    fn a_ping_is_answered() {
        assert_eq!(text(&mut client(&[]), "2"), [send("3")]);
    }

    #[test]
    fn an_event_is_shown_with_its_arguments_and_its_bytes() {
        let mut client = client(&[]);

        let waiting = text(
            &mut client,
            r#"451-["media",{"body":{"_placeholder":true,"num":0}}]"#,
        );
        let shown = client.handle_binary(b"hi").unwrap();

        assert!(waiting.is_empty());
        assert_eq!(
            shown,
            [event(
                r#"{"event":"media","args":[{"body":{"$binary":"aGk="}}]}"#
            )]
        );
    }

    #[test]
    fn an_event_is_one_line_and_otherwise_as_it_came() {
        let mut client = client(&[]);

        let as_it_came = text(&mut client, r#"42["a",{"z":1.0,"b":[]},"e-1"]"#);
        let on_one_line = text(&mut client, "42[\"a\",{\"z\":\n1}]");

        assert_eq!(
            as_it_came,
            [event(r#"{"event":"a","args":[{"z":1.0,"b":[]},"e-1"]}"#)]
        );
        assert_eq!(on_one_line, [event(r#"{"event":"a","args":[{"z":1}]}"#)]);
    }

    #[test]
    fn a_refused_room_is_shown() {
        let mut client = client(&["campaign:9"]);

        let shown = text(
            &mut client,
            r#"430[{"ok":false,"error":{"code":"forbidden","message":"no"}}]"#,
        );

        let error = json!({"code": "forbidden", "message": "no"});
        assert_eq!(
            shown,
            [Output::Notice(
                json!({"notice": "refused", "room": "campaign:9", "error": error})
            )]
        );
    }

    #[test]
    fn after_a_reconnect_a_room_goes_on_where_it_was() {
        let mut client = client(&["contact:1"]);
        text(
            &mut client,
            r#"430[{"ok":true,"room":"contact:1","position":"e-1"}]"#,
        );
        text(&mut client, r#"42["message:received",{},"e-5"]"#);
        text(
            &mut client,
            r#"42["message:received",{},{"position":"e-2","replay":true}]"#,
        );
        client.handle_disconnect();

        let again = text(&mut client, r#"40{"sid":"b"}"#);

        assert_eq!(
            again[1],
            send(r#"420["subscribe","contact:1",{"after":"e-5"}]"#)
        );
    }

    #[test]
    fn a_history_that_is_gone_is_said_and_the_room_joined_all_the_same() {
        let mut client = client(&["contact:1"]);
        text(
            &mut client,
            r#"430[{"ok":true,"room":"contact:1","position":"e-1"}]"#,
        );

        let outputs = text(
            &mut client,
            r#"430[{"ok":false,"error":{"code":"position_too_old","message":"no"}}]"#,
        );

        assert_eq!(outputs[1], send(r#"420["subscribe","contact:1"]"#));
    }

    #[test]
    fn a_long_history_is_read_page_by_page() {
        let mut client = client(&["contact:1"]);

        let outputs = text(
            &mut client,
            r#"430[{"ok":true,"room":"contact:1","position":"e-9","next":"e-4"}]"#,
        );

        assert_eq!(
            outputs,
            [send(r#"420["subscribe","contact:1",{"after":"e-4"}]"#)]
        );
    }

    #[test]
    fn a_refusal_to_connect_is_final() {
        let outputs = text(
            &mut client(&[]),
            r#"44{"message":"token expired","data":{"code":"token_expired"}}"#,
        );

        assert_eq!(outputs[1], Output::Refused("token expired".to_owned()));
    }

    fn client(rooms: &[&str]) -> Client {
        let auth = RawValue::from_string(r#"{"token":"t"}"#.to_owned()).unwrap();
        Client::new(
            Some(auth),
            rooms.iter().map(|room| (*room).to_owned()).collect(),
        )
    }

    #[track_caller]
    fn text(client: &mut Client, text: &str) -> Vec<Output> {
        client.handle_text(text).unwrap()
    }

    fn event(line: &str) -> Output {
        Output::Event(line.to_owned())
    }

    fn send(text: &str) -> Output {
        Output::Send(text.to_owned())
    }
}
