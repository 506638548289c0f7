//! `switchboard journal export`

use std::io::{self, BufWriter, Write as _};
use std::ops::ControlFlow;

use clap::Args;
use serde::Serialize;
use serde_json::value::RawValue;
use switchboard_event::{Position, Room, TenantId, Timestamp};
use switchboard_journal::Record;
use switchboard_journal::tools::{self, Exported, Selection};

use super::{Place, failed};
use crate::clock;
use crate::command::{Failure, warn};
use crate::settings::Environment;

/// Write the records of the journal as lines of JSON, in the order in which they were appended
///
/// Nothing is left out of them: they hold what people wrote. Pairing codes that expired and what
/// was erased are not among them. What is damaged is told on stderr, and makes the exit code 1.
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  switchboard journal export --tenant acme --room contact:42 > contact-42.jsonl")]
pub(super) struct Export {
    /// Only records of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,

    /// Only records to this room
    #[arg(long)]
    room: Option<Room>,

    /// Only records after this position
    #[arg(long, value_name = "POSITION", requires = "tenant")]
    after: Option<Position>,

    #[command(flatten)]
    place: Place,
}

/// One line.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    position: Position,
    partition: i64,
    tenant: &'a str,
    id: &'a str,
    event: &'a str,
    at: Timestamp,
    appended_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    rooms: &'a [Room],
    #[serde(skip_serializing_if = "<[Room]>::is_empty")]
    except: &'a [Room],
    data: &'a RawValue,
}

impl Export {
    pub(super) fn run(&self, environment: &Environment) -> Result<(), Failure> {
        let directory = self.place.directory(environment)?;
        let selection = Selection {
            tenant: self.tenant.clone(),
            room: self.room.clone(),
            after: self.after,
        };
        let mut out = BufWriter::new(io::stdout().lock());
        let (mut damaged, mut outcome) = (0_u64, Ok(()));
        let mut sink = |exported| {
            match exported {
                Exported::Record {
                    record,
                    partition,
                    appended_at,
                } => outcome = write(&mut out, &record, partition, appended_at),
                Exported::Damaged(said) => {
                    damaged += 1;
                    warn(said);
                }
            }
            match outcome {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        };
        tools::export(&directory, &selection, clock::now(), &mut sink).map_err(failed)?;
        match outcome.and_then(|()| out.flush()) {
            // That nobody listens any more, as behind `| head`, is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            outcome => outcome?,
        }
        if damaged > 0 {
            return Err(Failure::new(format!("damaged records: {damaged}"))
                .advise("`switchboard journal verify` tells all that is wrong"));
        }
        Ok(())
    }
}

fn write(
    out: &mut impl io::Write,
    record: &Record,
    partition: i64,
    appended_at: Timestamp,
) -> io::Result<()> {
    let event = &record.event;
    let line = Line {
        position: record.position,
        partition,
        tenant: event.tenant().as_str(),
        id: event.id().as_str(),
        event: event.name(),
        at: event.at(),
        appended_at,
        expires_at: event.expires_at(),
        rooms: &event.audience().rooms,
        except: &event.audience().except,
        data: serde_json::from_slice(event.data())?,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
