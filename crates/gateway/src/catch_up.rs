//! A session that fell behind reads, at the pace of its own socket, until it is live again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use switchboard_engine::{CloseReason, Posted};
use switchboard_event::{Clock, Offset, Position};
use switchboard_journal::{Journal, ReadError};
use tracing::{info, warn};

use crate::delivery::Mark;
use crate::missed::{Missed, missed};
use crate::pace;
use crate::session::Session;

/// How many sessions are behind.
#[derive(Debug, Default)]
pub(crate) struct Behind(AtomicUsize);

/// Counts a session as behind until it is dropped.
struct Counted(Arc<Behind>);

/// Why a line was not caught up.
#[derive(Debug)]
enum End {
    /// The connection ended.
    Closed,
    /// What the line goes on with is not in the journal any more.
    Lost(ReadError),
}

impl Behind {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Catches `session` up in a task of its own, which ends with the connection at the latest.
    pub(crate) fn start(
        self: &Arc<Self>,
        journal: Arc<dyn Journal>,
        clock: Clock,
        session: Arc<Session>,
    ) {
        self.0.fetch_add(1, Ordering::Relaxed);
        session.lane.counters.falls.increment();
        let counted = Counted(Arc::clone(self));
        tokio::spawn(async move {
            let socket = session.socket_id();
            info!(%socket, "behind");
            let reader = Reader {
                journal: &*journal,
                clock: &clock,
                session: &session,
            };
            match catch_up(&reader).await {
                Ok(()) => info!(%socket, "live again"),
                Err(End::Closed) => {}
                Err(End::Lost(error)) => {
                    warn!(%socket, %error, "too far behind");
                    dismiss(&session);
                }
            }
            drop(counted);
        });
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads from the cursor, the last position wholly written, until the line is live.
async fn catch_up(reader: &Reader<'_>) -> Result<(), End> {
    let outbox = reader.session.handle.outbox();
    loop {
        // What the writer had taken before the overflow is still being written.
        outbox.drained().await;
        let near = reader.read_up(reader.session.cursor()).await?;
        if reader.go_live(near).await? {
            return Ok(());
        }
    }
}

/// What it takes to read a session's line.
struct Reader<'a> {
    journal: &'a dyn Journal,
    clock: &'a Clock,
    session: &'a Session,
}

impl Reader<'_> {
    /// Reads to where fan-out stood at the beginning of the last page, and returns that position.
    async fn read_up(&self, mut cursor: Position) -> Result<Position, End> {
        loop {
            let through = self.session.lane.hub.reached();
            // Sending the page may take long, and what holds it up may be decided meanwhile.
            let doubts = self.session.doubts();
            let page = self.page(cursor, through).await?;
            let (next, is_undecided) = (page.next, page.is_undecided);
            self.post(page).await?;
            self.session.handle.outbox().drained().await;
            if is_undecided {
                doubts.next_decision().await;
            }
            let Some(next) = next else {
                return Ok(Position {
                    offset: through,
                    ..cursor
                });
            };
            cursor = next;
        }
    }

    /// Lets live records queue up again, and then asks how far fan-out has come: what was fanned
    /// out until then is read, what is fanned out after it is queued, and what is both is told
    /// apart by its position. False if too much came in between.
    async fn go_live(&self, near: Position) -> Result<bool, End> {
        let outbox = self.session.handle.outbox();
        outbox.rejoin();
        let reached = self.session.lane.hub.reached();
        let page = self.page(near, reached).await?;
        if page.next.is_some() {
            outbox.fall_behind();
            return Ok(false);
        }
        for (packet, mark) in page.packets {
            match self.session.handle.post_missed(packet, mark) {
                Posted::Queued => {}
                // Waiting would not help: what is live waits for this.
                Posted::Behind | Posted::Full => {
                    outbox.fall_behind();
                    return Ok(false);
                }
                Posted::Closed => return Err(End::Closed),
            }
        }
        Ok(outbox.go_live(Mark::of_record(reached).as_u64()))
    }

    /// One page; waits for a journal that is unavailable as long as the connection lasts.
    async fn page(&self, after: Position, through: Offset) -> Result<Missed, End> {
        loop {
            match missed(self.journal, self.session, after, through, self.clock.now()).await {
                Ok(page) => return Ok(page),
                Err(ReadError::Unavailable { reason }) => {
                    let socket = self.session.socket_id();
                    warn!(%socket, reason, "catching up waits for the journal");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(End::Lost(error)),
            }
            if self.session.handle.is_closed() {
                return Err(End::Closed);
            }
        }
    }

    /// Queues a page as fast as the connection takes it.
    async fn post(&self, page: Missed) -> Result<(), End> {
        for (packet, mark) in page.packets {
            if !pace::post(&self.session.handle, &packet, mark).await {
                return Err(End::Closed);
            }
        }
        if self.session.handle.is_closed() {
            Err(End::Closed)
        } else {
            Ok(())
        }
    }
}

/// Tells a client that lost its place to load its state anew, and lets it come back.
fn dismiss(session: &Session) {
    let lagged = json!({ "retryAfterMs": RETRY_AFTER_MS }).to_string();
    session
        .handle
        .emit("session:lagged", &[lagged.as_bytes()], Vec::new());
    session.handle.close(CloseReason::Requested);
}

const PAUSE: Duration = Duration::from_millis(500);
const RETRY_AFTER_MS: u64 = 1_000;
