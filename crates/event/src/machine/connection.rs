//! Whether an account is connected, as its gateway tells it: told on once, and not in storms.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::machine::state::{self, InvalidState};
use crate::payload::{AccountSummary, ConnectionStatus};
use crate::time::Timestamp;

/// The state of an account's connection, finer than the contract's five.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionState {
    /// It is off, and does not come back by itself.
    Disconnected,
    /// It is on its way.
    Connecting,
    /// It waits for somebody to scan a code.
    QrPending,
    /// It waits for somebody to do something else on the phone.
    ActionRequired,
    /// It can send and receive.
    Connected,
    /// It was lost, and is coming back.
    Reconnecting,
    /// Nobody scanned a code in time.
    QrExpired,
    /// Another client took its place.
    Conflict,
    /// It cannot be connected.
    Failed,
    /// WhatsApp has banned it.
    Banned,
}

/// What a gateway tells of an account, whichever gateway it is.
#[derive(Clone, PartialEq)]
pub enum Signal {
    /// The account is in this state.
    State {
        /// Which one.
        state: ConnectionState,
        /// Why, in a word of ours.
        reason: Option<String>,
        /// Why, as the source numbers it.
        reason_code: Option<i64>,
        /// Who the account is, if it is told now.
        account: Option<AccountSummary>,
    },
    /// There is a new code to scan. It replaces the one before.
    Qr(QrSignal),
    /// How well the account fares: a restriction, a quality. `None`: well.
    Health(Option<String>),
    /// Something else came from the account, so it is alive.
    Heard,
}

/// A code to pair an account with.
#[derive(Clone, PartialEq)]
pub struct QrSignal {
    /// The code, as an image or as its text.
    pub code: String,
    /// Which one of its round it is, from 1 on.
    pub attempt: Option<u32>,
    /// When it stops working, if the source says so.
    pub expires_at: Option<Timestamp>,
}

/// Something to be told of an account.
#[derive(Clone, PartialEq)]
pub enum ConnectionNews {
    /// `whatsapp:connection:status`
    Status(StatusNews),
    /// `whatsapp:ready`
    Ready(Option<AccountSummary>),
    /// `whatsapp:disconnected`, with the reason.
    Disconnected(String),
    /// `whatsapp:qr:generated`
    Qr {
        /// The code.
        code: String,
        /// When it stops working.
        expires_at: Timestamp,
    },
}

/// The state of a connection as it is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StatusNews {
    /// Which state.
    pub state: ConnectionState,
    /// Why, in a word of ours.
    pub reason: Option<String>,
    /// Why, as the source numbers it.
    pub reason_code: Option<i64>,
    /// How well the account fares.
    pub health: Option<String>,
    /// Since when.
    pub since: Timestamp,
    /// Whether nothing was heard of the account for so long that it may be dead.
    pub is_stale: bool,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionTimes {
    /// After how long without a sign of life a connected account is stale. Default: none, never.
    pub silence_max: Option<Duration>,
}

/// What came of a signal.
#[derive(Default)]
pub struct Step {
    /// What is to be told now.
    pub news: Vec<ConnectionNews>,
    /// When to ask [`Connection::tick`], at the latest.
    pub wake_at: Option<Timestamp>,
}

/// The connection of an account: its state, and what was told of it.
///
/// As bytes it is JSON with a version. It holds no code, only what tells two of them apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Connection {
    is: Facts,
    /// Whether anybody has told the state; else `is` is a guess.
    is_known: bool,
    since: Timestamp,
    /// When something was last heard of the account.
    heard_at: Timestamp,
    /// What was last told; nothing was yet if it is absent.
    told: Option<Facts>,
    told_at: Option<Timestamp>,
    /// When `is` last changed.
    changed_at: Timestamp,
    /// Whether `whatsapp:ready` is to go with the next telling of a connected account.
    #[serde(default)]
    is_ready_due: bool,
    /// Whether `whatsapp:disconnected` was told since `whatsapp:ready` was.
    #[serde(default)]
    is_loss_told: bool,
    /// When a connected account was last lost.
    lost_at: Option<Timestamp>,
    /// Which code was last told, as a hash.
    code: Option<u64>,
    /// The account as it was described with the state that is not told yet.
    account: Option<AccountSummary>,
}

