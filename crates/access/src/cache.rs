//! What was answered, with its end.

use std::collections::{BTreeMap, HashMap};

use switchboard_event::{Room, TenantId, UserId};
use tokio::time::Instant;

use crate::question::{Question, Selected, Selection};

/// Answers until they end. Bounded: when it is full, what would end first goes first, so that the
/// many short noes of somebody who guesses ids push nobody's yes out.
///
/// Reads no clock: `now` is an argument.
#[derive(Debug)]
pub(crate) struct Cache {
    entries_max: usize,
    by_user: HashMap<(TenantId, UserId), HashMap<Room, Entry>>,
    by_end: BTreeMap<EndKey, Question>,
    inserted: u64,
}

/// Entries by their end, and those of one end by their age.
type EndKey = (Instant, u64);

#[derive(Clone, Copy, Debug)]
struct Entry {
    is_allowed: bool,
    lapses_at: Instant,
    end: EndKey,
}

/// An answer and when it ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Kept {
    pub(crate) is_allowed: bool,
    pub(crate) until: Instant,
    pub(crate) lapses_at: Instant,
}

impl Cache {
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            entries_max,
            by_user: HashMap::new(),
            by_end: BTreeMap::new(),
            inserted: 0,
        }
    }

    /// Keeps an answer, instead of an earlier one.
    pub(crate) fn insert(&mut self, question: &Question, kept: Kept) {
        if self.entries_max == 0 {
            return;
        }
        self.remove(question);
        while self.len() >= self.entries_max {
            let Some((_, soonest)) = self.by_end.pop_first() else {
                break;
            };
            self.forget(&soonest);
        }
        self.inserted += 1;
        let end = (kept.until, self.inserted);
        let user = (question.tenant.clone(), question.user.clone());
        let entry = Entry {
            is_allowed: kept.is_allowed,
            lapses_at: kept.lapses_at,
            end,
        };
        let rooms = self.by_user.entry(user).or_default();
        rooms.insert(question.room.clone(), entry);
        self.by_end.insert(end, question.clone());
    }

    /// Forgets what `selection` covers, and returns how much that was.
    pub(crate) fn invalidate(&mut self, selection: &Selection) -> usize {
        let questions = self.covered(selection);
        for question in &questions {
            self.remove(question);
        }
        questions.len()
    }

    /// Forgets what has ended.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(soonest) = self.by_end.first_entry() {
            if soonest.key().0 > now {
                return;
            }
            let question = soonest.remove();
            self.forget(&question);
        }
    }

    /// The answer to `question`, if it has not ended.
    pub(crate) fn find(&self, question: &Question, now: Instant) -> Option<Kept> {
        let user = (question.tenant.clone(), question.user.clone());
        let entry = self.by_user.get(&user)?.get(&question.room)?;
        let (until, _) = entry.end;
        (until > now).then_some(Kept {
            is_allowed: entry.is_allowed,
            until,
            lapses_at: entry.lapses_at,
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.by_end.len()
    }

    /// What a selection of one room or one user costs does not grow with all that is kept.
    fn covered(&self, selection: &Selection) -> Vec<Question> {
        let mut covered = Vec::new();
        let mut visit = |user: &(TenantId, UserId), rooms: &HashMap<Room, Entry>| {
            let question = |room: &Room| Question {
                tenant: user.0.clone(),
                user: user.1.clone(),
                room: room.clone(),
            };
            match &selection.rooms {
                Selected::One(room) if !matches!(room.kind().as_str(), "whatsapp") => {
                    covered.extend(rooms.get_key_value(room).map(|(room, _)| question(room)));
                }
                rooms_of => {
                    let of_selection = rooms.keys().filter(|room| rooms_of.covers(room));
                    covered.extend(of_selection.map(question));
                }
            }
        };
        match &selection.user {
            Some(user) => {
                let user = (selection.tenant.clone(), user.clone());
                if let Some(rooms) = self.by_user.get(&user) {
                    visit(&user, rooms);
                }
            }
            None => {
                for (user, rooms) in &self.by_user {
                    if user.0 == selection.tenant {
                        visit(user, rooms);
                    }
                }
            }
        }
        covered
    }

    fn remove(&mut self, question: &Question) {
        if let Some(entry) = self.forget(question) {
            self.by_end.remove(&entry.end);
        }
    }

    /// Takes a question out of its user's, and leaves it among the ends.
    fn forget(&mut self, question: &Question) -> Option<Entry> {
        let user = (question.tenant.clone(), question.user.clone());
        let rooms = self.by_user.get_mut(&user)?;
        let entry = rooms.remove(&question.room);
        if rooms.is_empty() {
            self.by_user.remove(&user);
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_answer_ends_at_its_end() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        cache.insert(&question("ana", "contact:1"), yes(now, 60));

        let find = |seconds| cache.find(&question("ana", "contact:1"), at(now, seconds));

        assert_eq!(find(59).map(|kept| kept.is_allowed), Some(true));
        assert_eq!(find(60), None);
    }

    #[test]
    fn what_would_end_first_makes_space() {
        let mut cache = Cache::new(3);
        let now = Instant::now();
        cache.insert(&question("ana", "contact:1"), yes(now, 60));
        for id in 0..10 {
            cache.insert(&question("eve", &format!("contact:{id}")), no(now, 5));
        }

        assert_eq!(cache.len(), 3);
        assert!(cache.find(&question("ana", "contact:1"), now).is_some());
        assert!(cache.find(&question("eve", "contact:9"), now).is_some());
        assert!(cache.find(&question("eve", "contact:0"), now).is_none());
    }

    #[test]
    fn an_invalidation_takes_what_it_covers_and_leaves_the_rest() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        for (user, room) in [
            ("ana", "whatsapp:1"),
            ("ana", "whatsapp:1:link"),
            ("ana", "contact:1"),
            ("rui", "contact:1"),
        ] {
            cache.insert(&question(user, room), yes(now, 60));
        }
        let selection = |user: Option<&str>, rooms| Selection {
            tenant: "acme".parse().unwrap(),
            user: user.map(|user| user.parse().unwrap()),
            rooms,
        };

        let account = Selected::One("whatsapp:1".parse().unwrap());
        assert_eq!(cache.invalidate(&selection(None, account)), 2);
        let contact = Selected::One("contact:1".parse().unwrap());
        assert_eq!(cache.invalidate(&selection(Some("ana"), contact)), 1);
        assert!(cache.find(&question("rui", "contact:1"), now).is_some());
        assert_eq!(cache.invalidate(&selection(None, Selected::All)), 1);
        assert_eq!((cache.len(), cache.by_user.len()), (0, 0));
    }

    /// One thing that happens to a cache.
    #[derive(Clone, Debug)]
    enum Step {
        Insert(u8, u8, bool, u8),
        Invalidate(Option<u8>, Option<u8>),
        Wait(u8),
    }

    proptest! {
        /// Against a plain map: never an answer that was not given, that ended or that was
        /// invalidated; never more than the limit; and without the limit nothing is forgotten.
        #[test]
        fn it_answers_as_a_plain_map_does_within_its_limit(
            steps in prop::collection::vec(step(), 0..200),
            entries_max in prop_oneof![Just(4_usize), Just(1_000)],
        ) {
            let mut cache = Cache::new(entries_max);
            let mut model: HashMap<(u8, u8), Kept> = HashMap::new();
            let mut now = Instant::now();
            for step in steps {
                match step {
                    Step::Insert(user, room, is_allowed, seconds) => {
                        let kept = Kept {
                            is_allowed,
                            until: at(now, seconds.into()),
                            lapses_at: at(now, 600),
                        };
                        cache.insert(&numbered(user, room), kept);
                        model.insert((user, room), kept);
                    }
                    Step::Invalidate(user, room) => {
                        cache.invalidate(&Selection {
                            tenant: "acme".parse().unwrap(),
                            user: user.map(|user| numbered(user, 0).user),
                            rooms: room.map_or(Selected::All, |room| {
                                Selected::One(numbered(0, room).room)
                            }),
                        });
                        model.retain(|(u, r), _| {
                            user.is_some_and(|user| user != *u)
                                || room.is_some_and(|room| room != *r)
                        });
                    }
                    Step::Wait(seconds) => {
                        now = at(now, seconds.into());
                        cache.expire(now);
                    }
                }
                prop_assert!(cache.len() <= entries_max);
                let rooms: usize = cache.by_user.values().map(HashMap::len).sum();
                prop_assert_eq!(cache.len(), rooms);
                for user in 0..4 {
                    for room in 0..4 {
                        let found = cache.find(&numbered(user, room), now);
                        let known = model.get(&(user, room)).filter(|kept| kept.until > now);
                        if entries_max > 16 || found.is_some() {
                            prop_assert_eq!(found.as_ref(), known);
                        }
                    }
                }
            }
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let few = || 0..4_u8;
        prop_oneof![
            4 => (few(), few(), any::<bool>(), 0..20_u8)
                .prop_map(|(user, room, yes, ttl)| Step::Insert(user, room, yes, ttl)),
            1 => (prop::option::of(few()), prop::option::of(few()))
                .prop_map(|(user, room)| Step::Invalidate(user, room)),
            1 => (0..10_u8).prop_map(Step::Wait),
        ]
    }

    fn numbered(user: u8, room: u8) -> Question {
        question(&format!("u{user}"), &format!("contact:{room}"))
    }

    fn question(user: &str, room: &str) -> Question {
        Question {
            tenant: "acme".parse().unwrap(),
            user: user.parse().unwrap(),
            room: room.parse().unwrap(),
        }
    }

    fn yes(now: Instant, seconds: u64) -> Kept {
        Kept {
            is_allowed: true,
            until: at(now, seconds),
            lapses_at: at(now, 600),
        }
    }

    fn no(now: Instant, seconds: u64) -> Kept {
        Kept {
            is_allowed: false,
            until: at(now, seconds),
            lapses_at: at(now, 600),
        }
    }

    fn at(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }
}
