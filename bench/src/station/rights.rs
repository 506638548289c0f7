//! Subscribing to what somebody else decides about.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::{Station, used_since};
use crate::backend::Backend;
use crate::layout::Layout;
use crate::order::{Decided, Subscribed};
use crate::setup;
use crate::statistics::{Latencies, micros_each};

/// How many subscriptions are on their way at once.
const AT_ONCE: usize = 16;
const ANSWERS_WAIT: Duration = Duration::from_mins(1);

impl Station {
    /// Each client subscribes to a room of its own: for the first time, when somebody must be
    /// asked, and again after it has left it, when the answer is known.
    pub(super) fn subscribe(
        &mut self,
        layout: &Layout,
    ) -> anyhow::Result<Vec<(Decided, Subscribed)>> {
        self.populate(layout)?;
        let clients = u64::try_from(layout.clients)?;
        let before = self.questions();
        ensure!(before == 0, "the backend was asked {before} times before");
        let mut found = Vec::new();
        // Warms up what is the same for all, and leaves nothing in any cache of answers.
        self.enter(setup::CLAIMED)?;
        self.leave(setup::CLAIMED)?;
        found.push((Decided::Claims, self.enter(setup::CLAIMED)?));
        for (kind, cold, warm) in [
            (setup::BY_SQL, Decided::Sql, Decided::SqlWarm),
            (setup::BY_HTTP, Decided::Http, Decided::HttpWarm),
        ] {
            found.push((cold, self.enter(kind)?));
            self.leave(kind)?;
            found.push((warm, self.enter(kind)?));
        }
        let asked = self.questions();
        ensure!(
            asked == clients,
            "the backend was asked {asked} times about {clients} rooms"
        );
        Ok(found)
    }

    /// How often the backend was asked.
    fn questions(&self) -> u64 {
        self.prepared.backend.as_ref().map_or(0, Backend::answered)
    }

    fn enter(&mut self, kind: &str) -> anyhow::Result<Subscribed> {
        let process = self.server.process;
        let cpu = process.cpu()?;
        let latencies = self.ask_all("subscribe", kind)?;
        let cpu = used_since(process, cpu)?;
        Ok(Subscribed {
            cpu_us: micros_each(cpu, u64::try_from(latencies.len())?),
            latencies: Latencies::of(&latencies)?,
        })
    }

    fn leave(&mut self, kind: &str) -> anyhow::Result<()> {
        self.ask_all("unsubscribe", kind).map(drop)
    }

    fn ask_all(&mut self, event: &str, kind: &str) -> anyhow::Result<Vec<Duration>> {
        let fleet = self.fleet.as_mut().context("nobody is connected")?;
        let event = |number| format!(r#"["{event}","{kind}:{number}"]"#);
        fleet.ask_all(event, AT_ONCE, Instant::now() + ANSWERS_WAIT)
    }
}
