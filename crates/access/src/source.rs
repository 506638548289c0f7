//! Whoever answers.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OwnedSemaphorePermit;

use crate::question::Question;

/// Somebody who knows who may hear what.
///
/// Whoever asks gives up in its own time and then drops the future: what it holds must not outlive
/// that for long.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync + 'static {
    /// What the settings call it: `sql`, `http`.
    fn policy(&self) -> &'static str;

    /// Waits until one more question may be asked, in the order of waiting.
    async fn turn(&self) -> Turn;

    /// Asks. The turn lasts until whoever answers is done with the question.
    ///
    /// # Errors
    ///
    /// [`AskError`] if there is no answer; that is never a yes, and never a no either.
    async fn ask(&self, turn: Turn, question: &Question) -> Result<Answer, AskError>;
}

/// Leave to ask one question; it ends when this is dropped.
#[derive(Debug, Default)]
#[must_use]
pub struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// Whether the room may be heard.
    pub is_allowed: bool,
    /// How long that holds, if whoever answered says so.
    pub ttl: Option<Duration>,
}

/// Why there is no answer. No variant holds a secret or what a client sent.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// There are so many questions that this one was not even put.
    #[error("no turn within {} ms", .0.as_millis())]
    Busy(Duration),
    /// It took too long.
    #[error("no answer within {} ms", .0.as_millis())]
    TimedOut(Duration),
    /// Nobody was reached, or the connection broke.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// This question has no answer, and others may well have one: a status that is about what was
    /// asked, a body that is none, a row that the query cannot cope with.
    #[error("gives no answer to this question: {0}")]
    Unanswered(String),
    /// What came is no answer, whatever is asked: a query that fails, a status that is about
    /// whoever answers or about us.
    #[error("gives no answer: {0}")]
    Invalid(String),
}

impl Turn {
    /// A turn of a source that is asked as much as there is to ask.
    pub const fn free() -> Self {
        Self { _permit: None }
    }
}

impl From<OwnedSemaphorePermit> for Turn {
    fn from(permit: OwnedSemaphorePermit) -> Self {
        Self {
            _permit: Some(permit),
        }
    }
}

impl Answer {
    /// An answer without an end of its own.
    #[must_use]
    pub const fn of(is_allowed: bool) -> Self {
        Self {
            is_allowed,
            ttl: None,
        }
    }
}

impl AskError {
    /// What it is counted as.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Busy(_) => "busy",
            Self::TimedOut(_) => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Unanswered(_) => "unanswered",
            Self::Invalid(_) => "invalid",
        }
    }
}
