//! The client against servers that do what they should not.

#![expect(
    clippy::unwrap_used,
    reason = "a server of a test that fails ends the test"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use switchboard_outbound::{Client, Config, Failed, Url};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

#[tokio::test]
async fn an_answer_comes_whole_and_the_connection_is_kept_for_the_next() {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-a: b\r\n\r\nkeys").await;
    let client = client();

    for _ in 0..3 {
        let response = client.get(&server.url, HeaderMap::new()).await.unwrap();
        assert_eq!(response.status, StatusCode::OK);
        assert_eq!(response.headers["x-a"], "b");
        assert_eq!(response.body, Bytes::from_static(b"keys"));
    }

    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_post_carries_its_headers_and_its_body() {
    let server = Server::answering("HTTP/1.1 204 No Content\r\n\r\n").await;
    let headers = [(
        http::header::AUTHORIZATION,
        HeaderValue::from_static("Bearer x"),
    )];

    let body = Bytes::from_static(b"{\"user\":\"7\"}");
    let response = client()
        .post(&server.url, headers.into_iter().collect(), body)
        .await
        .unwrap();

    assert_eq!(response.status, StatusCode::NO_CONTENT);
    let asked = server.asked();
    assert!(asked.starts_with("POST /keys?a=1 HTTP/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: Bearer x\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{\"user\":\"7\"}"), "{asked}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_nobody_goes_there() {
    let target = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
        target.url
    );
    let server = Server::answering(&answer).await;

    let response = client().get(&server.url, HeaderMap::new()).await.unwrap();

    assert_eq!(response.status, StatusCode::FOUND);
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_whether_its_length_is_said_or_not() {
    let long = "x".repeat(2_000);
    for head in ["content-length: 2000\r\n\r\n", "connection: close\r\n\r\n"] {
        let server = Server::answering(&format!("HTTP/1.1 200 OK\r\n{head}{long}")).await;

        let failed = client().get(&server.url, HeaderMap::new()).await;

        assert_eq!(
            failed.unwrap_err(),
            Failed::BodyTooLong {
                len_max: BODY_LEN_MAX
            }
        );
    }
}

#[tokio::test]
async fn who_does_not_answer_or_stops_in_the_middle_is_given_up_in_time() {
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nkeys"] {
        let server = Server::answering(answer).await;

        let failed = client().get(&server.url, HeaderMap::new()).await;

        assert_eq!(failed.unwrap_err(), Failed::TimedOut(TIMEOUT), "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_ends_early_is_broken() {
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nkeys",
    ] {
        let server = Server::answering(answer).await;

        let failed = client().get(&server.url, HeaderMap::new()).await;

        assert!(matches!(failed, Err(Failed::Broken(_))), "{failed:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url("http", gone.local_addr().unwrap().port());
    drop(gone);

    let failed = client().get(&url, HeaderMap::new()).await;

    assert!(matches!(failed, Err(Failed::Connect(_))), "{failed:?}");
}

#[tokio::test]
async fn beyond_the_limit_nobody_queues() {
    let server = Server::answering("").await;
    let client = Client::new(Config {
        in_flight_max: 1,
        ..config()
    })
    .unwrap();

    let (one, other) = tokio::join!(
        client.get(&server.url, HeaderMap::new()),
        client.get(&server.url, HeaderMap::new())
    );

    assert_eq!(one.unwrap_err(), Failed::TimedOut(TIMEOUT));
    assert_eq!(other.unwrap_err(), Failed::Busy { in_flight_max: 1 });
}

#[tokio::test]
async fn a_certificate_of_nobody_who_is_trusted_is_refused() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from(key.cert)],
            PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = url("https", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = acceptor.accept(stream).await;
    });

    let failed = client().get(&url, HeaderMap::new()).await;

    let Err(Failed::Connect(why)) = failed else {
        panic!("{failed:?}");
    };
    assert!(why.contains("certificate"), "{why}");
}

/// Answers each question alike, and remembers.
struct Server {
    url: Url,
    connections: Arc<AtomicUsize>,
    asked: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Server {
    async fn answering(answer: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: url("http", listener.local_addr().unwrap().port()),
            connections: Arc::default(),
            asked: Arc::default(),
        };
        let (connections, asked) = (Arc::clone(&server.connections), Arc::clone(&server.asked));
        let answer: Arc<str> = answer.into();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&asked)));
            }
        });
        server
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn asked(&self) -> String {
        String::from_utf8(self.asked.lock().unwrap().clone()).unwrap()
    }
}

async fn serve(mut stream: TcpStream, answer: Arc<str>, asked: Arc<std::sync::Mutex<Vec<u8>>>) {
    while let Some(question) = question(&mut stream).await {
        *asked.lock().unwrap() = question;
        stream.write_all(answer.as_bytes()).await.unwrap();
        if answer.contains("connection: close") || answer.starts_with("SSH") {
            return;
        }
    }
}

/// A head, and the body whose length it says.
async fn question(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let len = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= len.map_or(0, |len| len.parse().unwrap()) {
                return Some(read);
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

fn url(scheme: &str, port: u16) -> Url {
    format!("{scheme}://localhost:{port}/keys?a=1")
        .parse()
        .unwrap()
}

fn client() -> Client {
    Client::new(config()).unwrap()
}

fn config() -> Config {
    Config {
        timeout: TIMEOUT,
        body_len_max: BODY_LEN_MAX,
        ..Config::default()
    }
}

const TIMEOUT: Duration = Duration::from_millis(500);
const BODY_LEN_MAX: usize = 1_000;
