//! `/healthz`, `/readyz` and `/v1/stats`.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use switchboard_ingest::Reach;

use crate::nodes::ConnectionStats;
use crate::readiness::{Readiness, Status};

/// What the routes ask. Each question is answered at once, without waiting.
pub trait Vitals: Send + Sync + 'static {
    /// How far the server is in its life.
    fn readiness(&self) -> &Readiness;
    /// Whether the journal can append; if not, why.
    fn journal(&self) -> Result<(), String>;
    /// What else cannot be had, if anything.
    fn degraded(&self) -> Option<String>;
    /// Who is connected, to all nodes and to each.
    fn stats(&self) -> ConnectionStats;
    /// For whom the API key is that these headers, which come from there, hold; if there is none, the
    /// answer to give.
    #[expect(
        clippy::result_large_err,
        reason = "axum's own response, made once per refusal"
    )]
    fn authorize(&self, client: Option<SocketAddr>, headers: &HeaderMap)
    -> Result<Reach, Response>;
}

/// The routes, answering from `vitals`.
pub fn routes<V: Vitals>(vitals: Arc<V>) -> Router {
    let methods = [get(|| async { "ok" }), get(readyz::<V>), get(stats::<V>)];
    let routes = PATHS.into_iter().zip(methods);
    routes
        .fold(Router::new(), |router, (path, methods)| {
            router.route(path, methods)
        })
        .with_state(vitals)
}

/// The paths of the routes.
pub const PATHS: [&str; 3] = ["/healthz", "/readyz", "/v1/stats"];

/// 503 only while starting, draining, or when the journal cannot append: a node that cannot ask about
/// access is as good as every other one.
async fn readyz<V: Vitals>(State(vitals): State<Arc<V>>) -> (StatusCode, Json<Status>) {
    let readiness = vitals.readiness();
    let status = readiness.status(|| vitals.journal(), || vitals.degraded());
    let code = match status {
        Status::Ready | Status::Degraded { .. } => StatusCode::OK,
        Status::Starting | Status::Draining | Status::Failing { .. } => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    };
    (code, Json(status))
}

async fn stats<V: Vitals>(
    State(vitals): State<Arc<V>>,
    client: Option<Extension<SocketAddr>>,
    headers: HeaderMap,
) -> Response {
    let client = client.map(|Extension(client)| client);
    match vitals.authorize(client, &headers) {
        Ok(Reach::Everyone) => Json(vitals.stats()).into_response(),
        Ok(Reach::Tenant(_)) => Json(vitals.stats().without_nodes()).into_response(),
        Err(refusal) => refusal,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http::{Request, header};
    use http_body_util::BodyExt as _;
    use switchboard_event::Timestamp;
    use tower_service::Service as _;

    use super::*;
    use crate::nodes::NodeStats;

    #[derive(Default)]
    struct Fixed {
        readiness: Readiness,
        failure: Option<String>,
        degraded: Option<String>,
    }

    impl Vitals for Fixed {
        fn readiness(&self) -> &Readiness {
            &self.readiness
        }

        fn journal(&self) -> Result<(), String> {
            self.failure.clone().map_or(Ok(()), Err)
        }

        fn degraded(&self) -> Option<String> {
            self.degraded.clone()
        }

        fn stats(&self) -> ConnectionStats {
            ConnectionStats {
                connected: 2,
                rooms: 3,
                users: 1,
                node: "n1".to_owned(),
                complete: true,
                nodes: vec![NodeStats {
                    node: "n1".to_owned(),
                    name: None,
                    address: "10.0.0.7:5000".to_owned(),
                    version: "1.2.3".to_owned(),
                    started_at: Timestamp::from_millis(0),
                    at: Timestamp::from_millis(1),
                    connected: 2,
                    rooms: 3,
                    users: 1,
                }],
            }
        }

        fn authorize(&self, _: Option<SocketAddr>, headers: &HeaderMap) -> Result<Reach, Response> {
            let key = headers.get(header::AUTHORIZATION);
            match key.and_then(|value| value.to_str().ok()) {
                Some("Bearer all") => Ok(Reach::Everyone),
                Some("Bearer one") => Ok(Reach::Tenant("acme".parse().unwrap())),
                _ => Err(StatusCode::UNAUTHORIZED.into_response()),
            }
        }
    }

    #[tokio::test]
    async fn a_process_that_answers_is_healthy() {
        check(Fixed::default(), "/healthz", None, StatusCode::OK, "ok").await;
    }

    #[tokio::test]
    async fn only_a_serving_node_with_a_working_journal_is_ready() {
        let serving = |failure: Option<&str>| {
            let vitals = Fixed {
                failure: failure.map(str::to_owned),
                ..Fixed::default()
            };
            vitals.readiness.serve();
            vitals
        };

        check(
            Fixed::default(),
            "/readyz",
            None,
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"starting"}"#,
        )
        .await;
        check(
            serving(None),
            "/readyz",
            None,
            StatusCode::OK,
            r#"{"status":"ready"}"#,
        )
        .await;
        check(
            serving(Some("disk full")),
            "/readyz",
            None,
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"failing","reason":"disk full"}"#,
        )
        .await;
    }

    #[tokio::test]
    async fn a_node_that_is_degraded_keeps_its_traffic_and_says_why() {
        let vitals = Fixed {
            degraded: Some("access cannot be asked for: contact (sql)".to_owned()),
            ..Fixed::default()
        };
        vitals.readiness.serve();

        check(
            vitals,
            "/readyz",
            None,
            StatusCode::OK,
            r#"{"status":"degraded","reason":"access cannot be asked for: contact (sql)"}"#,
        )
        .await;
    }

    #[tokio::test]
    async fn statistics_need_an_api_key_and_where_nodes_are_one_for_all_tenants() {
        check(
            Fixed::default(),
            "/v1/stats",
            None,
            StatusCode::UNAUTHORIZED,
            "",
        )
        .await;
        let sum = r#""connected":2,"rooms":3,"users":1"#;
        let of_one = format!(r#"{{{sum},"node":"n1","complete":true}}"#);
        let times = r#""startedAt":"1970-01-01T00:00:00.000Z","at":"1970-01-01T00:00:00.001Z""#;
        let node = r#"{"node":"n1","address":"10.0.0.7:5000","version":"1.2.3""#;
        let nodes = format!("[{node},{times},{sum}}}]");
        let of_all = format!(r#"{{{sum},"node":"n1","complete":true,"nodes":{nodes}}}"#);
        for (key, body) in [("Bearer one", of_one), ("Bearer all", of_all)] {
            let vitals = Fixed::default();
            check(vitals, "/v1/stats", Some(key), StatusCode::OK, &body).await;
        }
    }

    async fn check(vitals: Fixed, path: &str, key: Option<&str>, status: StatusCode, body: &str) {
        let mut request = Request::builder().uri(path);
        if let Some(key) = key {
            request = request.header(header::AUTHORIZATION, key);
        }
        let mut router = routes(Arc::new(vitals));

        let response = router
            .call(request.body(Body::empty()).unwrap())
            .await
            .unwrap();

        assert_eq!(response.status(), status);
        assert_eq!(
            response.into_body().collect().await.unwrap().to_bytes(),
            body
        );
    }
}
