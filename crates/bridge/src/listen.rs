//! Pub/Sub in: one task listens, another makes records of what it heard.

use std::sync::Arc;
use std::time::Duration;

use redis::{PushInfo, PushKind, Value};
use switchboard_dialect::classic;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::bridge::Work;
use crate::dial::{Dial, Failure, Pushes};
use crate::heard::{BACKOFF_MAX, BACKOFF_MIN, hand_in};
use crate::inbox::Inbox;
use crate::stats::Stats;

/// Listens to all channels of a namespace, for ever.
pub(crate) struct Ear {
    pub(crate) dial: Dial,
    pub(crate) name: String,
    pub(crate) pattern: String,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) stats: Arc<Stats>,
}

impl Ear {
    pub(crate) async fn listen(self) {
        let mut backoff = BACKOFF_MIN;
        let mut has_heard = false;
        self.stats.begin(&self.name);
        loop {
            let failure = self.hear(&mut has_heard, &mut backoff).await;
            self.stats.fail(&self.name, &failure.to_string());
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Listens until the connection fails.
    async fn hear(&self, has_heard: &mut bool, backoff: &mut Duration) -> Failure {
        let lost = Arc::new(Notify::new());
        let pushes = || Some(self.pushes(&lost));
        let mut connection = match self.dial.connect(pushes).await {
            Ok(connection) => connection,
            Err(failure) => return failure,
        };
        self.inbox.begin(getrandom::u64().unwrap_or_default());
        let mut subscribe = redis::cmd("PSUBSCRIBE");
        subscribe.arg(&self.pattern);
        if let Err(failure) = self.dial.ask(&mut connection, &subscribe).await {
            return failure;
        }
        self.stats.connect(&self.name);
        if *has_heard {
            // What was said in between, nobody says again.
            self.stats.gaps.increment();
        }
        *has_heard = true;
        *backoff = BACKOFF_MIN;
        loop {
            tokio::select! {
                () = lost.notified() => return Failure::lost(),
                () = sleep(PING_INTERVAL) => {}
            }
            let ping = redis::cmd("PING");
            if let Err(failure) = self.dial.ask(&mut connection, &ping).await {
                return failure;
            }
        }
    }

    fn pushes(&self, lost: &Arc<Notify>) -> Pushes {
        let (inbox, lost) = (Arc::clone(&self.inbox), Arc::clone(lost));
        Box::new(move |PushInfo { kind, data }| match kind {
            PushKind::PMessage => {
                if let Some(Value::BulkString(body)) = data.into_iter().nth(2) {
                    inbox.push(body);
                }
            }
            PushKind::Disconnection => lost.notify_one(),
            _ => {}
        })
    }
}

/// Makes records of what was heard while the seat is ours, for ever.
pub(crate) async fn take(mut work: Work, inbox: Arc<Inbox>) {
    loop {
        work.seat.held().await;
        let heard = inbox.take().await;
        if !work.seat.is_held() {
            inbox.restore(heard);
            continue;
        }
        let judge = work.judge();
        let drafts = heard.iter().filter_map(|one| {
            let message = classic::decode(&one.body);
            judge.draft(message, one.id.clone())
        });
        let drafts = drafts.collect();
        let tenant = &work.mapping.tenant;
        let handed = hand_in(&work.ingest, tenant, drafts, &work.stats, &work.seat).await;
        if handed.is_ok() {
            inbox.settle();
        } else {
            inbox.restore(heard);
            sleep(BACKOFF_MIN).await;
        }
    }
}

const PING_INTERVAL: Duration = Duration::from_secs(2);
