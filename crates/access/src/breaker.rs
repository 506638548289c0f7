//! When not to ask at all.
//!
//! That is when nobody would be answered. A question that has no answer itself is no reason, nor is
//! one room that is always answered with a failure: else one client that asks it would turn everybody
//! away.

use std::time::Duration;

use switchboard_event::{Room, TenantId};
use tokio::time::Instant;

use crate::question::Question;
use crate::source::AskError;

/// Stops asking somebody who fails, so that nobody waits for them in vain. From then on one
/// question at a time is tried, each time the latest one that somebody asked, until one is
/// answered.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// About which every question failed since the last answer.
    failed: Asked,
    /// Of which it was said since the last answer that there is none.
    unanswered: Asked,
    open: Option<Open>,
    logged_at: Option<Instant>,
}

#[derive(Debug)]
struct Open {
    /// The last one that was asked.
    latest: Question,
    /// When it is tried next.
    due: Instant,
    pause: Duration,
}

/// A few different rooms.
#[derive(Debug, Default)]
struct Asked(Vec<(TenantId, Room)>);

/// What a failure changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// Nobody is asked from now on.
    Opened,
    /// There is somebody, who knows no answer to anything.
    Muted,
    /// It is one of several, the first of its second.
    Noted,
    /// It is one of very many.
    Repeated,
}

impl Breaker {
    /// Takes an answer; returns whether asking begins again.
    pub(crate) fn succeed(&mut self) -> bool {
        self.failed = Asked::default();
        self.unanswered = Asked::default();
        self.open.take().is_some()
    }

    /// Takes the failure of `question`.
    pub(crate) fn fail(&mut self, question: &Question, reason: &AskError, now: Instant) -> Failure {
        // Whoever says something may say it of this room alone. Who says nothing is not there.
        let counts_anyway = !matches!(reason, AskError::Invalid(_));
        self.failed.note(question, counts_anyway, FAILURES_MAX);
        if let Some(open) = &mut self.open {
            // Questions that were under way when it opened change nothing.
            if open.due <= now {
                open.pause = (open.pause * 2).min(PAUSE_MAX);
                open.due = now + open.pause;
            }
        } else if self.failed.0.len() >= FAILURES_MAX {
            self.open = Some(Open {
                latest: question.clone(),
                due: now + PAUSE_MIN,
                pause: PAUSE_MIN,
            });
            self.logged_at = Some(now);
            return Failure::Opened;
        }
        self.note(now)
    }

    /// Takes it that one question has no answer; returns whether asking begins again. Whoever says
    /// so is there; about other questions it says nothing, until there are many of them and nothing
    /// else.
    pub(crate) fn refuse(&mut self, question: &Question, now: Instant) -> (bool, Failure) {
        let is_open = self.open.is_some();
        if is_open {
            self.succeed();
        }
        let was_mute = self.is_mute();
        self.unanswered.note(question, false, UNANSWERED_ROOMS_MAX);
        if self.is_mute() && !was_mute {
            self.logged_at = Some(now);
            return (is_open, Failure::Muted);
        }
        (is_open, self.note(now))
    }

    /// Whether there were very many rooms in a row of which it was said that there is no answer, and
    /// not one answer: an address that is wrong, rather than clients that guess. They are asked
    /// about all the same.
    pub(crate) fn is_mute(&self) -> bool {
        self.unanswered.0.len() >= UNANSWERED_ROOMS_MAX
    }

    fn note(&mut self, now: Instant) -> Failure {
        let is_logged = self
            .logged_at
            .is_some_and(|at| now.duration_since(at) < LOG_INTERVAL);
        if is_logged {
            return Failure::Repeated;
        }
        self.logged_at = Some(now);
        Failure::Noted
    }

    /// How long not to ask `question`, if at all; then it may be the one that is tried next.
    pub(crate) fn wait(&mut self, question: &Question, now: Instant) -> Option<Duration> {
        let open = self.open.as_mut()?;
        open.latest = question.clone();
        Some(open.due.saturating_duration_since(now).max(PAUSE_MIN))
    }

    /// The question to try, and when.
    pub(crate) fn trial(&self) -> Option<(Instant, Question)> {
        let open = self.open.as_ref()?;
        Some((open.due, open.latest.clone()))
    }
}

impl Asked {
    fn note(&mut self, question: &Question, counts_anyway: bool, rooms_max: usize) {
        let is_of = |(tenant, room): &(TenantId, Room)| {
            *tenant == question.tenant && *room == question.room
        };
        if self.0.len() < rooms_max && (counts_anyway || !self.0.iter().any(is_of)) {
            self.0
                .push((question.tenant.clone(), question.room.clone()));
        }
    }
}

