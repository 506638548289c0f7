//! The CRM's backend, which Switchboard asks who may hear what (`access.http`): it says yes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::ensure;

use crate::http;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                        Content-Length: 14\r\n\r\n{\"allow\":true}";
const BUFFER_LEN: usize = 16 * 1024;

/// Answers on threads of its own, one for each connection, until the process ends.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Backend {
    pub(crate) fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let answered = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&answered);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                thread::spawn(move || answer_all(stream, &counter));
            }
        });
        Ok(Self { address, answered })
    }

    /// How many questions were answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

/// Ends when the other side does, or says something that is no HTTP.
fn answer_all(mut stream: TcpStream, answered: &AtomicU64) -> anyhow::Result<()> {
    stream.set_nodelay(true)?;
    let (mut input, mut buffer) = (Vec::new(), [0; BUFFER_LEN]);
    loop {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the connection has ended");
        input.extend_from_slice(&buffer[..read]);
        while let Some(question) = http::first(&input)? {
            let len = question.len;
            input.drain(..len);
            answered.fetch_add(1, Ordering::Relaxed);
            stream.write_all(ANSWER)?;
        }
    }
}
