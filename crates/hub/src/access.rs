//! What a session may hear, and the proof of it.

use std::sync::Arc;

use switchboard_event::{Room, RoomKind, TenantId, UserId};

use crate::pattern::Pattern;

/// What one authenticated user of one tenant may hear.
#[derive(Clone, Debug)]
pub struct Rights {
    tenant: TenantId,
    user: UserId,
    access: Access,
    link: LinkRights,
}

/// Which rooms may be joined, besides the user's own and the team's.
#[derive(Clone, Debug)]
pub enum Access {
    /// Those that the token's patterns cover; nothing by default.
    Claims(Arc<[Pattern]>),
    /// Every room of the tenant: for the demo and for back offices of one team.
    Open,
}

/// Which WhatsApp accounts may be paired, that is whose QR codes may be seen.
#[derive(Clone, Debug)]
pub enum LinkRights {
    /// The accounts that may be subscribed to.
    Subscribed,
    /// The accounts that these patterns cover, as `whatsapp:{id}`; nothing by default.
    Claims(Arc<[Pattern]>),
}

/// Proof that its holder may hear a room of a tenant. Made only by [`Rights`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grant {
    tenant: TenantId,
    room: Room,
}

/// Why a room may not be heard.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// A user's room, a team's or a contact list that belongs to somebody else.
    #[error("the room belongs to somebody else")]
    NotOwn(Room),
    /// No pattern of the token covers the room.
    #[error("no right covers the room")]
    NotCovered(Room),
}

impl Denied {
    /// The room.
    #[must_use]
    pub fn room(&self) -> &Room {
        match self {
            Self::NotOwn(room) | Self::NotCovered(room) => room,
        }
    }
}

impl Rights {
    /// What `user` of `tenant` may hear.
    #[must_use]
    pub fn new(tenant: TenantId, user: UserId, access: Access, link: LinkRights) -> Self {
        Self {
            tenant,
            user,
            access,
            link,
        }
    }

    /// Decides whether `room` may be heard.
    ///
    /// # Errors
    ///
    /// [`Denied`], which names the room.
    pub fn grant(&self, room: Room) -> Result<Grant, Denied> {
        let covered = match room.kind() {
            RoomKind::User if room.id() == self.user.as_str() => true,
            RoomKind::Team if room.id() == self.tenant.as_str() => true,
            RoomKind::Contacts if room.id() == self.tenant.as_str() => self.hears_every_contact(),
            RoomKind::User | RoomKind::Team | RoomKind::Contacts => {
                return Err(Denied::NotOwn(room));
            }
            RoomKind::WhatsappLink => self.may_link(room.id()),
            RoomKind::Whatsapp
            | RoomKind::Campaign
            | RoomKind::Contact
            | RoomKind::Flow
            | RoomKind::Custom(_) => self.covers(room.name()),
        };
        if !covered {
            return Err(Denied::NotCovered(room));
        }
        Ok(Grant {
            tenant: self.tenant.clone(),
            room,
        })
    }

    /// The rooms that a session is in from its start: the user's own, the team's, and the contact
    /// list where the rights cover `contact:*`.
    pub fn grants_at_start(&self) -> impl Iterator<Item = Grant> {
        [
            Room::user(&self.user),
            Room::team(&self.tenant),
            Room::contacts(&self.tenant),
        ]
        .into_iter()
        .filter_map(|room| self.grant(room).ok())
    }

    /// The tenant whose rooms these are.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The user who holds these rights.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    fn hears_every_contact(&self) -> bool {
        match &self.access {
            Access::Claims(patterns) => patterns.iter().any(|one| one.covers_all("contact:")),
            Access::Open => true,
        }
    }

    fn may_link(&self, account: &str) -> bool {
        let name = format!("whatsapp:{account}");
        match &self.link {
            LinkRights::Subscribed => self.covers(&name),
            LinkRights::Claims(patterns) => patterns.iter().any(|one| one.covers(&name)),
        }
    }

    fn covers(&self, name: &str) -> bool {
        match &self.access {
            Access::Claims(patterns) => patterns.iter().any(|one| one.covers(name)),
            Access::Open => true,
        }
    }
}

