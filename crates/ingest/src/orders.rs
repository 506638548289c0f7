//! What ends rights and connections: `POST /v1/revocations`, `/v1/users/{id}/disconnect` and
//! `/v1/access/invalidate`. Each is one record on the line, answered once it is durable.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use switchboard_event::{
    Invalidation, Order, Position, Revocation, RevokedKey, Room, RoomKind, TenantId, Timestamp,
    TokenId, UserId, UserRevocations,
};
use switchboard_journal::{AppendError, Batch, Change, Expect, Key, ReadError, Value};
use tracing::{error, info, warn};

use crate::administrator::Administrator;
use crate::body::WholeBody;
use crate::events::require_json;
use crate::form::{AN_ID, Form, invalid};
use crate::ingest::Ingest;
use crate::outcome::Unavailable;
use crate::problem::Problem;
use crate::publish::fresh_id;

/// `POST /v1/revocations`
pub(crate) async fn post_revocations(
    State(ingest): State<Ingest>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = async {
        let body = read(&ingest, &headers, body).await?;
        let mut form = Form::parse(&body.bytes)?;
        let tenant = form.tenant(administrator.producer())?;
        let (revocation, expires_at) = revocation(&ingest, form, &tenant)?;
        ingest
            .order(tenant, Order::Revoke(revocation), expires_at)
            .await
    };
    answered(&administrator, "revocation", answer.await)
}

/// `POST /v1/users/{id}/disconnect`
pub(crate) async fn post_disconnect(
    State(ingest): State<Ingest>,
    administrator: Administrator,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = async {
        let user: Result<UserId, _> = id.parse();
        let user = user.map_err(|reason| invalid("id", &reason.to_string()))?;
        let body = read(&ingest, &headers, body).await?;
        let mut form = Form::parse(&body.bytes)?;
        let tenant = form.tenant(administrator.producer())?;
        form.finish()?;
        ingest.order(tenant, Order::Disconnect { user }, None).await
    };
    answered(&administrator, "disconnect", answer.await)
}

/// `POST /v1/access/invalidate`
pub(crate) async fn post_invalidate(
    State(ingest): State<Ingest>,
    administrator: Administrator,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let answer = async {
        let body = read(&ingest, &headers, body).await?;
        let mut form = Form::parse(&body.bytes)?;
        let tenant = form.tenant(administrator.producer())?;
        let user = form.take("user", AN_ID)?;
        let room = form.take::<String>("room", A_ROOM)?;
        let room = room.map(|name| known_room(&ingest, &name)).transpose()?;
        let kind = form.take::<RoomKind>("kind", "the kind of a room, as text")?;
        if let Some(kind) = &kind {
            // Any id will do: what is asked is whether there are such rooms.
            known_room(&ingest, &format!("{}:x", kind.as_str()))
                .map_err(|_| invalid("kind", "there are no such rooms"))?;
        }
        form.finish()?;
        let invalidation = Invalidation { user, room, kind };
        ingest
            .order(tenant, Order::Invalidate(invalidation), None)
            .await
    };
    answered(&administrator, "invalidation", answer.await)
}

/// The answer to an order that is durable, and so in force for what comes after it.
#[derive(Serialize)]
struct Ordered {
    position: Position,
}

impl Ingest {
    /// Puts an order on the line of its tenant, and remembers it for tokens that are shown later.
    async fn order(
        &self,
        tenant: TenantId,
        order: Order,
        expires_at: Option<Timestamp>,
    ) -> Result<Ordered, Problem> {
        let (journal, now) = (self.journal(), self.clock().now());
        let partition = journal.partitions().of(&tenant);
        let id = fresh_id().map_err(|unavailable| Problem::from(&unavailable))?;
        let event = order.clone().into_event(tenant.clone(), id, now);
        for _ in 0..CONFLICTS_MAX {
            let change = self.change(&tenant, &order, expires_at).await?;
            let changes = change.into_iter().collect();
            let batch = Batch::new(partition, tenant.clone(), vec![event.clone()], changes);
            let batch = batch.map_err(|error| {
                error!(%error, "made a batch that is none");
                Problem::from(&Unavailable::Failing)
            })?;
            match journal.append(batch, now).await {
                Ok(appended) => {
                    let position = appended.first().map(|one| one.position);
                    let position = position.ok_or_else(|| Problem::from(&Unavailable::Failing))?;
                    return Ok(Ordered { position });
                }
                Err(AppendError::Conflict { .. }) => {}
                Err(AppendError::Overloaded) => return Err((&Unavailable::Overloaded).into()),
                Err(AppendError::Closed) => return Err((&Unavailable::Closed).into()),
                Err(error) => {
                    error!(%error, "could not append");
                    return Err((&Unavailable::Failing).into());
                }
            }
        }
        Err((&Unavailable::Overloaded).into())
    }

