//! Questions that are under way, each for all who wait for it.

use std::collections::HashMap;

use tokio::sync::watch;

use super::{BUSY, Outcome, Unavailable};
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
    outcome: watch::Receiver<Option<Outcome>>,
}

/// Whoever flies holds this; when it is dropped without a word, those who wait learn that too.
#[derive(Debug)]
pub(super) struct Landing {
    question: Question,
    number: u64,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Whoever waits holds this.
#[derive(Debug)]
pub(super) struct Ticket(watch::Receiver<Option<Outcome>>);

impl Flights {
    pub(super) fn start(&mut self, question: Question) -> (Landing, Ticket) {
        self.started += 1;
        let (sender, receiver) = watch::channel(None);
        let flight = Flight {
            number: self.started,
            outcome: receiver.clone(),
        };
        self.by_question.insert(question.clone(), flight);
        let landing = Landing {
            question,
            number: self.started,
            outcome: sender,
        };
        (landing, Ticket(receiver))
    }

    /// Waits along with those who asked before, unless nobody will land it any more.
    pub(super) fn join(&self, question: &Question) -> Option<Ticket> {
        let flight = self.by_question.get(question)?;
        let is_flying = flight.outcome.has_changed().is_ok();
        is_flying.then(|| Ticket(flight.outcome.clone()))
    }

    /// Whoever asks after this asks anew; whoever waits gets the answer still.
    pub(super) fn invalidate(&mut self, selection: &Selection) {
        self.by_question
            .retain(|question, _| !selection.covers(question));
    }

    /// Ends a flight; returns whether its answer counts for those who ask after this.
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

    pub(super) fn tell(self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Ticket {
    pub(super) async fn outcome(mut self) -> Outcome {
        match self.0.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.unwrap_or(LOST),
            Err(_) => LOST,
        }
    }
}

/// Whoever flew was lost.
const LOST: Outcome = Err(Unavailable { retry_after: BUSY });
