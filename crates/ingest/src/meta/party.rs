//! Who is on the other side of a message: a person, or a group with a person in it.

use std::borrow::Cow;

use serde::Serialize;

use super::{Context, owned};
use crate::derived::{Address, contact_id};
use crate::node::Node;
use crate::source::Ignored;

/// The other side of a conversation, and who of it speaks.
pub(super) struct Party {
    /// The contact whose conversation this is: the group, if there is one.
    pub(super) contact_id: String,
    pub(super) person: Person,
    pub(super) group_id: Option<String>,
}

/// A person as the body describes them.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Person {
    /// Only of someone in a group, whose id is not the conversation's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) username: Option<String>,
}

impl Party {
    /// Who wrote an incoming message.
    pub(super) fn sender(context: &Context<'_>, message: Node<'_>) -> Result<Self, Ignored> {
        let person = Person::find(context, message.text("from"), message.text("from_user_id"));
        Self::new(context, person, owned(message.text("group_id")))
    }

    /// Whom a status is about: to whom the message went, or the participant of the group.
    pub(super) fn recipient(context: &Context<'_>, status: Node<'_>) -> Result<Self, Ignored> {
        if status.text("recipient_type").as_deref() == Some("group") {
            let person = Person::find(
                context,
                status.text("recipient_participant_id"),
                status.text("recipient_participant_user_id"),
            );
            return Self::new(context, person, owned(status.text("recipient_id")));
        }
        let person = Person::find(
            context,
            status.text("recipient_id"),
            status.text("recipient_user_id"),
        );
        Self::new(context, person, None)
    }

    fn new(
        context: &Context<'_>,
        mut person: Person,
        group_id: Option<String>,
    ) -> Result<Self, Ignored> {
        let person_id = person
            .address()
            .map(|address| contact_id(context.tenant, address));
        let contact_id = match &group_id {
            Some(group) => {
                person.id = person_id;
                contact_id(context.tenant, Address::Group(group))
            }
            None => person_id.ok_or(Ignored::Malformed)?,
        };
        Ok(Self {
            contact_id,
            person,
            group_id,
        })
    }

    /// What tells the people of a group apart; empty outside of a group.
    pub(super) fn participant(&self) -> &str {
        self.person.id.as_deref().unwrap_or_default()
    }
}

impl Person {
    /// The person with this phone number or user id, and what `contacts` adds about them.
    ///
    /// Entries are matched by address, never by index.
    fn find(
        context: &Context<'_>,
        phone: Option<Cow<'_, str>>,
        user_id: Option<Cow<'_, str>>,
    ) -> Self {
        let known = context.value.items("contacts").find(|contact| {
            (phone.is_some() && contact.text("wa_id") == phone)
                || (user_id.is_some() && contact.text("user_id") == user_id)
        });
        let mut person = Self {
            phone: owned(phone),
            user_id: owned(user_id),
            ..Self::default()
        };
        if let Some(contact) = known {
            let profile = contact.at("profile");
            person.phone = person.phone.or_else(|| owned(contact.text("wa_id")));
            person.user_id = person.user_id.or_else(|| owned(contact.text("user_id")));
            person.name = owned(profile.text("name"));
            person.username = owned(profile.text("username"));
        }
        person
    }

    /// The phone number if there is one, since it is known longest.
    fn address(&self) -> Option<Address<'_>> {
        match (&self.phone, &self.user_id) {
            (Some(phone), _) => Some(Address::Phone(phone)),
            (None, Some(user)) => Some(Address::User(user)),
            (None, None) => None,
        }
    }
}
