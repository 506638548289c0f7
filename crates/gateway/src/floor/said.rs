//! What the sockets of this node say of contacts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use switchboard_event::payload::{PresenceViewing, TypingIndicator};
use switchboard_event::{FleetingEvent, Id, Payload, TenantId, Timestamp, UserId};
use switchboard_hub::{Contact, Crowded, Fact, Status, Subject};

use super::Floor;
use super::telling::{colleagues, typing, viewing};

/// Who says something: a person, through one of their connections.
#[derive(Clone, Debug)]
pub(crate) struct Speaker {
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// The connection.
    pub(crate) voice: Id,
}

/// What is said, so that it is taken back when the connection ends. Most sockets say nothing, and
/// are not in it.
#[derive(Debug, Default)]
pub(super) struct Said(HashMap<Id, Vec<Saying>>);

#[derive(Debug)]
struct Saying {
    fact: Fact,
    /// How long, if it is not said again; `None`: as long as the connection lasts.
    until: Option<Timestamp>,
}

impl Floor {
    /// A connection of a person began. `came_back`: it is the one that it was before.
    pub(crate) fn enter(&self, speaker: &Speaker, came_back: bool, now: Timestamp) {
        let Speaker {
            tenant,
            user,
            voice,
        } = speaker;
        let mut attendance = self.attendance.lock();
        attendance.enter(tenant, user, voice, came_back, now);
        drop(attendance);
        self.news.notify_one();
    }

    /// A connection of a person ended, and with it what it said. Who looked at a contact does so for
    /// the time of grace.
    pub(crate) fn leave(&self, speaker: &Speaker, now: Timestamp) {
        let said = self.said.lock().0.remove(&speaker.voice);
        for Saying { fact, .. } in said.into_iter().flatten() {
            let until = match fact.subject {
                Subject::Viewing { .. } => Self::after(now, self.config.grace),
                _ => now,
            };
            self.send(speaker, &fact, until, now);
        }
        let Speaker {
            tenant,
            user,
            voice,
        } = speaker;
        let mut attendance = self.attendance.lock();
        attendance.leave(tenant, user, voice, now);
        drop(attendance);
        self.news.notify_one();
    }

    /// A person says whether they are there.
    pub(crate) fn set_status(&self, speaker: &Speaker, status: Status, now: Timestamp) {
        let Speaker {
            tenant,
            user,
            voice,
        } = speaker;
        let mut attendance = self.attendance.lock();
        attendance.set(tenant, user, voice, status, now);
        drop(attendance);
        self.news.notify_one();
    }

    /// A person types an answer to a contact: for `lifetime`, or else for the usual time.
    pub(crate) fn begin_typing(
        &self,
        speaker: &Speaker,
        contact: Id,
        account: Id,
        lifetime: Option<Duration>,
        now: Timestamp,
    ) -> Result<(), Crowded> {
        let lifetime = match lifetime {
            Some(lifetime) => lifetime.clamp(TYPING_MIN, TYPING_MAX),
            None => self.config.typing_lifetime,
        };
        let until = Self::after(now, lifetime);
        let fact = speaker.types(contact, account);
        self.said
            .lock()
            .add(&speaker.voice, &fact, Some(until), now)?;
        self.send(speaker, &fact, until, now);
        Ok(())
    }

    /// A person looks at a contact: until they say otherwise or leave its room, or if they are not in
    /// it, for as long as somebody types.
    pub(crate) fn begin_viewing(
        &self,
        speaker: &Speaker,
        contact: Id,
        is_in_room: bool,
        now: Timestamp,
    ) -> Result<(), Crowded> {
        let fact = speaker.views(contact);
        let (lasts, lifetime) = if is_in_room {
            (None, self.config.lease)
        } else {
            let lifetime = self.config.typing_lifetime;
            (Some(Self::after(now, lifetime)), lifetime)
        };
        self.said.lock().add(&speaker.voice, &fact, lasts, now)?;
        self.send(speaker, &fact, Self::after(now, lifetime), now);
        Ok(())
    }

    pub(crate) fn end_typing(&self, speaker: &Speaker, contact: Id, account: Id, now: Timestamp) {
        let fact = speaker.types(contact, account);
        self.end(speaker, |one| *one == fact, now);
    }