    /// What is to be remembered of an order for longer than records are kept.
    async fn change(
        &self,
        tenant: &TenantId,
        order: &Order,
        expires_at: Option<Timestamp>,
    ) -> Result<Option<Change>, Problem> {
        let Order::Revoke(revocation) = order else {
            return Ok(None);
        };
        let now = self.clock().now();
        let longest = now.checked_add(REMEMBERED).unwrap_or(Timestamp::MAX);
        let user = match revocation {
            Revocation::Token { token } => {
                let after_its_end = |end: Timestamp| end.checked_add(LEEWAY_MAX).unwrap_or(longest);
                return Ok(Some(Change {
                    key: journal_key(&RevokedKey::token(token)),
                    expect: Expect::Anything,
                    value: Some(TOKEN_REVOKED.into()),
                    expires_at: Some(expires_at.map_or(longest, after_its_end)),
                    event: None,
                }));
            }
            Revocation::User { user, .. } | Revocation::Room { user, .. } => user,
        };
        let key = journal_key(&RevokedKey::user(user));
        let values = self
            .journal()
            .values(tenant, std::slice::from_ref(&key), now);
        let stored = values
            .await
            .map_err(|error| unreadable(&error))?
            .pop()
            .flatten();
        let mut revocations = read_stored(stored.as_ref())?;
        match revocation.clone() {
            Revocation::Room {
                room,
                issued_before,
                ..
            } => revocations.take(room, issued_before).map_err(|many| {
                let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, "too_many_rooms");
                Problem::new(status, code, many.to_string()).with_field(Some("room"))
            })?,
            Revocation::User { issued_before, .. } => revocations.revoke(issued_before),
            Revocation::Token { .. } => {}
        }
        Ok(Some(Change {
            key,
            expect: stored.map_or(Expect::Absent, |stored| Expect::Version(stored.version)),
            value: Some(revocations.to_bytes()),
            expires_at: Some(longest),
            event: None,
        }))
    }
}

async fn read(ingest: &Ingest, headers: &HeaderMap, body: Body) -> Result<WholeBody, Problem> {
    let body = ingest.bodies().read(headers, body).await?;
    if !body.bytes.is_empty() {
        require_json(headers)?;
    }
    Ok(body)
}

/// What a revocation names, and until when it has to be remembered, if that is told.
fn revocation(
    ingest: &Ingest,
    mut form: Form<'_>,
    tenant: &TenantId,
) -> Result<(Revocation, Option<Timestamp>), Problem> {
    let user: Option<UserId> = form.take("user", AN_ID)?;
    let token: Option<TokenId> = form.take("token", "the `jti` of a token: 1 to 128 bytes")?;
    let room: Option<String> = form.take("room", A_ROOM)?;
    let issued_before: Option<Timestamp> = form.take("issuedBefore", AN_INSTANT)?;
    let expires_at: Option<Timestamp> = form.take("expiresAt", AN_INSTANT)?;
    form.finish()?;
    let now = ingest.clock().now();
    let latest = now.checked_add(CLOCKS_APART_MAX).unwrap_or(Timestamp::MAX);
    if issued_before.is_some_and(|instant| instant > latest) {
        return Err(invalid("issuedBefore", "it is in the future"));
    }
    let issued_before = issued_before.map(|instant| instant.min(now));
    if token.is_none() && expires_at.is_some() {
        return Err(invalid("expiresAt", "it is of a token, and none is named"));
    }
    let revocation = match (token, user, room) {
        (Some(token), None, None) if issued_before.is_none() => Revocation::Token { token },
        (Some(_), _, _) => return Err(invalid("token", "it is to be named alone")),
        (None, None, _) => {
            return Err(Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "missing_field",
                "neither `user` nor `token` is named",
            )
            .with_field(Some("user")));
        }
        (None, Some(user), None) => Revocation::User {
            user,
            issued_before: issued_before.unwrap_or(now),
        },
        (None, Some(user), Some(room)) => Revocation::Room {
            user,
            room: takeable_room(ingest, &room, tenant)?,
            issued_before: issued_before.unwrap_or(now),
        },
    };
    Ok((revocation, expires_at))
}

