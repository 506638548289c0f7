//! One client: the steps from a socket to a subscription, and counting from then on.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail, ensure};
use mio::net::TcpStream;
use nix::sys::socket::{setsockopt, sockopt};
use serde::Deserialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::frame;
use crate::message::Scanner;

/// The longest position that is remembered for Socket.IO's recovery.
const OFFSET_LEN_MAX: usize = 64;

/// What a client waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Off,
    Tcp,
    Upgrade,
    Open,
    Connect,
    Subscribe,
    Ready,
}

/// What reading told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Progress {
    /// On its way, or counting.
    Going,
    /// Subscribed just now.
    Ready {
        /// Socket.IO's recovery brought the rooms back.
        recovered: bool,
    },
    /// What [`Client::ask`] asked has its ack.
    Answered,
}

/// A Socket.IO client over WebSocket that subscribes to one account.
pub(crate) struct Client {
    token: String,
    account: String,
    source: Ipv4Addr,
    phase: Phase,
    stream: Option<TcpStream>,
    /// The beginning of a frame whose end has not come.
    partial: Vec<u8>,
    /// Whether the subscription was already waiting at the last [`Client::ask_again`].
    asked_before: bool,
    /// What Socket.IO's recovery asks for, if the server offers it.
    pid: Option<String>,
    offset: Vec<u8>,
    /// The ack of what was asked last.
    answer: Vec<u8>,
}

#[derive(Deserialize)]
struct Connected {
    pid: Option<String>,
}

impl Client {
    pub(crate) fn new(token: String, account: String, source: Ipv4Addr) -> Self {
        Self {
            token,
            account,
            source,
            phase: Phase::Off,
            stream: None,
            partial: Vec::new(),
            asked_before: false,
            pid: None,
            offset: Vec::new(),
            answer: Vec::new(),
        }
    }

