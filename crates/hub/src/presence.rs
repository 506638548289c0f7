//! Who is online: what all nodes say, together.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;

use switchboard_event::{Id, TenantId, Timestamp, UserId};

/// The people of one partition who are on any node.
///
/// A person is as present as the node that says most of them: online on one and away on another is
/// online.
#[derive(Debug, Default)]
pub struct Presence {
    tenants: HashMap<TenantId, BTreeMap<UserId, Known>>,
}

/// How somebody is there.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Status {
    /// They are, and look at something else.
    Away,
    /// They are.
    Online,
}

/// What there is to hear of a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Update {
    /// Whose colleague.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// How they are now; `None` if they are offline.
    pub status: Option<Status>,
    /// When they were last there.
    pub seen_at: Timestamp,
}

/// What one node says of a person.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeWord {
    /// Whose colleague.
    pub tenant: TenantId,
    /// Who.
    pub user: UserId,
    /// Which node says so.
    pub node: Id,
    /// How they are there; `None` if they are not.
    pub status: Option<Status>,
    /// When they were last there.
    pub seen_at: Timestamp,
}

/// What nodes say of a person; never empty while it is kept. Most people are on one node.
#[derive(Debug, Default)]
struct Known {
    first: Option<(Id, Status)>,
    rest: Option<Box<Others>>,
}

/// What others say than the first.
#[derive(Debug, Default)]
struct Others(Vec<(Id, Status)>);

impl Presence {
    /// Takes what a node says, in place of what it said of the same person before. Answers what
    /// changed by it.
    pub fn hear(&mut self, word: NodeWord) -> Option<Update> {
        let NodeWord {
            tenant,
            user,
            node,
            status,
            seen_at,
        } = word;
        let people = match status {
            Some(_) => self.tenants.entry(tenant.clone()).or_default(),
            None => self.tenants.get_mut(&tenant)?,
        };
        let before = people.get(&user).and_then(Known::status);
        let after = if let Some(status) = status {
            let known = people.entry(user.clone()).or_default();
            known.hear(node, status);
            known.status()
        } else {
            let known = people.get_mut(&user)?;
            known.forget(&node);
            let after = known.status();
            if after.is_none() {
                people.remove(&user);
            }
            after
        };
        if people.is_empty() {
            self.tenants.remove(&tenant);
        }
        (before != after).then_some(Update {
            tenant,
            user,
            status: after,
            seen_at,
        })
    }

    /// Makes it so that exactly `words` are said, but of whom `heard` names: of them something newer
    /// was heard since the words were collected. Answers what changed by it.
    pub fn reconcile(
        &mut self,
        words: Vec<NodeWord>,
        heard: &HashSet<(TenantId, UserId)>,
        now: Timestamp,
    ) -> Vec<Update> {
        let is_newer = |tenant: &TenantId, user: &UserId| {
            !heard.is_empty() && heard.contains(&(tenant.clone(), user.clone()))
        };
        let mut listed = HashSet::new();
        for word in &words {
            listed.insert((word.tenant.clone(), word.user.clone(), word.node.clone()));
        }
        let mut stale = Vec::new();
        for (tenant, people) in &self.tenants {
            for (user, known) in people {
                for (node, _) in known.words() {
                    let name = (tenant.clone(), user.clone(), node.clone());
                    if !is_newer(tenant, user) && !listed.contains(&name) {
                        stale.push(name);
                    }
                }
            }
        }
        let gone = stale.into_iter().map(|(tenant, user, node)| NodeWord {
            tenant,
            user,
            node,
            status: None,
            seen_at: now,
        });
        // First what is said, so that who has gone from one node to another was never offline.
        let words = words.into_iter().chain(gone);
        let words = words.filter(|word| !is_newer(&word.tenant, &word.user));
        words.filter_map(|word| self.hear(word)).collect()
    }

    /// How a person is.
    #[must_use]
    pub fn status(&self, tenant: &TenantId, user: &UserId) -> Option<Status> {
        self.tenants.get(tenant)?.get(user)?.status()
    }

    /// How many nodes beside `node` say that a person is there.
    #[must_use]
    pub fn elsewhere(&self, tenant: &TenantId, user: &UserId, node: &Id) -> usize {
        let known = self.tenants.get(tenant).and_then(|all| all.get(user));
        let words = known.into_iter().flat_map(Known::words);
        words.filter(|(said_by, _)| said_by != node).count()
    }

    /// The people of a tenant who are there, in the order of their ids, behind `after`.
    pub fn people(
        &self,
        tenant: &TenantId,
        after: Option<&UserId>,
    ) -> impl Iterator<Item = (&UserId, Status)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let people = self.tenants.get(tenant);
        let people = people.map(|people| people.range::<UserId, _>((from, Bound::Unbounded)));
        let people = people.into_iter().flatten();
        people.filter_map(|(user, known)| Some((user, known.status()?)))
    }

    /// How many people of a tenant are there.
    #[must_use]
    pub fn team_size(&self, tenant: &TenantId) -> usize {
        self.tenants.get(tenant).map_or(0, BTreeMap::len)
    }
}

impl Status {
    /// The word on the wire, and in stores.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Online => "online",
        }
    }

    /// Reads what [`as_str`](Self::as_str) gave.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "away" => Some(Self::Away),
            "online" => Some(Self::Online),
            _ => None,
        }
    }
}

impl Known {
    /// Takes what `node` says, in place of what it said before.
    fn hear(&mut self, node: Id, status: Status) {
        let rest = self.rest.iter_mut().flat_map(|rest| rest.0.iter_mut());
        let mut words = self.first.iter_mut().chain(rest);
        if let Some((_, said)) = words.find(|(known, _)| *known == node) {
            *said = status;
        } else if self.first.is_none() {
            self.first = Some((node, status));
        } else {
            self.rest.get_or_insert_default().0.push((node, status));
        }
    }

    /// Forgets what `node` says.
    fn forget(&mut self, node: &Id) {
        self.first.take_if(|(known, _)| known == node);
        if let Some(rest) = &mut self.rest {
            rest.0.retain(|(known, _)| known != node);
            self.first = self.first.take().or_else(|| rest.0.pop());
        }
        self.rest.take_if(|rest| rest.0.is_empty());
    }

    fn words(&self) -> impl Iterator<Item = &(Id, Status)> {
        let rest = self.rest.iter().flat_map(|rest| rest.0.iter());
        self.first.iter().chain(rest)
    }

    fn status(&self) -> Option<Status> {
        self.words().map(|(_, status)| *status).max()
    }
}
