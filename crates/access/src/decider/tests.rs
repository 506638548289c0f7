use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use switchboard_event::RoomKind;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, advance};

use super::{Config, Decider, Desk, Unavailable, Verdict};
use crate::question::{Question, Selected, Selection};
use crate::source::{Answer, AskError, Source, Turn};

#[tokio::test(start_paused = true)]
async fn an_answer_is_asked_for_once_until_it_ends_and_a_no_ends_sooner() {
    let (decider, crm) = decider();
    crm.allow("contact:1");

    for _ in 0..3 {
        assert!(is_allowed(&decider, "contact:1").await);
        assert!(!is_allowed(&decider, "contact:2").await);
    }
    assert_eq!((crm.asked("contact:1"), crm.asked("contact:2")), (1, 1));

    advance(TTL_DENIED).await;
    is_allowed(&decider, "contact:1").await;
    is_allowed(&decider, "contact:2").await;
    assert_eq!((crm.asked("contact:1"), crm.asked("contact:2")), (1, 2));

    advance(TTL).await;
    is_allowed(&decider, "contact:1").await;
    assert_eq!(crm.asked("contact:1"), 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_say_how_long_it_holds_within_bounds() {
    let (decider, crm) = decider();
    crm.answer_for("contact:1", Duration::from_secs(7));
    crm.answer_for("contact:2", Duration::from_hours(1_000));
    crm.answer_for("contact:3", Duration::ZERO);
    let now = Instant::now();

    let until = async |room| decide(&decider, room).await.unwrap().until - now;

    assert_eq!(until("contact:1").await, Duration::from_secs(7));
    assert_eq!(until("contact:2").await, GRANT_TTL_MAX);
    assert!(until("contact:3").await > Duration::ZERO);
    let verdict = decide(&decider, "contact:1").await.unwrap();
    assert_eq!(verdict.lapses_at - now, GRANT_TTL_MAX);
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_one_question_is_in_flight() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    crm.hold();

    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let decider = decider.clone();
            tokio::spawn(async move { decide(&decider, "contact:1").await })
        })
        .collect();
    crm.is_asked().await;
    crm.release();

    for verdict in waiting {
        assert!(verdict.await.unwrap().unwrap().is_allowed);
    }
    assert_eq!(crm.asked("contact:1"), 1);
    assert_eq!(decider.counts().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_first_may_go_away_and_the_others_are_answered() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    crm.hold();
    let first = tokio::spawn({
        let decider = decider.clone();
        async move { decide(&decider, "contact:1").await }
    });
    crm.is_asked().await;
    let second = tokio::spawn({
        let decider = decider.clone();
        async move { decide(&decider, "contact:1").await }
    });
    tokio::task::yield_now().await;

    first.abort();
    crm.release();

    assert!(second.await.unwrap().unwrap().is_allowed);
    assert_eq!(crm.asked("contact:1"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_forgets_answers_and_those_under_way_count_for_nobody() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    assert!(is_allowed(&decider, "contact:1").await);
    crm.is_asked().await;

    decider.invalidate(&everything());
    crm.hold();
    let before = tokio::spawn({
        let decider = decider.clone();
        async move { decide(&decider, "contact:1").await }
    });
    crm.is_asked().await;
    crm.deny("contact:1");
    decider.invalidate(&everything());
    let after = tokio::spawn({
        let decider = decider.clone();
        async move { decide(&decider, "contact:1").await }
    });
    crm.is_asked().await;
    crm.release();

    assert!(!before.await.unwrap().unwrap().is_allowed);
    assert!(!after.await.unwrap().unwrap().is_allowed);
    assert!(!is_allowed(&decider, "contact:1").await);
    assert_eq!(crm.asked("contact:1"), 3);
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_of_something_else_costs_no_question() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    decide(&decider, "contact:1").await.unwrap();

    decider.invalidate(&Selection {
        rooms: Selected::One("contact:2".parse().unwrap()),
        ..everything()
    });

    assert!(is_allowed(&decider, "contact:1").await);
    assert_eq!(crm.asked("contact:1"), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_answer_is_given_up_in_time_and_soon_asked_no_more() {
    let (decider, crm) = decider();
    crm.hold();

    let begin = Instant::now();
    for room in ["contact:1", "contact:2", "contact:3"] {
        decide(&decider, room).await.unwrap_err();
    }
    assert_eq!(begin.elapsed(), TIMEOUT * 3);
    assert_eq!(
        decider.degraded().as_deref(),
        Some("access cannot be asked for: contact (scripted)")
    );

    let refused = decide(&decider, "contact:4").await.unwrap_err();
    assert_eq!(begin.elapsed(), TIMEOUT * 3);
    assert!(refused.retry_after > Duration::ZERO);
    assert_eq!(crm.asked("contact:4"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_answered_holds_while_nobody_can_be_asked() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    assert!(is_allowed(&decider, "contact:1").await);
    crm.fail();
    for room in ["contact:2", "contact:3", "contact:4"] {
        decide(&decider, room).await.unwrap_err();
    }

    assert!(is_allowed(&decider, "contact:1").await);
    advance(TTL).await;
    decide(&decider, "contact:1").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn one_question_is_tried_until_it_is_answered_and_then_all_are_asked_again() {
    let (decider, crm) = decider();
    tokio::spawn({
        let decider = decider.clone();
        async move { decider.run().await }
    });
    crm.allow("contact:9");
    crm.fail();
    for room in ["contact:1", "contact:2", "contact:3"] {
        decide(&decider, room).await.unwrap_err();
    }

    tokio::time::sleep(Duration::from_secs(30)).await;
    let tries = crm.asked("contact:3");
    assert!((4..10).contains(&tries), "{tries}");
    assert!(decider.degraded().is_some());

    crm.recover();
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(decider.degraded(), None);
    assert!(is_allowed(&decider, "contact:9").await);
}

#[tokio::test(start_paused = true)]
async fn a_desk_that_fails_stops_no_other() {
    let (failing, good) = (Arc::new(Crm::default()), Arc::new(Crm::default()));
    good.allow("flow:1");
    failing.fail();
    let desks = [
        (RoomKind::Contact, failing.desk()),
        (RoomKind::Flow, good.desk()),
    ];
    let decider = Decider::new(desks, None, config());

    for id in 0..10 {
        decide(&decider, &format!("contact:{id}"))
            .await
            .unwrap_err();
    }

    assert!(is_allowed(&decider, "flow:1").await);
    // A kind without a desk is nobody's.
    assert!(!is_allowed(&decider, "campaign:1").await);
}

#[tokio::test(start_paused = true)]
async fn every_contact_is_asked_about_where_one_is_unless_the_list_has_a_desk() {
    let crm = Arc::new(Crm::default());
    crm.allow("contacts:acme");
    let decider = Decider::new([(RoomKind::Contact, crm.desk())], None, config());

    assert!(is_allowed(&decider, "contacts:acme").await);

    let other = Arc::new(Crm::default());
    let desks = [
        (RoomKind::Contact, crm.desk()),
        (RoomKind::Contacts, other.desk()),
    ];
    let decider = Decider::new(desks, None, config());
    assert!(!is_allowed(&decider, "contacts:acme").await);
    assert_eq!(other.asked("contacts:acme"), 1);
}

#[tokio::test(start_paused = true)]
async fn many_questions_are_asked_a_few_at_a_time_and_answered_in_order() {
    let (decider, crm) = decider();
    crm.take(Duration::from_millis(10));
    for id in (0..100).step_by(2) {
        crm.allow(&format!("contact:{id}"));
    }

    let begin = Instant::now();
    let questions = (0..100).map(|id| question(&format!("contact:{id}")));
    let outcomes = decider.decide_all(questions).await;

    for (id, outcome) in outcomes.into_iter().enumerate() {
        assert_eq!(outcome.unwrap().is_allowed, id % 2 == 0, "{id}");
    }
    assert_eq!(crm.at_once_max(), super::AT_ONCE_MAX);
    assert!(begin.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn beyond_the_limit_nobody_waits() {
    let crm = Arc::new(Crm::default());
    crm.hold();
    let limits = Config {
        in_flight_max: 2,
        ..config()
    };
    let decider = Decider::new([], Some(crm.desk()), limits);
    for room in ["contact:1", "contact:2"] {
        let decider = decider.clone();
        tokio::spawn(async move { decide(&decider, room).await });
        crm.is_asked().await;
    }

    let begin = Instant::now();
    decide(&decider, "contact:3").await.unwrap_err();

    assert_eq!(begin.elapsed(), Duration::ZERO);
    assert_eq!(crm.asked("contact:3"), 0);
    // Those who are busy have not failed.
    assert_eq!(decider.degraded(), None);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_takes_nothing_of_a_questions_time_and_is_nobodys_failure() {
    let (decider, crm) = decider();
    crm.take_turns(1);
    crm.take(TIMEOUT * 3 / 5);
    let begin = Instant::now();

    let rooms = (0..8).map(|id| question(&format!("contact:{id}")));
    let outcomes = decider.decide_all(rooms).await;

    // Each has its turn when the one before is answered, and then all of its time.
    let answered = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    assert_eq!(answered, 3, "{outcomes:?}");
    assert!(begin.elapsed() <= TIMEOUT + super::TURN_WAIT_MAX);
    assert_eq!(decider.degraded(), None);
    assert_eq!(decider.counts().questions["busy"], 5);
    assert_eq!(decider.counts().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_without_an_answer_is_refused_alone_and_not_put_again_at_once() {
    let (decider, crm) = decider();
    crm.allow("contact:1");
    crm.know_nothing_of("contact:nobody");

    for _ in 0..10 {
        let refused = decide(&decider, "contact:nobody").await.unwrap_err();
        assert_eq!(refused.retry_after, super::UNANSWERED_TTL);
    }
    assert_eq!(crm.asked("contact:nobody"), 1);
    for _ in 0..10 {
        advance(super::UNANSWERED_TTL).await;
        decide(&decider, "contact:nobody").await.unwrap_err();
    }
    assert_eq!(crm.asked("contact:nobody"), 11);
    decider.invalidate(&everything());
    decide(&decider, "contact:nobody").await.unwrap_err();
    assert_eq!(crm.asked("contact:nobody"), 12);

    assert_eq!(decider.degraded(), None);
    assert!(is_allowed(&decider, "contact:1").await);
    assert_eq!(decider.counts().questions["unanswered"], 12);
}

#[tokio::test(start_paused = true)]
async fn who_never_gets_an_answer_keeps_nobody_else_from_being_asked_again() {
    let (decider, crm) = decider();
    tokio::spawn({
        let decider = decider.clone();
        async move { decider.run().await }
    });
    crm.allow("contact:9");
    crm.hang_for("contact:bad");
    for _ in 0..3 {
        decide(&decider, "contact:bad").await.unwrap_err();
    }
    assert!(decider.degraded().is_some());

    decide(&decider, "contact:9").await.unwrap_err();
    tokio::time::sleep(Duration::from_secs(10)).await;

    assert_eq!(decider.degraded(), None);
    assert!(is_allowed(&decider, "contact:9").await);
}

#[tokio::test(start_paused = true)]
async fn who_still_waits_for_a_turn_is_refused_when_nobody_answers() {
    let (decider, crm) = decider();
    crm.take_turns(1);
    crm.take(Duration::from_millis(100));
    crm.fail();

    let rooms = (0..10).map(|id| question(&format!("contact:{id}")));
    let outcomes = decider.decide_all(rooms).await;

    assert!(outcomes.iter().all(Result::is_err));
    let asked: usize = (0..10).map(|id| crm.asked(&format!("contact:{id}"))).sum();
    assert_eq!(asked, 3);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_one_without_an_answer() {
    let (decider, crm) = decider();
    crm.panic_next();

    decide(&decider, "contact:1").await.unwrap_err();

    crm.allow("contact:1");
    assert!(is_allowed(&decider, "contact:1").await);
}

/// A CRM that does as it is told: time is simulated here, the real ones are in tests/.
#[derive(Debug, Default)]
struct Crm {
    script: Mutex<Script>,
    turns: Mutex<Option<Arc<Semaphore>>>,
    asked: Notify,
    released: Notify,
}

#[derive(Debug, Default)]
struct Script {
    answers: HashMap<String, Answer>,
    asked: HashMap<String, usize>,
    is_held: bool,
    is_failing: bool,
    /// Rooms that it has no answer about.
    unknown: Vec<String>,
    /// The room that it never answers about.
    hanging: Option<String>,
    panics: bool,
    takes: Duration,
    at_once: usize,
    at_once_max: usize,
}

impl Crm {
    fn desk(self: &Arc<Self>) -> Desk {
        Desk {
            source: Arc::clone(self) as _,
            timeout: TIMEOUT,
        }
    }

    fn allow(&self, room: &str) {
        let answers = &mut self.script.lock().answers;
        answers.insert(room.to_owned(), Answer::of(true));
    }

    fn deny(&self, room: &str) {
        self.script.lock().answers.remove(room);
    }

    fn answer_for(&self, room: &str, ttl: Duration) {
        let answer = Answer {
            is_allowed: true,
            ttl: Some(ttl),
        };
        self.script.lock().answers.insert(room.to_owned(), answer);
    }

    fn hold(&self) {
        self.script.lock().is_held = true;
    }

    fn release(&self) {
        self.script.lock().is_held = false;
        self.released.notify_waiters();
    }

    fn fail(&self) {
        self.script.lock().is_failing = true;
    }

    fn recover(&self) {
        self.script.lock().is_failing = false;
    }

    fn hang_for(&self, room: &str) {
        self.script.lock().hanging = Some(room.to_owned());
    }

    fn know_nothing_of(&self, room: &str) {
        self.script.lock().unknown.push(room.to_owned());
    }

    fn panic_next(&self) {
        self.script.lock().panics = true;
    }

    fn take_turns(&self, turns: usize) {
        *self.turns.lock() = Some(Arc::new(Semaphore::new(turns)));
    }

    fn take(&self, time: Duration) {
        self.script.lock().takes = time;
    }

    fn asked(&self, room: &str) -> usize {
        self.script.lock().asked.get(room).copied().unwrap_or(0)
    }

    fn at_once_max(&self) -> usize {
        self.script.lock().at_once_max
    }

    async fn is_asked(&self) {
        self.asked.notified().await;
    }
}

#[async_trait]
impl Source for Crm {
    fn policy(&self) -> &'static str {
        "scripted"
    }

    async fn turn(&self) -> Turn {
        let turns = self.turns.lock().clone();
        match turns {
            Some(turns) => turns.acquire_owned().await.unwrap().into(),
            None => Turn::free(),
        }
    }

    async fn ask(&self, _turn: Turn, question: &Question) -> Result<Answer, AskError> {
        let room = question.room.name();
        let (answer, takes) = {
            let mut script = self.script.lock();
            *script.asked.entry(room.to_owned()).or_default() += 1;
            script.at_once += 1;
            script.at_once_max = script.at_once_max.max(script.at_once);
            assert!(!std::mem::take(&mut script.panics), "told to");
            let answer = script.answers.get(room).copied();
            (answer.unwrap_or(Answer::of(false)), script.takes)
        };
        self.asked.notify_one();
        let released = self.released.notified();
        if self.script.lock().is_held {
            released.await;
        }
        let hangs = self.script.lock().hanging.as_deref() == Some(room);
        if hangs {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(takes).await;
        let mut script = self.script.lock();
        script.at_once -= 1;
        if script.unknown.iter().any(|unknown| unknown == room) {
            return Err(AskError::Unanswered("told to".to_owned()));
        }
        if script.is_failing {
            return Err(AskError::Unreachable("told to".to_owned()));
        }
        Ok(answer)
    }
}

fn decider() -> (Decider, Arc<Crm>) {
    let crm = Arc::new(Crm::default());
    let decider = Decider::new([(RoomKind::Contact, crm.desk())], None, config());
    (decider, crm)
}

fn config() -> Config {
    Config {
        ttl: TTL,
        ttl_denied: TTL_DENIED,
        grant_ttl_max: GRANT_TTL_MAX,
        ..Config::default()
    }
}

async fn is_allowed(decider: &Decider, room: &str) -> bool {
    decide(decider, room).await.unwrap().is_allowed
}

async fn decide(decider: &Decider, room: &str) -> Result<Verdict, Unavailable> {
    decider.decide(question(room)).await
}

fn question(room: &str) -> Question {
    Question {
        tenant: "acme".parse().unwrap(),
        user: "ana".parse().unwrap(),
        room: room.parse().unwrap(),
    }
}

fn everything() -> Selection {
    Selection {
        tenant: "acme".parse().unwrap(),
        user: None,
        rooms: Selected::All,
    }
}

const TTL: Duration = Duration::from_mins(1);
const TTL_DENIED: Duration = Duration::from_secs(5);
const GRANT_TTL_MAX: Duration = Duration::from_mins(10);
const TIMEOUT: Duration = Duration::from_secs(3);