    /// Starts to connect; the caller registers what comes back.
    pub(crate) fn start(&mut self, server: SocketAddr) -> io::Result<&mut TcpStream> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        // The port is chosen when connecting, knowing the other side: the search stays short.
        setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::from((self.source, 0)).into())?;
        match socket.connect(&server.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => Err(error)?,
            _ => self.phase = Phase::Tcp,
        }
        self.partial = Vec::new();
        Ok(self.stream.insert(TcpStream::from_std(socket.into())))
    }

    /// Closes the socket without a word.
    pub(crate) fn stop(&mut self) {
        self.phase = Phase::Off;
        self.stream = None;
        self.partial = Vec::new();
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Repeats a subscription that waited at least since the last call; says whether it did.
    pub(crate) fn ask_again(&mut self) -> anyhow::Result<bool> {
        let waiting = self.phase == Phase::Subscribe;
        let overdue = waiting && self.asked_before;
        self.asked_before = waiting;
        if overdue {
            self.subscribe()?;
        }
        Ok(overdue)
    }

    /// Sends an event, a JSON array, that asks for an ack.
    pub(crate) fn ask(&mut self, event: &str) -> anyhow::Result<()> {
        self.send(&format!("421{event}"))
    }

    /// The arguments of the ack that came last, a JSON array.
    pub(crate) fn take_answer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.answer)
    }

    /// The next step, in a word.
    pub(crate) fn waits_for(&self) -> &'static str {
        match self.phase {
            Phase::Off => "to be started",
            Phase::Tcp => "TCP",
            Phase::Upgrade => "the upgrade",
            Phase::Open => "Engine.IO",
            Phase::Connect => "CONNECT",
            Phase::Subscribe => "the subscription",
            Phase::Ready => "nothing",
        }
    }

    /// Asks for the upgrade once TCP is there; the headers are those that a browser sends.
    pub(crate) fn handle_writable(&mut self, server: SocketAddr) -> anyhow::Result<()> {
        if self.phase != Phase::Tcp {
            return Ok(());
        }
        let stream = self.stream.as_mut().context("writable without a socket")?;
        if let Some(error) = stream.take_error()? {
            return Err(error.into());
        }
        self.phase = Phase::Upgrade;
        self.write(
            format!(
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {server}\r\n\
                 Connection: Upgrade\r\nPragma: no-cache\r\nCache-Control: no-cache\r\n\
                 User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like \
                 Gecko) Chrome/130.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n\
                 Origin: http://{server}\r\nSec-WebSocket-Version: 13\r\n\
                 Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
            )
            .as_bytes(),
        )
    }

    /// Reads all that is there and calls `received` with the number of every message.
    pub(crate) fn handle_readable(
        &mut self,
        buffer: &mut [u8],
        scanner: &Scanner,
        received: &mut impl FnMut(u64),
    ) -> anyhow::Result<Progress> {
        let mut progress = Progress::Going;
        loop {
            let Some(stream) = self.stream.as_mut() else {
                return Ok(progress);
            };
            let read = match stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection in phase {:?}", self.phase),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(progress),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let mut step = |client: &mut Self, input: &[u8]| -> anyhow::Result<usize> {
                let (taken, new) = client.take(input, scanner, received)?;
                if new != Progress::Going {
                    progress = new;
                }
                Ok(taken)
            };
            if self.partial.is_empty() {
                let taken = step(self, &buffer[..read])?;
                self.partial.extend_from_slice(&buffer[taken..read]);
            } else {
                let mut input = std::mem::take(&mut self.partial);
                input.extend_from_slice(&buffer[..read]);
                let taken = step(self, &input)?;
                if taken < input.len() {
                    input.drain(..taken);
                    self.partial = input;
                }
            }
            if read < buffer.len() {
                return Ok(progress);
            }
        }
    }

    /// Takes whole frames from the front of `input`; says how many bytes they were.
    fn take(
        &mut self,
        input: &[u8],
        scanner: &Scanner,
        received: &mut impl FnMut(u64),
    ) -> anyhow::Result<(usize, Progress)> {
        let mut progress = Progress::Going;
        let mut taken = 0;
        if self.phase == Phase::Upgrade {
            let Some(end) = memchr::memmem::find(input, b"\r\n\r\n") else {
                return Ok((0, progress));
            };
            let head = String::from_utf8_lossy(&input[..end]);
            ensure!(
                head.starts_with("HTTP/1.1 101"),
                "the upgrade was answered {head:?}"
            );
            self.phase = Phase::Open;
            taken = end + 4;
        }
        while let Some(frame) = frame::first(&input[taken..]) {
            taken += frame.len;
            ensure!(
                frame.opcode != 8,
                "the server closed with {:?}",
                frame.payload
            );
            if frame.opcode != 1 {
                continue;
            }
            if frame.payload.starts_with(b"42") {
                if let Some(number) = scanner.number(frame.payload) {
                    received(number);
                }
                self.remember_offset(frame.payload);
            } else {
                let new = self.handle_control(frame.payload)?;
                if new != Progress::Going {
                    progress = new;
                }
            }
        }
        Ok((taken, progress))
    }

    /// The last argument, if it is a string, is where Socket.IO's recovery goes on.
    fn remember_offset(&mut self, packet: &[u8]) {
        if self.pid.is_none() {
            return;
        }
        let Some(packet) = packet.strip_suffix(b"\"]") else {
            return;
        };
        let tail = &packet[packet.len().saturating_sub(OFFSET_LEN_MAX)..];
        if let Some(quote) = memchr::memrchr(b'"', tail) {
            self.offset.clear();
            self.offset.extend_from_slice(&tail[quote + 1..]);
        }
    }

    fn handle_control(&mut self, packet: &[u8]) -> anyhow::Result<Progress> {
        match (self.phase, packet) {
            (_, [b'2']) => self.send("3")?,
            (Phase::Open, [b'0', ..]) => {
                self.phase = Phase::Connect;
                self.send(&self.connect_packet())?;
            }
            (Phase::Connect, [b'4', b'0', reply @ ..]) => {
                let Connected { pid } = serde_json::from_slice(reply)?;
                let recovered = pid.is_some() && pid == self.pid;
                self.pid = pid;
                if recovered {
                    self.phase = Phase::Ready;
                    return Ok(Progress::Ready { recovered });
                }
                self.offset.clear();
                self.phase = Phase::Subscribe;
                self.asked_before = false;
                self.subscribe()?;
            }
            (Phase::Subscribe, [b'4', b'3', reply @ ..]) => {
                let text = String::from_utf8_lossy(reply);
                ensure!(
                    text.contains("\"ok\":true"),
                    "the subscription was answered {text}"
                );
                self.phase = Phase::Ready;
                return Ok(Progress::Ready { recovered: false });
            }
            (Phase::Ready, [b'4', b'3', b'1', answer @ ..]) => {
                self.answer = answer.to_vec();
                return Ok(Progress::Answered);
            }
            // A subscription that was repeated has two acks.
            (Phase::Ready, [b'4', b'3', b'0', ..]) => {}
            (phase, packet) => {
                let text = String::from_utf8_lossy(packet);
                bail!("unexpected packet in phase {phase:?}: {text}");
            }
        }
        Ok(Progress::Going)
    }

    fn subscribe(&mut self) -> anyhow::Result<()> {
        self.send(&format!("420[\"subscribe:whatsapp\",\"{}\"]", self.account))
    }

    /// As the stock client does: once there is a pid it is sent, with the offset if there is one.
    fn connect_packet(&self) -> String {
        let mut packet = format!(r#"40{{"token":"{}""#, self.token);
        if let Some(pid) = &self.pid {
            packet += &format!(r#","pid":"{pid}""#);
            if !self.offset.is_empty() {
                packet += &format!(r#","offset":"{}""#, String::from_utf8_lossy(&self.offset));
            }
        }
        packet + "}"
    }

    fn send(&mut self, text: &str) -> anyhow::Result<()> {
        self.write(&frame::masked_text(text.as_bytes()))
    }

    /// A client sends little enough for the kernel to take it at once.
    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.as_mut().context("writing without a socket")?;
        Ok(stream.write_all(bytes)?)
    }
}
