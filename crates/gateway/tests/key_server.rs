//! Keys that must be asked for: how often, and what becomes of tokens meanwhile.

#![expect(
    clippy::unwrap_used,
    reason = "a failure of a test's server ends the test"
)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};
use switchboard_event::Timestamp;
use switchboard_gateway::{
    Algorithm, AuthConfig, Authenticator, InvalidToken, IssuerConfig, KeyServerConfig, KeySource,
    KeyUnavailable, Unauthorized, Verification,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

#[tokio::test]
async fn many_tokens_ask_once() {
    let signer = Signer::new("1");
    let server = KeyServer::with(&[&signer]).await;
    let by = Arc::new(authenticator(&server, PATIENT));
    server.hold();

    let asking = (0..100).map(|_| {
        let (by, token) = (Arc::clone(&by), signer.token());
        tokio::spawn(async move { by.authenticate(&token, now()).await.map(drop) })
    });
    let asking: Vec<_> = asking.collect();
    server.is_asked(1).await;
    server.release();

    for answer in asking {
        assert_eq!(answer.await.unwrap(), Ok(()));
    }
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_and_made_up_names_ask_no_more_than_the_pause_allows() {
    let (old, new) = (Signer::new("1"), Signer::new("2"));
    let server = KeyServer::with(&[&old]).await;
    let by = authenticator(&server, PATIENT);
    assert_eq!(check(&by, &old.token()).await, Ok(()));
    server.publish(&[&old, &new]);

    // Asked a moment ago: whoever has the new key comes back.
    let too_soon = Err(Unauthorized::KeyUnavailable(KeyUnavailable::TooSoon));
    assert_eq!(check(&by, &new.token()).await, too_soon);
    assert_eq!(server.asked(), 1);
    for name in 0..100 {
        let made_up = Signer::new(&format!("made up {name}"));
        assert_eq!(check(&by, &made_up.token()).await, too_soon);
    }
    assert_eq!(server.asked(), 1);
    assert_eq!(check(&by, &old.token()).await, Ok(()));
}

#[tokio::test]
async fn a_key_that_its_issuer_does_not_have_is_refused_once_that_is_known() {
    let (known, new, unknown) = (Signer::new("1"), Signer::new("2"), Signer::new("3"));
    let server = KeyServer::with(&[&known]).await;
    let by = authenticator(&server, EAGER);
    assert_eq!(check(&by, &known.token()).await, Ok(()));

    server.publish(&[&new]);
    until(async || check(&by, &new.token()).await == Ok(())).await;

    let refused = Err(Unauthorized::Invalid(InvalidToken::KeyUnknown));
    until(async || check(&by, &unknown.token()).await == refused).await;
    until(async || check(&by, &known.token()).await == refused).await;
}

#[tokio::test]
async fn what_cannot_be_had_is_no_fault_of_the_token() {
    let signer = Signer::new("1");
    let good = signer.jwks();
    let long = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(300_000));
    let keys = vec![json!({"kty": "oct"}); 100];
    let many = json!({ "keys": keys }).to_string();
    for (answer, result) in [
        (http("503 Service Unavailable", "", ""), "status"),
        (http("404 Not Found", "", &good), "status"),
        (
            http("302 Found", "location: /elsewhere\r\n", &good),
            "redirect",
        ),
        (http("200 OK", "", "<html>"), "invalid"),
        (http("200 OK", "", &long), "invalid"),
        (http("200 OK", "", &many), "invalid"),
        (http("200 OK", "", "{\"keys\":[]}"), "invalid"),
        ("nonsense\r\n\r\n".to_owned(), "unreachable"),
    ] {
        let server = KeyServer::saying(answer).await;
        let by = authenticator(&server, PATIENT);

        let refused = check(&by, &signer.token()).await.unwrap_err();

        let no_answer = Unauthorized::KeyUnavailable(KeyUnavailable::NoAnswer);
        assert_eq!(refused, no_answer, "{result}");
        assert_eq!((refused.code(), refused.passes()), ("unavailable", true));
        assert_eq!(server.asked(), 1, "{result}");
        assert_eq!(by.key_fetches()[result], 1, "{:?}", by.key_fetches());
    }
}

#[tokio::test]
async fn known_keys_go_on_while_nobody_answers_but_not_for_ever() {
    let signer = Signer::new("1");
    let server = KeyServer::with(&[&signer]).await;
    let config = KeyServerConfig {
        keep: Duration::from_millis(400),
        ..EAGER
    };
    let by = authenticator(&server, config);
    assert_eq!(check(&by, &signer.token()).await, Ok(()));
    server.say(http("503 Service Unavailable", "", ""));

    let keeping = by.keep_fresh();
    let down = async {
        until(async || by.key_fetches()["status"] > 0).await;
        assert_eq!(check(&by, &signer.token()).await, Ok(()));
        until(async || {
            check(&by, &signer.token())
                .await
                .is_err_and(|why| why.passes())
        })
        .await;
        server.publish(&[&signer]);
        until(async || check(&by, &signer.token()).await == Ok(())).await;
    };

    tokio::select! {
        () = keeping => panic!("it ends"),
        () = down => {}
    }
}

#[tokio::test]
async fn keys_are_asked_for_before_anybody_needs_them_and_again_when_they_are_old() {
    let (old, new) = (Signer::new("1"), Signer::new("2"));
    let server = KeyServer::with(&[&old]).await;
    let by = authenticator(&server, EAGER);

    let keeping = by.keep_fresh();
    let looking_on = async {
        server.is_asked(1).await;
        until(async || by.key_servers()[0].keys == 1).await;
        server.publish(&[&old, &new]);
        until(async || by.key_servers()[0].keys == 2).await;
    };

    tokio::select! {
        () = keeping => panic!("it ends"),
        () = looking_on => {}
    }
    let stats = by.key_servers().remove(0);
    assert_eq!((stats.issuer.as_str(), stats.ignored), ("default", 0));
}

/// Somebody who signs.
struct Signer {
    id: String,
    pair: KeyPair,
}

impl Signer {
    fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            pair: KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(),
        }
    }

    fn token(&self) -> String {
        let key = EncodingKey::from_ec_pem(self.pair.serialize_pem().as_bytes()).unwrap();
        let mut header = Header::new(jsonwebtoken::Algorithm::ES256);
        header.kid = Some(self.id.clone());
        let claims = json!({"sub": "ana", "tenantId": "acme", "exp": 1_700_000_060});
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key_raw()[1..].split_at(32);
        let part = |bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": part(x), "y": part(y)})
    }

    fn jwks(&self) -> String {
        json!({"keys": [self.jwk()]}).to_string()
    }
}

