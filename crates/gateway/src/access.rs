//! Who may hear what: from a session's rights to the grants that it is seated with.

use std::sync::Arc;

use switchboard_access::{Counts, Decider, Question, Selected, Selection, Verdict};
use switchboard_event::{Id, Room, RoomKind, TenantId, UserId};
use switchboard_hub::{self as hub, Decision, Grant, Rules};
use tokio::time::Instant;

use crate::auth::Identity;
use crate::reply::Refused;

/// Decides about rooms. Cheap to clone.
///
/// The one way from a wish to a [`Grant`]: on connecting, subscribing and coming back.
#[derive(Clone, Debug, Default)]
pub struct Access {
    rules: Arc<Rules>,
    decider: Option<Decider>,
}

/// A grant, and how long it counts if somebody else made it.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) grant: Grant,
    pub(crate) term: Option<Term>,
}

/// How long somebody's yes counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Term {
    /// When they are asked again.
    pub(crate) until: Instant,
    /// When the room is left if they cannot be asked.
    pub(crate) lapses_at: Instant,
}

/// What a subscription is granted.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// The room that was asked for.
    pub(crate) room: Granted,
    /// With an account's room its inner room, if the account may be paired.
    pub(crate) link: Option<Granted>,
}

/// What a client is granted all at once.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) grants: Vec<Grant>,
    /// Those of the rooms that are to be asked about again.
    pub(crate) terms: Vec<(Room, Term)>,
}

impl Access {
    /// Decides by `rules`, and asks `decider` where they say so; without one the answer is no.
    #[must_use]
    pub fn new(rules: Rules, decider: Option<Decider>) -> Self {
        Self {
            rules: Arc::new(rules),
            decider,
        }
    }

    /// Tries whoever cannot be asked until they can be; never returns.
    pub(crate) async fn run(&self) {
        match &self.decider {
            Some(decider) => decider.run().await,
            None => std::future::pending().await,
        }
    }

    /// The kinds of rooms about which nobody can be asked now, in words, if there are any.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        self.decider.as_ref()?.degraded()
    }

    /// What was asked and answered since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.decider
            .as_ref()
            .map_or_else(Counts::default, Decider::counts)
    }

    /// Decides whether a client may hear `room`.
    pub(crate) async fn grant(&self, identity: &Identity, room: Room) -> Result<Granted, Refused> {
        match self.rules.decide(&identity.rights, room) {
            Decision::Granted(grant) => Ok(Granted { grant, term: None }),
            Decision::Denied(denied) => Err(denied.into()),
            Decision::Ask(question) => match &self.decider {
                Some(decider) => {
                    let verdict = decider.decide(asked(&question)).await?;
                    settle(question, verdict)
                }
                None => Err(question.denied().into()),
            },
        }
    }

    /// Whether somebody has to be asked about `room`: what they said may have changed.
    pub(crate) fn asks(&self, identity: &Identity, room: &Room) -> bool {
        let decision = self.rules.decide(&identity.rights, room.clone());
        matches!(decision, Decision::Ask(_))
    }

    /// Decides about a subscription. An account about whose pairing nobody can be asked now is
    /// refused as a whole: otherwise its codes would be missing without a word.
    pub(crate) async fn ticket(&self, identity: &Identity, room: Room) -> Result<Ticket, Refused> {
        let link = link_room(&room);
        let room = self.grant(identity, room).await?;
        let link = match link {
            Some(link) => match self.grant(identity, link).await {
                Ok(link) => Some(link),
                Err(Refused::Denied(_)) => None,
                Err(unavailable) => return Err(unavailable),
            },
            None => None,
        };
        Ok(Ticket { room, link })
    }

    /// Decides about many rooms, a few at a time; the outcomes in the order of the rooms.
    pub(crate) async fn grant_all(
        &self,
        identity: &Identity,
        rooms: impl IntoIterator<Item = Room>,
    ) -> Vec<Result<Granted, Refused>> {
        let decide = |room| self.rules.decide(&identity.rights, room);
        let decisions: Vec<_> = rooms.into_iter().map(decide).collect();
        let asks = |decision: &Decision| match decision {
            Decision::Ask(question) => Some(asked(question)),
            Decision::Granted(_) | Decision::Denied(_) => None,
        };
        let questions: Vec<_> = decisions.iter().filter_map(asks).collect();
        let mut verdicts = match &self.decider {
            Some(decider) => decider.decide_all(questions).await,
            None => Vec::new(),
        }
        .into_iter();
        let outcome = |decision| match decision {
            Decision::Granted(grant) => Ok(Granted { grant, term: None }),
            Decision::Denied(denied) => Err(denied.into()),
            Decision::Ask(question) => match verdicts.next() {
                Some(verdict) => settle(question, verdict?),
                None => Err(question.denied().into()),
            },
        };
        decisions.into_iter().map(outcome).collect()
    }

    /// The rooms that a client is always in, and those of `before` that its rights still cover.
    ///
    /// An error if that cannot be said now: nobody is left out of a room because somebody else
    /// could not be asked.
    pub(crate) async fn again(
        &self,
        identity: &Identity,
        before: impl IntoIterator<Item = Room>,
    ) -> Result<Grants, Refused> {
        let mut rooms: Vec<_> = identity.rights.rooms_at_start().collect();
        let always = rooms.clone();
        let before = before.into_iter().filter(|room| !always.contains(room));
        rooms.extend(before);
        let mut grants = Grants::default();
        for outcome in self.grant_all(identity, rooms).await {
            match outcome {
                Ok(granted) => grants.push(granted),
                Err(Refused::Denied(_)) => {}
                Err(unavailable) => return Err(unavailable),
            }
        }
        Ok(grants)
    }

    /// Forgets what was decided about everything that fits what is named: it is to be asked again.
    ///
    /// Called by the lane between two records, so it must neither wait nor fail.
    pub(crate) fn invalidate(
        &self,
        tenant: &TenantId,
        user: Option<&UserId>,
        room: Option<&Room>,
        kind: Option<&RoomKind>,
    ) {
        let Some(decider) = &self.decider else {
            return;
        };
        decider.invalidate(&Selection {
            tenant: tenant.clone(),
            user: user.cloned(),
            rooms: match (room, kind) {
                (Some(room), _) => Selected::One(room.clone()),
                (None, Some(kind)) => Selected::Kind(kind.clone()),
                (None, None) => Selected::All,
            },
        });
    }
}

impl Ticket {
    /// The rooms of it that are to be asked about again.
    pub(crate) fn terms(&self) -> Vec<(Room, Term)> {
        let granted = std::iter::once(&self.room).chain(&self.link);
        let term = |one: &Granted| Some((one.room().clone(), one.term?));
        granted.filter_map(term).collect()
    }
}

impl Grants {
    fn push(&mut self, Granted { grant, term }: Granted) {
        self.terms
            .extend(term.map(|term| (grant.room().clone(), term)));
        self.grants.push(grant);
    }
}

impl Granted {
    pub(crate) fn room(&self) -> &Room {
        self.grant.room()
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

fn asked(question: &hub::Question) -> Question {
    Question {
        tenant: question.tenant().clone(),
        user: question.user().clone(),
        room: question.about().clone(),
    }
}

fn settle(question: hub::Question, verdict: Verdict) -> Result<Granted, Refused> {
    if !verdict.is_allowed {
        return Err(question.denied().into());
    }
    let term = Term {
        until: verdict.until,
        lapses_at: verdict.lapses_at,
    };
    Ok(Granted {
        grant: question.granted(),
        term: Some(term),
    })
}
