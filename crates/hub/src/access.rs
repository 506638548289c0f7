//! What a session may hear, and the proof of it.

use std::collections::HashMap;
use std::sync::Arc;

use switchboard_event::{Room, RoomKind, TenantId, UserId};

use crate::pattern::Pattern;

/// Who one authenticated user of one tenant is, and what the token says of rooms.
#[derive(Clone, Debug)]
pub struct Rights {
    tenant: TenantId,
    user: UserId,
    patterns: Arc<[Pattern]>,
    link: LinkRights,
}

/// Which WhatsApp accounts may be paired, that is whose QR codes may be seen.
#[derive(Clone, Debug)]
pub enum LinkRights {
    /// The accounts that may be subscribed to.
    Subscribed,
    /// The accounts that these patterns cover, as `whatsapp:{id}`; nothing by default.
    Claims(Arc<[Pattern]>),
}

/// How rooms are decided, besides the user's own and the team's: those are nobody's to refuse.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    default: Rule,
    by_kind: HashMap<RoomKind, Rule>,
}

/// How the rooms of one kind are decided.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Rule {
    /// By the token's patterns: what none covers is refused. The default.
    #[default]
    Claims,
    /// Every room of the tenant: for the demo and for back offices of one team.
    Open,
    /// By somebody else, who is asked.
    Ask,
}

/// What became of a wish to hear a room.
#[derive(Debug)]
#[must_use]
pub enum Decision {
    /// It may be heard.
    Granted(Grant),
    /// It may not.
    Denied(Denied),
    /// Somebody else has to say.
    Ask(Question),
}

/// A wish that somebody else decides about. Their answer makes a grant of this room for this user's
/// session, and of no other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Question {
    user: UserId,
    about: Room,
    grant: Grant,
}

/// Proof that its holder may hear a room of a tenant. Made only by [`Rules`], or by a [`Question`] of
/// theirs that was answered.
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
    /// Whoever was asked said no.
    #[error("the answer was no")]
    NotAllowed(Room),
}

impl Rules {
    /// Rules that decide rooms of every kind by `default`.
    #[must_use]
    pub fn new(default: Rule) -> Self {
        Self {
            default,
            by_kind: HashMap::new(),
        }
    }

    /// The same rules, but for rooms of one kind.
    ///
    /// Without a rule of its own [`RoomKind::Contacts`] is decided as [`RoomKind::Contact`] is, for
    /// every contact there is; and [`RoomKind::WhatsappLink`] by the token, or else as the account
    /// itself, whatever [`LinkRights`] say. Own rooms are decided by no rule.
    #[must_use]
    pub fn with(mut self, kind: RoomKind, rule: Rule) -> Self {
        self.by_kind.insert(kind, rule);
        self
    }

    /// Decides whether the holder of `rights` may hear `room`.
    pub fn decide(&self, rights: &Rights, room: Room) -> Decision {
        match room.kind() {
            RoomKind::User if room.id() == rights.user.as_str() => rights.granted(room),
            RoomKind::Team if room.id() == rights.tenant.as_str() => rights.granted(room),
            RoomKind::Contacts if room.id() == rights.tenant.as_str() => {
                let is_covered = rights.covers_every_contact();
                let rule = self.rule_of(&RoomKind::Contacts);
                rights.by(rule, is_covered, room.clone(), room)
            }
            RoomKind::User | RoomKind::Team | RoomKind::Contacts => {
                Decision::Denied(Denied::NotOwn(room))
            }
            RoomKind::WhatsappLink => self.decide_link(rights, room),
            RoomKind::Whatsapp
            | RoomKind::Campaign
            | RoomKind::Contact
            | RoomKind::Flow
            | RoomKind::Custom(_) => {
                let is_covered = rights.covers(room.name());
                rights.by(self.rule_of(room.kind()), is_covered, room.clone(), room)
            }
        }
    }

    /// Whether anything is asked of somebody else.
    #[must_use]
    pub fn ask(&self) -> bool {
        self.default == Rule::Ask || self.by_kind.values().any(|rule| *rule == Rule::Ask)
    }

    fn decide_link(&self, rights: &Rights, room: Room) -> Decision {
        let account = format!("{}:{}", room.kind().as_str(), room.id());
        let own = self.by_kind.get(room.kind()).copied();
        match (own, &rights.link) {
            (Some(rule @ (Rule::Open | Rule::Ask)), _) => {
                rights.by(rule, false, room.clone(), room)
            }
            (_, LinkRights::Claims(patterns)) => {
                let is_covered = patterns.iter().any(|one| one.covers(&account));
                rights.by(Rule::Claims, is_covered, room.clone(), room)
            }
            (_, LinkRights::Subscribed) => match account.parse::<Room>() {
                Ok(account) => {
                    let is_covered = rights.covers(account.name());
                    let rule = self.rule_of(account.kind());
                    rights.by(rule, is_covered, account, room)
                }
                Err(_) => Decision::Denied(Denied::NotCovered(room)),
            },
        }
    }

    fn rule_of(&self, kind: &RoomKind) -> Rule {
        let own = self.by_kind.get(kind);
        let rule = match kind {
            RoomKind::Contacts => own.or_else(|| self.by_kind.get(&RoomKind::Contact)),
            _ => own,
        };
        rule.copied().unwrap_or(self.default)
    }
}

impl Rights {
    /// What the token of `user` of `tenant` says: the patterns of rooms, where those count, and who
    /// may pair.
    #[must_use]
    pub fn new(tenant: TenantId, user: UserId, patterns: Arc<[Pattern]>, link: LinkRights) -> Self {
        Self {
            tenant,
            user,
            patterns,
            link,
        }
    }

    /// The rooms that a session is in from its start, as far as it may hear them: the user's own,
    /// the team's, and the list of all contacts.
    pub fn rooms_at_start(&self) -> impl Iterator<Item = Room> + use<> {
        [
            Room::user(&self.user),
            Room::team(&self.tenant),
            Room::contacts(&self.tenant),
        ]
        .into_iter()
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

    fn by(&self, rule: Rule, is_covered: bool, about: Room, room: Room) -> Decision {
        match rule {
            Rule::Claims if !is_covered => Decision::Denied(Denied::NotCovered(room)),
            Rule::Claims | Rule::Open => self.granted(room),
            Rule::Ask => Decision::Ask(Question {
                user: self.user.clone(),
                about,
                grant: self.grant(room),
            }),
        }
    }

    fn granted(&self, room: Room) -> Decision {
        Decision::Granted(self.grant(room))
    }

    fn grant(&self, room: Room) -> Grant {
        Grant {
            tenant: self.tenant.clone(),
            room,
        }
    }

    fn covers_every_contact(&self) -> bool {
        self.patterns.iter().any(|one| one.covers_all("contact:"))
    }

    fn covers(&self, name: &str) -> bool {
        self.patterns.iter().any(|one| one.covers(name))
    }
}

impl Question {
    /// Whose room it is.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.grant.tenant
    }

    /// Who wishes to hear it.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// The room that the question is about: the account, where it answers for its inner room too.
    #[must_use]
    pub fn about(&self) -> &Room {
        &self.about
    }

    /// The answer was yes.
    #[must_use]
    pub fn granted(self) -> Grant {
        self.grant
    }

    /// The answer was no.
    #[must_use]
    pub fn denied(self) -> Denied {
        Denied::NotAllowed(self.grant.room)
    }
}

impl Denied {
    /// The room.
    #[must_use]
    pub fn room(&self) -> &Room {
        match self {
            Self::NotOwn(room) | Self::NotCovered(room) | Self::NotAllowed(room) => room,
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
mod tests;
