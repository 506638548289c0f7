use std::borrow::Cow;

use memchr::memchr;

use crate::SessionId;

use super::Transport;

/// The parameters of a request that are Engine.IO's. All others are ignored, whatever their name.
///
/// Where a parameter appears more than once, the last one counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Query {
    /// `EIO`: the version of the protocol.
    pub version: Version,
    /// `transport`: `None` if it is absent or names none that is served.
    pub transport: Option<Transport>,
    /// `sid`: the session that the request belongs to.
    pub session: SessionParameter,
    /// `b64`: binary must reach this client as text, on a WebSocket too.
    pub base64_only: bool,
}

/// The `EIO` parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// There is none.
    Absent,
    /// The version that is served.
    V4,
    /// Anything else.
    Unsupported,
}

/// The `sid` parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionParameter {
    /// There is none, or it is empty: the request opens a session.
    Absent,
    /// Text that no session can have as its id.
    Malformed,
    /// An id, of a session that may or may not exist.
    Present(SessionId),
}

impl Query {
    /// Reads the query of a URL, without its question mark.
    pub fn parse(query: &str) -> Self {
        let mut parsed = Self {
            version: Version::Absent,
            transport: None,
            session: SessionParameter::Absent,
            base64_only: false,
        };
        for parameter in query.split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match &*decode(name) {
                "EIO" => parsed.version = version(&decode(value)),
                "transport" => parsed.transport = Transport::from_name(&decode(value)),
                "sid" => parsed.session = session(&decode(value)),
                "b64" => parsed.base64_only = !value.is_empty(),
                _ => {}
            }
        }
        parsed
    }
}

fn version(value: &str) -> Version {
    match value {
        "4" => Version::V4,
        _ => Version::Unsupported,
    }
}

fn session(value: &str) -> SessionParameter {
    if value.is_empty() {
        return SessionParameter::Absent;
    }
    value
        .parse()
        .map_or(SessionParameter::Malformed, SessionParameter::Present)
}

/// Undoes percent-encoding. What is not UTF-8 then is no parameter of ours.
fn decode(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    if memchr(b'%', bytes).is_none() {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        if let (b'%', Some((digits, after))) = (byte, tail.split_first_chunk())
            && let Some(escaped) = hex_byte(*digits)
        {
            decoded.push(escaped);
            rest = after;
        } else {
            decoded.push(byte);
            rest = tail;
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SID: &str = "lv_VI97HAXpY6yYWAAAB";

    #[test]
    fn the_queries_of_stock_clients_are_understood() {
        let opening = Query {
            version: Version::V4,
            transport: Some(Transport::Polling),
            session: SessionParameter::Absent,
            base64_only: false,
        };
        let sid = SessionParameter::Present(SID.parse().unwrap());

        check("EIO=4&transport=polling&t=abc123", opening);
        check(
            &format!("EIO=4&transport=websocket&sid={SID}"),
            Query {
                transport: Some(Transport::WebSocket),
                session: sid,
                ..opening
            },
        );
        check(
            "EIO=4&transport=polling&b64=1",
            Query {
                base64_only: true,
                ..opening
            },
        );
        check("EIO=4&transport=polling&sid=", opening);
        check("%45IO=%34&transport=p%6flling", opening);
    }

    #[test]
    fn the_last_of_a_repeated_parameter_counts() {
        let query = Query::parse("EIO=3&transport=polling&transport=websocket&EIO=4");

        assert_eq!(query.version, Version::V4);
        assert_eq!(query.transport, Some(Transport::WebSocket));
        assert_eq!(
            Query::parse("transport=polling&transport=x").transport,
            None
        );
    }

    #[test]
    fn what_is_not_served_is_not_understood() {
        let nothing = Query {
            version: Version::Absent,
            transport: None,
            session: SessionParameter::Absent,
            base64_only: false,
        };
        let malformed = Query {
            session: SessionParameter::Malformed,
            ..nothing
        };
        let unsupported = Query {
            version: Version::Unsupported,
            ..nothing
        };

        check("", nothing);
        check("&&=&==&%", nothing);
        // CVE-2023-31125: names of Object.prototype were looked up like transports.
        check("transport=__proto__", nothing);
        check("transport=constructor", nothing);
        check("transport=webtransport", nothing);
        check("transport=Polling", nothing);
        check("transport", nothing);
        check("__proto__=4&constructor=polling&toString", nothing);
        // CVE-2026-59724: and like sessions.
        check("sid=__proto__", malformed);
        check("sid=constructor", malformed);
        check("sid=%ff%fe", malformed);
        check("sid=12345678901234567890123", malformed);
        // CVE-2026-102599: another version than the session's, on a later request.
        check("EIO=3", unsupported);
        check("EIO=", unsupported);
        check("EIO=4%00", unsupported);
        check("EIO=04", unsupported);
        check("eio=4", nothing);
    }

    proptest! {
        #[test]
        fn no_query_makes_the_parser_panic(query in "(.{0,20}|[&=%a-fA-F0-9]{0,40})") {
            let _ = Query::parse(&query);
        }

        #[test]
        fn percent_encoding_changes_nothing(query in "(EIO=[34]|sid=[a-zA-Z0-9_-]{20}|b64=1)") {
            let (name, value) = query.split_once('=').unwrap();
            let encode = |text: &str| -> String {
                text.bytes().flat_map(|byte| format!("%{byte:02x}").into_bytes()).map(char::from).collect()
            };

            let encoded = format!("{}={}", encode(name), encode(value));

            prop_assert_eq!(Query::parse(&encoded), Query::parse(&query));
        }
    }

    #[track_caller]
    fn check(query: &str, expected: Query) {
        assert_eq!(Query::parse(query), expected, "{query}");
    }
}
