//! Between what is said, what is so, and what clients are told.

use serde::Deserialize;
use switchboard_event::payload::{
    ContactTyping, PresenceStatus, PresenceUpdate, PresenceViewing, TypingIndicator,
};
use switchboard_event::{Audience, FleetingEvent, Id, Payload, Room, Timestamp, UserId};
use switchboard_hub::{Change, Contact, Fact, NodeWord, Status, Subject, Turn, Update};

use super::{Told, Utterance};

/// What somebody said.
pub(super) enum Heard {
    /// That a fact holds until then; a time that is over says that it does not.
    Fact {
        fact: Fact,
        told: Told,
        until: Timestamp,
    },
    /// How a person is on a node.
    Person(NodeWord),
}

/// What a message tells of who wrote it.
pub(super) struct MessageFacts {
    pub(super) contact: Id,
    pub(super) account: Id,
    /// The colleague, if its producer tells.
    pub(super) user: Option<UserId>,
}

impl Heard {
    /// Reads an event that is so for a moment; `None` if it is none of those that are kept.
    pub(super) fn read(event: &FleetingEvent) -> Option<Self> {
        let fact = |contact_id, subject, is_so, told| {
            let contact = Contact {
                tenant: event.tenant.clone(),
                id: contact_id,
            };
            Self::Fact {
                fact: Fact { contact, subject },
                told,
                until: if is_so {
                    event.expires_at
                } else {
                    Timestamp::MIN
                },
            }
        };
        match &*event.name {
            TypingIndicator::EVENT => {
                let said: TypingIndicator = serde_json::from_slice(&event.data).ok()?;
                let subject = Subject::Typing {
                    account: said.whatsapp_account_id,
                    user: said.user_id.into(),
                };
                Some(fact(
                    said.contact_id,
                    subject,
                    said.is_typing,
                    Told::Colleague,
                ))
            }
            PresenceViewing::EVENT => {
                let said: PresenceViewing = serde_json::from_slice(&event.data).ok()?;
                let user = said.user_id.into();
                let subject = Subject::Viewing { user };
                Some(fact(
                    said.contact_id,
                    subject,
                    said.is_viewing,
                    Told::Colleague,
                ))
            }
            ContactTyping::EVENT => {
                let said: ContactTyping = serde_json::from_slice(&event.data).ok()?;
                let told = Told::Contact {
                    kind: said.kind.map(|kind| kind.as_str().into()),
                    audience: event.audience.clone(),
                };
                let account = said.whatsapp_account_id;
                let subject = Subject::Contact { account };
                Some(fact(said.contact_id, subject, said.is_typing, told))
            }
            PresenceUpdate::EVENT => {
                let said: PresenceUpdate = serde_json::from_slice(&event.data).ok()?;
                let seen_at = said
                    .last_seen_at
                    .and_then(|time| time.as_str().parse().ok());
                Some(Self::Person(NodeWord {
                    tenant: event.tenant.clone(),
                    user: said.user_id.into(),
                    node: event.voice.clone(),
                    status: Status::from_word(said.status.as_str()),
                    seen_at: seen_at.unwrap_or(Timestamp::MIN),
                }))
            }
            _ => None,
        }
    }
}

impl Utterance {
    /// What those are told who look at a contact. A contact's own typing is told as it came in
    /// `data`.
    pub(super) fn of_change(change: Change<Told>, data: Option<&[u8]>, now: Timestamp) -> Self {
        let Change { fact, turn, value } = change;
        let Contact { tenant, id } = fact.contact;
        let is_so = turn != Turn::Ended;
        let (name, payload, audience) = match fact.subject {
            Subject::Typing { account, user } => {
                let audience = colleagues(&id, &user);
                let payload = typing(&id, &account, &user, is_so, now);
                (TypingIndicator::EVENT, payload, audience)
            }
            Subject::Viewing { user } => {
                let audience = colleagues(&id, &user);
                let payload = viewing(&id, &user, is_so, now);
                (PresenceViewing::EVENT, payload, audience)
            }
            Subject::Contact { account } => {
                let audience = match value {
                    Told::Contact { audience, .. } => audience,
                    Told::Colleague => Audience::default(),
                };
                let payload = match data {
                    Some(data) => data.to_vec(),
                    None => text(&ContactTyping {
                        contact_id: id,
                        whatsapp_account_id: account,
                        is_typing: false,
                        kind: None,
                        timestamp: Some(now.into()),
                    }),
                };
                (ContactTyping::EVENT, payload, audience)
            }
        };
        Self {
            tenant,
            name,
            data: payload,
            audience,
        }
    }

    /// What a team is told of one of them.
    pub(super) fn of_update(update: Update, now: Timestamp) -> Self {
        let status = update.status;
        // Who is there is seen now.
        let seen_at = status.map_or(update.seen_at, |_| now);
        Self {
            name: PresenceUpdate::EVENT,
            data: presence(&update.user, status, seen_at, now),
            audience: Audience {
                rooms: vec![Room::team(&update.tenant)],
                except: Vec::new(),
            },
            tenant: update.tenant,
        }
    }
}

/// The payload of `typing:indicator`.
pub(super) fn typing(
    contact: &Id,
    account: &Id,
    user: &UserId,
    is_typing: bool,
    now: Timestamp,
) -> Vec<u8> {
    text(&TypingIndicator {
        contact_id: contact.clone(),
        whatsapp_account_id: account.clone(),
        is_typing,
        user_id: user.clone().into(),
        timestamp: Some(now.into()),
    })
}

/// The payload of `presence:viewing`.
pub(super) fn viewing(contact: &Id, user: &UserId, is_viewing: bool, now: Timestamp) -> Vec<u8> {
    text(&PresenceViewing {
        contact_id: contact.clone(),
        user_id: user.clone().into(),
        is_viewing,
        timestamp: Some(now.into()),
    })
}

/// The payload of `presence:update`.
pub(super) fn presence(
    user: &UserId,
    status: Option<Status>,
    seen_at: Timestamp,
    now: Timestamp,
) -> Vec<u8> {
    text(&PresenceUpdate {
        user_id: user.clone().into(),
        status: match status {
            Some(Status::Online) => PresenceStatus::Online,
            Some(Status::Away) => PresenceStatus::Away,
            None => PresenceStatus::Offline,
        },
        last_seen_at: Some(seen_at.into()),
        timestamp: Some(now.into()),
    })
}

/// Whoever looks at a contact, but for the sockets of the colleague that it is about.
pub(super) fn colleagues(contact: &Id, user: &UserId) -> Audience {
    Audience {
        rooms: vec![Room::contact(contact)],
        except: vec![Room::user(user)],
    }
}

/// Reads what a `message:sent` or `message:received` tells of who wrote it: `userId` is beyond the
/// contract, beside the message or in it.
pub(super) fn message_of(data: &[u8]) -> Option<MessageFacts> {
    #[derive(Deserialize)]
    struct Outer {
        message: Inner,
        #[serde(default, rename = "userId")]
        user: Option<UserId>,
    }
    #[derive(Deserialize)]
    struct Inner {
        #[serde(rename = "contactId")]
        contact: Id,
        #[serde(rename = "whatsappAccountId")]
        account: Id,
        #[serde(default, rename = "userId")]
        user: Option<UserId>,
    }

    let Outer { message, user } = serde_json::from_slice(data).ok()?;
    Some(MessageFacts {
        contact: message.contact,
        account: message.account,
        user: message.user.or(user),
    })
}

fn text(payload: &impl Payload) -> Vec<u8> {
    serde_json::to_vec(payload).expect("payloads have text keys")
}