impl Grant {
    /// The tenant whose room may be heard.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The room that may be heard.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_covered_by_default() {
        let rights = rights(&[]);

        for room in [whatsapp("1"), contact("1"), campaign("1")] {
            assert_eq!(rights.grant(room.clone()), Err(Denied::NotCovered(room)));
        }
    }

    #[test]
    fn own_rooms_need_no_pattern_and_no_pattern_opens_those_of_others() {
        let rights = rights(&["*", "user:*", "team:*", "contacts:*"]);

        assert!(rights.grant(Room::user(&user("ana"))).is_ok());
        assert!(rights.grant(Room::team(&tenant("acme"))).is_ok());
        for room in [
            Room::user(&user("eve")),
            Room::team(&tenant("other")),
            Room::contacts(&tenant("other")),
        ] {
            assert_eq!(rights.grant(room.clone()), Err(Denied::NotOwn(room)));
        }
    }

    #[test]
    fn a_grant_holds_the_tenant_of_the_rights() {
        let grant = rights(&["contact:42"]).grant(contact("42")).unwrap();

        assert_eq!(
            (grant.tenant(), grant.room()),
            (&tenant("acme"), &contact("42"))
        );
    }

    #[test]
    fn the_contact_list_needs_a_right_to_every_contact() {
        let starts = |patterns: &[&str]| {
            rights(patterns)
                .grants_at_start()
                .map(|grant| grant.room().name().to_owned())
                .collect::<Vec<_>>()
        };

        assert_eq!(starts(&["contact:42"]), ["user:ana", "team:acme"]);
        assert_eq!(
            starts(&["contact:*"]),
            ["user:ana", "team:acme", "contacts:acme"]
        );
    }

    #[test]
    fn who_may_subscribe_may_pair_unless_the_token_says_which() {
        let subscribed = rights(&["whatsapp:1"]);
        let named = Rights::new(
            tenant("acme"),
            user("ana"),
            Access::Claims(patterns(&["whatsapp:*"])),
            LinkRights::Claims(patterns(&["whatsapp:2"])),
        );

        assert!(subscribed.grant(link("1")).is_ok());
        assert!(subscribed.grant(link("2")).is_err());
        assert!(named.grant(link("1")).is_err());
        assert!(named.grant(link("2")).is_ok());
    }

    #[test]
    fn open_access_ends_at_the_tenant() {
        let rights = Rights::new(
            tenant("acme"),
            user("ana"),
            Access::Open,
            LinkRights::Claims(patterns(&[])),
        );

        assert!(rights.grant(contact("1")).is_ok());
        assert!(rights.grant(Room::team(&tenant("other"))).is_err());
        assert!(rights.grant(link("1")).is_err());
    }

    fn rights(texts: &[&str]) -> Rights {
        Rights::new(
            tenant("acme"),
            user("ana"),
            Access::Claims(patterns(texts)),
            LinkRights::Subscribed,
        )
    }

    fn patterns(texts: &[&str]) -> Arc<[Pattern]> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn tenant(text: &str) -> TenantId {
        text.parse().unwrap()
    }

    fn user(text: &str) -> UserId {
        text.parse().unwrap()
    }

    fn whatsapp(id: &str) -> Room {
        Room::whatsapp(&id.parse().unwrap()).unwrap()
    }

    fn link(id: &str) -> Room {
        Room::whatsapp_link(&id.parse().unwrap()).unwrap()
    }

    fn contact(id: &str) -> Room {
        Room::contact(&id.parse().unwrap())
    }

    fn campaign(id: &str) -> Room {
        Room::campaign(&id.parse().unwrap())
    }
}
