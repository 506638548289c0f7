//! Asks the CRM's backend, with a signature.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::hmac;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use switchboard_event::Clock;
use switchboard_outbound::{Client, Failed, InvalidRoots, Url};
use tokio::sync::Semaphore;

use crate::question::Question;
use crate::source::{Answer, AskError, Source, Turn};

/// When it was asked, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("x-switchboard-timestamp");
/// `sha256=` and, in hexadecimal, the HMAC-SHA256 of the timestamp, a dot and the body.
pub const SIGNATURE: HeaderName = HeaderName::from_static("x-switchboard-signature");

/// The CRM's backend.
pub struct Http {
    client: Client,
    url: Url,
    key: hmac::Key,
    clock: Clock,
    /// Whoever waits for its turn waits here, before the time of its question.
    turns: Arc<Semaphore>,
}

/// Where the backend is, and what it shares with us.
#[derive(Clone)]
pub struct HttpConfig {
    /// Where to post.
    pub url: Url,
    /// By which the backend knows us.
    pub secret: Box<[u8]>,
    /// How long one question may take.
    pub timeout: Duration,
    /// Most questions at once, default 32.
    pub questions_max: usize,
}

/// What is posted.
#[derive(Serialize)]
struct Body<'a> {
    user: &'a str,
    tenant: &'a str,
    room: &'a str,
    kind: &'a str,
    id: &'a str,
}

/// What is answered; more than this is nobody's business.
#[derive(Deserialize)]
struct Reply {
    allow: bool,
    #[serde(default, rename = "ttlMs")]
    ttl_ms: Option<u64>,
}

impl Http {
    /// Prepares to ask. Reads the roots of the system, which blocks for some milliseconds.
    ///
    /// # Errors
    ///
    /// [`InvalidRoots`] if TLS cannot be set up.
    pub fn new(config: HttpConfig, clock: Clock) -> Result<Self, InvalidRoots> {
        let client = Client::new(switchboard_outbound::Config {
            connect_timeout: config.timeout,
            timeout: config.timeout,
            body_len_max: BODY_LEN_MAX,
            in_flight_max: config.questions_max,
            idle_per_host_max: config.questions_max,
            ..switchboard_outbound::Config::default()
        })?;
        Ok(Self {
            client,
            url: config.url,
            key: hmac::Key::new(hmac::HMAC_SHA256, &config.secret),
            clock,
            turns: Arc::new(Semaphore::new(config.questions_max)),
        })
    }

    fn headers(&self, body: &[u8]) -> HeaderMap {
        let timestamp = (self.clock.now().as_millis() / 1_000).to_string();
        let signature = sign(&self.key, &timestamp, body);
        let value = |text: &str| HeaderValue::from_str(text).expect("digits and words are ASCII");
        [
            (header::CONTENT_TYPE, value("application/json")),
            (TIMESTAMP, value(&timestamp)),
            (SIGNATURE, value(&signature)),
        ]
        .into_iter()
        .collect()
    }
}

#[async_trait]
impl Source for Http {
    fn policy(&self) -> &'static str {
        "http"
    }

    async fn turn(&self) -> Turn {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.expect("the turns are never closed").into()
    }

    async fn ask(&self, _turn: Turn, question: &Question) -> Result<Answer, AskError> {
        let body = serde_json::to_vec(&Body {
            user: question.user.as_str(),
            tenant: question.tenant.as_str(),
            room: question.room.name(),
            kind: question.kind(),
            id: question.id(),
        });
        let body = Bytes::from(body.expect("texts are JSON"));
        let headers = self.headers(&body);
        let response = self.client.post(&self.url, headers, body).await?;
        Answer::of_response(response.status, &response.body)
    }
}

impl Answer {
    /// Reads what the backend answered: status 200 with `{"allow": true or false, "ttlMs"?}`.
    ///
    /// # Errors
    ///
    /// [`AskError`] for everything else, which is never a yes.
    pub fn of_response(status: StatusCode, body: &[u8]) -> Result<Self, AskError> {
        if status != StatusCode::OK {
            let reason = format!("status {status}");
            return Err(if ABOUT_THE_QUESTION.contains(&status) {
                AskError::Unanswered(reason)
            } else {
                AskError::Invalid(reason)
            });
        }
        let reply: Reply = serde_json::from_slice(body).map_err(|_| {
            AskError::Unanswered("the body is no {\"allow\": true or false}".into())
        })?;
        Ok(Self {
            is_allowed: reply.allow,
            ttl: reply.ttl_ms.map(Duration::from_millis),
        })
    }
}

impl From<Failed> for AskError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::TimedOut(timeout) => Self::TimedOut(timeout),
            Failed::BodyTooLong { .. } => Self::Unanswered(failed.to_string()),
            other => Self::Unreachable(other.to_string()),
        }
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Http")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpConfig")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .field("questions_max", &self.questions_max)
            .finish_non_exhaustive()
    }
}

/// The time is under the signature too: a question that was listened to is worth nothing later.
fn sign(key: &hmac::Key, timestamp: &str, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let mut text = "sha256=".to_owned();
    for byte in context.sign().as_ref() {
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    text
}

const HEX: [u8; 16] = *b"0123456789abcdef";
/// Statuses by which a backend says that it does not know what it is asked about, or cannot
/// answer that. Every other one is about the backend, or about who we are to it.
const ABOUT_THE_QUESTION: [StatusCode; 5] = [
    StatusCode::BAD_REQUEST,
    StatusCode::NOT_FOUND,
    StatusCode::CONFLICT,
    StatusCode::GONE,
    StatusCode::UNPROCESSABLE_ENTITY,
];
/// An answer is a few words; a page that comes with another status is longer, and is read for the
/// status.
const BODY_LEN_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_over_the_time_and_the_very_bytes() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"secret");

        // printf '%s' '1700000000.{}' | openssl dgst -sha256 -hmac secret
        assert_eq!(sign(&key, "1700000000", b"{}"), EXPECTED);
        assert_ne!(sign(&key, "1700000001", b"{}"), EXPECTED);
        assert_ne!(sign(&key, "1700000000", b"{ }"), EXPECTED);
    }

    #[test]
    fn a_reply_is_a_yes_or_a_no_and_perhaps_a_time() {
        let read = |text: &str| Answer::of_response(StatusCode::OK, text.as_bytes());
        let answer = |is_allowed, ttl_ms: Option<u64>| Answer {
            is_allowed,
            ttl: ttl_ms.map(Duration::from_millis),
        };

        assert_eq!(read(r#"{"allow":true}"#), Ok(answer(true, None)));
        assert_eq!(
            read(r#"{"allow":false,"ttlMs":7,"x":1}"#),
            Ok(answer(false, Some(7)))
        );
        for text in [
            "",
            "true",
            "{}",
            r#"{"allow":1}"#,
            r#"{"allow":"true"}"#,
            r#"{"allow":true,"ttlMs":-1}"#,
        ] {
            assert!(matches!(read(text), Err(AskError::Unanswered(_))), "{text}");
        }
        let yes = Answer::of_response(StatusCode::ACCEPTED, br#"{"allow":true}"#);
        assert!(matches!(yes, Err(AskError::Invalid(_))), "{yes:?}");
    }

    const EXPECTED: &str =
        "sha256=b8569b78799ff9e3cbff0fc2d63a33a2b57f3282abd07c37ae5e8e7d79a5f163";
}
