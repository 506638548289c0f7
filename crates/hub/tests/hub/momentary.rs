//! Facts that end by themselves, in simulated time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use switchboard_event::{Id, Timestamp};
use switchboard_hub::{Change, Contact, Fact, Momentary, MomentaryLimits, Subject, Turn};

#[test]
fn a_fact_begins_once_however_often_it_is_said() {
    let mut facts = facts();

    assert_eq!(say(&mut facts, typing(1, 1), "a", 30, 0), Some(Turn::Began));
    assert_eq!(say(&mut facts, typing(1, 1), "a", 40, 10), None);
    assert_eq!(say(&mut facts, typing(1, 1), "b", 40, 10), None);
    assert_eq!(facts.count(), 1);
}

#[test]
fn a_fact_ends_when_its_time_is_over_and_not_before() {
    let mut facts = facts();
    say(&mut facts, typing(1, 1), "a", 30, 0);
    say(&mut facts, typing(1, 1), "a", 40, 20);

    assert_eq!(facts.expire(at(39)), None);
    assert_eq!(facts.next_end(), Some(at(40)));
    let ended = facts.expire(at(40)).unwrap();

    assert_eq!((ended.fact, ended.turn), (typing(1, 1), Turn::Ended));
    assert_eq!(facts.expire(at(100)), None);
    assert_eq!((facts.count(), facts.next_end()), (0, None));
}

#[test]
fn a_fact_holds_while_one_voice_says_so() {
    let mut facts = facts();
    say(&mut facts, viewing(1, 1), "tab", 30, 0);
    say(&mut facts, viewing(1, 1), "phone", 50, 0);

    assert_eq!(facts.unsay(&viewing(1, 1), &id("tab")), None);
    assert_eq!(facts.unsay(&viewing(1, 1), &id("tab")), None);
    let ended = facts.unsay(&viewing(1, 1), &id("phone")).unwrap();

    assert_eq!(ended.turn, Turn::Ended);
    assert!(!facts.speaks_of(&"acme".parse().unwrap()));
}

#[test]
fn a_later_word_of_the_same_voice_may_end_earlier() {
    let mut facts = facts();
    say(&mut facts, viewing(1, 1), "tab", 60, 0);

    assert_eq!(say(&mut facts, viewing(1, 1), "tab", 20, 10), None);
    assert!(facts.expire(at(20)).is_some());
    // One whose time is over is none.
    assert_eq!(say(&mut facts, viewing(1, 1), "tab", 20, 20), None);
    assert_eq!(facts.count(), 0);
}

#[test]
fn a_message_ends_a_fact_whoever_says_it() {
    let mut facts = facts();
    say(&mut facts, typing(1, 1), "tab", 30, 0);
    say(&mut facts, typing(1, 1), "phone", 30, 0);
    say(&mut facts, typing(1, 2), "other", 30, 0);

    assert_eq!(facts.end(&typing(1, 1)).unwrap().turn, Turn::Ended);
    assert_eq!(facts.end(&typing(1, 1)), None);
    let left: Vec<_> = facts
        .of(&contact(1))
        .map(|(subject, ())| subject.clone())
        .collect();

    assert_eq!(left, [typing(1, 2).subject]);
    assert!(facts.expire(at(30)).is_some());
    assert_eq!(facts.next_end(), None);
}

#[test]
fn another_value_is_a_change_and_the_same_is_none() {
    let mut facts = Momentary::new(MomentaryLimits::default());
    let mut say = |value: &'static str| {
        let change = facts.say(typing(1, 1), &id("a"), value, at(30), at(0));
        change.unwrap().map(|change| (change.turn, change.value))
    };

    assert_eq!(say("typing"), Some((Turn::Began, "typing")));
    assert_eq!(say("typing"), None);
    assert_eq!(say("recording"), Some((Turn::Changed, "recording")));
}

#[test]
fn one_fact_or_voice_too_many_is_refused_and_changes_nothing() {
    let mut facts = Momentary::new(MomentaryLimits {
        tenant_max: 3,
        contact_max: 2,
        voices_max: 2,
    });
    let mut say = |fact: Fact, voice: &str| facts.say(fact, &id(voice), (), at(30), at(0));

    assert!(say(typing(1, 1), "a").is_ok());
    assert!(say(typing(1, 1), "b").is_ok());
    assert_eq!(say(typing(1, 1), "c").unwrap_err().count_max, 2);
    assert!(say(typing(1, 2), "a").is_ok());
    assert_eq!(say(typing(1, 3), "a").unwrap_err().count_max, 2);
    assert!(say(typing(2, 1), "a").is_ok());
    assert_eq!(say(typing(3, 1), "a").unwrap_err().count_max, 3);
    // What is so already may always be said again.
    assert!(say(typing(2, 1), "a").is_ok());
    assert_eq!(facts.count(), 3);
}

