use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_access::{Answer, AskError, Http, HttpConfig, Question, Source as _};
use switchboard_event::{Clock, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

#[tokio::test]
async fn a_question_is_posted_with_its_time_and_its_signature() {
    let backend = Backend::start(r#"{"allow":true,"ttlMs":1500}"#, "200 OK").await;

    let answer = ask(&backend.http(), "whatsapp:1:link").await;

    let expected = Answer {
        is_allowed: true,
        ttl: Some(Duration::from_millis(1_500)),
    };
    assert_eq!(answer, Ok(expected));
    let asked = backend.asked.lock().clone();
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /access?v=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(
        body,
        r#"{"user":"ana","tenant":"acme","room":"whatsapp:1:link","kind":"link","id":"1"}"#
    );
    let header = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.strip_prefix(": "))
            .unwrap()
            .to_owned()
    };
    assert_eq!(header("content-type"), "application/json");
    assert_eq!(header("x-switchboard-timestamp"), "1700000000");
    let signed = format!("1700000000.{body}");
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET);
    let signature = header("x-switchboard-signature");
    let signature = signature.strip_prefix("sha256=").unwrap();
    let signature: Vec<u8> = (0..signature.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
}

#[tokio::test]
async fn whatever_is_no_plain_answer_is_neither_a_yes_nor_a_no() {
    for (body, status) in [
        (r#"{"allow":true}"#, "401 Unauthorized"),
        (r#"{"allow":true}"#, "403 Forbidden"),
        (r#"{"allow":true}"#, "429 Too Many Requests"),
        (r#"{"allow":true}"#, "201 Created"),
        (r#"{"allow":true}"#, "302 Found"),
        (r#"{"allow":true}"#, "500 Internal Server Error"),
    ] {
        let backend = Backend::start(body, status).await;

        let answer = ask(&backend.http(), "contact:1").await;

        assert!(
            matches!(answer, Err(AskError::Invalid(_))),
            "{body} {status}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn what_is_wrong_with_one_question_is_said_of_that_question_only() {
    let yes = r#"{"allow":true}"#;
    let page = "x".repeat(32 * 1024);
    let long = format!(r#"{{"allow":true,"x":"{}"}}"#, "x".repeat(80 * 1024));
    for (body, status) in [
        (yes, "400 Bad Request"),
        (yes, "404 Not Found"),
        (&page, "404 Not Found"),
        (yes, "409 Conflict"),
        (yes, "410 Gone"),
        (yes, "422 Unprocessable Content"),
        ("true", "200 OK"),
        ("", "200 OK"),
        (r#"{"allow":"yes"}"#, "200 OK"),
        ("<html>", "200 OK"),
        (&long, "200 OK"),
    ] {
        let backend = Backend::start(body, status).await;

        let answer = ask(&backend.http(), "contact:1").await;

        assert!(
            matches!(answer, Err(AskError::Unanswered(_))),
            "{status}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn nobody_there_cannot_be_reached() {
    let backend = Backend::start("", "200 OK").await;
    let http = backend.http();
    backend.stop().await;

    let answer = ask(&http, "contact:1").await;

    assert!(
        matches!(answer, Err(AskError::Unreachable(_))),
        "{answer:?}"
    );
}

/// Answers each question alike, and remembers the last one.
struct Backend {
    port: u16,
    asked: Arc<Mutex<String>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Backend {
    async fn start(body: &str, status: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n{body}");
        let asked = Arc::<Mutex<String>>::default();
        let remembered = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut read = Vec::new();
                while !read.ends_with(b"}") {
                    stream.read_buf(&mut read).await.unwrap();
                }
                *remembered.lock() = String::from_utf8(read).unwrap();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self {
            port,
            asked,
            serving,
        }
    }

    async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }

    fn http(&self) -> Http {
        let config = HttpConfig {
            url: format!("http://127.0.0.1:{}/access?v=1", self.port)
                .parse()
                .unwrap(),
            secret: SECRET.into(),
            timeout: Duration::from_secs(10),
            questions_max: 2,
        };
        let now = || Timestamp::from_millis(1_700_000_000_999);
        Http::new(config, Clock::new(now)).unwrap()
    }
}

async fn ask(http: &Http, room: &str) -> Result<Answer, AskError> {
    http.ask(http.turn().await, &question(room)).await
}

fn question(room: &str) -> Question {
    Question {
        tenant: "acme".parse().unwrap(),
        user: "ana".parse().unwrap(),
        room: room.parse().unwrap(),
    }
}

const SECRET: &[u8] = b"a secret of both";
