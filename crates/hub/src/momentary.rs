//! Facts about contacts that hold for a while: who types, who looks.

use std::collections::btree_map::Entry as MapEntry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use switchboard_event::{Id, TenantId, Timestamp, UserId};

/// What is so right now about the contacts of one partition, as far as it ends by itself.
///
/// A fact holds while any *voice* says so: a socket, a gateway. A word lasts until a time of its
/// own; the same voice may say it again, for longer or for less, and saying it again changes
/// nothing that anybody has to hear. `V` is what is said beside the fact; another value is a change.
#[derive(Debug)]
pub struct Momentary<V> {
    contacts: HashMap<Contact, BTreeMap<Subject, Entry<V>>>,
    /// When words end, of all facts: the one order of deadlines.
    ends: BTreeSet<(Timestamp, Fact, Id)>,
    /// How many facts each tenant has.
    counts: HashMap<TenantId, usize>,
    limits: MomentaryLimits,
}

/// How much of it there may be.
#[derive(Clone, Copy, Debug)]
pub struct MomentaryLimits {
    /// Most facts of one tenant, default 10,000; each costs about 300 bytes.
    pub tenant_max: usize,
    /// Most facts of one contact, default 100.
    pub contact_max: usize,
    /// Most voices of one fact, default 16: the tabs of one person.
    pub voices_max: usize,
}

/// Something that may be so of a contact.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Fact {
    /// Of which one.
    pub contact: Contact,
    /// What.
    pub subject: Subject,
}

/// A contact of a tenant.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Contact {
    /// Whose contact.
    pub tenant: TenantId,
    /// Which one.
    pub id: Id,
}

/// What may be so of a contact.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Subject {
    /// The contact types to this account.
    Contact {
        /// The account.
        account: Id,
    },
    /// A colleague types an answer.
    Typing {
        /// The account that the answer goes through.
        account: Id,
        /// The colleague.
        user: UserId,
    },
    /// A colleague looks at the contact.
    Viewing {
        /// The colleague.
        user: UserId,
    },
}

/// What there is to hear.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change<V> {
    /// About what.
    pub fact: Fact,
    /// Which way it went.
    pub turn: Turn,
    /// What was said last.
    pub value: V,
}

/// Which way a fact went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Turn {
    /// It holds now, and did not before.
    Began,
    /// It still holds, with another value.
    Changed,
    /// It does not hold any more.
    Ended,
}

/// A word was not taken, because there are too many already.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{count_max} at once are the limit")]
pub struct Crowded {
    /// How many there may be.
    pub count_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    /// Who says so, and until when. Never empty.
    words: Vec<(Id, Timestamp)>,
}

impl Default for MomentaryLimits {
    fn default() -> Self {
        Self {
            tenant_max: 10_000,
            contact_max: 100,
            voices_max: 16,
        }
    }
}

impl<V: Clone + PartialEq> Momentary<V> {
    /// Nothing is so.
    #[must_use]
    pub fn new(limits: MomentaryLimits) -> Self {
        Self {
            contacts: HashMap::new(),
            ends: BTreeSet::new(),
            counts: HashMap::new(),
            limits,
        }
    }

