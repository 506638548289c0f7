//! The keys of an issuer that must be asked for.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use parking_lot::Mutex;
use switchboard_metrics::Tally;
use switchboard_outbound::{Client, Failed, Url};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::algorithm::Algorithm;
use super::jwks::{InvalidJwks, KeySet};
use crate::unauthorized::KeyUnavailable;

/// Asks one address for the keys of one issuer, and remembers them.
///
/// However many tokens need keys, one question is under way at a time, and none comes sooner than
/// [`KeyServerConfig::pause`] after the one before.
pub(crate) struct KeyServer {
    url: Url,
    algorithms: Box<[Algorithm]>,
    client: Client,
    config: KeyServerConfig,
    fetches: Arc<Tally>,
    made_at: Instant,
    state: Mutex<State>,
}

/// How often a key server is asked, and how long its answer is good for.
#[derive(Clone, Copy, Debug)]
pub struct KeyServerConfig {
    /// How old keys may be before they are asked for again, in the background. Default 5 min: as
    /// long a key that its issuer took back is still good.
    pub refresh: Duration,
    /// The least time between two questions, default 10 s. It bounds what tokens with made-up key
    /// names cost the key server; it is also how long a client may wait for a key that is new.
    pub pause: Duration,
    /// How old keys may become while the key server does not answer, default 6 h.
    pub keep: Duration,
}

/// How a key server is.
#[derive(Clone, Debug)]
pub struct KeyServerStats {
    /// Whose keys: the `iss` of the settings, `default` for the issuer without a name.
    pub issuer: String,
    /// The time since it answered, or since the start if it never did.
    pub age: Duration,
    /// How many keys are in use.
    pub keys: usize,
    /// How many more it has that nothing can use.
    pub ignored: usize,
}

#[derive(Default)]
struct State {
    keys: Option<(Arc<KeySet>, Instant)>,
    asked_at: Option<Instant>,
    /// Closed when the question that is under way has been answered.
    under_way: Option<watch::Receiver<()>>,
}

