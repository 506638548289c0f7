//! Publishing durably, and reading what was published long ago.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Station, used_since};
use crate::layout::Layout;
use crate::order::{Append, Appended, Pages, Replay, Replayed};
use crate::producers::Producers;
use crate::statistics::{Latencies, micros_each, per_second};
use crate::{http, publisher};

/// The account that producers publish to: nobody listens.
const UNHEARD: &str = "unheard";
/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long one page of a replay may take.
const PAGE_WAIT: Duration = Duration::from_mins(1);
const PAGE_RECORDS: usize = 1_000;

/// The ack of a subscription.
#[derive(Deserialize)]
struct Subscription {
    next: Option<String>,
}

/// An answer of `GET /v1/events`.
#[derive(Deserialize)]
struct EventsPage {
    events: Vec<IgnoredAny>,
    next: Option<String>,
}

impl Station {
    pub(super) fn append(&mut self, case: Append) -> anyhow::Result<Appended> {
        let mut producers = Producers::connect(self.server.address, case.producers, UNHEARD)?;
        producers.run(WARM_UP)?;
        let process = self.server.process;

        let (cpu, own, begin) = (process.cpu()?, self.own.cpu()?, Instant::now());
        let latencies = producers.run(Duration::from_millis(case.time_ms))?;
        let wall = begin.elapsed();
        let (cpu, own) = (used_since(process, cpu)?, used_since(self.own, own)?);

        Ok(Appended {
            per_s: per_second(latencies.len(), wall),
            latencies: Latencies::of(&latencies)?,
            cpu_us: micros_each(cpu, u64::try_from(latencies.len())?),
            loader_share: own.as_secs_f64() / wall.as_secs_f64(),
        })
    }

    pub(super) fn replay(&mut self, case: &Replay) -> anyhow::Result<Replayed> {
        Ok(Replayed {
            subscribing: self.replay_to_client(case)?,
            paging: self.replay_to_backend(case)?,
        })
    }

    fn replay_to_client(&mut self, case: &Replay) -> anyhow::Result<Pages> {
        let process = self.server.process;
        let layout = Layout {
            clients: 1,
            rooms: Vec::new(),
        };
        let fleet = self.populate(&layout)?;
        fleet.tally().expect(1, case.events, 1);
        let (cpu, begin) = (process.cpu()?, Instant::now());
        let (mut latencies, mut after) = (Vec::new(), Some(case.after.clone()));
        while let Some(position) = after {
            let event = format!(
                r#"["subscribe:whatsapp","{}",{{"after":"{position}"}}]"#,
                case.account
            );
            let asked_at = Instant::now();
            let answer = fleet.ask(&event, asked_at + PAGE_WAIT)?;
            latencies.push(asked_at.elapsed());
            let [Subscription { next }] = serde_json::from_slice(&answer)?;
            after = next;
        }
        let (time, cpu) = (begin.elapsed(), used_since(process, cpu)?);
        let (delivered, surplus) = (fleet.tally().delivered(), fleet.tally().surplus());
        ensure!(
            delivered == case.events && surplus == 0,
            "{delivered} of {} events were replayed, and {surplus} others",
            case.events
        );
        pages(time, &latencies, cpu, case.events)
    }

    /// `None` if the server does not know the way.
    fn replay_to_backend(&mut self, case: &Replay) -> anyhow::Result<Option<Pages>> {
        let process = self.server.process;
        let address = self.server.address;
        let mut stream = publisher::open(address)?;
        let (cpu, begin) = (process.cpu()?, Instant::now());
        let (mut latencies, mut after) = (Vec::new(), Some(case.after.clone()));
        let mut read = 0;
        while let Some(position) = after {
            let path = format!(
                "/v1/events?room=whatsapp:{}&after={position}&limit={PAGE_RECORDS}",
                case.account
            );
            let asked_at = Instant::now();
            let (status, body) = http::exchange(&mut stream, &http::get(address, &path))?;
            latencies.push(asked_at.elapsed());
            match status.as_str() {
                "200" => {}
                "404" | "405" => return Ok(None),
                other => bail!(
                    "reading was answered {other}: {}",
                    String::from_utf8_lossy(&body)
                ),
            }
            let page: EventsPage =
                serde_json::from_slice(&body).context("what was read is no page")?;
            read += u64::try_from(page.events.len())?;
            after = page.next;
        }
        let (time, cpu) = (begin.elapsed(), used_since(process, cpu)?);
        ensure!(
            read == case.events,
            "{read} of {} events were read",
            case.events
        );
        pages(time, &latencies, cpu, case.events).map(Some)
    }
}

fn pages(time: Duration, each: &[Duration], cpu: Duration, events: u64) -> anyhow::Result<Pages> {
    Ok(Pages {
        time_s: time.as_secs_f64(),
        latencies: Latencies::of(each)?,
        count: each.len(),
        cpu_us: micros_each(cpu, events),
    })
}
