//! socketioxide, doing the same work as Switchboard for the same commands: a token checked at
//! CONNECT, three rooms for each socket, and `POST /v1/events` to publish.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::serve::ListenerExt;
use axum::{Router, routing::post};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use socketioxide::handler::ConnectHandler as _;

/// How many packets may wait for one socket. The default of 128 loses packets in bursts.
const SOCKET_PACKETS_MAX: usize = 1024;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    user_id: String,
    tenant_id: String,
    rooms: Vec<String>,
}

#[derive(Deserialize)]
struct Draft {
    event: String,
    data: Value,
    rooms: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Many(Vec<Draft>),
    One(Draft),
}

#[derive(Serialize)]
struct Subscribed {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
}

struct Keys {
    key: DecodingKey,
    validation: Validation,
}

static KEYS: OnceLock<Keys> = OnceLock::new();

/// Stands in for Switchboard's positions: the last argument of every event.
static PUBLISHED: AtomicU64 = AtomicU64::new(0);

/// Runs before CONNECT is answered; what it refuses is answered by CONNECT_ERROR.
///
/// It also joins and listens, because the connect handler runs, on another thread, only after the
/// answer was sent: an event that follows the answer at once would be lost.
async fn authenticate(socket: SocketRef, TryData(auth): TryData<Auth>) -> Result<(), &'static str> {
    let claims = auth.ok().and_then(|auth| {
        let Keys { key, validation } = KEYS.get()?;
        jsonwebtoken::decode::<Claims>(&auth.token, key, validation).ok()
    });
    let claims = claims.ok_or("unauthorized")?.claims;
    socket.join([
        format!("user:{}", claims.user_id),
        format!("team:{}", claims.tenant_id),
    ]);
    socket.extensions.insert(Arc::new(claims));
    socket.on("subscribe:whatsapp", subscribe);
    Ok(())
}

async fn subscribe(socket: SocketRef, Data(id): Data<String>, ack: AckSender) {
    let room = format!("whatsapp:{id}");
    let allowed = socket
        .extensions
        .get::<Arc<Claims>>()
        .is_some_and(|claims| {
            claims
                .rooms
                .iter()
                .any(|it| it == "whatsapp:*" || *it == room)
        });
    let answer = if allowed {
        socket.join(room.clone());
        Subscribed {
            ok: true,
            room: Some(room),
        }
    } else {
        Subscribed {
            ok: false,
            room: None,
        }
    };
    let _ = ack.send(&answer);
}

async fn publish(State(io): State<SocketIo>, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else {
        return StatusCode::BAD_REQUEST;
    };
    let drafts = match body {
        Body::Many(drafts) => drafts,
        Body::One(draft) => vec![draft],
    };
    for Draft { event, data, rooms } in drafts {
        let number = PUBLISHED.fetch_add(1, Ordering::Relaxed);
        let position = format!("0123456789abcdef-{number}");
        // An error tells of sockets that are closing; the others have got it.
        let _ = io.to(rooms).emit(event, &(data, position)).await;
    }
    StatusCode::ACCEPTED
}

/// A public key if there is one, else the secret.
#[expect(clippy::disallowed_methods, reason = "the peer's only settings")]
fn keys() -> anyhow::Result<Keys> {
    let (key, algorithm) = match std::env::var("BENCH_PUBLIC_KEY_FILE") {
        Ok(path) => (
            DecodingKey::from_ec_pem(&std::fs::read(path)?)?,
            Algorithm::ES256,
        ),
        Err(_) => (
            DecodingKey::from_secret(std::env::var("BENCH_SECRET")?.as_bytes()),
            Algorithm::HS256,
        ),
    };
    Ok(Keys {
        key,
        validation: Validation::new(algorithm),
    })
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let _ = KEYS.set(keys()?);

    let (layer, io) = SocketIo::builder()
        .max_buffer_size(SOCKET_PACKETS_MAX)
        .build_layer();
    io.ns("/", (|| async {}).with(authenticate));
    let router = Router::new()
        .route("/v1/events", post(publish))
        .with_state(io)
        .layer(layer);

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    eprintln!("{{\"message\":\"listening\",\"address\":\"{address}\"}}");
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, router).await?;
    Ok(())
}
