//! Takes turns among the actors, in simulated time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use serde_json::value::to_raw_value;
use switchboard_event::{Draft, Timestamp};

use super::account::Account;
use super::campaign::Campaign;
use super::conversation::Conversation;
use super::office::{Contacts, Flow, Team};
use super::scene::{Scene, Turn};
use super::script;

/// An endless day, as drafts and the waits between them.
///
/// Its state is bounded: every actor has one next turn, and a turn makes a few events.
#[derive(Debug)]
pub struct Simulation {
    scene: Scene,
    started: Timestamp,
    actors: Vec<Actor>,
    /// When each actor's next turn is, since the start.
    turns: BinaryHeap<Reverse<(Duration, usize)>>,
    /// What the last turn made and nobody took yet.
    events: VecDeque<Draft>,
    /// How much of the day has been given out.
    elapsed: Duration,
    /// How long to wait before the first of `events`.
    wait: Duration,
}

/// What happens next.
#[derive(Debug)]
pub struct Step {
    /// How long after the step before.
    pub wait: Duration,
    /// What happens.
    pub draft: Draft,
}

#[derive(Debug)]
enum Actor {
    Account(Account),
    Conversation(Conversation),
    Campaign(Campaign),
    Contacts(Contacts),
    Flow(Flow),
    Team(Team),
}

impl Simulation {
    /// A day that starts at `started`; another seed gives another day.
    #[must_use]
    pub fn new(seed: u64, started: Timestamp) -> Self {
        let accounts = [0, 1].map(|index| Actor::Account(Account::new(index)));
        let conversations =
            (0..script::CONTACTS.len()).map(|index| Actor::Conversation(Conversation::new(index)));
        let others = [
            Actor::Campaign(Campaign::default()),
            Actor::Contacts(Contacts::default()),
            Actor::Flow(Flow::default()),
            Actor::Team(Team),
        ];
        let actors: Vec<_> = accounts
            .into_iter()
            .chain(conversations)
            .chain(others)
            .collect();
        // One after another, so that the day does not begin with a bang.
        let turns = (0..actors.len())
            .map(|index| Reverse((ENTRANCE * u32::try_from(index).unwrap_or(0), index)));
        Self {
            scene: Scene::new(seed, started),
            started,
            turns: turns.collect(),
            actors,
            events: VecDeque::new(),
            elapsed: Duration::ZERO,
            wait: Duration::ZERO,
        }
    }

    /// Gives the next actor its turn.
    fn turn(&mut self) {
        let Some(Reverse((due, index))) = self.turns.pop() else {
            return;
        };
        self.wait += due.saturating_sub(self.elapsed);
        self.elapsed = due;
        self.scene.now = self.started.checked_add(due).unwrap_or(self.started);
        let Turn { events, wait } = self.actors[index].act(&mut self.scene);
        self.turns.push(Reverse((due + wait.max(TURN_MIN), index)));
        self.events
            .extend(events.into_iter().map(|(event, payload)| {
                Draft::new(event, to_raw_value(&payload).expect("a JSON value is JSON"))
            }));
    }
}

impl Iterator for Simulation {
    type Item = Step;

    /// Never `None`.
    fn next(&mut self) -> Option<Step> {
        while self.events.is_empty() {
            self.turn();
        }
        let draft = self.events.pop_front()?;
        Some(Step {
            wait: std::mem::take(&mut self.wait),
            draft,
        })
    }
}

impl Actor {
    fn act(&mut self, scene: &mut Scene) -> Turn {
        match self {
            Self::Account(account) => account.act(scene),
            Self::Conversation(conversation) => conversation.act(scene),
            Self::Campaign(campaign) => campaign.act(scene),
            Self::Contacts(contacts) => contacts.act(scene),
            Self::Flow(flow) => flow.act(scene),
            Self::Team(team) => team.act(scene),
        }
    }
}

/// Between the first turns of two actors.
const ENTRANCE: Duration = Duration::from_millis(350);
/// Nobody takes turn after turn without time passing.
const TURN_MIN: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use switchboard_event::{Accepted, Catalogue, CatalogueConfig, Context, Maker, MessageState};

    use super::*;

    const STEPS: u32 = 5000;

    #[test]
    fn the_catalogue_accepts_everything_that_happens_even_if_it_is_strict() {
        let catalogue = Catalogue::new(CatalogueConfig {
            strict: true,
            ..CatalogueConfig::default()
        })
        .unwrap();
        let mut messages: BTreeMap<String, MessageState> = BTreeMap::new();

        for (index, Step { draft, .. }) in day().take(STEPS as usize).enumerate() {
            let json = draft.data.get().to_owned();
            let context = Context {
                tenant: "demo".parse().unwrap(),
                fresh_id: format!("e{index}").parse().unwrap(),
                at: start(),
                maker: Maker::Producer,
            };
            match catalogue
                .accept(draft, context)
                .unwrap_or_else(|error| panic!("{error}: {json}"))
            {
                Accepted::Event(accepted) => {
                    if let Some(key) = &accepted.message {
                        messages.insert(key.as_str().to_owned(), MessageState::of(&accepted.event));
                    }
                }
                Accepted::Fleeting(_) => {}
                Accepted::NeedsMessage(needs) => {
                    let state = messages.get(needs.key().as_str());
                    assert!(
                        state.is_some(),
                        "a status of a message that nobody sent: {json}"
                    );
                    needs.resolve(state).unwrap();
                }
            }
        }
    }

    #[test]
    fn everything_that_producers_tell_happens() {
        let seen: BTreeSet<_> = day()
            .take(STEPS as usize)
            .map(|step| step.draft.event)
            .collect();

        for built_in in switchboard_event::BUILT_IN
            .iter()
            .filter(|built_in| built_in.is_producible())
        {
            assert!(
                seen.contains(built_in.name),
                "{} never happens",
                built_in.name
            );
        }
    }

    #[test]
    fn a_few_events_happen_every_second() {
        let length: Duration = day().take(STEPS as usize).map(|step| step.wait).sum();

        let rate = f64::from(STEPS) / length.as_secs_f64();
        assert!((1.5..8.0).contains(&rate), "{rate} a second");
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        let texts = |seed| {
            let day = Simulation::new(seed, start()).take(200);
            day.map(|step| (step.wait, step.draft.data.get().to_owned()))
                .collect::<Vec<_>>()
        };

        assert_eq!(texts(1), texts(1));
        assert_ne!(texts(1), texts(2));
    }

    #[test]
    fn both_accounts_are_paired_within_a_minute() {
        let mut elapsed = Duration::ZERO;
        let mut ready = BTreeSet::new();
        for step in day() {
            elapsed += step.wait;
            if step.draft.event == "whatsapp:ready" {
                ready.insert(step.draft.data.get().to_owned());
            }
            if ready.len() == script::ACCOUNTS.len() {
                break;
            }
        }

        assert!(elapsed < Duration::from_mins(1), "{elapsed:?}");
    }

    fn day() -> Simulation {
        Simulation::new(7, start())
    }

    fn start() -> Timestamp {
        "2025-11-05T09:00:00.000Z".parse().unwrap()
    }
}
