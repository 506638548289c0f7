use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::Full;
use switchboard_protocol::engine_io::ErrorCode;

use crate::{admission::Unopened, refused::Cause};

/// What the engine answers.
pub(crate) type Answer = Response<Full<Bytes>>;

/// Packets for a poll.
pub(crate) fn packets(body: Bytes) -> Answer {
    let mut answer = text(StatusCode::OK, "text/plain; charset=UTF-8", body);
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A POST was taken.
pub(crate) fn taken() -> Answer {
    let mut answer = text(StatusCode::OK, "text/html", Bytes::from_static(b"ok"));
    answer
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// A refusal that Engine.IO clients know.
pub(crate) fn refused(code: ErrorCode) -> Answer {
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::BAD_REQUEST);
    text(status, "application/json", code.body().into())
}

/// The same to a request for a WebSocket, which reads no JSON and knows no status but this one.
pub(crate) fn upgrade_refused(cause: Cause) -> Answer {
    let body = Bytes::from_static(cause.code().message().as_bytes());
    closing(text(StatusCode::BAD_REQUEST, "text/html", body))
}

/// Node's server has the client's script at this address; this one does not.
pub(crate) fn client_elsewhere() -> Answer {
    let body = Bytes::from_static(
        b"The client is not served here. Bundle the package socket.io-client, or put its \
          dist/socket.io.min.js among the files of your own site.\n",
    );
    text(StatusCode::NOT_FOUND, "text/plain; charset=UTF-8", body)
}

/// The same answer, with the end of the connection after it.
pub(crate) fn closing(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// There are too many sessions or of one client, or the server goes down. The client shall come
/// back, and the stock one does by itself.
pub(crate) fn unopened(unopened: Unopened) -> Answer {
    let mut answer = empty(match unopened.cause {
        Cause::ConnectionsPerAddress | Cause::ConnectionsPerAddressMax => {
            StatusCode::TOO_MANY_REQUESTS
        }
        _ => StatusCode::SERVICE_UNAVAILABLE,
    });
    // In whole seconds, of which 0 would be an invitation.
    let seconds = unopened.retry_after.as_millis().div_ceil(1_000).max(1);
    if let Ok(seconds) = HeaderValue::from_str(&seconds.to_string()) {
        answer.headers_mut().insert(RETRY_AFTER, seconds);
    }
    answer
}

pub(crate) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}

fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}
