//! SQLite, through rusqlite, on threads that may block.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Error, ErrorCode, InterruptHandle, OpenFlags};
use tokio::task::spawn_blocking;

use super::pool::{Pool, Pooled};
use super::{COLUMN, parameters};
use crate::question::Question;
use crate::source::{AskError, Turn};

/// A SQLite file and the connections to it, which read only.
#[derive(Debug)]
pub(super) struct Sqlite {
    pool: Arc<Pool<Connection>>,
    path: Arc<PathBuf>,
    busy_timeout: Duration,
}

/// Stops the query of whoever gives up: dropped by whoever asks.
#[derive(Default)]
struct Stop(Arc<Mutex<Stage>>);

/// How far a question has come on its thread.
#[derive(Default)]
enum Stage {
    /// It waits for the thread, or has been answered.
    #[default]
    Idle,
    Running(InterruptHandle),
    GivenUp,
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, pool_max: usize, timeout: Duration) -> Self {
        Self {
            pool: Arc::new(Pool::new(pool_max)),
            path: Arc::new(path),
            // A writer that holds the file longer is a question without an answer.
            busy_timeout: timeout,
        }
    }

    /// Waits for a thread and a connection that may be used.
    pub(super) async fn turn(&self) -> Turn {
        self.pool.turn().await
    }

    pub(super) async fn ask(
        &self,
        turn: Turn,
        query: &Arc<str>,
        question: &Question,
    ) -> Result<bool, AskError> {
        let (pool, path, busy_timeout) = (
            Arc::clone(&self.pool),
            Arc::clone(&self.path),
            self.busy_timeout,
        );
        let (query, question) = (Arc::clone(query), question.clone());
        let stop = Stop::default();
        let stage = Arc::clone(&stop.0);
        let asked = spawn_blocking(move || {
            // Whoever comes next has its turn when this one's thread is done, and not earlier.
            let _turn = turn;
            let pooled = match pool.take() {
                Some(pooled) => pooled,
                None => Pooled::new(open(&path, busy_timeout)?),
            };
            let handle = pooled.connection.get_interrupt_handle();
            if !begin(&stage, handle) {
                pool.put(pooled);
                return Ok(false);
            }
            let answer = answer(&pooled.connection, &query, &question);
            // A late word must not stop the query of the next one.
            *stage.lock() = Stage::Idle;
            if matches!(answer, Ok(_) | Err(AskError::Unanswered(_))) {
                pool.put(pooled);
            }
            answer
        });
        let answer = asked.await;
        answer.unwrap_or_else(|_| Err(AskError::Unreachable("the thread ended".to_owned())))
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let mut stage = self.0.lock();
        if let Stage::Running(handle) = &*stage {
            handle.interrupt();
        }
        *stage = Stage::GivenUp;
    }
}

/// False if whoever asked has gone, so that nobody waits for an answer.
fn begin(stage: &Mutex<Stage>, handle: InterruptHandle) -> bool {
    let mut stage = stage.lock();
    let is_wanted = !matches!(*stage, Stage::GivenUp);
    if is_wanted {
        *stage = Stage::Running(handle);
    }
    is_wanted
}

fn open(path: &PathBuf, busy_timeout: Duration) -> Result<Connection, AskError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
    let set = connection.busy_timeout(busy_timeout);
    set.map_err(|error| failed(&error))?;
    Ok(connection)
}

fn answer(connection: &Connection, query: &str, question: &Question) -> Result<bool, AskError> {
    let mut statement = connection
        .prepare_cached(query)
        .map_err(|error| failed(&error))?;
    if statement.column_count() != 1 {
        return Err(AskError::Invalid(COLUMN.to_owned()));
    }
    for (name, value) in ["$1", "$2", "$3"].into_iter().zip(parameters(question)) {
        let index = statement
            .parameter_index(name)
            .map_err(|error| failed(&error))?;
        if let Some(index) = index {
            let bound = statement.raw_bind_parameter(index, value);
            bound.map_err(|error| failed(&error))?;
        }
    }
    let mut rows = statement.raw_query();
    match rows.next().map_err(|error| failed_at_row(&error))? {
        None => Ok(false),
        Some(row) => match row.get_ref(0).map_err(|error| failed(&error))? {
            ValueRef::Null => Ok(false),
            ValueRef::Integer(number) => Ok(number != 0),
            // A column has no type here; each row has its own.
            ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_) => {
                Err(AskError::Unanswered(COLUMN.to_owned()))
            }
        },
    }
}

/// A query that could be prepared may fail for one row or id: a number too large, JSON that is
/// none. Only the kind of the error is said: its words may repeat what was bound.
fn failed_at_row(error: &Error) -> AskError {
    match error.sqlite_error() {
        Some(kind)
            if matches!(
                kind.code,
                ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::TypeMismatch
            ) =>
        {
            AskError::Unanswered(kind.to_string())
        }
        _ => failed(error),
    }
}

