//! Who may hear what: from a session's rights to the grants that it is seated with.

use std::sync::Arc;

use switchboard_event::{Id, Room, RoomKind, TenantId, UserId};
use switchboard_hub::{Decision, Grant, Rules};
use switchboard_journal::StoredRoom;

use crate::auth::Identity;
use crate::reply::Refused;

/// Decides about rooms. Cheap to clone.
///
/// The one way from a wish to a [`Grant`]: on connecting, subscribing and coming back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Access {
    rules: Arc<Rules>,
}

/// What a subscription is granted.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The room that was asked for.
    pub(crate) room: Grant,
    /// With an account's room its inner room, if the account may be paired.
    pub(crate) link: Option<Grant>,
}

impl Access {
    /// Decides by `rules`.
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules: Arc::new(rules),
        }
    }

    /// Decides whether a client may hear `room`.
    #[expect(clippy::unused_async, reason = "the CRM may have to be asked")]
    pub(crate) async fn grant(&self, identity: &Identity, room: Room) -> Result<Grant, Refused> {
        match self.rules.decide(&identity.rights, room) {
            Decision::Granted(grant) => Ok(grant),
            Decision::Denied(denied) => Err(denied.into()),
            // Nobody is asked yet.
            Decision::Ask(question) => Err(question.denied().into()),
        }
    }

    /// Decides about a subscription.
    pub(crate) async fn ticket(&self, identity: &Identity, room: Room) -> Result<Ticket, Refused> {
        let link = link_room(&room);
        let room = self.grant(identity, room).await?;
        let link = match link {
            Some(link) => self.grant(identity, link).await.ok(),
            None => None,
        };
        Ok(Ticket { room, link })
    }

    /// The rooms that a client is in from its start.
    pub(crate) async fn at_start(&self, identity: &Identity) -> Vec<Grant> {
        let mut grants = Vec::new();
        for room in identity.rights.rooms_at_start() {
            grants.extend(self.grant(identity, room).await.ok());
        }
        grants
    }

    /// Forgets what was decided about everything that fits what is named: it is to be asked again.
    ///
    /// Called by the lane between two records, so it must neither wait nor fail.
    #[expect(clippy::unused_self, reason = "nothing that is decided is kept yet")]
    pub(crate) fn invalidate(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        room: Option<&Room>,
        kind: Option<&RoomKind>,
    ) {
        let _ = (tenant, user, room, kind);
    }

    /// The rooms of a client that comes back: those that it is always in, and those of before that
    /// its rights still cover.
    pub(crate) async fn again(&self, identity: &Identity, before: &[StoredRoom]) -> Vec<Grant> {
        let mut grants = self.at_start(identity).await;
        for StoredRoom { room, .. } in before {
            if grants.iter().all(|grant| grant.room() != room) {
                grants.extend(self.grant(identity, room.clone()).await.ok());
            }
        }
        grants
    }
}

/// The inner room of an account's room.
pub(crate) fn link_room(room: &Room) -> Option<Room> {
    if !matches!(room.kind(), RoomKind::Whatsapp) {
        return None;
    }
    let account: Id = room.id().parse().ok()?;
    Room::whatsapp_link(&account).ok()
}
