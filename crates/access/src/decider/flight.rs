//! Questions that are under way, each for all who wait for it.

use std::collections::HashMap;

use tokio::sync::watch;

use super::{BUSY, Outcome, Unavailable, Verdict};
use crate::question::{Question, Selection};

/// One flight for each question, however many wait.
#[derive(Debug, Default)]
pub(super) struct Flights {
    by_question: HashMap<Question, Flight>,
    started: u64,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    landed: watch::Receiver<Option<Landed>>,
}

/// What came of a flight.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Landed {
    /// The answer counts.
    Told(Verdict),
    /// There is one, from before somebody said that such answers do not count: ask again.
    Outdated,
    /// There is none.
    Failed(Unavailable),
}

/// Whoever flies holds this; when it is dropped without a word, those who wait learn that too.
#[derive(Debug)]
pub(super) struct Landing {
    question: Question,
    number: u64,
    landed: watch::Sender<Option<Landed>>,
}

/// Whoever waits holds this.
#[derive(Debug)]
pub(super) struct Ticket(watch::Receiver<Option<Landed>>);

impl Flights {
    pub(super) fn start(&mut self, question: Question) -> (Landing, Ticket) {
        self.started += 1;
        let (sender, receiver) = watch::channel(None);
        let flight = Flight {
            number: self.started,
            landed: receiver.clone(),
        };
        self.by_question.insert(question.clone(), flight);
        let landing = Landing {
            question,
            number: self.started,
            landed: sender,
        };
        (landing, Ticket(receiver))
    }

    /// Waits along with those who asked before, unless nobody will land it any more.
    pub(super) fn join(&self, question: &Question) -> Option<Ticket> {
        let flight = self.by_question.get(question)?;
        let is_flying = flight.landed.has_changed().is_ok();
        is_flying.then(|| Ticket(flight.landed.clone()))
    }

    /// Whoever asks after this asks anew, and so does whoever waits once what is under way lands.
    pub(super) fn invalidate(&mut self, selection: &Selection) {
        self.by_question
            .retain(|question, _| !selection.covers(question));
    }

    /// Ends a flight; returns whether its answer counts.
    pub(super) fn land(&mut self, landing: &Landing) -> bool {
        let is_current = self
            .by_question
            .get(&landing.question)
            .is_some_and(|flight| flight.number == landing.number);
        if is_current {
            self.by_question.remove(&landing.question);
        }
        is_current
    }

    pub(super) fn len(&self) -> usize {
        self.by_question.len()
    }
}

impl Landing {
    pub(super) fn question(&self) -> &Question {
        &self.question
    }

    pub(super) fn tell(self, landed: Landed) {
        self.landed.send_replace(Some(landed));
    }
}

impl Ticket {
    /// What came of it; `None` if it has to be asked again.
    pub(super) async fn outcome(mut self) -> Option<Outcome> {
        let landed = match self.0.wait_for(Option::is_some).await {
            Ok(landed) => landed.unwrap_or(LOST),
            Err(_) => LOST,
        };
        match landed {
            Landed::Told(verdict) => Some(Ok(verdict)),
            Landed::Outdated => None,
            Landed::Failed(unavailable) => Some(Err(unavailable)),
        }
    }
}

/// Whoever flew was lost.
const LOST: Landed = Landed::Failed(Unavailable { retry_after: BUSY });
