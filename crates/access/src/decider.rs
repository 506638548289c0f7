//! The way to an answer: cached, one question in flight per key, bounded.

mod flight;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use switchboard_event::RoomKind;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{error, info, warn};

use self::flight::{Flights, Landed, Landing, Ticket};
use crate::breaker::{Breaker, Failure};
use crate::cache::{Cache, Kept};
use crate::counters::{By, Counters, Counts};
use crate::question::{Question, Selection, kind};
use crate::source::{Answer, AskError, Source, Turn};

/// Decides by asking. Cheap to clone; all clones share what was answered.
#[derive(Clone)]
pub struct Decider(Arc<Shared>);

/// Who is asked about the rooms of a kind.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Whoever answers.
    pub source: Arc<dyn Source>,
    /// How long one question may take, from its turn on, a new connection included.
    pub timeout: Duration,
}

/// How long answers hold, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// How long a yes holds that does not say it itself, default 60 s. Then who is in the room by it
    /// is asked about again: less costs that many more questions.
    pub ttl: Duration,
    /// How long a no holds that does not say it itself, default 5 s.
    pub ttl_denied: Duration,
    /// How long a yes holds at most, whatever it says itself; and how long who is in a room by it
    /// stays there when nobody can be asked. Default 10 min.
    pub grant_ttl_max: Duration,
    /// Most answers that are kept, default 100,000. Each costs some 300 bytes.
    pub cached_max: usize,
    /// Most questions under way or waiting, default 1024; beyond it the answer is "busy".
    pub in_flight_max: usize,
}

/// What was decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Verdict {
    /// Whether the room may be heard.
    pub is_allowed: bool,
    /// When that has to be asked again.
    pub until: Instant,
    /// How long it counts at most, where nobody can be asked again.
    pub lapses_at: Instant,
}

/// It cannot be told now.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("who decides about the room cannot be asked now")]
pub struct Unavailable {
    /// When to ask again.
    pub retry_after: Duration,
}

type Outcome = Result<Verdict, Unavailable>;

struct Shared {
    desks: HashMap<Box<str>, Window>,
    default: Option<Window>,
    config: Config,
    state: Mutex<State>,
    counters: Counters,
    /// A breaker opened, so that there is something to try.
    opened: Notify,
}

/// A desk, and whether it answers. Kinds have one each, so that a query that is wrong stops no
/// other.
struct Window {
    name: Box<str>,
    desk: Desk,
    breaker: Mutex<Breaker>,
}

struct State {
    cache: Cache,
    /// Questions that have no answer, so that they are not put again at once.
    unanswered: Cache,
    flights: Flights,
}

impl Decider {
    /// Asks at the desk of a room's kind: `desks` by kind, or else at `default`. A question without a
    /// desk is answered with no.
    #[must_use]
    pub fn new(
        desks: impl IntoIterator<Item = (RoomKind, Desk)>,
        default: Option<Desk>,
        config: Config,
    ) -> Self {
        let desks = desks.into_iter().map(|(of, desk)| {
            let name: Box<str> = kind(&of).into();
            (name.clone(), Window::new(name, desk))
        });
        Self(Arc::new(Shared {
            desks: desks.collect(),
            default: default.map(|desk| Window::new("other kinds".into(), desk)),
            config,
            state: Mutex::new(State {
                cache: Cache::new(config.cached_max),
                unanswered: Cache::new(UNANSWERED_MAX),
                flights: Flights::default(),
            }),
            counters: Counters::default(),
            opened: Notify::new(),
        }))
    }

    /// Decides about one room. What others ask too is asked once. An answer that was under way when
    /// it was invalidated is asked for again.
    ///
    /// # Errors
    ///
    /// [`Unavailable`] if whoever knows cannot be asked now, or nobody more may wait.
    pub async fn decide(&self, question: Question) -> Result<Verdict, Unavailable> {
        let begun = self.begin(question.clone());
        self.settled(begun, question).await
    }