fn failed(error: &Error) -> AskError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::CannotOpen
            | ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::NotADatabase
            | ErrorCode::PermissionDenied
            | ErrorCode::SystemIoFailure,
        ) => AskError::Unreachable(error.to_string()),
        _ => AskError::Invalid(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_first_row_says_yes_or_no() {
        let (_directory, sqlite) = database();
        let by_member = "select 1 from members where user = $1 and tenant = $2 and account = $3";

        assert_eq!(ask(&sqlite, by_member, "ana", "1").await, Ok(true));
        assert_eq!(ask(&sqlite, by_member, "ana", "2").await, Ok(false));
        assert_eq!(ask(&sqlite, by_member, "eve", "1").await, Ok(false));
        for (query, is_allowed) in [
            ("select exists(select 1 from members where user = $1)", true),
            (
                "select exists(select 1 from members where user = 'x')",
                false,
            ),
            ("select count(*) from members where account = $3", true),
            ("select null", false),
            ("select 0", false),
            ("select true", true),
        ] {
            assert_eq!(
                ask(&sqlite, query, "ana", "1").await,
                Ok(is_allowed),
                "{query}"
            );
        }
    }

    #[tokio::test]
    async fn what_is_bound_is_text_and_never_part_of_the_query() {
        let (_directory, sqlite) = database();
        let query = "select 1 from members where user = $1 and account = $3";

        for id in ["'or/**/1=1--", "1'--", "1;drop/**/table/**/members", "$1"] {
            assert_eq!(ask(&sqlite, query, "ana", id).await, Ok(false), "{id}");
        }
        assert_eq!(ask(&sqlite, query, "ana", "1").await, Ok(true));
    }

    #[tokio::test]
    async fn a_query_that_is_no_question_or_writes_is_no_answer() {
        let (_directory, sqlite) = database();

        for query in [
            "select",
            "select 1, 2",
            "select 'yes'",
            "select 1 from nothing",
            "delete from members returning 1",
            "select 1 where $4 = 1",
        ] {
            let answer = ask(&sqlite, query, "ana", "1").await;
            let is_expected = match query {
                // What nobody binds is null.
                "select 1 where $4 = 1" => answer == Ok(false),
                "select 'yes'" => matches!(answer, Err(AskError::Unanswered(_))),
                _ => matches!(answer, Err(AskError::Invalid(_))),
            };
            assert!(is_expected, "{query}: {answer:?}");
        }
        let count = "select count(*) from members";
        assert_eq!(ask(&sqlite, count, "ana", "1").await, Ok(true));
    }

    #[tokio::test]
    async fn a_query_that_fails_for_one_id_has_no_answer_to_that_question() {
        let (_directory, sqlite) = database();
        for query in [
            "select json_extract($3, '$.a') is null",
            "select abs(iif($3 = '{}', 1, -9223372036854775807 - 1)) = 1",
        ] {
            let answer = ask(&sqlite, query, "ana", "oops").await;

            assert!(matches!(answer, Err(AskError::Unanswered(_))), "{answer:?}");
            assert!(!format!("{answer:?}").contains("oops"), "{answer:?}");
            assert_eq!(ask(&sqlite, query, "ana", "{}").await, Ok(true), "{query}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_cannot_be_reached_and_is_not_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("none.db");
        let sqlite = Sqlite::new(path.clone(), 1, Duration::from_secs(1));

        let answer = ask(&sqlite, "select 1", "ana", "1").await;

        assert!(
            matches!(answer, Err(AskError::Unreachable(_))),
            "{answer:?}"
        );
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn whoever_gives_up_stops_the_query_and_frees_its_turn() {
        let (_directory, sqlite) = database();
        let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) \
                       select count(*) from n";

        let given_up = timeout(Duration::from_millis(50), ask(&sqlite, endless, "a", "1")).await;

        assert!(given_up.is_err());
        // There is one turn, and its thread would never end by itself.
        let next = timeout(Duration::from_secs(10), ask(&sqlite, "select 1", "a", "1")).await;
        assert_eq!(next, Ok(Ok(true)));
    }

    async fn ask(sqlite: &Sqlite, query: &str, user: &str, id: &str) -> Result<bool, AskError> {
        let question = Question {
            tenant: "acme".parse().unwrap(),
            user: user.parse().unwrap(),
            room: format!("contact:{id}").parse().unwrap(),
        };
        sqlite
            .ask(sqlite.turn().await, &query.into(), &question)
            .await
    }

    fn database() -> (tempfile::TempDir, Sqlite) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("crm.db");
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "create table members (user text, tenant text, account integer);
                 insert into members values ('ana', 'acme', 1);",
            )
            .unwrap();
        (directory, Sqlite::new(path, 1, Duration::from_secs(5)))
    }
}