/// About how many rooms questions must fail, one after the other, until nobody is asked any more.
const FAILURES_MAX: usize = 3;
/// Of how many rooms in a row it must be said that there is no answer, until that is spoken of.
const UNANSWERED_ROOMS_MAX: usize = 20;
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_three_failures_in_a_row_and_closes_with_an_answer() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());

        fail(&mut breaker, &about("contact:1"), now);
        fail(&mut breaker, &about("contact:2"), now);
        assert!(!breaker.succeed());
        fail(&mut breaker, &about("contact:1"), now);
        fail(&mut breaker, &about("contact:2"), now);
        assert_eq!(breaker.wait(&question(), now), None);

        let third = fail(&mut breaker, &about("contact:3"), now);
        assert_eq!(third, Failure::Opened);
        assert_eq!(breaker.wait(&question(), now), Some(PAUSE_MIN));
        assert!(breaker.succeed());
        assert_eq!(breaker.wait(&question(), now), None);
    }

    #[test]
    fn trials_that_fail_come_ever_more_rarely() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        open(&mut breaker, now);

        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (due, _) = breaker.trial().unwrap();
            pauses.push((due - now).as_millis());
            now = due;
            fail(&mut breaker, &question(), now);
        }

        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    }

    #[test]
    fn a_log_line_a_second_is_enough() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());

        assert_eq!(fail(&mut breaker, &question(), now), Failure::Noted);
        assert_eq!(fail(&mut breaker, &question(), now), Failure::Repeated);
        breaker.succeed();
        let later = now + LOG_INTERVAL;
        assert_eq!(fail(&mut breaker, &question(), later), Failure::Noted);
    }

    #[test]
    fn what_is_tried_is_what_somebody_asked_last() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        open(&mut breaker, now);
        assert!(breaker.trial().is_some());

        let later = about("contact:2");
        breaker.wait(&later, now).unwrap();

        assert_eq!(breaker.trial().map(|(_, tried)| tried), Some(later));
    }

    #[test]
    fn questions_without_an_answer_never_open_it_and_show_that_somebody_is_there() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 * FAILURES_MAX {
            assert!(!breaker.refuse(&question(), now).0);
        }
        assert_eq!(breaker.wait(&question(), now), None);
        // Nor do they hide failures.
        for id in 0..FAILURES_MAX {
            assert!(!breaker.refuse(&question(), now).0);
            fail(&mut breaker, &about(&format!("contact:{id}")), now);
        }
        assert!(breaker.wait(&question(), now).is_some());

        let answer = breaker.refuse(&question(), now);
        assert_eq!(answer, (true, Failure::Repeated));
        assert_eq!(breaker.wait(&question(), now), None);
    }

    #[test]
    fn one_room_that_is_answered_with_a_failure_opens_nothing_and_who_does_not_answer_does() {
        let now = Instant::now();
        for (reason, is_opened) in [
            (AskError::Invalid("status 500".into()), false),
            (AskError::TimedOut(PAUSE_MIN), true),
            (AskError::Unreachable("refused".into()), true),
        ] {
            let mut breaker = Breaker::default();
            for _ in 0..10 * FAILURES_MAX {
                breaker.fail(&question(), &reason, now);
            }
            assert_eq!(breaker.trial().is_some(), is_opened, "{reason}");
        }
    }

    #[test]
    fn who_knows_no_answer_to_many_rooms_is_mute_until_there_is_one() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        let refuse = |breaker: &mut Breaker, id: usize| {
            let (_, failure) = breaker.refuse(&about(&format!("contact:{id}")), now);
            failure
        };
        for id in 1..UNANSWERED_ROOMS_MAX {
            refuse(&mut breaker, id);
            refuse(&mut breaker, id);
        }
        assert!(!breaker.is_mute());

        assert_eq!(refuse(&mut breaker, UNANSWERED_ROOMS_MAX), Failure::Muted);
        assert_eq!(refuse(&mut breaker, 0), Failure::Repeated);
        assert!(breaker.is_mute());
        assert_eq!(breaker.wait(&question(), now), None);

        breaker.succeed();
        assert!(!breaker.is_mute());
    }

    fn open(breaker: &mut Breaker, now: Instant) {
        for id in 0..FAILURES_MAX {
            fail(breaker, &about(&format!("contact:{id}")), now);
        }
    }

    fn fail(breaker: &mut Breaker, question: &Question, now: Instant) -> Failure {
        breaker.fail(question, &AskError::Invalid("status 500".into()), now)
    }

    fn question() -> Question {
        about("contact:1")
    }

    fn about(room: &str) -> Question {
        Question {
            tenant: "acme".parse().unwrap(),
            user: "ana".parse().unwrap(),
            room: room.parse().unwrap(),
        }
    }
}