    /// The same about many rooms, a few at a time; the outcomes in the order of the questions.
    pub async fn decide_all(
        &self,
        questions: impl IntoIterator<Item = Question>,
    ) -> Vec<Result<Verdict, Unavailable>> {
        let mut outcomes = Vec::new();
        let mut under_way = VecDeque::with_capacity(AT_ONCE_MAX);
        for question in questions {
            if under_way.len() == AT_ONCE_MAX
                && let Some((begun, question)) = under_way.pop_front()
            {
                outcomes.push(self.settled(begun, question).await);
            }
            under_way.push_back((self.begin(question.clone()), question));
        }
        for (begun, question) in under_way {
            outcomes.push(self.settled(begun, question).await);
        }
        outcomes
    }

    /// Forgets what `selection` covers: it is asked again by whoever asks after this, and by whoever
    /// waits for an answer that is under way.
    pub fn invalidate(&self, selection: &Selection) {
        let mut state = self.0.state.lock();
        let forgotten = state.cache.invalidate(selection);
        state.unanswered.invalidate(selection);
        state.flights.invalidate(selection);
        drop(state);
        info!(
            tenant = %selection.tenant,
            user = selection.user.as_ref().map(tracing::field::display),
            rooms = ?selection.rooms,
            forgotten,
            "access invalidated"
        );
    }

    /// Tries those who failed until they answer again; never returns.
    pub async fn run(&self) {
        loop {
            // Before the look, so that nothing that opens meanwhile is missed.
            let opened = self.0.opened.notified();
            let trials = self.0.windows().filter_map(|window| {
                let (due, _) = window.breaker.lock().trial()?;
                Some((due, window))
            });
            match trials.min_by_key(|(due, ..)| *due) {
                Some((due, window)) => {
                    tokio::select! {
                        () = sleep_until(due) => self.0.try_again(window).await,
                        () = opened => {}
                    }
                }
                None => opened.await,
            }
        }
    }

    /// The limits.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// The kinds of rooms about which nobody can be asked now, or whoever is asked knows nothing, in
    /// words, if there are any.
    #[must_use]
    pub fn degraded(&self) -> Option<String> {
        let named = |is_meant: fn(&Breaker) -> bool| {
            let windows = self.0.windows();
            let meant = windows.filter(|window| is_meant(&window.breaker.lock()));
            let name =
                |window: &Window| format!("{} ({})", window.name, window.desk.source.policy());
            let mut names: Vec<_> = meant.map(name).collect();
            names.sort_unstable();
            (!names.is_empty()).then(|| names.join(", "))
        };
        let silent = named(|breaker| breaker.trial().is_some());
        let mute = named(|breaker| breaker.trial().is_none() && breaker.is_mute());
        let silent = silent.map(|names| format!("access cannot be asked for: {names}"));
        let mute = mute.map(|names| format!("access is answered for no room: {names}"));
        let reasons: Vec<_> = silent.into_iter().chain(mute).collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }

    /// What was done since the start.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let state = self.0.state.lock();
        let (cached, in_flight) = (state.cache.len(), state.flights.len());
        drop(state);
        self.0.counters.counts(cached, in_flight)
    }

    async fn settled(&self, mut begun: Begun, question: Question) -> Outcome {
        for _ in 0..ATTEMPTS_MAX {
            match begun {
                Begun::Decided(outcome) => return outcome,
                Begun::Flying(ticket) => match ticket.outcome().await {
                    Some(outcome) => return outcome,
                    None => begun = self.begin(question.clone()),
                },
            }
        }
        Err(Unavailable { retry_after: BUSY })
    }

    fn begin(&self, question: Question) -> Begun {
        let now = Instant::now();
        let mut state = self.0.state.lock();
        state.cache.expire(now);
        state.unanswered.expire(now);
        if let Some(kept) = state.cache.find(&question, now) {
            self.0.counters.decide(By::Cached);
            return Begun::Decided(Ok(kept.into()));
        }
        if let Some(kept) = state.unanswered.find(&question, now) {
            self.0.counters.decide(By::Refused);
            let retry_after = kept.until.saturating_duration_since(now);
            return Begun::Decided(Err(Unavailable { retry_after }));
        }
        if let Some(ticket) = state.flights.join(&question) {
            self.0.counters.decide(By::Joined);
            return Begun::Flying(ticket);
        }
        let Some(window) = self.0.window(&question) else {
            let kept = self.0.config.kept(Answer::of(false), now);
            return Begun::Decided(Ok(kept.into()));
        };
        if let Some(retry_after) = window.breaker.lock().wait(&question, now) {
            self.0.counters.decide(By::Refused);
            return Begun::Decided(Err(Unavailable { retry_after }));
        }
        if state.flights.len() >= self.0.config.in_flight_max {
            self.0.counters.decide(By::Busy);
            return Begun::Decided(Err(Unavailable { retry_after: BUSY }));
        }
        self.0.counters.decide(By::Asked);
        let (landing, ticket) = state.flights.start(question);
        drop(state);
        let shared = Arc::clone(&self.0);
        // In a task of its own: whoever asked first may go away, and others wait.
        tokio::spawn(async move { shared.fly(landing).await });
        Begun::Flying(ticket)
    }
}

impl Shared {
    /// One question from its beginning to whoever waits for it.
    async fn fly(&self, landing: Landing) {
        let question = landing.question().clone();
        let outcome = match self.window(&question) {
            Some(window) => self.ask(window, &question).await,
            None => Err(AskError::Invalid("there is no desk".into())),
        };
        let mut state = self.state.lock();
        let is_current = state.flights.land(&landing);
        let landed = match outcome {
            Ok(_) if !is_current => Landed::Outdated,
            Ok(answer) => {
                let kept = self.config.kept(answer, Instant::now());
                state.cache.insert(&question, kept);
                Landed::Told(kept.into())
            }
            Err(AskError::Unanswered(_)) => {
                if is_current {
                    let until = Instant::now() + UNANSWERED_TTL;
                    let kept = Kept {
                        is_allowed: false,
                        until,
                        lapses_at: until,
                    };
                    state.unanswered.insert(&question, kept);
                }
                Landed::Failed(Unavailable {
                    retry_after: UNANSWERED_TTL,
                })
            }
            Err(_) => Landed::Failed(Unavailable { retry_after: BUSY }),
        };
        drop(state);
        landing.tell(landed);
    }

    /// Asks once its turn has come. That others are asked about first is nobody's failure.
    async fn ask(&self, window: &Window, question: &Question) -> Result<Answer, AskError> {
        let turn = self.turn(window).await?;
        let wait = window.breaker.lock().wait(question, Instant::now());
        match wait {
            // Those who had their turn first found nobody.
            Some(_) => Err(AskError::Unreachable("known by now".to_owned())),
            None => self.ask_now(window, turn, question).await,
        }
    }

    /// Tries somebody who failed; what comes of it is the breaker's.
    async fn try_again(&self, window: &Window) {
        let Ok(turn) = self.turn(window).await else {
            return;
        };
        let trial = window.breaker.lock().trial();
        if let Some((_, question)) = trial {
            // Whoever asked it was refused, and asks again.
            let _ = self.ask_now(window, turn, &question).await;
        }
    }

    async fn turn(&self, window: &Window) -> Result<Turn, AskError> {
        let turn = timeout(TURN_WAIT_MAX, window.desk.source.turn()).await;
        turn.map_err(|_| {
            let busy = AskError::Busy(TURN_WAIT_MAX);
            self.counters.unasked(&busy);
            busy
        })
    }

