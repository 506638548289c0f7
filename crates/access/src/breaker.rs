//! When not to ask at all.
//!
//! That is when nobody would be answered. A question that has no answer itself is no reason: else
//! one client that asks it would turn everybody away.

use std::time::Duration;

use tokio::time::Instant;

use crate::question::Question;

/// Stops asking somebody who fails, so that nobody waits for them in vain. From then on one
/// question at a time is tried, each time the latest one that somebody asked, until one is
/// answered.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
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

/// What a failure changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failure {
    /// Nobody is asked from now on.
    Opened,
    /// It is one of several, the first of its second.
    Noted,
    /// It is one of very many.
    Repeated,
}

impl Breaker {
    /// Takes an answer; returns whether asking begins again.
    pub(crate) fn succeed(&mut self) -> bool {
        self.failures = 0;
        self.open.take().is_some()
    }

    /// Takes the failure of `question`.
    pub(crate) fn fail(&mut self, question: &Question, now: Instant) -> Failure {
        self.failures = self.failures.saturating_add(1);
        if let Some(open) = &mut self.open {
            // Questions that were under way when it opened change nothing.
            if open.due <= now {
                open.pause = (open.pause * 2).min(PAUSE_MAX);
                open.due = now + open.pause;
            }
        } else if self.failures >= FAILURES_MAX {
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
    /// so is there; about other questions it says nothing.
    pub(crate) fn refuse(&mut self, now: Instant) -> (bool, Failure) {
        let is_open = self.open.is_some();
        if is_open {
            self.succeed();
        }
        (is_open, self.note(now))
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

/// How many questions must fail, one after the other, until nobody is asked any more.
const FAILURES_MAX: u32 = 3;
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(8);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_three_failures_in_a_row_and_closes_with_an_answer() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());

        breaker.fail(&question(), now);
        breaker.fail(&question(), now);
        assert!(!breaker.succeed());
        breaker.fail(&question(), now);
        breaker.fail(&question(), now);
        assert_eq!(breaker.wait(&question(), now), None);

        assert_eq!(breaker.fail(&question(), now), Failure::Opened);
        assert_eq!(breaker.wait(&question(), now), Some(PAUSE_MIN));
        assert!(breaker.succeed());
        assert_eq!(breaker.wait(&question(), now), None);
    }

    #[test]
    fn trials_that_fail_come_ever_more_rarely() {
        let (mut breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            breaker.fail(&question(), now);
        }

        let mut pauses = Vec::new();
        for _ in 0..6 {
            let (due, _) = breaker.trial().unwrap();
            pauses.push((due - now).as_millis());
            now = due;
            breaker.fail(&question(), now);
        }

        assert_eq!(pauses, [500, 1_000, 2_000, 4_000, 8_000, 8_000]);
    }

    #[test]
    fn a_log_line_a_second_is_enough() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());

        assert_eq!(breaker.fail(&question(), now), Failure::Noted);
        assert_eq!(breaker.fail(&question(), now), Failure::Repeated);
        breaker.succeed();
        let later = now + LOG_INTERVAL;
        assert_eq!(breaker.fail(&question(), later), Failure::Noted);
    }

    #[test]
    fn what_is_tried_is_what_somebody_asked_last() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            breaker.fail(&question(), now);
        }
        assert_eq!(breaker.trial().map(|(_, tried)| tried), Some(question()));

        let later = about("contact:2");
        breaker.wait(&later, now).unwrap();

        assert_eq!(breaker.trial().map(|(_, tried)| tried), Some(later));
    }

    #[test]
    fn questions_without_an_answer_never_open_it_and_show_that_somebody_is_there() {
        let (mut breaker, now) = (Breaker::default(), Instant::now());
        for _ in 0..10 * FAILURES_MAX {
            assert!(!breaker.refuse(now).0);
        }
        assert_eq!(breaker.wait(&question(), now), None);
        // Nor do they hide failures.
        for _ in 0..FAILURES_MAX {
            assert!(!breaker.refuse(now).0);
            breaker.fail(&question(), now);
        }
        assert!(breaker.wait(&question(), now).is_some());

        assert_eq!(breaker.refuse(now), (true, Failure::Repeated));
        assert_eq!(breaker.wait(&question(), now), None);
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