/// What makes two states differ.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Facts {
    state: ConnectionState,
    reason: Option<String>,
    reason_code: Option<i64>,
    health: Option<String>,
    #[serde(default)]
    is_stale: bool,
}

impl ConnectionState {
    /// The contract's word for it.
    pub fn status(self) -> ConnectionStatus {
        match self {
            Self::Connected => ConnectionStatus::Connected,
            Self::Connecting | Self::QrPending | Self::ActionRequired => {
                ConnectionStatus::Connecting
            }
            Self::Reconnecting => ConnectionStatus::Reconnecting,
            Self::Disconnected | Self::QrExpired | Self::Conflict => ConnectionStatus::Disconnected,
            Self::Failed | Self::Banned => ConnectionStatus::Failed,
        }
    }

    /// The state that a published status means, by its `detail` if that is one of ours.
    pub fn of(status: &ConnectionStatus, detail: Option<&str>) -> Option<Self> {
        let coarse = match status {
            ConnectionStatus::Connected => Self::Connected,
            ConnectionStatus::Connecting => Self::Connecting,
            ConnectionStatus::Reconnecting => Self::Reconnecting,
            ConnectionStatus::Disconnected => Self::Disconnected,
            ConnectionStatus::Failed => Self::Failed,
            ConnectionStatus::Other(_) => return None,
        };
        let fine = Self::ALL
            .into_iter()
            .find(|state| Some(state.as_str()) == detail && state.status() == *status);
        Some(fine.unwrap_or(coarse))
    }

    /// The word for `detail`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::QrPending => "qr_pending",
            Self::ActionRequired => "action_required",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
            Self::QrExpired => "qr_expired",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
            Self::Banned => "banned",
        }
    }

    /// The state as a sentence.
    pub fn message(self) -> &'static str {
        match self {
            Self::Disconnected => "WhatsApp is disconnected",
            Self::Connecting => "WhatsApp is connecting",
            Self::QrPending => "Scan the code to connect WhatsApp",
            Self::ActionRequired => "Confirm the connection on the phone",
            Self::Connected => "WhatsApp is connected",
            Self::Reconnecting => "WhatsApp was lost and is coming back",
            Self::QrExpired => "Nobody scanned the code in time",
            Self::Conflict => "Another client took over the connection",
            Self::Failed => "WhatsApp cannot be connected",
            Self::Banned => "WhatsApp has banned the account",
        }
    }

    /// Whether it changes by itself.
    pub fn will_retry(self) -> bool {
        matches!(self, Self::Connecting | Self::Reconnecting)
    }

    /// What somebody has to do about it.
    pub fn action(self) -> &'static str {
        match self {
            Self::QrPending | Self::QrExpired | Self::Disconnected => "scan_qr",
            Self::Banned | Self::Failed | Self::Conflict | Self::ActionRequired => {
                "contact_support"
            }
            Self::Connecting | Self::Connected | Self::Reconnecting => "none",
        }
    }

    /// The reason for `whatsapp:disconnected`, if the state is told as that too.
    fn loss(self) -> Option<&'static str> {
        match self {
            Self::Disconnected => Some("disconnected"),
            Self::QrExpired => Some("qr_timeout"),
            Self::Conflict => Some("replaced"),
            Self::Banned => Some("banned"),
            _ => None,
        }
    }

    /// Every state, in the order of the enumeration.
    pub const ALL: [Self; 10] = [
        Self::Disconnected,
        Self::Connecting,
        Self::QrPending,
        Self::ActionRequired,
        Self::Connected,
        Self::Reconnecting,
        Self::QrExpired,
        Self::Conflict,
        Self::Failed,
        Self::Banned,
    ];
}

/// The state key of an account's connection: `connection:{account}`.
pub fn connection_key(account: &Id) -> String {
    format!("connection:{account}")
}

