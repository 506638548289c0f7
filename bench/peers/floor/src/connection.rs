//! One connection: a producer's HTTP or a client's WebSocket.

use std::io::{self, IoSlice, Read, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mio::net::TcpStream;
use sha1::{Digest, Sha1};

use crate::draft::text_frame;
use crate::is_later;

/// The longest request head that is answered.
const HEADERS_MAX: usize = 32;

/// How many slices one `writev` takes.
const SLICES_MAX: usize = 64;

/// What a connection asked for.
pub(crate) enum Asked {
    /// Bytes of `POST /v1/events`.
    Publish(Vec<u8>),
    /// To hear a room; the client waits for this ack.
    Subscribe { room: String, ack: String },
    /// Socket.IO's CONNECT.
    Connect,
    /// A WebSocket, accepted with this key.
    Upgrade { key: String },
}

/// A socket and what of it is unfinished.
pub(crate) struct Connection {
    stream: TcpStream,
    upgraded: bool,
    /// The beginning of a request or frame whose end has not come; empty while idle.
    partial: Vec<u8>,
    /// What the kernel did not take; empty while idle.
    unwritten: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            upgraded: false,
            partial: Vec::new(),
            unwritten: Vec::new(),
        }
    }

    pub(crate) fn stream_mut(&mut self) -> &mut TcpStream {
        &mut self.stream
    }

    /// Reads all that is there. `Err` means that the connection is over.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Vec<Asked>> {
        let mut asked = Vec::new();
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => read,
                Err(error) if is_later(&error) => return Ok(asked),
                Err(error) => return Err(error),
            };
            if self.partial.is_empty() {
                let taken = self.take(&mut buffer[..read], &mut asked)?;
                self.partial.extend_from_slice(&buffer[taken..read]);
            } else {
                let mut input = std::mem::take(&mut self.partial);
                input.extend_from_slice(&buffer[..read]);
                let taken = self.take(&mut input, &mut asked)?;
                if taken < input.len() {
                    input.drain(..taken);
                    self.partial = input;
                }
            }
            if read < buffer.len() {
                return Ok(asked);
            }
        }
    }

    /// Queues nothing and copies nothing unless the kernel's buffer is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            self.unwritten.extend_from_slice(bytes);
            return Ok(());
        }
        match self.stream.write(bytes) {
            Ok(written) => self.unwritten.extend_from_slice(&bytes[written..]),
            Err(error) if is_later(&error) => self.unwritten.extend_from_slice(bytes),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Writes frames with as few calls as slices allow.
    pub(crate) fn write_vectored(&mut self, frames: &[&[u8]]) -> io::Result<()> {
        for frames in frames.chunks(SLICES_MAX) {
            let mut written = 0;
            if self.unwritten.is_empty() {
                let mut slices = [IoSlice::new(&[]); SLICES_MAX];
                for (slice, frame) in slices.iter_mut().zip(frames) {
                    *slice = IoSlice::new(frame);
                }
                written = match self.stream.write_vectored(&slices[..frames.len()]) {
                    Ok(written) => written,
                    Err(error) if is_later(&error) => 0,
                    Err(error) => return Err(error),
                };
            }
            for frame in frames {
                let skipped = written.min(frame.len());
                written -= skipped;
                self.unwritten.extend_from_slice(&frame[skipped..]);
            }
        }
        Ok(())
    }

    /// Writes what was left over, once the kernel has room.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(written) => drop(self.unwritten.drain(..written)),
                Err(error) if is_later(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.unwritten = Vec::new();
        Ok(())
    }

    /// Takes whole requests or frames from the front; says how many bytes they were.
    fn take(&mut self, input: &mut [u8], asked: &mut Vec<Asked>) -> io::Result<usize> {
        let mut taken = 0;
        while taken < input.len() {
            let rest = &mut input[taken..];
            let step = if self.upgraded {
                frame(rest, asked)?
            } else {
                self.request(rest, asked)?
            };
            if step == 0 {
                break;
            }
            taken += step;
        }
        Ok(taken)
    }

    fn request(&mut self, input: &[u8], asked: &mut Vec<Asked>) -> io::Result<usize> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(status) = request.parse(input) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let httparse::Status::Complete(head) = status else {
            return Ok(0);
        };
        let value = |name: &str| {
            let header = request
                .headers
                .iter()
                .find(|it| it.name.eq_ignore_ascii_case(name))?;
            std::str::from_utf8(header.value).ok()
        };
        if let Some(key) = value("sec-websocket-key") {
            asked.push(Asked::Upgrade {
                key: key.to_owned(),
            });
            self.upgraded = true;
            return Ok(head);
        }
        let body_len: usize = value("content-length")
            .and_then(|it| it.parse().ok())
            .unwrap_or(0);
        let Some(body) = input.get(head..head + body_len) else {
            return Ok(0);
        };
        asked.push(Asked::Publish(body.to_vec()));
        Ok(head + body_len)
    }
}

/// The answer to an upgrade, with Engine.IO's first packet behind it.
pub(crate) fn accepted(key: &str, token: usize) -> Vec<u8> {
    let mut sha1 = Sha1::new();
    sha1.update(key.as_bytes());
    sha1.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(sha1.finalize());
    let mut answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes();
    let open = format!(
        "0{{\"sid\":\"{token:020}\",\"upgrades\":[],\"pingInterval\":25000,\
         \"pingTimeout\":20000,\"maxPayload\":1000000}}"
    );
    answer.extend_from_slice(&text_frame(open.as_bytes()));
    answer
}

/// Reads one masked frame; 0 while its end is missing.
fn frame(input: &mut [u8], asked: &mut Vec<Asked>) -> io::Result<usize> {
    let [first, second, ..] = *input else {
        return Ok(0);
    };
    let (len, mask_at) = match second & 0x7f {
        126 => {
            let &[_, _, high, low, ..] = &*input else {
                return Ok(0);
            };
            (usize::from(u16::from_be_bytes([high, low])), 4)
        }
        // No client of the bench sends more than 64 KiB in a frame.
        127 => return Err(io::ErrorKind::InvalidData.into()),
        len => (usize::from(len), 2),
    };
    let end = mask_at + 4 + len;
    if input.len() < end {
        return Ok(0);
    }
    if first & 0x0f == 8 {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let (head, payload) = input[..end].split_at_mut(mask_at + 4);
    for (byte, mask) in payload.iter_mut().zip(head[mask_at..].iter().cycle()) {
        *byte ^= mask;
    }
    if let Some(it) = packet(payload) {
        asked.push(it);
    }
    Ok(end)
}

/// Understands exactly what the load generator sends: `40...` and `42<ack>["subscribe:...","id"]`.
fn packet(payload: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(payload).ok()?;
    if text.starts_with("40") {
        return Some(Asked::Connect);
    }
    let (ack, arguments) = text.strip_prefix("42")?.split_once('[')?;
    let mut strings = arguments.split('"').skip(1).step_by(2);
    let kind = strings.next()?.strip_prefix("subscribe:")?;
    let room = format!("{kind}:{}", strings.next()?);
    Some(Asked::Subscribe {
        room,
        ack: ack.to_owned(),
    })
}