    /// Asks once, in time, and tells the breaker.
    async fn ask_now(
        &self,
        window: &Window,
        turn: Turn,
        question: &Question,
    ) -> Result<Answer, AskError> {
        let Window {
            name,
            desk,
            breaker,
        } = window;
        let begin = Instant::now();
        let asked = timeout(desk.timeout, desk.source.ask(turn, question)).await;
        let outcome = asked.unwrap_or(Err(AskError::TimedOut(desk.timeout)));
        let (took, policy) = (begin.elapsed(), desk.source.policy());
        match &outcome {
            Ok(answer) => {
                self.counters.answered(answer.is_allowed, took);
                if breaker.lock().succeed() {
                    info!(kind = %name, policy, "access can be asked for again");
                }
            }
            Err(reason @ AskError::Unanswered(_)) => {
                self.counters.failed(reason, took);
                let (is_back, failure) = breaker.lock().refuse(question, Instant::now());
                if is_back {
                    info!(kind = %name, policy, "access can be asked for again");
                }
                let tenant = &question.tenant;
                match failure {
                    Failure::Muted => {
                        error!(kind = %name, policy, %reason, "access is answered for no room");
                    }
                    Failure::Repeated => {}
                    _ => {
                        warn!(kind = %name, policy, %tenant, %reason, "access not told for one room");
                    }
                }
            }
            Err(reason) => {
                self.counters.failed(reason, took);
                let failure = breaker.lock().fail(question, reason, Instant::now());
                match failure {
                    Failure::Opened => {
                        error!(kind = %name, policy, %reason, "access cannot be asked for");
                        self.opened.notify_one();
                    }
                    Failure::Noted => warn!(kind = %name, policy, %reason, "access not told"),
                    Failure::Muted | Failure::Repeated => {}
                }
            }
        }
        outcome
    }

    fn window(&self, question: &Question) -> Option<&Window> {
        let own = self.desks.get(question.kind());
        // Every contact there is is asked about where one of them is.
        let own = own.or_else(|| match question.room.kind() {
            RoomKind::Contacts => self.desks.get(RoomKind::Contact.as_str()),
            _ => None,
        });
        own.or(self.default.as_ref())
    }

    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.desks.values().chain(&self.default)
    }
}

impl Window {
    fn new(name: Box<str>, desk: Desk) -> Self {
        Self {
            name,
            desk,
            breaker: Mutex::default(),
        }
    }
}

/// How far a question came at once.
enum Begun {
    Decided(Outcome),
    Flying(Ticket),
}

impl From<Kept> for Verdict {
    fn from(kept: Kept) -> Self {
        Self {
            is_allowed: kept.is_allowed,
            until: kept.until,
            lapses_at: kept.lapses_at,
        }
    }
}

impl Config {
    /// How long an answer is kept: as it says, within bounds.
    fn kept(&self, answer: Answer, now: Instant) -> Kept {
        let ttl = match (answer.ttl, answer.is_allowed) {
            (Some(ttl), _) => ttl.clamp(TTL_MIN, self.grant_ttl_max.max(TTL_MIN)),
            (None, true) => self.ttl,
            (None, false) => self.ttl_denied,
        };
        Kept {
            is_allowed: answer.is_allowed,
            until: now + ttl,
            lapses_at: now + self.grant_ttl_max.max(ttl),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ttl: Duration::from_mins(1),
            ttl_denied: Duration::from_secs(5),
            grant_ttl_max: Duration::from_mins(10),
            cached_max: 100_000,
            in_flight_max: 1_024,
        }
    }
}

impl fmt::Debug for Decider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Decider")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

/// How often a question is put for somebody because what was answered was invalidated meanwhile.
const ATTEMPTS_MAX: usize = 8;
/// How many of many questions are under way at once.
const AT_ONCE_MAX: usize = 16;
/// How long a question waits for its turn, before its own time begins.
const TURN_WAIT_MAX: Duration = Duration::from_secs(5);
/// How long a question that has no answer is not put again, and how many of them are remembered.
const UNANSWERED_TTL: Duration = Duration::from_secs(2);
const UNANSWERED_MAX: usize = 10_000;
/// The shortest time that an answer may ask to be kept.
const TTL_MIN: Duration = Duration::from_millis(100);
/// When to ask again after a failure, or when very many ask.
const BUSY: Duration = Duration::from_secs(1);
