use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Appended to the key by the server before hashing (RFC 6455, 4.2.2).
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The only version there is.
const VERSION: &[u8] = b"13";

/// Sixteen bytes in base64.
const KEY_LEN: usize = 24;

/// A request to become a WebSocket, found to be one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Handshake<'a> {
    accept: String,
    protocol: Option<&'a str>,
}

impl<'a> Handshake<'a> {
    /// Checks a request by its method and all its headers, in time linear in their length.
    ///
    /// Extensions that are offered are not looked at: none is ever accepted.
    pub fn check(
        method: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Self, HandshakeError> {
        if method != "GET" {
            return Err(HandshakeError::Method);
        }
        let mut fields = Fields::default();
        for (name, value) in headers {
            fields.read(name, value)?;
        }
        if !fields.upgrade {
            return Err(HandshakeError::Upgrade);
        }
        if !fields.connection {
            return Err(HandshakeError::Connection);
        }
        if fields.version != Some(VERSION) {
            return Err(HandshakeError::Version);
        }
        let key = fields.key.ok_or(HandshakeError::Key)?;
        Ok(Self {
            accept: accept_key(key),
            protocol: fields.protocol,
        })
    }

    /// The value of `Sec-WebSocket-Accept`.
    pub fn accept(&self) -> &str {
        &self.accept
    }

    /// The value of `Sec-WebSocket-Protocol`, to be sent if there is one: the first one offered.
    pub fn protocol(&self) -> Option<&'a str> {
        self.protocol
    }
}

/// Why a request does not become a WebSocket.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Only GET can be upgraded.
    #[error("websocket handshake must be a GET")]
    Method,
    /// No `Upgrade: websocket`.
    #[error("upgrade header does not name websocket")]
    Upgrade,
    /// No `Connection: upgrade`.
    #[error("connection header does not name upgrade")]
    Connection,
    /// Not version 13. The answer carries `Sec-WebSocket-Version: 13`.
    #[error("sec-websocket-version is not 13")]
    Version,
    /// Not exactly one key of 16 bytes in base64.
    #[error("sec-websocket-key is not 16 bytes in base64")]
    Key,
    /// Not a list of tokens.
    #[error("sec-websocket-protocol is not a list of tokens")]
    Protocol,
}

impl HandshakeError {
    /// The status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Version => 426,
            Self::Upgrade | Self::Connection | Self::Key | Self::Protocol => 400,
        }
    }
}

/// The value of `Sec-WebSocket-Accept` for a value of `Sec-WebSocket-Key`.
pub fn accept_key(key: &str) -> String {
    let digest = Sha1::new()
        .chain_update(key)
        .chain_update(KEY_SUFFIX)
        .finalize();
    STANDARD.encode(digest)
}

/// The headers that matter, as far as they have been read.
#[derive(Default)]
struct Fields<'a> {
    upgrade: bool,
    connection: bool,
    version: Option<&'a [u8]>,
    key: Option<&'a str>,
    protocol: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, name: &str, value: &'a [u8]) -> Result<(), HandshakeError> {
        if name.eq_ignore_ascii_case("upgrade") {
            self.upgrade |= has_token(value, b"websocket");
        } else if name.eq_ignore_ascii_case("connection") {
            self.connection |= has_token(value, b"upgrade");
        } else if name.eq_ignore_ascii_case("sec-websocket-version") {
            if self.version.replace(value.trim_ascii()).is_some() {
                return Err(HandshakeError::Version);
            }
        } else if name.eq_ignore_ascii_case("sec-websocket-key") {
            let key = key(value.trim_ascii()).ok_or(HandshakeError::Key)?;
            if self.key.replace(key).is_some() {
                return Err(HandshakeError::Key);
            }
        } else if name.eq_ignore_ascii_case("sec-websocket-protocol") {
            let protocol = first_protocol(value).ok_or(HandshakeError::Protocol)?;
            self.protocol.get_or_insert(protocol);
        }
        Ok(())
    }
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',')
        .any(|element| element.trim_ascii().eq_ignore_ascii_case(token))
}

/// Sixteen bytes in base64, whatever the bits that padding leaves over.
fn key(value: &[u8]) -> Option<&str> {
    let digits = value.strip_suffix(b"==")?;
    let is_key = value.len() == KEY_LEN
        && digits
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    if is_key {
        str::from_utf8(value).ok()
    } else {
        None
    }
}

