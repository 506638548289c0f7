use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::server::Server;

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tick.tick().await;
    }
}

/// An answer to an HTTP request.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

/// A request on a connection of its own, sent but not answered yet.
pub(crate) struct Pending(TcpStream);

impl Pending {
    pub(crate) async fn send(address: SocketAddr, request: &[u8]) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request).await.unwrap();
        Self(stream)
    }

    /// Sends a head that asks to go on, and waits until it may: then the request is being handled.
    pub(crate) async fn send_and_continue(address: SocketAddr, head: &[u8]) -> Self {
        let mut pending = Self::send(address, head).await;
        let mut go_on = [0; 25];
        pending.0.read_exact(&mut go_on).await.unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        pending
    }

    /// The answer; none if the connection ended without one.
    pub(crate) async fn answer(mut self) -> Option<Answer> {
        let mut bytes = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await;
        // A reset is an end like any other.
        let _ = read.expect("an answer or an end");
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    pub(crate) async fn body(self) -> String {
        let answer = self.answer().await.unwrap();
        assert_eq!(answer.status, 200);
        answer.body
    }
}

/// A connection for several requests, one after the other.
pub(crate) struct KeptAlive(TcpStream);

impl KeptAlive {
    pub(crate) async fn connect(server: &Server) -> Self {
        Self(TcpStream::connect(server.address).await.unwrap())
    }

    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: &str) -> Answer {
        let request = request(method, target, "", body);
        let request = String::from_utf8(request).unwrap();
        let request = request.replace("Connection: close\r\n", "");
        self.0.write_all(request.as_bytes()).await.unwrap();
        let answer = tokio::time::timeout(PATIENCE, self.read()).await;
        answer.expect("an answer").unwrap()
    }

    async fn read(&mut self) -> std::io::Result<Answer> {
        let head = head(&mut self.0).await?;
        let mut answer = Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body: String::new(),
        };
        let len = answer
            .header("content-length")
            .map_or(0, |len| len.parse().unwrap());
        let mut body = vec![0; len];
        self.0.read_exact(&mut body).await?;
        answer.body = String::from_utf8(body).unwrap();
        Ok(answer)
    }
}

async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}

pub(crate) fn request(method: &str, target: &str, headers: &str, body: &str) -> Vec<u8> {
    let len = body.len();
    let len = if method == "POST" {
        format!("Content-Length: {len}\r\n")
    } else {
        String::new()
    };
    format!(
        "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{len}{headers}\r\n{body}"
    )
    .into_bytes()
}

impl Server {
    pub(crate) async fn request(&self, method: &str, query: &str) -> Answer {
        self.request_with(method, query, "", "").await
    }

    pub(crate) async fn request_with(
        &self,
        method: &str,
        query: &str,
        headers: &str,
        body: &str,
    ) -> Answer {
        let target = format!("/socket.io/?{query}");
        let request = request(method, &target, headers, body);
        Pending::send(self.address, &request)
            .await
            .answer()
            .await
            .unwrap()
    }

    /// Opens a polling session.
    pub(crate) async fn open(&self) -> String {
        let answer = self.request("GET", "EIO=4&transport=polling").await;
        assert_eq!(answer.status, 200);
        sid(&answer.body)
    }

    /// Opens a polling session from another address of loopback.
    #[cfg(target_os = "linux")]
    pub(crate) async fn open_from(&self, address: [u8; 4]) -> String {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let target = "/socket.io/?EIO=4&transport=polling";
        let request = request("GET", target, "", "");
        stream.write_all(&request).await.unwrap();
        sid(&Pending(stream).body().await)
    }

    /// Sends a GET and does not wait, not even for it to reach the session. What is asked on
    /// another connection after it comes behind it all the same: the server accepts connections
    /// in their order, and on the one thread of a test it handles them so.
    pub(crate) async fn start_poll(&self, sid: &str) -> Pending {
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        Pending::send(self.address, &request("GET", &target, "", "")).await
    }

    pub(crate) async fn poll(&self, sid: &str) -> Answer {
        self.start_poll(sid).await.answer().await.unwrap()
    }

    pub(crate) async fn push(&self, sid: &str, body: &str) -> Answer {
        self.request_with(
            "POST",
            &format!("EIO=4&transport=polling&sid={sid}"),
            "",
            body,
        )
        .await
    }

    /// Whether the engine still knows a session.
    pub(crate) async fn assert_unknown(&self, sid: &str) {
        let answer = self.push(sid, "3").await;
        assert_eq!((answer.status, &*answer.body), (400, SESSION_UNKNOWN));
    }

    pub(crate) async fn assert_open(&self, sid: &str) {
        let answer = self.push(sid, "6").await;
        assert_eq!((answer.status, &*answer.body), (200, "ok"));
    }
}