impl Connection {
    /// Takes a signal. `now` does not go back, or if it does, nothing is told too early.
    pub fn apply(
        earlier: Option<Self>,
        signal: Signal,
        now: Timestamp,
        times: &ConnectionTimes,
    ) -> (Self, Step) {
        let mut connection = earlier.unwrap_or_else(|| Self::new(now));
        let before = connection.is.clone();
        connection.heard_at = connection.heard_at.max(now);
        connection.is.is_stale = false;
        connection.is_known |= matches!(signal, Signal::State { .. } | Signal::Qr(_));
        let mut step = Step::default();
        match signal {
            Signal::State {
                state,
                reason,
                reason_code,
                account,
            } => {
                let is_entered = connection.is.state != state;
                connection.enter(state, now);
                (connection.is.reason, connection.is.reason_code) = (reason, reason_code);
                if is_entered || account.is_some() {
                    connection.account = account;
                }
            }
            Signal::Qr(qr) => {
                connection.enter(ConnectionState::QrPending, now);
                (connection.is.reason, connection.is.reason_code) = (None, None);
                step.news.extend(connection.show(qr, now));
            }
            Signal::Health(health) => connection.is.health = health,
            Signal::Heard => {}
        }
        if connection.is != before {
            connection.changed_at = now;
        }
        connection.finish(step, now, times)
    }

    /// Says what is due: the last of a storm, or that nothing was heard for too long.
    pub fn tick(mut self, now: Timestamp, times: &ConnectionTimes) -> (Self, Step) {
        if self.silent_at(times).is_some_and(|silent| silent <= now) {
            self.is.is_stale = true;
            self.changed_at = now;
        }
        self.finish(Step::default(), now, times)
    }

    /// Learns that somebody else told that the account is in this state, and when: a producer
    /// publishes what it likes, and is not told on again.
    #[must_use]
    pub fn learn(mut self, state: ConnectionState, now: Timestamp) -> Self {
        if self.told.as_ref().is_none_or(|told| told.state != state) {
            self.enter(state, now);
            self.is_known = true;
            self.is.reason = None;
            self.is.reason_code = None;
            self.is_ready_due = false;
            self.is_loss_told = false;
            self.told = Some(self.is.clone());
            self.told_at = Some(now);
        }
        self
    }

    /// The connection of an account of which nothing is known.
    pub fn new(now: Timestamp) -> Self {
        Self {
            is: Facts {
                state: ConnectionState::Disconnected,
                reason: None,
                reason_code: None,
                health: None,
                is_stale: false,
            },
            is_known: false,
            since: now,
            heard_at: now,
            told: None,
            told_at: None,
            changed_at: now,
            is_ready_due: false,
            is_loss_told: false,
            lost_at: None,
            code: None,
            account: None,
        }
    }

