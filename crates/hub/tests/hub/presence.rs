//! Who is online, in simulated time.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use proptest::prelude::*;
use switchboard_event::{Id, TenantId, Timestamp, UserId};
use switchboard_hub::{Attendance, NodeWord, Presence, Status, Update};

#[test]
fn several_tabs_are_one_person() {
    let mut team = Team::new();

    team.enter("ana", "a", 0);
    team.enter("ana", "b", 1);
    assert_eq!(team.updates(), [("ana", Some(Status::Online))]);
    team.leave("ana", "a", 2);
    team.pass(60);

    assert_eq!(team.updates(), []);
}

#[test]
fn a_reload_within_the_grace_is_no_absence() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.updates();

    team.leave("ana", "a", 5);
    team.pass(14);
    team.enter("ana", "b", 14);
    team.pass(100);

    assert_eq!(team.updates(), []);
}

#[test]
fn who_stays_away_is_offline_once_and_was_last_seen_when_they_left() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.updates();

    team.leave("ana", "a", 5);
    team.pass(15);

    let words = team.attendance.take_words(10);
    assert_eq!((words[0].status, words[0].left_at), (None, at(5)));
    team.say(words);
    assert_eq!(team.updates(), [("ana", None)]);
    assert_eq!(team.attendance.people().count(), 0);
}

#[test]
fn a_person_is_away_when_all_their_sockets_are() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.enter("ana", "b", 0);
    team.updates();

    team.set("ana", "a", Status::Away, 1);
    assert_eq!(team.updates(), []);
    team.set("ana", "b", Status::Away, 2);
    team.set("ana", "b", Status::Away, 2);
    assert_eq!(team.updates(), [("ana", Some(Status::Away))]);
    team.set("ana", "a", Status::Online, 3);
    assert_eq!(team.updates(), [("ana", Some(Status::Online))]);
}

#[test]
fn closing_the_tab_that_was_looked_at_is_away_after_the_grace() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.enter("ana", "b", 0);
    team.set("ana", "b", Status::Away, 0);
    team.updates();

    team.leave("ana", "a", 1);
    team.pass(10);
    assert_eq!(team.updates(), []);
    team.pass(11);

    assert_eq!(team.updates(), [("ana", Some(Status::Away))]);
}

#[test]
fn a_laptop_that_reconnects_in_a_bag_stays_away() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.set("ana", "a", Status::Away, 1);
    team.updates();

    team.leave("ana", "a", 2);
    team.attendance
        .enter(&acme(), &user("ana"), &id("a"), true, at(3));
    team.pass(100);
    assert_eq!(team.updates(), []);
    // A new page is somebody who is there.
    team.enter("ana", "b", 101);

    assert_eq!(team.updates(), [("ana", Some(Status::Online))]);
}

#[test]
fn what_happened_between_two_looks_is_not_told() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);
    team.leave("ana", "a", 0);
    team.pass(10);
    team.enter("ana", "b", 11);

    assert_eq!(team.updates(), [("ana", Some(Status::Online))]);
}

#[test]
fn who_could_not_be_told_of_is_told_of_later() {
    let mut team = Team::new();
    team.enter("ana", "a", 0);

    let words = team.attendance.take_words(10);
    assert_eq!(words.len(), 1);
    assert_eq!(team.updates(), []);
    team.attendance.put_back(&words[0].tenant, &words[0].user);

    assert_eq!(team.updates(), [("ana", Some(Status::Online))]);
}

#[test]
fn the_node_that_says_most_counts() {
    let mut presence = Presence::default();
    let mut hear = |node, status| {
        presence
            .hear(word("ana", node, status))
            .map(|one| one.status)
    };

    assert_eq!(hear("one", Some(Status::Away)), Some(Some(Status::Away)));
    assert_eq!(
        hear("two", Some(Status::Online)),
        Some(Some(Status::Online))
    );
    assert_eq!(hear("one", None), None);
    assert_eq!(hear("one", None), None);
    assert_eq!(hear("two", Some(Status::Online)), None);
    assert_eq!(hear("two", None), Some(None));
    assert_eq!(presence.team_size(&acme()), 0);
}

#[test]
fn who_came_back_to_another_life_of_the_node_was_never_offline() {
    let mut presence = Presence::default();
    // What a node that was started again finds: the leases of its life before.
    let found = ["ana", "rui"].map(|user| word(user, "before", Some(Status::Online)));
    presence.reconcile(found.into(), &HashSet::new(), at(0));

    assert_eq!(
        presence.hear(word("ana", "now", Some(Status::Online))),
        None
    );
    assert_eq!(presence.hear(word("ana", "before", None)), None);
    let gone = presence.hear(word("rui", "before", None));

    assert_eq!(
        gone.map(|one| (one.user, one.status)),
        Some((user("rui"), None))
    );
    assert_eq!(presence.status(&acme(), &user("ana")), Some(Status::Online));
}

