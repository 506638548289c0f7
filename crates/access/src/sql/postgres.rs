//! Postgres, through tokio-postgres.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use switchboard_postgres::{Address, Connector, OpenError, reason};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row, Statement};
use tracing::debug;

use super::pool::{Pool, Pooled};
use super::{COLUMN, parameters};
use crate::question::Question;
use crate::source::{AskError, Turn};

/// A Postgres database and the connections to it, which read only.
#[derive(Debug)]
pub(super) struct Postgres {
    pool: Pool<Connection>,
    connector: Connector,
    timeout: Duration,
}

/// A connection, and what was prepared on it.
#[derive(Debug)]
struct Connection {
    client: switchboard_postgres::Connection,
    statements: HashMap<Arc<str>, Statement>,
}

/// Why a query was not answered.
#[derive(Debug)]
enum QueryError {
    Database(Error),
    Column,
    Parameters(usize),
    /// It fails for what was bound, by its code.
    Row(Box<str>),
}

impl Postgres {
    pub(super) fn new(
        address: Address,
        pool_max: usize,
        timeout: Duration,
        ca: Option<&[u8]>,
    ) -> Result<Self, OpenError> {
        Ok(Self {
            pool: Pool::new(pool_max),
            connector: Connector::new(address, timeout, ca)?,
            timeout,
        })
    }

    /// Waits for a connection that may be used.
    pub(super) async fn turn(&self) -> Turn {
        self.pool.turn().await
    }

    /// Puts `query` once, and a second time if it was a kept connection that broke.
    pub(super) async fn ask(
        &self,
        _turn: Turn,
        query: &Arc<str>,
        question: &Question,
    ) -> Result<bool, AskError> {
        if let Some(mut kept) = self.pool.take() {
            match kept.connection.ask(query, question).await {
                answer @ (Ok(_) | Err(QueryError::Row(_))) => {
                    self.pool.put(kept);
                    return Ok(answer?);
                }
                Err(error) if error.is_of_the_connection() => {
                    debug!(error = %AskError::from(error), "a connection to Postgres broke");
                }
                Err(error) => return Err(error.into()),
            }
        }
        let mut new = Pooled::new(self.connect().await?);
        let answer = new.connection.ask(query, question).await;
        if matches!(answer, Ok(_) | Err(QueryError::Row(_))) {
            self.pool.put(new);
        }
        Ok(answer?)
    }

    async fn connect(&self) -> Result<Connection, AskError> {
        let unreachable = |error: Error| AskError::Unreachable(reason(&error));
        let client = self.connector.connect().await.map_err(unreachable)?;
        let connection = Connection {
            client,
            statements: HashMap::new(),
        };
        let settings = format!(
            "SET default_transaction_read_only = on; SET statement_timeout = {}",
            self.timeout.as_millis()
        );
        let set = connection.client.batch_execute(&settings).await;
        set.map_err(unreachable)?;
        Ok(connection)
    }
}

impl Connection {
    async fn ask(&mut self, query: &Arc<str>, question: &Question) -> Result<bool, QueryError> {
        let statement = self.prepare(query).await?;
        let rows = self.client.query_raw(&statement, parameters(question));
        let first = async {
            let mut rows = pin!(rows.await?);
            // What comes after the first row is not kept.
            rows.try_next().await
        };
        match first.await {
            Ok(row) => Ok(row.is_some_and(|row| is_yes(&row))),
            // An id that is none for the CRM (letters where it has numbers) is nobody's.
            Err(error) if is_about_data(&error) => Ok(false),
            Err(error) => Err(match error.code() {
                // Without its words: they may be the operator's, and repeat what was bound.
                Some(state) if is_about_row(state) => QueryError::Row(state.code().into()),
                _ => QueryError::Database(error),
            }),
        }
    }

    /// Parameters are text, whatever the query does with them: so clients cannot make it fail but
    /// by what they say.
    async fn prepare(&mut self, query: &Arc<str>) -> Result<Statement, QueryError> {
        if let Some(statement) = self.statements.get(query) {
            return Ok(statement.clone());
        }
        let types = [Type::TEXT, Type::TEXT, Type::TEXT];
        let prepared = self.client.prepare_typed(query, &types).await;
        let statement = prepared.map_err(QueryError::Database)?;
        let parameters = statement.params().len();
        if parameters != types.len() {
            return Err(QueryError::Parameters(parameters));
        }
        let is_answer = match statement.columns() {
            [column] => ANSWERS.contains(column.type_()),
            _ => false,
        };
        if !is_answer {
            return Err(QueryError::Column);
        }
        self.statements.insert(Arc::clone(query), statement.clone());
        Ok(statement)
    }
}

impl QueryError {
    /// Whether another connection might do: this one broke, or the server ended it.
    fn is_of_the_connection(&self) -> bool {
        match self {
            Self::Column | Self::Parameters(_) | Self::Row(_) => false,
            Self::Database(error) => match error.code() {
                // 57P01 to 57P05: ended by the server; 26000, 0A000: what was prepared is gone.
                Some(state) => {
                    state.code().starts_with("57P")
                        || *state == SqlState::INVALID_SQL_STATEMENT_NAME
                        || *state == SqlState::FEATURE_NOT_SUPPORTED
                }
                None => true,
            },
        }
    }
}

impl From<QueryError> for AskError {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Row(code) => Self::Unanswered(format!("the query failed ({code})")),
            QueryError::Column => Self::Invalid(COLUMN.to_owned()),
            QueryError::Parameters(count) => Self::Invalid(format!(
                "the query has {count} parameters, and only $1, $2 and $3 are bound"
            )),
            QueryError::Database(error) if error.code().is_some() => Self::Invalid(reason(&error)),
            QueryError::Database(error) => Self::Unreachable(reason(&error)),
        }
    }
}

fn is_yes(row: &Row) -> bool {
    let column = row.columns()[0].type_();
    let yes = if *column == Type::BOOL {
        row.try_get::<_, Option<bool>>(0)
    } else if *column == Type::INT2 {
        row.try_get::<_, Option<i16>>(0)
            .map(|number| number.map(|number| number != 0))
    } else if *column == Type::INT4 {
        row.try_get::<_, Option<i32>>(0)
            .map(|number| number.map(|number| number != 0))
    } else {
        row.try_get::<_, Option<i64>>(0)
            .map(|number| number.map(|number| number != 0))
    };
    matches!(yes, Ok(Some(true)))
}

/// Class 22, data exceptions: the query is good, and what was bound to it is not.
fn is_about_data(error: &Error) -> bool {
    error
        .code()
        .is_some_and(|state| state.code().starts_with("22"))
}

/// Class 21, a second row where there may be one, and class P0, what the CRM's own functions raise:
/// so it is for one row or id, and not for all.
fn is_about_row(state: &SqlState) -> bool {
    state.code().starts_with("21") || state.code().starts_with("P0")
}

const ANSWERS: [Type; 4] = [Type::BOOL, Type::INT2, Type::INT4, Type::INT8];