/// The first of a list of protocols; `None` if it is not a list of tokens.
fn first_protocol(value: &[u8]) -> Option<&str> {
    let mut protocols = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    let first = protocols.next().filter(|name| is_token(name))?;
    if protocols.all(is_token) {
        str::from_utf8(first).ok()
    } else {
        None
    }
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    const REQUEST: [(&str, &str); 4] = [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];

    #[test]
    fn the_key_of_the_rfc_is_accepted_with_the_answer_of_the_rfc() {
        assert_eq!(accept_key(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(
            check("GET", &REQUEST).as_ref().map(Handshake::accept),
            Ok("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        );
    }

    #[test]
    fn tokens_are_found_in_lists_and_in_any_case() {
        for change in [
            ("Upgrade", "WebSocket"),
            ("upgrade", "h2c, websocket"),
            ("connection", "keep-alive, Upgrade"),
            ("connection", "keep-alive,UPGRADE , x"),
            (
                "sec-websocket-extensions",
                "permessage-deflate; client_max_window_bits",
            ),
            // GHSA-5v72-xg48-5rpm: names of Object.prototype.
            (
                "sec-websocket-extensions",
                "constructor, __proto__; toString=\"\\",
            ),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZR=="),
        ] {
            assert!(check("GET", &with(change)).is_ok(), "{change:?}");
        }
    }

    #[test]
    fn the_first_subprotocol_that_is_offered_is_chosen() {
        for (offered, chosen) in [
            ("chat", "chat"),
            ("chat, superchat", "chat"),
            (" mqtt ,chat", "mqtt"),
            ("constructor", "constructor"),
        ] {
            let headers = with(("sec-websocket-protocol", offered));

            let handshake = check("GET", &headers).unwrap();

            assert_eq!(handshake.protocol(), Some(chosen), "{offered}");
        }
        assert_eq!(check("GET", &REQUEST).unwrap().protocol(), None);
    }

    #[test]
    fn what_is_no_handshake_is_refused_with_its_status() {
        for (change, error, status) in [
            (("upgrade", ""), HandshakeError::Upgrade, 400),
            (("upgrade", "websockets"), HandshakeError::Upgrade, 400),
            (("upgrade", "h2c websocket"), HandshakeError::Upgrade, 400),
            (
                ("connection", "keep-alive"),
                HandshakeError::Connection,
                400,
            ),
            (("sec-websocket-version", "8"), HandshakeError::Version, 426),
            (("sec-websocket-version", ""), HandshakeError::Version, 426),
            (
                ("sec-websocket-version", "13, 8"),
                HandshakeError::Version,
                426,
            ),
            (("sec-websocket-key", ""), HandshakeError::Key, 400),
            (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"),
                HandshakeError::Key,
                400,
            ),
            (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=A"),
                HandshakeError::Key,
                400,
            ),
            (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j"),
                HandshakeError::Key,
                400,
            ),
            (
                ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j!Q=="),
                HandshakeError::Key,
                400,
            ),
            (
                ("sec-websocket-protocol", ""),
                HandshakeError::Protocol,
                400,
            ),
            (
                ("sec-websocket-protocol", ",chat"),
                HandshakeError::Protocol,
                400,
            ),
            (
                ("sec-websocket-protocol", "chat,"),
                HandshakeError::Protocol,
                400,
            ),
            (
                ("sec-websocket-protocol", "a b"),
                HandshakeError::Protocol,
                400,
            ),
            (
                ("sec-websocket-protocol", "a\r\nSet-Cookie: b"),
                HandshakeError::Protocol,
                400,
            ),
        ] {
            assert_eq!(check("GET", &with(change)), Err(error), "{change:?}");
            assert_eq!(error.status(), status, "{change:?}");
        }
    }

    #[test]
    fn every_part_is_needed_once() {
        for (missing, error) in [
            (0, HandshakeError::Upgrade),
            (1, HandshakeError::Connection),
            (2, HandshakeError::Version),
            (3, HandshakeError::Key),
        ] {
            let mut headers = REQUEST.to_vec();
            headers.remove(missing);

            assert_eq!(check("GET", &headers), Err(error));
        }
        for (twice, error) in [(2, HandshakeError::Version), (3, HandshakeError::Key)] {
            let mut headers = REQUEST.to_vec();
            headers.push(headers[twice]);

            assert_eq!(check("GET", &headers), Err(error));
        }
        assert_eq!(check("POST", &REQUEST), Err(HandshakeError::Method));
    }

    /// CVE-2021-32640: quadratic time on `b`, many spaces and `x`; CVE-2023-43669: on any long
    /// header. This takes minutes if it is.
    #[test]
    fn long_headers_take_linear_time() {
        let spaces = format!("b{}x", " ".repeat(4_000_000));
        let commas = ",".repeat(4_000_000);

        let with_spaces = check("GET", &with(("sec-websocket-protocol", &spaces)));
        let with_commas = check("GET", &with(("sec-websocket-protocol", &commas)));
        let with_tokens = check("GET", &with(("connection", &commas)));

        assert_eq!(with_spaces, Err(HandshakeError::Protocol));
        assert_eq!(with_commas, Err(HandshakeError::Protocol));
        assert_eq!(with_tokens, Err(HandshakeError::Connection));
    }

    /// The request with one header changed, or added if it has none of that name.
    fn with<'a>(change: (&'a str, &'a str)) -> Vec<(&'a str, &'a str)> {
        let mut headers = REQUEST.to_vec();
        headers.retain(|(name, _)| !name.eq_ignore_ascii_case(change.0));
        headers.push(change);
        headers
    }

    fn check<'a>(
        method: &str,
        headers: &[(&'a str, &'a str)],
    ) -> Result<Handshake<'a>, HandshakeError> {
        Handshake::check(
            method,
            headers
                .iter()
                .map(|&(name, value)| (name, value.as_bytes())),
        )
    }
}