    /// Where it is, told or not yet.
    pub fn status(&self) -> StatusNews {
        let facts = self.is.clone();
        StatusNews {
            state: facts.state,
            reason: facts.reason,
            reason_code: facts.reason_code,
            health: facts.health,
            since: self.since,
            is_stale: facts.is_stale,
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidState> {
        state::read(bytes)
    }

    /// The connection as the journal keeps it.
    pub fn to_bytes(&self) -> Bytes {
        state::write(self)
    }

    fn enter(&mut self, state: ConnectionState, now: Timestamp) {
        let left = self.is.state;
        if left == state {
            return;
        }
        if left == ConnectionState::Connected {
            // A connection that was not told as ready yet was not lost either.
            self.lost_at = if self.is_ready_due { None } else { Some(now) };
            self.is_ready_due = false;
        }
        if state == ConnectionState::Connected {
            let is_flap = self.lost_at.is_some_and(|lost| now < after(lost, FLAP));
            // Whoever was told that it is disconnected has to be told that it is not any more.
            self.is_ready_due = !is_flap || self.is_loss_told;
        }
        if state != ConnectionState::QrPending {
            self.code = None;
        }
        self.is.state = state;
        self.since = now;
    }

    /// Tells a code that was not told yet and still works.
    fn show(&mut self, qr: QrSignal, now: Timestamp) -> Option<ConnectionNews> {
        let code = hash(&qr.code);
        let lifetime = match qr.attempt {
            Some(attempt) if attempt > 1 => LATER_CODE,
            _ => FIRST_CODE,
        };
        let expires_at = qr.expires_at.unwrap_or_else(|| after(now, lifetime));
        if self.code.replace(code) == Some(code) || expires_at <= now {
            return None;
        }
        let code = qr.code;
        Some(ConnectionNews::Qr { code, expires_at })
    }

    /// Tells the state if it is not told yet and its time has come.
    fn finish(mut self, mut step: Step, now: Timestamp, times: &ConnectionTimes) -> (Self, Step) {
        let told_before = self.told.as_ref();
        let is_told = told_before == Some(&self.is);
        if is_told && self.is_ready_due {
            // It was told as connected, lost and found again, all before anybody could see it.
            self.is_ready_due = false;
        }
        if !is_told && self.is_known {
            let due = self.due_at();
            if due <= now {
                self.tell(&mut step, now);
            } else {
                step.wake_at = Some(due);
            }
        }
        let silent = self.silent_at(times);
        step.wake_at = match (step.wake_at, silent) {
            (Some(due), Some(silent)) => Some(due.min(silent)),
            (due, silent) => due.or(silent),
        };
        (self, step)
    }

    fn tell(&mut self, step: &mut Step, now: Timestamp) {
        let before = self.told.replace(self.is.clone()).map(|told| told.state);
        self.told_at = Some(now);
        // The status comes before what follows from it, and before its code.
        let mut news = vec![ConnectionNews::Status(self.status())];
        let state = self.is.state;
        if state == ConnectionState::Connected && std::mem::take(&mut self.is_ready_due) {
            self.is_loss_told = false;
            news.push(ConnectionNews::Ready(self.account.take()));
        }
        if let Some(loss) = state.loss().filter(|_| before != Some(state)) {
            let reason = self.is.reason.clone();
            let reason = reason.unwrap_or_else(|| loss.to_owned());
            self.is_loss_told = true;
            news.push(ConnectionNews::Disconnected(reason));
        }
        news.append(&mut step.news);
        step.news = news;
    }

    /// From when on the state may be told: at once after a quiet time, else after the next one.
    fn due_at(&self) -> Timestamp {
        match self.told_at {
            Some(told) if self.changed_at < after(told, QUIET) => after(self.changed_at, QUIET),
            _ => self.changed_at,
        }
    }

    /// When the account will have been silent for too long.
    fn silent_at(&self, times: &ConnectionTimes) -> Option<Timestamp> {
        let silence_max = times.silence_max?;
        let can_be_stale = self.is.state == ConnectionState::Connected && !self.is.is_stale;
        can_be_stale.then(|| after(self.heard_at, silence_max))
    }
}

/// Codes stay out of logs.
impl std::fmt::Debug for ConnectionNews {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Status(_) => "Status",
            Self::Ready(_) => "Ready",
            Self::Disconnected(_) => "Disconnected",
            Self::Qr { .. } => "Qr",
        })
    }
}

/// Codes stay out of logs.
impl std::fmt::Debug for Signal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::State { state, .. } => write!(f, "State({})", state.as_str()),
            Self::Qr(_) => f.write_str("Qr"),
            Self::Health(_) => f.write_str("Health"),
            Self::Heard => f.write_str("Heard"),
        }
    }
}

fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// FNV-1a. Codes are random; it only has to tell the next one from the one before.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The time between two tellings, and of quiet before the last one of a storm.
const QUIET: Duration = Duration::from_secs(1);
/// A connection that comes back sooner was not away.
const FLAP: Duration = Duration::from_secs(3);
/// How long the first code of a round lives, and each later one.
const FIRST_CODE: Duration = Duration::from_mins(1);
const LATER_CODE: Duration = Duration::from_secs(20);
