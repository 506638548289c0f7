//! Reading a body within limits: its length, the time it takes, and all bodies together.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::problem::Problem;

/// Reads bodies that are no longer than `len_max`, all of them together within a budget.
#[derive(Clone, Debug)]
pub(crate) struct BodyReader {
    len_max: usize,
    timeout: Duration,
    budget: Arc<Semaphore>,
}

/// A whole body. Its share of the budget comes back when it is dropped.
#[derive(Debug)]
pub(crate) struct WholeBody {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl BodyReader {
    pub(crate) fn new(len_max: usize, bodies_len_max: usize, timeout: Duration) -> Self {
        let units = (bodies_len_max / BUDGET_UNIT).min(Semaphore::MAX_PERMITS);
        Self {
            len_max,
            timeout,
            budget: Arc::new(Semaphore::new(units)),
        }
    }

    /// Reads the whole body, or says which limit it is beyond.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<WholeBody, BodyError> {
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.parse::<u64>().ok());
        if announced.is_some_and(|len| len > self.len_max as u64) {
            linger(body);
            return Err(BodyError::TooLong {
                len_max: self.len_max,
            });
        }
        timeout(self.timeout, self.read_frames(body))
            .await
            .unwrap_or(Err(BodyError::TimedOut {
                after: self.timeout,
            }))
    }

    /// Takes its share as bytes come, so that a sender who only announces much holds little.
    async fn read_frames(&self, mut body: Body) -> Result<WholeBody, BodyError> {
        let mut bytes = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        let mut covered = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| BodyError::Broken)?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let len = bytes.len() + data.len();
            if len > self.len_max {
                linger(body);
                return Err(BodyError::TooLong {
                    len_max: self.len_max,
                });
            }
            let units = u32::try_from(len.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX);
            if units > covered {
                let more = Arc::clone(&self.budget)
                    .try_acquire_many_owned(units - covered)
                    .map_err(|_| BodyError::Overloaded)?;
                covered = units;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(WholeBody {
            bytes: bytes.freeze(),
            _share: share,
        })
    }
}

/// Reads on for a while, and keeps nothing.
///
/// A sender that is still sending sees its connection fail, and not our answer, if we stop.
fn linger(mut body: Body) {
    let drain = async move {
        let mut len = 0;
        while len < LINGER_LEN_MAX
            && let Some(Ok(frame)) = body.frame().await
        {
            len += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    tokio::spawn(timeout(LINGER_TIMEOUT, drain));
}

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the body is longer than the limit of {len_max} bytes")]
    TooLong { len_max: usize },
    #[error("the body did not come within {} ms", after.as_millis())]
    TimedOut { after: Duration },
    #[error("the body broke off")]
    Broken,
    #[error("too many bodies are being read")]
    Overloaded,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLong { .. } => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
            }
            BodyError::TimedOut { .. } => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
            }
            BodyError::Broken => Self::new(StatusCode::BAD_REQUEST, "body_broken", detail),
            BodyError::Overloaded => Self::unavailable("overloaded", detail),
        }
    }
}

/// Bytes of a body that one permit of the budget covers.
const BUDGET_UNIT: usize = 1024;
/// How much of a body is read after it was refused.
const LINGER_LEN_MAX: usize = 64 << 20;
/// For how long a body is read after it was refused.
const LINGER_TIMEOUT: Duration = Duration::from_secs(5);