pub(crate) const SESSION_UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// The id in an open packet.
pub(crate) fn sid(open: &str) -> String {
    let json: serde_json::Value = serde_json::from_str(open.strip_prefix('0').unwrap()).unwrap();
    json["sid"].as_str().unwrap().to_owned()
}

/// A WebSocket client that sends and shows single frames.
pub(crate) struct WebSocket(TcpStream);

/// A frame from the server.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Close(Vec<u8>),
    /// The connection ended.
    End,
}

impl Frame {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

impl WebSocket {
    /// Opens a WebSocket session and reads its open packet.
    pub(crate) async fn open(server: &Server) -> Self {
        let mut socket = Self::connect(server, "EIO=4&transport=websocket").await;
        let Frame::Text(open) = socket.next().await else {
            panic!("the first frame is the open packet");
        };
        assert_eq!(sid(&open).len(), 20);
        socket
    }

    /// Opens a session and joins the main namespace.
    pub(crate) async fn join(server: &Server) -> Self {
        let mut socket = Self::open(server).await;
        socket.send("40").await;
        let Frame::Text(connect) = socket.next_message().await else {
            panic!("no reply to CONNECT");
        };
        assert!(connect.starts_with(r#"40{"sid":""#), "{connect}");
        assert_eq!(socket.next_message().await, Frame::text(r#"42["auth",{}]"#));
        socket
    }

    pub(crate) async fn connect(server: &Server, query: &str) -> Self {
        match Self::try_connect(server, query, "").await {
            Ok(socket) => socket,
            Err(answer) => panic!("{answer:?}"),
        }
    }

    pub(crate) async fn try_connect(
        server: &Server,
        query: &str,
        headers: &str,
    ) -> Result<Self, Answer> {
        let (mut stream, head) = Self::ask(server, query, headers).await;
        if head.starts_with("HTTP/1.1 101 ") {
            assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
            return Ok(Self(stream));
        }
        let mut body = String::new();
        stream.read_to_string(&mut body).await.unwrap();
        Err(Answer {
            status: head[9..12].parse().unwrap(),
            head,
            body,
        })
    }

    /// Asks for a WebSocket, and reads the head of the answer.
    pub(crate) async fn ask(server: &Server, query: &str, headers: &str) -> (TcpStream, String) {
        let request = format!(
            "GET /socket.io/?{query} HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}{headers}\r\n"
        );
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let head = tokio::time::timeout(PATIENCE, head(&mut stream)).await;
        (stream, head.expect("an answer").unwrap())
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_frame(0x81, text.as_bytes()).await;
    }

    pub(crate) async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_frame(0x82, bytes).await;
    }

    pub(crate) async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send_raw(&frame(first, payload)).await;
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Sends the same bytes again and again and reads nothing; how often until the server ended
    /// the connection.
    pub(crate) async fn flood(mut self, bytes: &[u8], times: usize) -> usize {
        let sends = async {
            for sent in 0..times {
                if self.0.write_all(bytes).await.is_err() {
                    return sent;
                }
            }
            times
        };
        tokio::time::timeout(PATIENCE, sends)
            .await
            .expect("an end of the flood")
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.0.set_zero_linger().unwrap();
    }

    /// The next frame that is no ping of Engine.IO.
    pub(crate) async fn next_message(&mut self) -> Frame {
        loop {
            match self.next().await {
                Frame::Text(text) if text == "2" => self.send("3").await,
                frame => return frame,
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Frame {
        tokio::time::timeout(PATIENCE, self.read())
            .await
            .expect("a frame")
            .unwrap_or(Frame::End)
    }

    async fn read(&mut self) -> std::io::Result<Frame> {
        let first = self.0.read_u8().await?;
        let len = match self.0.read_u8().await? {
            126 => u64::from(self.0.read_u16().await?),
            127 => self.0.read_u64().await?,
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len).unwrap()];
        self.0.read_exact(&mut payload).await?;
        Ok(match first {
            0x81 => Frame::Text(String::from_utf8(payload).unwrap()),
            0x82 => Frame::Binary(payload),
            0x8A => Frame::Pong(payload),
            0x88 => Frame::Close(payload),
            other => panic!("frame {other:#x}"),
        })
    }

    /// Waits for a close frame with `code`, or none, and the end after it.
    pub(crate) async fn assert_closed(&mut self, code: Option<u16>) {
        let payload = code.map_or(Vec::new(), |code| code.to_be_bytes().to_vec());
        assert_eq!(self.next_message().await, Frame::Close(payload));
        assert_eq!(self.next().await, Frame::End);
    }
}

/// A masked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let mut bytes = vec![first];
    match payload.len() {
        len @ ..126 => bytes.push(0x80 | u8::try_from(len).unwrap()),
        len @ ..0x1_0000 => {
            bytes.push(0xFE);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(0xFF);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    bytes.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    bytes
}
