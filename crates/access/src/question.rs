//! What is asked, and what an invalidation is about.

use switchboard_event::{Room, RoomKind, TenantId, UserId};

/// May this user of this tenant hear this room?
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Question {
    /// The customer whose user and room these are.
    pub tenant: TenantId,
    /// Who wishes to hear.
    pub user: UserId,
    /// What. The list of all contacts (`contacts:{tenant}`) stands for every contact there is.
    pub room: Room,
}

/// The answers that do not count any more.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Selection {
    /// Those of this tenant,
    pub tenant: TenantId,
    /// about this user, or about everybody,
    pub user: Option<UserId>,
    /// about these rooms.
    pub rooms: Selected,
}

/// Which rooms an invalidation is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selected {
    /// All of them.
    All,
    /// Those of a kind; with contacts the list of all contacts, with accounts their inner rooms.
    Kind(RoomKind),
    /// This one; with an account its inner room.
    One(Room),
}

impl Question {
    /// The kind of the room in a word: that of its name, but `link` for an account's inner room,
    /// which is about pairing.
    #[must_use]
    pub fn kind(&self) -> &str {
        kind(self.room.kind())
    }

    /// Which one of its kind; `*` where it is about every contact.
    #[must_use]
    pub fn id(&self) -> &str {
        match self.room.kind() {
            RoomKind::Contacts => "*",
            _ => self.room.id(),
        }
    }
}

impl Selection {
    /// Whether the answer to `question` is among them.
    #[must_use]
    pub fn covers(&self, question: &Question) -> bool {
        self.tenant == question.tenant
            && self.user.as_ref().is_none_or(|user| *user == question.user)
            && self.rooms.covers(&question.room)
    }
}

impl Selected {
    /// Whether `room` is one of them.
    #[must_use]
    pub fn covers(&self, room: &Room) -> bool {
        match self {
            Self::All => true,
            Self::Kind(kind) => kind.includes(room.kind()),
            Self::One(one) => one.includes(room),
        }
    }
}

/// The word for a kind of room: in the settings, in what is asked and in what is told.
#[must_use]
pub fn kind(kind: &RoomKind) -> &str {
    match kind {
        RoomKind::WhatsappLink => "link",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_a_word_for_its_kind_and_an_id() {
        for (room, kind, id) in [
            ("whatsapp:1", "whatsapp", "1"),
            ("whatsapp:1:link", "link", "1"),
            ("contact:42", "contact", "42"),
            ("contacts:acme", "contacts", "*"),
            ("order:7", "order", "7"),
        ] {
            let question = question("acme", "ana", room);
            assert_eq!((question.kind(), question.id()), (kind, id));
        }
    }

    #[test]
    fn a_selection_covers_what_belongs_to_it_and_nothing_of_another_tenant() {
        let selection = |user: Option<&str>, rooms: Selected| Selection {
            tenant: "acme".parse().unwrap(),
            user: user.map(|user| user.parse().unwrap()),
            rooms,
        };
        let one = |room: &str| Selected::One(room.parse().unwrap());
        for (selection, covered, not_covered) in [
            (
                selection(None, Selected::All),
                question("acme", "ana", "contact:1"),
                question("other", "ana", "contact:1"),
            ),
            (
                selection(Some("ana"), Selected::All),
                question("acme", "ana", "flow:1"),
                question("acme", "rui", "flow:1"),
            ),
            (
                selection(None, Selected::Kind(RoomKind::Contact)),
                question("acme", "ana", "contacts:acme"),
                question("acme", "ana", "whatsapp:1"),
            ),
            (
                selection(None, Selected::Kind(RoomKind::Whatsapp)),
                question("acme", "ana", "whatsapp:1:link"),
                question("acme", "ana", "flow:1"),
            ),
            (
                selection(None, Selected::Kind(RoomKind::WhatsappLink)),
                question("acme", "ana", "whatsapp:1:link"),
                question("acme", "ana", "whatsapp:1"),
            ),
            (
                selection(None, one("whatsapp:1")),
                question("acme", "ana", "whatsapp:1:link"),
                question("acme", "ana", "whatsapp:2:link"),
            ),
            (
                selection(None, one("contact:1")),
                question("acme", "ana", "contact:1"),
                question("acme", "ana", "contacts:acme"),
            ),
        ] {
            assert!(selection.covers(&covered), "{selection:?} {covered:?}");
            assert!(
                !selection.covers(&not_covered),
                "{selection:?} {not_covered:?}"
            );
        }
    }

    fn question(tenant: &str, user: &str, room: &str) -> Question {
        Question {
            tenant: tenant.parse().unwrap(),
            user: user.parse().unwrap(),
            room: room.parse().unwrap(),
        }
    }
}
