//! A stream in, from where this node or another one had come.

use std::time::Duration;

use redis::Value;
use redis::aio::MultiplexedConnection;
use switchboard_dialect::streams;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::bridge::Work;
use crate::dial::{Dial, Failure, text};
use crate::heard::{BACKOFF_MAX, BACKOFF_MIN, hand_in};
use crate::place::{Place, PlaceError};
use crate::sighting;

/// Reads a stream while the seat is ours, for ever.
pub(crate) struct Reader {
    pub(crate) work: Work,
    pub(crate) dial: Dial,
    pub(crate) stream: String,
    pub(crate) place: Place,
}

/// Why reading ended for a while.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("another node has gone on")]
    Unseated,
    #[error(transparent)]
    Redis(#[from] Failure),
    #[error("how far it came: {0}")]
    Place(#[from] PlaceError),
}

/// An entry: its id, and names and values of its fields.
type Entry = (String, Vec<(Vec<u8>, Vec<u8>)>);

impl Reader {
    pub(crate) async fn read(mut self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            self.work.seat.held().await;
            self.work.stats.begin(&self.work.name);
            match self.follow(&mut backoff).await {
                Err(Stopped::Redis(failure)) => {
                    self.work.stats.fail(&self.work.name, &failure.to_string());
                }
                Err(stopped) => {
                    self.work.stats.rest(&self.work.name);
                    debug!(reason = %stopped, "the bridge stopped reading");
                }
                Ok(()) => {}
            }
            sleep(backoff).await;
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Reads until something fails or the seat is lost.
    async fn follow(&mut self, backoff: &mut Duration) -> Result<(), Stopped> {
        let mut connection = self.dial.connect(|| None).await?;
        let mut after = self.begin(&mut connection).await?;
        self.work.stats.connect(&self.work.name);
        loop {
            if !self.work.seat.is_held() {
                return Err(Stopped::Unseated);
            }
            let entries = self.next(&mut connection, &after).await?;
            *backoff = BACKOFF_MIN;
            let Some((last, _)) = entries.last() else {
                continue;
            };
            after.clone_from(last);
            let judge = self.work.judge();
            let drafts = entries.iter().filter_map(|(id, fields)| {
                let fields = fields.iter().map(|(name, value)| (&**name, &**value));
                let id = sighting::of_entry(&self.stream, id)?;
                judge.draft(streams::decode(fields), id)
            });
            let drafts = drafts.collect();
            let Work {
                ingest,
                mapping,
                stats,
                seat,
                ..
            } = &self.work;
            let handed = hand_in(ingest, &mapping.tenant, drafts, stats, seat).await;
            handed.map_err(|_| Stopped::Unseated)?;
            self.place.store(after.clone()).await?;
        }
    }

    /// Where to go on. The first time that is behind what is there, and written down at once, so that
    /// nothing after it is missed.
    async fn begin(&mut self, connection: &mut MultiplexedConnection) -> Result<String, Stopped> {
        if let Some(after) = self.place.load().await? {
            let first = self.edge(connection, "XRANGE", "-", "+").await?;
            if first.is_some_and(|first| is_later(&first, &after)) {
                // Entries may have been trimmed that nobody has read.
                self.work.stats.gaps.increment();
                warn!(
                    stream = self.stream,
                    "the stream begins behind where it was read to"
                );
            }
            return Ok(after);
        }
        let last = self.edge(connection, "XREVRANGE", "+", "-").await?;
        let last = last.unwrap_or_else(|| "0-0".to_owned());
        self.place.store(last.clone()).await?;
        Ok(last)
    }

    /// The id of the entry at an end of the stream.
    async fn edge(
        &self,
        connection: &mut MultiplexedConnection,
        command: &str,
        from: &str,
        to: &str,
    ) -> Result<Option<String>, Failure> {
        let mut range = redis::cmd(command);
        range
            .arg(&self.stream)
            .arg(from)
            .arg(to)
            .arg("COUNT")
            .arg(1);
        let answer = self.ask(connection, &range, Duration::ZERO).await?;
        Ok(entries(answer).into_iter().next().map(|(id, _)| id))
    }

    async fn next(
        &self,
        connection: &mut MultiplexedConnection,
        after: &str,
    ) -> Result<Vec<Entry>, Failure> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(ENTRIES_MAX);
        read.arg("BLOCK").arg(BLOCK.as_millis().to_string());
        read.arg("STREAMS").arg(&self.stream).arg(after);
        let answer = self.ask(connection, &read, BLOCK).await?;
        let (_, of_stream) = match answer {
            Value::Map(streams) => streams.into_iter().next(),
            Value::Array(streams) => streams.into_iter().next().and_then(pair),
            _ => None,
        }
        .unwrap_or_default();
        Ok(entries(of_stream))
    }

    /// Asks, and once more where the answer sends us: one server of a cluster has the stream.
    async fn ask(
        &self,
        connection: &mut MultiplexedConnection,
        command: &redis::Cmd,
        block: Duration,
    ) -> Result<Value, Failure> {
        match self.dial.ask_for(connection, command, block).await {
            Err(Failure::Redis(error)) if error.redirect_node().is_some() => {
                if let Some((host, port)) = error.redirect_node() {
                    *connection = self.dial.follow(host, port).await?;
                }
                self.dial.ask_for(connection, command, block).await
            }
            answer => answer,
        }
    }
}

/// The entries of an answer; what has not their shape is none.
fn entries(answer: Value) -> Vec<Entry> {
    let Ok(entries) = answer.into_sequence() else {
        return Vec::new();
    };
    entries.into_iter().filter_map(entry).collect()
}

fn entry(value: Value) -> Option<Entry> {
    let (id, fields) = pair(value)?;
    let id = text(&id).to_owned();
    let bytes = |value| match value {
        Value::BulkString(bytes) => Some(bytes),
        _ => None,
    };
    let mut values = fields.into_sequence().ok()?.into_iter();
    let mut fields = Vec::new();
    while let (Some(name), Some(value)) = (values.next(), values.next()) {
        fields.push((bytes(name)?, bytes(value)?));
    }
    Some((id, fields))
}

fn pair(value: Value) -> Option<(Value, Value)> {
    let [first, second] = value.into_sequence().ok()?.try_into().ok()?;
    Some((first, second))
}

/// Whether an id of an entry comes behind another one: both are two numbers.
fn is_later(one: &str, other: &str) -> bool {
    let numbers = |id: &str| -> Option<(u64, u64)> {
        let (millis, number) = id.split_once('-')?;
        Some((millis.parse().ok()?, number.parse().ok()?))
    };
    // Behind nothing there is no gap.
    other != "0-0" && numbers(one) > numbers(other)
}

const ENTRIES_MAX: usize = 100;
/// How long Redis waits for entries: as long as a node works on that has lost its seat.
const BLOCK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_entries_are_numbers_and_no_text() {
        assert!(is_later("10-0", "9-99"));
        assert!(is_later("9-10", "9-9"));
        assert!(!is_later("9-9", "9-9"));
        assert!(!is_later("9-9", "0-0"));
    }

    #[test]
    fn entries_of_a_strange_shape_are_none() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let good = Value::Array(vec![
            text("1-1"),
            Value::Array(vec![text("nsp"), text("/")]),
        ]);

        let read = entries(Value::Array(vec![good, Value::Nil, Value::Int(1)]));

        assert_eq!(
            read,
            [("1-1".to_owned(), vec![(b"nsp".to_vec(), b"/".to_vec())])]
        );
        assert_eq!(entries(Value::Nil), []);
    }
}
