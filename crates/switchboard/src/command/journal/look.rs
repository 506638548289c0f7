//! `switchboard journal stats` and `verify`.

use bytesize::ByteSize;
use clap::Args;
use serde_json::{Value, json};
use switchboard_event::{Timestamp, WireTime};
use switchboard_journal::tools::{self, Finding, JournalStats, Verdict};

use super::{Place, failed, progress};
use crate::command::{Failure, say};
use crate::settings::Environment;

/// Tell what the journal holds
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard journal stats --data /var/lib/switchboard")]
pub(super) struct Stats {
    #[command(flatten)]
    place: Place,

    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Hold the journal to everything that must be true of it
///
/// Compares each record, value and session with its sum, looks for holes, and at both sides of the
/// index by room. Tells where something is wrong, never what was published. The exit code is 0 if
/// all is well, and 1 if not.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard journal verify")]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,

    /// Print what is found as JSON
    #[arg(long)]
    json: bool,
}

impl Stats {
    pub(super) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let stats = tools::stats(&self.place.directory(environment)?).map_err(failed)?;
        if self.json {
            say(stats_json(&stats))
        } else {
            say(stats_text(&stats))
        }
    }
}

impl Verify {
    pub(super) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let directory = self.place.directory(environment)?;
        let verdict = tools::verify(&directory, &mut progress()).map_err(failed)?;
        if self.json {
            say(verdict_json(&verdict))?;
        } else {
            for finding in &verdict.findings {
                say(finding)?;
            }
        }
        let count = verdict.findings.len() as u64 + verdict.left_out;
        if count > 0 {
            let said = format!("findings: {count}; what they name is not served");
            return Err(Failure::new(said).advise(
                "restore the last good backup with `switchboard journal restore` (docs/journal.md)",
            ));
        }
        if self.json {
            return Ok(());
        }
        say(format_args!(
            "the journal is good: {} records, {} values, {} sessions",
            verdict.records, verdict.values, verdict.sessions
        ))
    }
}

fn stats_json(stats: &JournalStats) -> Value {
    let partitions = stats
        .partitions
        .iter()
        .zip(0..)
        .map(|(one, number): (_, u32)| {
            json!({
                "partition": number,
                "floor": one.floor.as_u64(),
                "head": one.head.as_u64(),
                "records": one.records(),
            })
        });
    let files = stats.files.iter();
    let files = files.map(|file| json!({"name": file.name, "bytes": file.bytes}));
    json!({
        "format": stats.format,
        "epoch": stats.epoch.to_string(),
        "records": stats.records(),
        "bytes": stats.bytes,
        "rooms": stats.rooms,
        "keys": stats.keys,
        "sessions": stats.sessions,
        "leases": stats.leases,
        "oldestAt": stats.oldest_at,
        "newestAt": stats.newest_at,
        "partitions": partitions.collect::<Vec<_>>(),
        "files": files.collect::<Vec<_>>(),
    })
}

fn stats_text(stats: &JournalStats) -> String {
    let time = |at: Option<Timestamp>| {
        at.map_or_else(
            || "none".to_owned(),
            |at| WireTime::from(at).as_str().to_owned(),
        )
    };
    let text = format!(
        "epoch      {}, format {}\n\
         records    {}, {}\n\
         oldest     {}\n\
         newest     {}\n\
         rooms      {}\n\
         keys       {}\n\
         sessions   {}\n\
         leases     {}",
        stats.epoch,
        stats.format,
        stats.records(),
        ByteSize::b(stats.bytes),
        time(stats.oldest_at),
        time(stats.newest_at),
        stats.rooms,
        stats.keys,
        stats.sessions,
        stats.leases,
    );
    let files = stats.files.iter();
    let files = files.map(|file| format!("{:<18} {}", file.name, ByteSize::b(file.bytes)));
    let partitions = stats.partitions.iter().enumerate();
    let partitions = partitions.filter(|(_, one)| one.head.as_u64() > 0);
    let partitions = partitions.map(|(number, one)| {
        let (first, last) = (one.floor.next(), one.head);
        format!("partition {number}: offsets {first} to {last}")
    });
    let lines: Vec<_> = [text].into_iter().chain(files).chain(partitions).collect();
    lines.join("\n")
}

fn verdict_json(verdict: &Verdict) -> Value {
    let finding = |finding: &Finding| {
        json!({
            "table": finding.table,
            "partition": finding.partition,
            "offset": finding.offset,
            "problem": finding.problem,
        })
    };
    json!({
        "good": verdict.is_good(),
        "records": verdict.records,
        "values": verdict.values,
        "sessions": verdict.sessions,
        "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
        "leftOut": verdict.left_out,
    })
}
