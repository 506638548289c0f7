//! `POST /v1/erasures`: a room's payloads are taken, because the law or a person asks for it.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use switchboard_event::TenantId;
use switchboard_journal::{EraseError, Erased, TenantRoom};
use tracing::{error, info, warn};

use crate::administrator::Administrator;
use crate::events::require_json;
use crate::form::Form;
use crate::ingest::Ingest;
use crate::outcome::Unavailable;
use crate::problem::Problem;

/// What was taken.
#[derive(Serialize)]
pub(crate) struct Answer {
    records: u64,
    values: u64,
}

/// `POST /v1/erasures`
pub(crate) async fn post_erasures(
    State(ingest): State<Ingest>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Answer>, Problem> {
    let producer = administrator.producer().name();
    let answer = async {
        let body = ingest.bodies().read(&headers, body).await?;
        require_json(&headers)?;
        let mut form = Form::parse(&body.bytes)?;
        let tenant = form.tenant(administrator.producer())?;
        let room: String = form.need("room", "the name of a room, as text")?;
        form.finish()?;
        erase(&ingest, tenant, &room).await
    };
    match answer.await {
        Ok(Erased { records, values }) => {
            info!(producer, records, values, "erased");
            Ok(Json(Answer { records, values }))
        }
        Err(problem) => {
            let (code, field) = (problem.code(), problem.logged_field());
            warn!(producer, code, field, "refused an erasure");
            Err(problem)
        }
    }
}

async fn erase(ingest: &Ingest, tenant: TenantId, room: &str) -> Result<Erased, Problem> {
    let room = ingest.catalogue().room(room).map_err(|reason| {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Problem::new(status, "invalid_room", reason.to_string()).with_field(Some("room"))
    })?;
    let room = TenantRoom { tenant, room };
    // Whoever asked may go away: half of an erasure would be none.
    let ingest = ingest.clone();
    let erasing = tokio::spawn(async move { ingest.journal().erase(&room).await });
    match erasing.await {
        Ok(Ok(erased)) => Ok(erased),
        Ok(Err(failure)) => Err(problem(&failure)),
        Err(failure) => {
            error!(error = %failure, "an erasure ended");
            Err((&Unavailable::Failing).into())
        }
    }
}

fn problem(failure: &EraseError) -> Problem {
    match failure {
        EraseError::Unsupported => {
            let status = StatusCode::NOT_IMPLEMENTED;
            Problem::new(status, "erasure_unsupported", failure.to_string())
        }
        EraseError::Overloaded => (&Unavailable::Overloaded).into(),
        EraseError::Closed => (&Unavailable::Closed).into(),
        EraseError::Unavailable { reason } => {
            error!(reason, "an erasure is incomplete");
            let detail = "not everything is erased yet, ask again";
            Problem::unavailable("erasure_incomplete", detail)
        }
    }
}
