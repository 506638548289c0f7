use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::SessionId;

/// How the packets of a session travel.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// Long-polling: GET to receive, POST to send.
    Polling,
    /// A WebSocket.
    WebSocket,
}

impl Transport {
    /// The transport that a `transport` parameter names, if it is served.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "polling" => Some(Self::Polling),
            "websocket" => Some(Self::WebSocket),
            _ => None,
        }
    }

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the first packet of a session tells the client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Open<'a> {
    /// The secret of the session.
    pub session_id: &'a SessionId,
    /// What the client may upgrade to; nothing on a WebSocket.
    pub upgrades: &'a [Transport],
    /// From one ping of the server to the next; milliseconds on the wire.
    pub ping_interval: Duration,
    /// How long the server waits for a pong; milliseconds on the wire.
    pub ping_timeout: Duration,
    /// The longest body or message that the server takes, in bytes.
    pub payload_max: usize,
}

impl Open<'_> {
    /// The packet as text: `0` and an object of exactly the five keys that clients expect.
    pub fn encode(&self) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Json<'a> {
            sid: &'a str,
            upgrades: Vec<&'static str>,
            ping_interval: u128,
            ping_timeout: u128,
            max_payload: usize,
        }

        let json = serde_json::to_string(&Json {
            sid: self.session_id.as_str(),
            upgrades: self
                .upgrades
                .iter()
                .map(|upgrade| upgrade.as_str())
                .collect(),
            ping_interval: self.ping_interval.as_millis(),
            ping_timeout: self.ping_timeout.as_millis(),
            max_payload: self.payload_max,
        })
        .expect("strings and numbers are JSON");
        format!("0{json}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_packet_has_exactly_the_five_keys_in_order() {
        let session_id = "lv_VI97HAXpY6yYWAAAB".parse().unwrap();
        let open = Open {
            session_id: &session_id,
            upgrades: &[Transport::WebSocket],
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            payload_max: 1_000_000,
        };
        let on_websocket = Open {
            upgrades: &[],
            ..open.clone()
        };

        assert_eq!(
            open.encode(),
            concat!(
                r#"0{"sid":"lv_VI97HAXpY6yYWAAAB","upgrades":["websocket"],"#,
                r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
            )
        );
        assert!(on_websocket.encode().contains(r#""upgrades":[],"#));
    }
}