/// Why a fetch brought no keys.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error(transparent)]
    Failed(#[from] Failed),
    #[error("the answer is a redirect ({0}), which is not followed")]
    Redirect(StatusCode),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer is {0}")]
    Invalid(#[from] InvalidJwks),
}

impl KeyServer {
    pub(crate) fn new(
        url: Url,
        algorithms: &[Algorithm],
        client: Client,
        config: KeyServerConfig,
        fetches: Arc<Tally>,
    ) -> Self {
        Self {
            url,
            algorithms: algorithms.into(),
            client,
            config,
            fetches,
            made_at: Instant::now(),
            state: Mutex::default(),
        }
    }

    /// The keys that are known and not too old; in most cases without waiting.
    pub(crate) async fn keys(self: &Arc<Self>) -> Result<Arc<KeySet>, KeyUnavailable> {
        match self.fresh_enough() {
            Some(keys) => Ok(keys),
            None => self.newer_keys().await,
        }
    }

    /// Keys that are asked for now, or a moment ago: a name that is not among them is nobody's.
    pub(crate) async fn newer_keys(self: &Arc<Self>) -> Result<Arc<KeySet>, KeyUnavailable> {
        let asked_at = Instant::now();
        let mut under_way = self.ask().ok_or(KeyUnavailable::TooSoon)?;
        // It ends by being closed.
        let _ = under_way.changed().await;
        let state = self.state.lock();
        match &state.keys {
            // One that was under way already is as good: nobody waits longer than for two.
            Some((keys, at)) if *at >= asked_at => Ok(Arc::clone(keys)),
            _ => Err(KeyUnavailable::NoAnswer),
        }
    }

    /// Keeps the keys fresh, for ever.
    pub(crate) async fn keep_fresh(self: &Arc<Self>) {
        loop {
            sleep_until(self.due()).await;
            if let Some(mut under_way) = self.ask() {
                let _ = under_way.changed().await;
            }
        }
    }

    pub(crate) fn stats(&self, issuer: &str) -> KeyServerStats {
        let state = self.state.lock();
        let keys = state.keys.as_ref();
        KeyServerStats {
            issuer: issuer.to_owned(),
            age: self.age(keys.map(|(_, at)| *at)),
            keys: keys.map_or(0, |(keys, _)| keys.len()),
            ignored: keys.map_or(0, |(keys, _)| keys.ignored),
        }
    }

    fn age(&self, answered_at: Option<Instant>) -> Duration {
        answered_at.unwrap_or(self.made_at).elapsed()
    }

    fn fresh_enough(&self) -> Option<Arc<KeySet>> {
        let state = self.state.lock();
        let (keys, at) = state.keys.as_ref()?;
        (at.elapsed() < self.config.keep).then(|| Arc::clone(keys))
    }

    /// When the next question is due: when the keys are old, and not too soon after the last one.
    fn due(&self) -> Instant {
        let state = self.state.lock();
        let old = state.keys.as_ref().map(|(_, at)| *at + self.config.refresh);
        let allowed = state.asked_at.map(|at| at + self.config.pause);
        let now = Instant::now();
        old.unwrap_or(now).max(allowed.unwrap_or(now))
    }

    /// Asks, unless a question is under way: then that one counts. None if it is too soon.
    ///
    /// The question is a task of its own, so that a client that goes away takes no other's answer
    /// with it.
    fn ask(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut state = self.state.lock();
        if let Some(under_way) = &state.under_way
            && under_way.has_changed().is_ok()
        {
            return Some(under_way.clone());
        }
        let now = Instant::now();
        if state
            .asked_at
            .is_some_and(|at| now < at + self.config.pause)
        {
            return None;
        }
        let (sender, receiver) = watch::channel(());
        state.asked_at = Some(now);
        state.under_way = Some(receiver.clone());
        drop(state);
        let server = Arc::clone(self);
        tokio::spawn(async move {
            server.fetch().await;
            drop(sender);
        });
        Some(receiver)
    }

    async fn fetch(&self) {
        let outcome = self.fetched().await;
        self.fetches.increment(match &outcome {
            Ok(_) => "ok",
            Err(error) => error.name(),
        });
        match outcome {
            Ok(keys) => {
                let (count, ignored) = (keys.len(), keys.ignored);
                let before = self
                    .state
                    .lock()
                    .keys
                    .replace((keys.into(), Instant::now()));
                let changed =
                    before.is_none_or(|(old, _)| (old.len(), old.ignored) != (count, ignored));
                if changed {
                    info!(url = %self.url, keys = count, ignored, "keys of tokens fetched");
                }
            }
            Err(error) => {
                let answered_at = self.state.lock().keys.as_ref().map(|(_, at)| *at);
                let age_s = self.age(answered_at).as_secs();
                warn!(url = %self.url, reason = %error, age_s, "keys of tokens not fetched");
            }
        }
    }

    async fn fetched(&self) -> Result<KeySet, FetchError> {
        let accept = HeaderValue::from_static("application/jwk-set+json, application/json");
        let headers = HeaderMap::from_iter([(header::ACCEPT, accept)]);
        let response = self.client.get(&self.url, headers).await?;
        match response.status {
            StatusCode::OK => Ok(KeySet::parse(&response.body, &self.algorithms)?),
            status if status.is_redirection() => Err(FetchError::Redirect(status)),
            status => Err(FetchError::Status(status)),
        }
    }
}

impl FetchError {
    /// What a fetch can come to, as counted.
    pub(crate) const NAMES: [&'static str; 6] = [
        "ok",
        "unreachable",
        "timeout",
        "redirect",
        "status",
        "invalid",
    ];

    fn name(&self) -> &'static str {
        match self {
            Self::Failed(Failed::TimedOut(_)) => "timeout",
            Self::Failed(Failed::BodyTooLong { .. }) | Self::Invalid(_) => "invalid",
            Self::Failed(_) => "unreachable",
            Self::Redirect(_) => "redirect",
            Self::Status(_) => "status",
        }
    }
}

/// What fetches came to.
pub(crate) fn fetches() -> Tally {
    Tally::of(FetchError::NAMES)
}

impl Default for KeyServerConfig {
    fn default() -> Self {
        Self {
            refresh: Duration::from_mins(5),
            pause: Duration::from_secs(10),
            keep: Duration::from_hours(6),
        }
    }
}
