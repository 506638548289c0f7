//! `switchboard journal`: looking after the journal on disk.

mod copy;
mod erase;
mod export;
mod look;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use switchboard_journal::OpenError;
use switchboard_journal::tools::{Progress, ToolError};

use super::{ConfigFile, Failure};
use crate::settings::{Environment, JournalKind};

/// Look after the journal on disk
///
/// All but `restore` work while a server runs; `erase` asks the server then.
#[derive(Args, Debug)]
pub(crate) struct Journal {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Stats(look::Stats),
    Verify(look::Verify),
    Backup(copy::Backup),
    Restore(copy::Restore),
    Export(export::Export),
    Erase(erase::Erase),
}

/// Which journal.
#[derive(Args, Debug)]
struct Place {
    /// The journal's directory, instead of journal.path of the settings
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigFile,
}

impl Journal {
    pub(crate) async fn run(self, environment: &Environment) -> Result<(), Failure> {
        match self.action {
            Action::Stats(stats) => stats.run(environment),
            Action::Verify(verify) => verify.run(environment),
            Action::Backup(backup) => backup.run(environment),
            Action::Restore(restore) => restore.run(environment),
            Action::Export(export) => export.run(environment),
            Action::Erase(erase) => erase.run(environment).await,
        }
    }
}

impl Place {
    fn directory(&self, environment: &Environment) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.data {
            return Ok(directory.clone());
        }
        let settings = self.config.load(environment).map_err(|failure| {
            if self.config.is_there() {
                failure
            } else {
                failure
                    .advise("name the journal with --data DIR, or the settings with --config FILE")
            }
        })?;
        match settings.journal.kind {
            JournalKind::Disk(directory) => Ok(directory),
            JournalKind::Memory => Err(Failure::refused(
                "journal.kind is \"memory\": there is nothing on disk",
            )),
            JournalKind::Redis(_) => Err(Failure::refused(
                "journal.kind is \"redis\": these tools are for a journal on disk",
            )
            .advise("copy what Redis keeps: docs/operations.md, \"Redis\"")),
        }
    }
}

/// What a tool could not do, and what to do about it.
fn failed(error: ToolError) -> Failure {
    let advice = match &error {
        ToolError::NoJournal { .. } => "name its directory with --data DIR",
        ToolError::Older { .. } => "start `switchboard serve` once with this version",
        ToolError::Exists { .. } => "name another file",
        ToolError::NoBackup { .. } => "`switchboard journal backup` makes one, also of it",
        ToolError::Damaged { .. } => "`switchboard journal verify` tells all that is wrong",
        ToolError::Open(OpenError::InUse { .. }) => "stop the server first",
        ToolError::Open(OpenError::OtherFormat { .. }) => {
            "use the version that wrote it, or a newer one"
        }
        _ => return error.into(),
    };
    Failure::from(error).advise(advice)
}

/// Says on a terminal how far it is: nobody else waits in front of it.
fn progress() -> impl FnMut(Progress) {
    let is_watched = io::stderr().is_terminal();
    move |progress| {
        if is_watched {
            let said = match progress {
                Progress::Pages => "looking at the pages".to_owned(),
                Progress::Records { done, of } => format!("{done} of {of} records"),
                Progress::Values => "looking at values and sessions".to_owned(),
            };
            // Nothing is left to be done if stderr is closed.
            let _ = writeln!(io::stderr(), "{said} ...");
        }
    }
}