/// A real server, which counts.
struct KeyServer {
    port: u16,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<String>>,
    /// Each answer takes one.
    permits: Arc<Semaphore>,
}

impl KeyServer {
    async fn with(signers: &[&Signer]) -> Self {
        let server = Self::saying(String::new()).await;
        server.publish(signers);
        server
    }

    async fn saying(answer: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            asked: Arc::default(),
            answer: Arc::new(Mutex::new(answer)),
            permits: Arc::new(Semaphore::new(MANY)),
        };
        let (asked, answer) = (Arc::clone(&server.asked), Arc::clone(&server.answer));
        let permits = Arc::clone(&server.permits);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut question = Vec::new();
                while !question.ends_with(b"\r\n\r\n") {
                    stream.read_buf(&mut question).await.unwrap();
                }
                asked.fetch_add(1, Ordering::Relaxed);
                permits.acquire().await.unwrap().forget();
                let answer = answer.lock().unwrap().clone();
                // Whoever asked may not want to read all of it.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        server
    }

    fn publish(&self, signers: &[&Signer]) {
        let keys: Vec<_> = signers.iter().map(|signer| signer.jwk()).collect();
        self.say(http("200 OK", "", &json!({ "keys": keys }).to_string()));
    }

    fn say(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }

    fn hold(&self) {
        self.permits.forget_permits(MANY);
    }

    fn release(&self) {
        self.permits.add_permits(MANY);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn is_asked(&self, times: usize) {
        until(async || self.asked() >= times).await;
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let len = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {len}\r\n\r\n{body}"
    )
}

fn authenticator(server: &KeyServer, key_servers: KeyServerConfig) -> Authenticator {
    let url = format!("http://127.0.0.1:{}/keys", server.port);
    let verification = Verification {
        algorithms: vec![Algorithm::ES256],
        keys: KeySource::JwksUrl(url.parse().unwrap()),
    };
    Authenticator::new(AuthConfig {
        issuers: vec![IssuerConfig::new(verification)],
        key_servers,
        ..AuthConfig::default()
    })
    .unwrap()
}

async fn check(by: &Authenticator, token: &str) -> Result<(), Unauthorized> {
    by.authenticate(token, now()).await.map(drop)
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let holds = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), holds)
        .await
        .expect("it never came");
}

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

/// Asks once in a test.
const PATIENT: KeyServerConfig = KeyServerConfig {
    refresh: Duration::from_hours(1),
    pause: Duration::from_hours(1),
    keep: Duration::from_hours(1),
};
const EAGER: KeyServerConfig = KeyServerConfig {
    refresh: Duration::from_millis(50),
    pause: Duration::from_millis(20),
    keep: Duration::from_hours(1),
};
const MANY: usize = 1_000;
