//! `GET /v1/events`: what a room said, for backends.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use switchboard_event::payload::WhatsappQrGenerated;
use switchboard_event::{Offset, Payload, Position, Room, RoomKind, TenantId};
use switchboard_journal::{self as journal, Page, ReadError, Record, TenantRoom};
use tracing::error;

use crate::events::tenant_of;
use crate::ingest::Ingest;
use crate::outcome::Unavailable;
use crate::problem::Problem;
use crate::producer::Producer;
use crate::scope::Scope;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    room: String,
    after: Option<String>,
    limit: Option<usize>,
    /// Whose room it is, for a key for all tenants.
    tenant: Option<String>,
}

/// A page of what a room said.
#[derive(Serialize)]
pub(crate) struct Answer {
    events: Vec<Told>,
    /// Everything of the room up to there is in this page, or lies before it.
    position: Position,
    /// There is more: ask again after this position.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<Position>,
}

/// One event as it was published.
#[derive(Serialize)]
struct Told {
    id: String,
    event: String,
    /// Binary values are `{"$binary"}`, as they came.
    data: Box<RawValue>,
    rooms: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    except: Vec<String>,
    position: Position,
    timestamp: String,
}

/// `GET /v1/events`: one page, from the index by room.
pub(crate) async fn get_events(
    State(ingest): State<Ingest>,
    producer: Producer,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Answer>, Problem> {
    producer.require(Scope::Read)?;
    let Query(asked) = asked.map_err(|_| {
        let detail =
            "the query has a `room`, and may have `after`, `limit` and `tenant`, each once";
        Problem::new(StatusCode::BAD_REQUEST, "invalid_query", detail)
    })?;
    let tenant = tenant_of(producer.reach(), asked.tenant.as_deref());
    let tenant = tenant.map_err(|refusal| Problem::from(&refusal))?;
    if tenant.is_everyone() {
        let detail = "one tenant at a time: what is said to all is in the room of each team";
        return Err(invalid("invalid_tenant", "tenant", detail));
    }
    let room = room(&ingest, &asked.room)?;
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("`limit` is from 1 to {LIMIT_MAX}");
        return Err(invalid("invalid_field", "limit", detail));
    }
    let after = asked.after.as_deref().map(str::parse::<Position>);
    let after = after.transpose().map_err(|malformed| {
        let detail = malformed.to_string();
        invalid("position_malformed", "after", detail)
    })?;
    ingest.history(&tenant, &room, after, limit).await
}

impl Ingest {
    /// What `room` said after a position, or since the beginning of what is kept.
    async fn history(
        &self,
        tenant: &TenantId,
        room: &Room,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Json<Answer>, Problem> {
        let partition = self.journal().partitions().of(tenant);
        let head = self.journal().head(partition).await;
        let head = head.map_err(|failure| unread(&failure))?;
        let mut query = journal::Query {
            partition,
            rooms: rooms_of(tenant, room),
            after: after.unwrap_or(Position {
                offset: Offset::ZERO,
                ..head
            }),
            through: head.offset,
            limit,
            bytes_max: PAGE_BYTES,
            now: self.clock().now(),
        };
        let mut page = self.journal().read(query.clone()).await;
        // Retention goes on meanwhile, but not so fast.
        for _ in 0..ATTEMPTS_MAX {
            let (None, Err(ReadError::Trimmed { oldest })) = (after, &page) else {
                break;
            };
            query.after.offset = Offset::new(oldest.as_u64().saturating_sub(1));
            page = self.journal().read(query.clone()).await;
        }
        let Page { records, next } = page.map_err(|failure| unread(&failure))?;
        let told = records.iter().filter_map(|record| Told::of(record));
        let reached = Position {
            offset: head.offset.max(query.after.offset),
            ..head
        };
        Ok(Json(Answer {
            events: told.collect(),
            position: next.unwrap_or(reached),
            next,
        }))
    }
}

impl Told {
    fn of(record: &Record) -> Option<Self> {
        let event = &record.event;
        // It is in no room that can be asked for. If ever it were, it is nobody's business here.
        if event.name() == WhatsappQrGenerated::EVENT {
            return None;
        }
        let text = std::str::from_utf8(event.data()).ok();
        let data = text.and_then(|text| RawValue::from_string(text.to_owned()).ok());
        let Some(data) = data else {
            error!(position = %record.position, "a stored payload is no JSON");
            return None;
        };
        let names = |rooms: &[Room]| rooms.iter().map(|room| room.name().to_owned()).collect();
        Some(Self {
            id: event.id().as_str().to_owned(),
            event: event.name().to_owned(),
            data,
            rooms: names(&event.audience().rooms),
            except: names(&event.audience().except),
            position: record.position,
            timestamp: event.at().to_string(),
        })
    }
}

/// The room that is asked for; never one that pairs accounts.
fn room(ingest: &Ingest, name: &str) -> Result<Room, Problem> {
    let room = ingest.catalogue().room(name);
    let room = room.map_err(|error| invalid("invalid_room", "room", error.to_string()))?;
    if *room.kind() == RoomKind::WhatsappLink {
        let detail =
            "what pairs an account is shown to those who may pair it, and never read again";
        return Err(Problem::forbidden(detail).with_field(Some("room")));
    }
    Ok(room)
}

/// Where the journal keeps what `room` heard; a team also hears what is said to every tenant.
fn rooms_of(tenant: &TenantId, room: &Room) -> Vec<TenantRoom> {
    let mut rooms = vec![TenantRoom {
        tenant: tenant.clone(),
        room: room.clone(),
    }];
    if *room == Room::team(tenant) {
        let everyone = TenantId::everyone();
        rooms.push(TenantRoom {
            room: Room::team(&everyone),
            tenant: everyone,
        });
    }
    rooms
}

fn invalid(code: &'static str, field: &'static str, detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code, detail).with_field(Some(field))
}

/// What a reader is told: with a code for each thing that can be wrong with a position.
fn unread(failure: &ReadError) -> Problem {
    let (status, code) = match failure {
        ReadError::Trimmed { .. } => (StatusCode::GONE, "position_too_old"),
        ReadError::OtherEpoch { .. } => (StatusCode::GONE, "position_other_epoch"),
        ReadError::Ahead { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "position_ahead"),
        ReadError::Closed => return (&Unavailable::Closed).into(),
        ReadError::TooMany { .. }
        | ReadError::WrongPartition { .. }
        | ReadError::Damaged { .. }
        | ReadError::Unavailable { .. } => {
            error!(error = %failure, "could not read events");
            return Problem::unavailable("unavailable", "the journal cannot be read right now");
        }
    };
    Problem::new(status, code, failure.to_string()).with_field(Some("after"))
}

/// Events of a page, if nothing is said; and at most.
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = journal::Query::RECORDS_MAX;
/// Most payload bytes of a page; one event always comes.
const PAGE_BYTES: usize = 1 << 20;
/// How often the beginning of what is kept is asked for, while it moves.
const ATTEMPTS_MAX: usize = 3;