    pub(crate) fn end_viewing(&self, speaker: &Speaker, contact: Id, now: Timestamp) {
        let fact = speaker.views(contact);
        self.end(speaker, |one| *one == fact, now);
    }

    /// A connection has left a contact's room, and says nothing of the contact any more.
    pub(crate) fn turn_from(&self, speaker: &Speaker, contact: &str) {
        let now = self.clock.now();
        self.end(speaker, |one| one.contact.id.as_str() == contact, now);
    }

    /// Says again what is said for as long as a connection lasts.
    pub(super) fn say_again(&self, now: Timestamp) {
        let until = Self::after(now, self.config.lease);
        let said = self.said.lock();
        for (voice, sayings) in &said.0 {
            for Saying { fact, .. } in sayings.iter().filter(|one| one.until.is_none()) {
                let Subject::Viewing { user } = &fact.subject else {
                    continue;
                };
                let speaker = Speaker {
                    tenant: fact.contact.tenant.clone(),
                    user: user.clone(),
                    voice: voice.clone(),
                };
                self.send(&speaker, fact, until, now);
            }
        }
    }

    /// Takes back what a connection says of some facts.
    fn end(&self, speaker: &Speaker, is_meant: impl Fn(&Fact) -> bool, now: Timestamp) {
        let ended = self.said.lock().remove(&speaker.voice, is_meant);
        for Saying { fact, .. } in ended {
            self.send(speaker, &fact, now, now);
        }
    }

    /// Says that a fact holds until then, or, if that is now, that it does not.
    fn send(&self, speaker: &Speaker, fact: &Fact, until: Timestamp, now: Timestamp) {
        let contact = &fact.contact.id;
        let is_so = until > now;
        let (name, data) = match &fact.subject {
            Subject::Typing { account, user } => (
                TypingIndicator::EVENT,
                typing(contact, account, user, is_so, now),
            ),
            Subject::Viewing { user } => {
                (PresenceViewing::EVENT, viewing(contact, user, is_so, now))
            }
            // Only producers say that.
            Subject::Contact { .. } => return,
        };
        let event = FleetingEvent {
            tenant: speaker.tenant.clone(),
            name: name.into(),
            data: data.into(),
            audience: colleagues(contact, &speaker.user),
            voice: speaker.voice.clone(),
            expires_at: until,
        };
        self.fleeting.send(self.partition, Arc::new(event));
    }
}

impl Speaker {
    fn types(&self, contact: Id, account: Id) -> Fact {
        let user = self.user.clone();
        self.fact(contact, Subject::Typing { account, user })
    }

    fn views(&self, contact: Id) -> Fact {
        let user = self.user.clone();
        self.fact(contact, Subject::Viewing { user })
    }

    fn fact(&self, contact: Id, subject: Subject) -> Fact {
        Fact {
            contact: Contact {
                tenant: self.tenant.clone(),
                id: contact,
            },
            subject,
        }
    }
}

impl Said {
    fn add(
        &mut self,
        voice: &Id,
        fact: &Fact,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), Crowded> {
        let sayings = self.0.entry(voice.clone()).or_default();
        sayings.retain(|one| one.fact != *fact && one.until.is_none_or(|end| end > now));
        if sayings.len() >= SAYINGS_MAX {
            let count_max = SAYINGS_MAX;
            return Err(Crowded { count_max });
        }
        sayings.push(Saying {
            fact: fact.clone(),
            until,
        });
        Ok(())
    }

    fn remove(&mut self, voice: &Id, is_meant: impl Fn(&Fact) -> bool) -> Vec<Saying> {
        let Some(sayings) = self.0.get_mut(voice) else {
            return Vec::new();
        };
        let removed = sayings.extract_if(.., |one| is_meant(&one.fact)).collect();
        if sayings.is_empty() {
            self.0.remove(voice);
        }
        removed
    }
}

/// How much one connection says at once.
const SAYINGS_MAX: usize = 32;
/// The shortest and the longest time for which a client may say that somebody types.
const TYPING_MIN: Duration = Duration::from_secs(3);
const TYPING_MAX: Duration = Duration::from_mins(1);