/// A room that can be taken from somebody: not those that a user is always in.
fn takeable_room(ingest: &Ingest, name: &str, tenant: &TenantId) -> Result<Room, Problem> {
    let room = known_room(ingest, name)?;
    let can_be_taken = match room.kind() {
        RoomKind::User | RoomKind::Team => false,
        RoomKind::Contacts => room.id() == tenant.as_str(),
        _ => true,
    };
    if can_be_taken {
        Ok(room)
    } else {
        Err(invalid_room("a user is always in this room, or never"))
    }
}

fn known_room(ingest: &Ingest, name: &str) -> Result<Room, Problem> {
    let room = ingest.catalogue().room(name);
    room.map_err(|reason| invalid_room(&reason.to_string()))
}

fn invalid_room(reason: &str) -> Problem {
    let (status, code) = (StatusCode::UNPROCESSABLE_ENTITY, "invalid_room");
    Problem::new(status, code, reason).with_field(Some("room"))
}

/// Revocations that cannot be read are not overwritten: they would be undone.
fn read_stored(stored: Option<&Value>) -> Result<UserRevocations, Problem> {
    let Some(stored) = stored else {
        return Ok(UserRevocations::default());
    };
    UserRevocations::from_bytes(&stored.bytes).map_err(|error| {
        error!(%error, "revocations of a user cannot be read");
        Problem::from(&Unavailable::Failing)
    })
}

fn unreadable(error: &ReadError) -> Problem {
    if *error == ReadError::Closed {
        return (&Unavailable::Closed).into();
    }
    error!(%error, "could not read what is revoked");
    (&Unavailable::Failing).into()
}

fn journal_key(key: &RevokedKey) -> Key {
    key.as_str()
        .parse()
        .expect("an id or a hash with a prefix is shorter than a key may be")
}

fn answered(
    administrator: &Administrator,
    order: &'static str,
    answer: Result<Ordered, Problem>,
) -> Result<Response, Problem> {
    let producer = administrator.producer().name();
    match answer {
        Ok(ordered) => {
            info!(producer, order, position = %ordered.position, "ordered");
            Ok((StatusCode::ACCEPTED, Json(ordered)).into_response())
        }
        Err(problem) => {
            let (code, field) = (problem.code(), problem.logged_field());
            warn!(producer, order, code, field, "refused an order");
            Err(problem)
        }
    }
}

/// How often an order is tried again because others order about the same user at the same time.
const CONFLICTS_MAX: usize = 8;
/// For how long revocations are remembered: the longest time that a token may be good for.
const REMEMBERED: Duration = Duration::from_hours(10 * 365 * 24);
/// How far ahead the clock of a producer may be: what it takes for now is now.
const CLOCKS_APART_MAX: Duration = Duration::from_mins(5);
/// How much longer than its end a token may be taken.
const LEEWAY_MAX: Duration = Duration::from_hours(1);
/// The value under the key of a token that is revoked.
const TOKEN_REVOKED: &str = r#"{"version":1}"#;
const A_ROOM: &str = "the name of a room, as text";
const AN_INSTANT: &str = "a time such as \"2025-11-05T10:00:00Z\"";
