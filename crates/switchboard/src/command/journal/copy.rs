//! `switchboard journal backup` and `restore`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Args;
use serde_json::json;
use switchboard_journal::tools::{self, Existing, ToolError};

use super::{Place, failed, progress};
use crate::clock;
use crate::command::{Failure, say};
use crate::settings::Environment;

/// Copy the journal into one file, also while a server writes to it
///
/// The copy is what one commit left. It is verified and synced before it has its name, is for its
/// owner only, and never takes the place of another file.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard journal backup /backups/switchboard-$(date +%F).db")]
pub(super) struct Backup {
    /// The file to be made
    destination: PathBuf,

    #[command(flatten)]
    place: Place,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Put a backup in the place of the journal of a server that is stopped
///
/// What came after the backup is lost, so the journal's history has a new name: clients start over
/// instead of reading on. API keys, revocations and sessions are those of the backup.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard journal restore /backups/switchboard-2026-01-01.db --replace")]
pub(super) struct Restore {
    /// What `switchboard journal backup` made
    source: PathBuf,

    /// Keep the journal that is there in a directory of its own
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    place: Place,

    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let directory = self.place.directory(environment)?;
        let done = tools::backup(&directory, &self.destination, &mut progress()).map_err(failed)?;
        let file = self.destination.display().to_string();
        if self.json {
            return say(json!({"file": file, "bytes": done.bytes, "records": done.records}));
        }
        let (records, bytes) = (done.records, ByteSize::b(done.bytes));
        say(format_args!("{file}: {records} records, {bytes}, verified"))
    }
}

impl Restore {
    pub(super) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let directory = self.place.directory(environment)?;
        let existing = if self.replace {
            Existing::KeepAside
        } else {
            Existing::Refuse
        };
        let now = clock::now();
        let done = tools::restore(&self.source, &directory, existing, now, &mut progress());
        let done = done.map_err(not_restored)?;
        let aside = done.kept_aside.map(|path| path.display().to_string());
        if self.json {
            return say(json!({
                "epoch": done.epoch.to_string(),
                "records": done.records,
                "partitions": done.partitions,
                "keptAside": aside,
            }));
        }
        let (records, epoch) = (done.records, done.epoch);
        say(format_args!(
            "restored {records} records as the new epoch {epoch}"
        ))?;
        match aside {
            Some(path) => say(format_args!("the journal that was there is in {path}")),
            None => Ok(()),
        }
    }
}

/// What is missing here is the source, and what is there is a journal.
fn not_restored(error: ToolError) -> Failure {
    let advice = match &error {
        ToolError::NoJournal { .. } => "name a file that `switchboard journal backup` made",
        ToolError::Exists { .. } => "--replace keeps the journal that is there aside",
        _ => return failed(error),
    };
    Failure::from(error).advise(advice)
}
