use std::fmt;
use std::path::Path;

use rusqlite::Connection;

use crate::disk::ledger::Ledger;
use crate::disk::mark::{Mark, Reached};
use crate::disk::place::MARK_NAME;
use crate::disk::schema::Identity;
use crate::disk::tools::invariants::Inspection;
use crate::disk::tools::{ToolError, open};
use crate::disk::{StorageError, schema};

/// Something that is not as it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// In which table.
    pub table: &'static str,
    /// In which partition.
    pub partition: Option<i64>,
    /// At which offset.
    pub offset: Option<u64>,
    /// What is wrong, without anything that was published.
    pub problem: String,
}

/// What a journal was found to be.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// How many records were compared with their sums.
    pub records: u64,
    /// How many values were.
    pub values: u64,
    /// How many sessions were.
    pub sessions: u64,
    /// What is wrong, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings were left out.
    pub left_out: u64,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Progress {
    /// SQLite looks at its pages, which takes about as long as everything after it.
    Pages,
    /// So many of all records were looked at.
    Records {
        /// How many.
        done: u64,
        /// Of how many.
        of: u64,
    },
    /// Values and sessions are left.
    Values,
}

impl Verdict {
    /// Whether nothing was found.
    pub fn is_good(&self) -> bool {
        self.findings.is_empty()
    }

    pub(super) fn found(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}

impl Finding {
    pub(super) fn of(table: &'static str, problem: impl Into<String>) -> Self {
        Self {
            table,
            partition: None,
            offset: None,
            problem: problem.into(),
        }
    }

    pub(super) fn at(self, partition: i64, offset: u64) -> Self {
        Self {
            partition: Some(partition),
            offset: Some(offset),
            ..self
        }
    }
}

/// Where, and what.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some(partition) = self.partition {
            write!(f, ", partition {partition}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, ", offset {offset}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// Holds a journal to everything that docs/journal.md says of it, also while a server writes to it.
///
/// An error means that it could not be looked at; what is wrong with it is in the verdict.
pub fn verify(directory: &Path, progress: &mut dyn FnMut(Progress)) -> Result<Verdict, ToolError> {
    let (connection, file) = open(directory)?;
    // Before the journal is looked at, which is never behind it.
    let noted = Mark::look(&directory.join(MARK_NAME));
    inspect(connection, &file, noted, progress)
}

pub(super) fn inspect(
    mut connection: Connection,
    file: &Path,
    noted: Option<Reached>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verdict, ToolError> {
    let mut verdict = Verdict::default();
    let identity = schema::identity(&connection, file);
    // One transaction: what is compared with each other is of one commit.
    let transaction = connection
        .transaction()
        .map_err(|error| ToolError::storage(file, error))?;
    match identity {
        Ok(identity) => history(&transaction, identity, noted, &mut verdict),
        Err(error) => verdict.found(Finding::of("meta", error.to_string())),
    }
    progress(Progress::Pages);
    if let Err(error) = pages(&transaction, &mut verdict) {
        verdict.found(Finding::of("pages", error.to_string()));
    }
    Inspection::new(&transaction, &mut verdict, progress).run();
    Ok(verdict)
}

/// Whether the journal is as far as it is known to have been.
fn history(
    connection: &Connection,
    identity: Identity,
    noted: Option<Reached>,
    verdict: &mut Verdict,
) {
    match (Ledger::load(connection), noted) {
        (Err(error), _) => verdict.found(Finding::of("partition", error.to_string())),
        (Ok(ledger), Some(noted)) if identity.reached(&ledger).lacks(noted) => {
            let problem = "the newest commits are missing; the next start begins a new epoch";
            verdict.found(Finding::of("meta", problem));
        }
        (Ok(_), _) => {}
    }
}

/// What SQLite finds wrong with its pages and indexes.
fn pages(connection: &Connection, verdict: &mut Verdict) -> Result<(), StorageError> {
    let mut check = connection.prepare(&format!("PRAGMA integrity_check({FINDINGS_MAX})"))?;
    let mut rows = check.query([])?;
    while let Some(row) = rows.next()? {
        let said: String = row.get(0)?;
        if said != "ok" {
            for line in said.lines() {
                verdict.found(Finding::of("pages", line));
            }
        }
    }
    Ok(())
}

/// How many findings are kept.
pub const FINDINGS_MAX: usize = 1_000;