#[test]
fn tenants_do_not_see_each_other() {
    let mut facts = facts();
    let theirs = Fact {
        contact: Contact {
            tenant: "globex".parse().unwrap(),
            ..contact(1)
        },
        ..typing(1, 1)
    };

    say(&mut facts, typing(1, 1), "a", 30, 0);

    assert_eq!(
        say(&mut facts, theirs.clone(), "a", 30, 0),
        Some(Turn::Began)
    );
    assert!(facts.end(&typing(1, 1)).is_some());
    assert_eq!(facts.of(&theirs.contact).count(), 1);
    assert_eq!(facts.of(&contact(1)).count(), 0);
}

#[derive(Clone, Debug)]
enum Step {
    Say(usize, usize, i64),
    Unsay(usize, usize),
    End(usize),
    Pass(i64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize, 0..3_usize, 0..40_i64).prop_map(|(f, v, t)| Step::Say(f, v, t)),
        2 => (0..4_usize, 0..3_usize).prop_map(|(f, v)| Step::Unsay(f, v)),
        1 => (0..4_usize).prop_map(Step::End),
        3 => (1..30_i64).prop_map(Step::Pass),
    ];
    prop::collection::vec(step, 1..120)
}

proptest! {
    /// A map from fact and voice to its end is the model: whatever is said, taken back, ended and
    /// let pass, in any order and however often, what is so is what the model says, nothing is so
    /// after its lifetime, and each change is told once.
    #[test]
    fn any_history_is_told_once_and_ends(steps in steps()) {
        let mut facts = facts();
        let mut model: BTreeMap<(usize, usize), i64> = BTreeMap::new();
        let mut told: BTreeSet<usize> = BTreeSet::new();
        let mut now = 0;
        for step in steps {
            let mut changes = Vec::new();
            match step {
                Step::Say(fact, voice, lifetime) => {
                    let until = now + lifetime;
                    let said = facts.say(nth(fact), &id(&voice.to_string()), (), at(until), at(now));
                    changes.extend(said.unwrap());
                    if until > now {
                        model.insert((fact, voice), until);
                    } else {
                        model.remove(&(fact, voice));
                    }
                }
                Step::Unsay(fact, voice) => {
                    changes.extend(facts.unsay(&nth(fact), &id(&voice.to_string())));
                    model.remove(&(fact, voice));
                }
                Step::End(fact) => {
                    changes.extend(facts.end(&nth(fact)));
                    model.retain(|(known, _), _| *known != fact);
                }
                Step::Pass(time) => {
                    now += time;
                    changes.extend(std::iter::from_fn(|| facts.expire(at(now))));
                    model.retain(|_, end| *end > now);
                }
            }
            for Change { fact, turn, .. } in changes {
                let number = (0..4).find(|&number| nth(number) == fact).unwrap();
                match turn {
                    Turn::Began => prop_assert!(told.insert(number)),
                    Turn::Ended => prop_assert!(told.remove(&number)),
                    Turn::Changed => prop_assert!(false, "there is only one value"),
                }
            }
            let so: BTreeSet<_> = model.keys().map(|(fact, _)| *fact).collect();
            prop_assert_eq!(&so, &told);
            prop_assert_eq!(facts.count(), so.len());
            prop_assert_eq!(facts.next_end(), model.values().min().map(|end| at(*end)));
        }
    }
}

fn facts() -> Momentary<()> {
    Momentary::new(MomentaryLimits::default())
}

fn say(facts: &mut Momentary<()>, fact: Fact, voice: &str, until: i64, now: i64) -> Option<Turn> {
    let change = facts.say(fact, &id(voice), (), at(until), at(now));
    change.unwrap().map(|change| change.turn)
}

fn nth(number: usize) -> Fact {
    [typing(1, 1), typing(1, 2), viewing(1, 1), viewing(2, 1)][number].clone()
}

fn typing(contact: u32, user: u32) -> Fact {
    Fact {
        contact: self::contact(contact),
        subject: Subject::Typing {
            account: id("account"),
            user: user.to_string().parse().unwrap(),
        },
    }
}

fn viewing(contact: u32, user: u32) -> Fact {
    Fact {
        contact: self::contact(contact),
        subject: Subject::Viewing {
            user: user.to_string().parse().unwrap(),
        },
    }
}

fn contact(number: u32) -> Contact {
    Contact {
        tenant: "acme".parse().unwrap(),
        id: id(&number.to_string()),
    }
}

fn id(text: &str) -> Id {
    text.parse().unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}
