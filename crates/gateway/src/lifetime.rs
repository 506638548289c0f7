//! The end of a token on a live connection: told in time, renewed, or enforced.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use switchboard_event::Timestamp;
use tracing::info;

use crate::lane::Lane;
use crate::session::Session;

/// What becomes of a client whose token ends while it is connected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum OnExpiry {
    /// Its transport is closed, from which it comes back with a new token.
    #[default]
    Disconnect,
    /// It stays, with the rights that it had: for front ends that never renew a token. Whoever has a
    /// connection keeps it for as long as it lasts, whatever the token said.
    Keep,
}

/// When something is to be done about a token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    pub(crate) on_expiry: OnExpiry,
    /// How long before its end a client is told.
    pub(crate) notice: Duration,
    /// How much longer than they say tokens are good.
    pub(crate) leeway: Duration,
}

impl Lifetime {
    /// When a client is to be told that its token ends, or to be disconnected if that is all that is
    /// left; `None` if never.
    ///
    /// A token that lasts shorter than a few notices is told of when three quarters are over.
    pub(crate) fn first_due(&self, expires_at: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.on_expiry == OnExpiry::Keep {
            return None;
        }
        if self.notice.is_zero() {
            return Some(self.end(expires_at));
        }
        let left_ms = expires_at.as_millis().saturating_sub(now.as_millis());
        let notice_ms = i64::try_from(self.notice.as_millis()).unwrap_or(i64::MAX);
        let notice_ms = notice_ms.min(left_ms / NOTICE_PART).max(0);
        Some(Timestamp::from_millis(
            expires_at.as_millis().saturating_sub(notice_ms),
        ))
    }

    /// When the token is over for us too.
    pub(crate) fn end(&self, expires_at: Timestamp) -> Timestamp {
        expires_at
            .checked_add(self.leeway)
            .unwrap_or(Timestamp::MAX)
    }
}

impl Lane {
    /// Does what is due about tokens: tells, or ends.
    pub(crate) async fn expire(&self, now: Timestamp, lifetime: &Lifetime) {
        loop {
            let due = self.present.lock().take_due(now, DUE_MAX);
            for session in &due {
                self.expire_one(session, now, lifetime);
            }
            if due.len() < DUE_MAX {
                return;
            }
            // Many tokens that end at once must not keep other tasks from this thread.
            tokio::task::yield_now().await;
        }
    }

    fn expire_one(&self, session: &Arc<Session>, now: Timestamp, lifetime: &Lifetime) {
        if session.end_if_over(now, lifetime) {
            info!(
                socket = %session.socket_id(),
                tenant = %session.tenant(),
                user = %session.user(),
                "token expired"
            );
            return;
        }
        if session.due_at() != Timestamp::MAX {
            // It was renewed in this very moment.
            return;
        }
        let expires_at = session.expires_at();
        let end = lifetime.end(expires_at);
        let told = json!({ "expiresAt": expires_at }).to_string();
        session
            .handle
            .emit("session:expiring", &[told.as_bytes()], Vec::new());
        self.reschedule(session, Some(end));
    }
}

/// A short token is told of when this part of its life is left.
const NOTICE_PART: i64 = 4;
/// How many sessions are looked at between two other tasks.
const DUE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_client_is_told_a_minute_before_the_end_and_of_a_short_token_in_its_last_quarter() {
        let lifetime = lifetime(OnExpiry::Disconnect, MINUTE);
        let due = |expires_s: i64| {
            let due = lifetime.first_due(at(expires_s), at(0));
            due.map(|due| due.as_millis() / 1_000)
        };

        assert_eq!(due(3_600), Some(3_540));
        assert_eq!(due(240), Some(180));
        assert_eq!(due(8), Some(6));
        assert_eq!(due(0), Some(0));
    }

    #[test]
    fn without_a_notice_the_end_comes_unannounced_and_kept_sessions_have_none() {
        let unannounced = lifetime(OnExpiry::Disconnect, Duration::ZERO);
        let kept = lifetime(OnExpiry::Keep, MINUTE);

        assert_eq!(unannounced.first_due(at(100), at(0)), Some(at(105)));
        assert_eq!(kept.first_due(at(100), at(0)), None);
    }

    #[test]
    fn a_token_is_good_for_as_long_as_it_is_taken() {
        let lifetime = lifetime(OnExpiry::Disconnect, MINUTE);

        assert_eq!(lifetime.end(at(100)), at(105));
        assert_eq!(lifetime.end(Timestamp::MAX), Timestamp::MAX);
    }

    fn lifetime(on_expiry: OnExpiry, notice: Duration) -> Lifetime {
        Lifetime {
            on_expiry,
            notice,
            leeway: Duration::from_secs(5),
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }
}