    /// `voice` says `value` of `fact`, until `until`; a time that is over takes its word back.
    ///
    /// # Errors
    ///
    /// [`Crowded`] if the word would be one too many; nothing changes then.
    pub fn say(
        &mut self,
        fact: Fact,
        voice: &Id,
        value: V,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Option<Change<V>>, Crowded> {
        if until <= now {
            return Ok(self.unsay(&fact, voice));
        }
        let is_new = self.entry(&fact).is_none();
        if is_new {
            self.check_room(&fact.contact)?;
            *self.counts.entry(fact.contact.tenant.clone()).or_default() += 1;
        }
        let subjects = self.contacts.entry(fact.contact.clone()).or_default();
        let entry = match subjects.entry(fact.subject.clone()) {
            MapEntry::Occupied(entry) => entry.into_mut(),
            MapEntry::Vacant(entry) => entry.insert(Entry {
                value: value.clone(),
                words: Vec::with_capacity(1),
            }),
        };
        if let Some((_, end)) = entry.words.iter_mut().find(|(known, _)| known == voice) {
            self.ends.remove(&(*end, fact.clone(), voice.clone()));
            *end = until;
        } else if entry.words.len() < self.limits.voices_max {
            entry.words.push((voice.clone(), until));
        } else {
            let count_max = self.limits.voices_max;
            return Err(Crowded { count_max });
        }
        self.ends.insert((until, fact.clone(), voice.clone()));
        let turn = match is_new {
            true => Turn::Began,
            false if entry.value != value => Turn::Changed,
            false => return Ok(None),
        };
        entry.value = value.clone();
        Ok(Some(Change { fact, turn, value }))
    }

    /// `voice` says nothing of `fact` any more.
    pub fn unsay(&mut self, fact: &Fact, voice: &Id) -> Option<Change<V>> {
        let subjects = self.contacts.get_mut(&fact.contact)?;
        let words = &mut subjects.get_mut(&fact.subject)?.words;
        let index = words.iter().position(|(known, _)| known == voice)?;
        let (voice, end) = words.swap_remove(index);
        let is_over = words.is_empty();
        self.ends.remove(&(end, fact.clone(), voice));
        is_over.then(|| self.remove(fact)).flatten()
    }

    /// `fact` is over, whoever says it.
    pub fn end(&mut self, fact: &Fact) -> Option<Change<V>> {
        let words = &self.entry(fact)?.words;
        for (voice, end) in words.clone() {
            self.ends.remove(&(end, fact.clone(), voice));
        }
        self.remove(fact)
    }

    /// Ends the next word whose time is over. To be called until it returns `None`.
    pub fn expire(&mut self, now: Timestamp) -> Option<Change<V>> {
        while let Some((end, ..)) = self.ends.first()
            && *end <= now
        {
            let (_, fact, voice) = self.ends.pop_first()?;
            if let Some(change) = self.forget(&fact, &voice) {
                return Some(change);
            }
        }
        None
    }

    /// When [`expire`](Self::expire) is due.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.ends.first().map(|(end, ..)| *end)
    }

    /// What is so of a contact, in order.
    pub fn of(&self, contact: &Contact) -> impl Iterator<Item = (&Subject, &V)> {
        let subjects = self.contacts.get(contact).into_iter().flatten();
        subjects.map(|(subject, entry)| (subject, &entry.value))
    }

    /// Whether anything is so of any contact of `tenant`.
    #[must_use]
    pub fn speaks_of(&self, tenant: &TenantId) -> bool {
        self.counts.contains_key(tenant)
    }

    /// How many facts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.counts.values().sum()
    }

    fn entry(&self, fact: &Fact) -> Option<&Entry<V>> {
        self.contacts.get(&fact.contact)?.get(&fact.subject)
    }

    /// Whether the contact and its tenant may have one more.
    fn check_room(&self, contact: &Contact) -> Result<(), Crowded> {
        let of_tenant = self.counts.get(&contact.tenant).copied().unwrap_or(0);
        let of_contact = self.contacts.get(contact).map_or(0, BTreeMap::len);
        let limits = [
            (of_tenant, self.limits.tenant_max),
            (of_contact, self.limits.contact_max),
        ];
        match limits.into_iter().find(|(count, max)| count >= max) {
            Some((_, count_max)) => Err(Crowded { count_max }),
            None => Ok(()),
        }
    }

    /// Drops a word whose end was taken out already.
    fn forget(&mut self, fact: &Fact, voice: &Id) -> Option<Change<V>> {
        let subjects = self.contacts.get_mut(&fact.contact)?;
        let words = &mut subjects.get_mut(&fact.subject)?.words;
        words.retain(|(known, _)| known != voice);
        let is_over = words.is_empty();
        is_over.then(|| self.remove(fact)).flatten()
    }

    /// Removes a fact that has no words in the order of ends any more.
    fn remove(&mut self, fact: &Fact) -> Option<Change<V>> {
        let subjects = self.contacts.get_mut(&fact.contact)?;
        let entry = subjects.remove(&fact.subject)?;
        if subjects.is_empty() {
            self.contacts.remove(&fact.contact);
        }
        let tenant = &fact.contact.tenant;
        if let Some(count) = self.counts.get_mut(tenant) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(tenant);
            }
        }
        Some(Change {
            fact: fact.clone(),
            turn: Turn::Ended,
            value: entry.value,
        })
    }
}
