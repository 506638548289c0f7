//! As much of HTTP/1.1 as producers, a reader and a backend on this machine need.

use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::{Context as _, ensure};

use crate::publisher::API_KEY;

const BODY_LEN_MAX: usize = 16 << 20;
const BUFFER_LEN: usize = 64 * 1024;

/// A request or an answer that is there as a whole.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Message<'a> {
    /// The first line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: &'a [u8],
    /// What it took of the input.
    pub(crate) len: usize,
}

impl Message<'_> {
    /// The status of an answer.
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

/// The message at the beginning of `input`; `None` while its end is missing.
pub(crate) fn first(input: &[u8]) -> anyhow::Result<Option<Message<'_>>> {
    let Some(head_end) = memchr::memmem::find(input, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&input[..head_end]).to_ascii_lowercase();
    let body_len: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())
        .with_context(|| format!("no content-length in {head:?}"))?;
    ensure!(body_len <= BODY_LEN_MAX, "a body of {body_len} bytes");
    let begin = head_end + 4;
    let len = begin + body_len;
    let body = input.get(begin..len);
    Ok(body.map(|body| Message { head, body, len }))
}

/// A request of `POST /v1/events`.
pub(crate) fn publish(address: SocketAddr, body: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST /v1/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {API_KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request that reads.
pub(crate) fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {API_KEY}\r\n\r\n")
        .into_bytes()
}

/// Sends a request and waits for its answer: the status and the body.
pub(crate) fn exchange(
    stream: &mut (impl Read + Write),
    request: &[u8],
) -> anyhow::Result<(String, Vec<u8>)> {
    stream.write_all(request)?;
    let (mut answer, mut buffer) = (Vec::new(), vec![0; BUFFER_LEN]);
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the connection ended before the answer did");
        answer.extend_from_slice(&buffer[..read]);
        if let Some(message) = first(&answer)? {
            return Ok((message.status().to_owned(), message.body.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_once_its_body_is_there() {
        let input = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}HTTP";

        assert_eq!(first(&input[..20]).expect("no message yet"), None);
        assert_eq!(first(&input[..45]).expect("no body yet"), None);
        let message = first(input).expect("a message").expect("all of it");

        assert_eq!(message.status(), "202");
        assert_eq!((message.body, message.len), (&b"{}"[..], input.len() - 4));
    }

    #[test]
    fn a_message_without_a_length_is_refused() {
        assert!(first(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