#[test]
fn reconciling_tells_what_was_missed_and_keeps_what_is_newer() {
    let mut presence = Presence::default();
    for user in ["ana", "rui", "eve"] {
        presence.hear(word(user, "one", Some(Status::Online)));
    }
    let listed = [
        word("ana", "one", Some(Status::Away)),
        word("zoe", "two", Some(Status::Online)),
    ];
    let heard = HashSet::from([(acme(), user("eve"))]);

    let updates = presence.reconcile(listed.into(), &heard, at(9));

    let told: BTreeSet<_> = updates
        .iter()
        .map(|one| (one.user.as_str(), one.status))
        .collect();
    let expected = [
        ("ana", Some(Status::Away)),
        ("rui", None),
        ("zoe", Some(Status::Online)),
    ];
    assert_eq!(told, BTreeSet::from(expected));
    let there: Vec<_> = presence.people(&acme(), Some(&user("ana"))).collect();
    assert_eq!(there.len(), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Enter(usize, bool),
    Leave(usize),
    Away(usize),
    Online(usize),
    Pass(i64),
    Tell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..5_usize, any::<bool>()).prop_map(|(socket, back)| Step::Enter(socket, back)),
        3 => (0..5_usize).prop_map(Step::Leave),
        1 => (0..5_usize).prop_map(Step::Away),
        1 => (0..5_usize).prop_map(Step::Online),
        3 => (1..15_i64).prop_map(Step::Pass),
        3 => Just(Step::Tell),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    /// Whatever comes, goes and is said, in any order: a person is there if and only if one of
    /// their sockets is, or was within the grace, and each change is told once.
    #[test]
    fn a_person_is_there_while_a_socket_is_or_was_a_moment_ago(steps in steps()) {
        let mut team = Team::new();
        // Which sockets of two people are there, and when somebody's last one left.
        let mut here: BTreeSet<usize> = BTreeSet::new();
        let mut left: BTreeMap<usize, i64> = BTreeMap::new();
        let mut known: BTreeMap<String, Status> = BTreeMap::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Enter(socket, came_back) => if here.insert(socket) {
                    team.attendance.enter(&acme(), &owner(socket), &name(socket), came_back, at(now));
                },
                Step::Leave(socket) => if here.remove(&socket) {
                    team.attendance.leave(&acme(), &owner(socket), &name(socket), at(now));
                    left.insert(socket % 2, now);
                },
                Step::Away(socket) => if here.contains(&socket) {
                    team.attendance.set(&acme(), &owner(socket), &name(socket), Status::Away, at(now));
                },
                Step::Online(socket) => if here.contains(&socket) {
                    team.attendance.set(&acme(), &owner(socket), &name(socket), Status::Online, at(now));
                },
                Step::Pass(seconds) => {
                    now += seconds;
                    team.pass(now);
                }
                Step::Tell => {
                    for Update { user, status, .. } in team.told() {
                        let before = match status {
                            Some(status) => known.insert(user.as_str().to_owned(), status),
                            None => known.remove(user.as_str()),
                        };
                        prop_assert_ne!(before, status, "told without a change");
                    }
                    for person in 0..2 {
                        let has_socket = here.iter().any(|socket| socket % 2 == person);
                        let in_grace = left.get(&person).is_some_and(|left| now < left + GRACE);
                        let is_known = known.contains_key(owner(person).as_str());
                        prop_assert_eq!(is_known, has_socket || in_grace, "person {}", person);
                    }
                    let waits = left.values().any(|left| now < left + GRACE);
                    prop_assert!(waits || team.attendance.next_end().is_none());
                    prop_assert_eq!(team.attendance.people().count(), known.len());
                }
            }
        }
    }
}

/// One node and what all who listen know.
struct Team {
    attendance: Attendance,
    presence: Presence,
    updates: Vec<Update>,
}

impl Team {
    fn new() -> Self {
        Self {
            attendance: Attendance::new(Duration::from_secs(GRACE.unsigned_abs())),
            presence: Presence::default(),
            updates: Vec::new(),
        }
    }

    fn enter(&mut self, user: &str, socket: &str, now: i64) {
        let user = self::user(user);
        self.attendance
            .enter(&acme(), &user, &id(socket), false, at(now));
    }

    fn leave(&mut self, user: &str, socket: &str, now: i64) {
        let user = self::user(user);
        self.attendance.leave(&acme(), &user, &id(socket), at(now));
    }

    fn set(&mut self, user: &str, socket: &str, status: Status, now: i64) {
        let user = self::user(user);
        self.attendance
            .set(&acme(), &user, &id(socket), status, at(now));
    }

    fn pass(&mut self, now: i64) {
        self.attendance.expire(at(now));
    }

    /// Says some words to everybody.
    fn say(&mut self, words: Vec<switchboard_hub::Word>) {
        self.attendance.settle(&words);
        for word in words {
            self.updates.extend(self.presence.hear(NodeWord {
                tenant: word.tenant,
                user: word.user,
                node: id("one"),
                status: word.status,
                seen_at: word.left_at,
            }));
        }
    }

    /// Says what there is to say, and gives what was heard.
    fn told(&mut self) -> Vec<Update> {
        let words = self.attendance.take_words(100);
        self.say(words);
        std::mem::take(&mut self.updates)
    }

    fn updates(&mut self) -> Vec<(&'static str, Option<Status>)> {
        let told = self.told().into_iter();
        told.map(|one| {
            let name = ["ana", "rui"]
                .into_iter()
                .find(|name| *name == one.user.as_str());
            (name.unwrap(), one.status)
        })
        .collect()
    }
}

fn word(user: &str, node: &str, status: Option<Status>) -> NodeWord {
    NodeWord {
        tenant: acme(),
        user: self::user(user),
        node: id(node),
        status,
        seen_at: at(0),
    }
}

fn owner(socket: usize) -> UserId {
    user(["ana", "rui"][socket % 2])
}

fn name(socket: usize) -> Id {
    id(&socket.to_string())
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

fn user(text: &str) -> UserId {
    text.parse().unwrap()
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

const GRACE: i64 = 10;
