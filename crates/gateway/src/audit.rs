//! What happened to whom, for the record: a line each on a log target of its own.
//!
//! Every line has `action` and `code`, words that never change, and as far as they are known
//! `tenant`, `user`, `client`, `socket` and `room`. None holds a token, a payload or a message id.
//! When nobody listens to [`TARGET`] a line costs a look at a flag.

use switchboard_engine::{Client, DisconnectReason};
use switchboard_event::{Invalidation, Order, Revocation, Room, TenantId};
use tracing::{Level, enabled, info};

use crate::auth::Identity;
use crate::counters::SessionEnd;
use crate::session::Session;

/// The target of these lines, for whoever sends logs somewhere.
pub const TARGET: &str = "switchboard::audit";

/// Why a session left a room.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// The client wanted it.
    Unsubscribed,
    /// A producer took it from the user.
    Revoked,
    /// It was decided again, and denied.
    Withdrawn,
    /// It could not be decided again for too long.
    Unavailable,
    /// The new token does not cover it.
    Renewed,
}

/// A client was let in, and is in rooms from the start.
pub(crate) fn connected(session: &Session, is_recovered: bool) {
    if !enabled!(target: TARGET, Level::INFO) {
        return;
    }
    line(
        session,
        "connect",
        if is_recovered { "recovered" } else { "new" },
    );
    for room in session.rooms() {
        joined(session, &room);
    }
}

/// A client was not let in. Who it says it is, is known only after its token was verified.
pub(crate) fn connect_refused(client: Client, identity: Option<&Identity>, code: &str) {
    let tenant = identity.map(|identity| tracing::field::display(identity.rights.tenant()));
    let user = identity.map(|identity| tracing::field::display(identity.rights.user()));
    info!(target: TARGET, action = "refuse", code, tenant, user, %client);
}

/// A session hears a room from now on.
pub(crate) fn joined(session: &Session, room: &Room) {
    room_line(session, room, "join", "ok");
}

/// A session may not hear a room.
pub(crate) fn join_refused(session: &Session, room: &Room, code: &str) {
    room_line(session, room, "refuse", code);
}

/// A session hears a room no more.
pub(crate) fn left(session: &Session, room: &Room, reason: Left) {
    room_line(session, room, "leave", reason.code());
}

/// A token was put in the place of another, or was not.
pub(crate) fn refreshed(session: &Session, code: &str) {
    line(session, "refresh", code);
}

/// The server ends a session; its `disconnect` follows.
pub(crate) fn ended(session: &Session, reason: SessionEnd) {
    line(session, "end", reason.name());
}

/// A producer ordered the end of rights, and this node obeys.
pub(crate) fn ordered(tenant: &TenantId, order: &Order) {
    let (code, user, room) = match order {
        Order::Revoke(Revocation::User { user, .. }) => ("revoke_user", Some(user), None),
        Order::Revoke(Revocation::Token { .. }) => ("revoke_token", None, None),
        Order::Revoke(Revocation::Room { user, room, .. }) => {
            ("revoke_room", Some(user), Some(room))
        }
        Order::Disconnect { user } => ("disconnect", Some(user), None),
        Order::Invalidate(Invalidation { user, room, .. }) => {
            ("invalidate", user.as_ref(), room.as_ref())
        }
    };
    let user = user.map(tracing::field::display);
    let room = room.map(Room::name);
    info!(target: TARGET, action = "order", code, %tenant, user, room);
}

/// A session ended, and with it its hearing of all of its rooms.
pub(crate) fn disconnected(session: &Session, reason: DisconnectReason) {
    let code = match reason {
        DisconnectReason::ClientLeft => "client_left",
        DisconnectReason::ServerLeft => "server_left",
        DisconnectReason::Closed(reason) => reason.name(),
    };
    line(session, "disconnect", code);
}

impl Left {
    /// One word, also what the client is told as `reason`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Unsubscribed => "unsubscribed",
            Self::Revoked => "revoked",
            Self::Withdrawn => "withdrawn",
            Self::Unavailable => "unavailable",
            Self::Renewed => "renewed",
        }
    }
}

fn line(session: &Session, action: &str, code: &str) {
    info!(
        target: TARGET,
        action,
        code,
        tenant = %session.tenant(),
        user = %session.user(),
        client = %session.client(),
        socket = %session.socket_id(),
    );
}

fn room_line(session: &Session, room: &Room, action: &str, code: &str) {
    info!(
        target: TARGET,
        action,
        code,
        tenant = %session.tenant(),
        user = %session.user(),
        client = %session.client(),
        socket = %session.socket_id(),
        room = room.name(),
    );
}
