//! The floor: what accepting a WebSocket and writing to it costs, and nothing else.
//!
//! One thread and one `epoll`. It answers the handshakes of Engine.IO and Socket.IO with fixed
//! bytes, checks no token, sends no heartbeats, knows one room for each socket, and writes bytes that were framed once.
//! `--mode single` writes every message on its own to every socket; `--mode vectored` writes all
//! messages of one request to a socket with one `writev`.

mod connection;
mod draft;
mod server;

use std::io;

/// How a request's messages reach a socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// One write for each message.
    Single,
    /// One `writev` for all messages of a request.
    Vectored,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mode = match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["--mode", "single"] => Mode::Single,
        ["--mode", "vectored"] => Mode::Vectored,
        other => anyhow::bail!("expected --mode single|vectored, got {other:?}"),
    };
    let mut server = server::Server::bind("127.0.0.1:0".parse()?, mode)?;
    let address = server.address()?;
    eprintln!("{{\"message\":\"listening\",\"address\":\"{address}\"}}");
    server.run()
}

/// Whether an error means "later": the socket's buffer is empty (reads) or full (writes).
fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
