//! `session:refresh`: a new token on a connection that goes on.

use std::sync::Arc;

use serde::Serialize;
use switchboard_engine::{Handling, Incoming};
use switchboard_event::{Room, Timestamp};
use tracing::{debug, error};

use crate::audit::{self, Left};
use crate::gateway::{Gateway, refuse};
use crate::reply::{Refused, answer};
use crate::requests::Asked;
use crate::revocation::{Standing, standing};
use crate::session::{Renewal, Session};
use crate::unauthorized::Unauthorized;

/// The answer to a token that was taken.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed {
    ok: bool,
    expires_at: Timestamp,
    /// The rooms that it does not cover, which the session is not in any more.
    left: Vec<Room>,
}

impl Gateway {
    /// Verifies another token of the same user and puts it in the place of the one there is.
    pub(crate) fn refresh(
        self: &Arc<Self>,
        session: &Arc<Session>,
        event: &Incoming,
        token: Box<str>,
        ack: Asked,
    ) -> Handling {
        let (gateway, session) = (Arc::clone(self), Arc::clone(session));
        let name = event.name.clone();
        Handling::later(async move {
            let refreshed = gateway.renew(&session, &token).await;
            gateway.counters().refresh(refreshed.as_ref().map(|_| ()));
            match refreshed {
                Ok(refreshed) => {
                    audit::refreshed(&session, "ok");
                    answer(&session.handle, &name, ack, Ok(refreshed));
                }
                Err(refused) => {
                    audit::refreshed(&session, refused.code());
                    if let Refused::Token(reason) = &refused {
                        let (socket, code) = (session.socket_id(), reason.code());
                        error!(%socket, code, %reason, "authentication failed");
                    }
                    refuse(&session, &name, ack, refused);
                }
            }
        })
    }

    async fn renew(&self, session: &Arc<Session>, token: &str) -> Result<Refreshed, Refused> {
        let identity = self.authenticate_token(token).await?;
        let rights = &identity.rights;
        if rights.tenant() != session.tenant() || *rights.user() != session.user() {
            return Err(Refused::OtherUser);
        }
        let recovery = self.recovery();
        for _ in 0..ATTEMPTS_MAX {
            // An order that comes while this is decided may be about the new token, which the lane
            // does not know yet. Then it is decided anew.
            let orders = session.lane.orders();
            let is_same = || session.lane.orders() == orders;
            let now = recovery.clock.now();
            let exceptions = match standing(&*recovery.journal, &identity, now).await? {
                Standing::Revoked => return Err(Unauthorized::Revoked.into()),
                Standing::PerhapsNew => return Err(Refused::Unsettled),
                Standing::Good(exceptions) => exceptions,
            };
            // An error if somebody cannot be asked now: then everything stays as it is.
            let granted = recovery.access.again(&identity, session.rooms()).await?;
            let renewal = session.renew(identity.clone(), &granted.grants, exceptions, is_same);
            let Some(Renewal { left, is_changed }) = renewal? else {
                continue;
            };
            session.lane.hold(session, &granted.terms);
            let due_at = recovery.lifetime.first_due(identity.expires_at, now);
            session.lane.reschedule(session, due_at);
            debug!(socket = %session.socket_id(), left = left.len(), "renewed");
            for room in &left {
                audit::left(session, room, Left::Renewed);
                session.turn_from(room);
            }
            if is_changed {
                recovery.write(session).await;
            }
            return Ok(Refreshed {
                ok: true,
                expires_at: identity.expires_at,
                left,
            });
        }
        Err(Refused::Unsettled)
    }
}

/// How often a token is decided about because rights are being ended at the same time.
const ATTEMPTS_MAX: usize = 8;
