//! Lines that were posted to and not written to yet.

use switchboard_hub::Post as _;

use crate::delivery::{Delivery, Line, Run};

/// Lines that hear the runs of one batch of records: each is written to once, after the last run.
#[derive(Default)]
pub(crate) struct Corked {
    lines: Vec<Line>,
    /// How many deliveries wait in the outboxes of these lines.
    deliveries: usize,
}

impl Corked {
    /// Posts `run` to `lines`. Unless too much waits already, the next run may come before it is
    /// written.
    pub(crate) async fn post(&mut self, lines: Vec<Line>, run: &Run) {
        self.deliveries += lines.len() * run.len();
        if self.deliveries > CORKED_MAX {
            return self.finish(lines, run).await;
        }
        for lines in lines.chunks(LINES_AT_ONCE_MAX) {
            for line in lines {
                line.post(run);
            }
            tokio::task::yield_now().await;
        }
        self.lines.extend(lines);
    }

    /// Posts the last `run` to `lines`, and writes to all.
    pub(crate) async fn finish(&mut self, lines: Vec<Line>, run: &Run) {
        for lines in lines.chunks(LINES_AT_ONCE_MAX) {
            for line in lines {
                line.write(run);
            }
            tokio::task::yield_now().await;
        }
        for lines in self.lines.chunks(LINES_AT_ONCE_MAX) {
            for line in lines {
                line.flush();
            }
            tokio::task::yield_now().await;
        }
        self.lines = Vec::new();
        self.deliveries = 0;
    }
}

/// Tells `lines` what nobody has to hear, and writes to all.
pub(crate) async fn tell(lines: &[Line], delivery: &Delivery) {
    for lines in lines.chunks(LINES_AT_ONCE_MAX) {
        for line in lines {
            line.tell(delivery);
            line.flush();
        }
        tokio::task::yield_now().await;
    }
}

/// Deliveries that may wait in outboxes to be written together: a few megabytes of queues.
const CORKED_MAX: usize = 1 << 16;

/// Writes between which other tasks of the thread have their turn: half a millisecond.
const LINES_AT_ONCE_MAX: usize = 128;
