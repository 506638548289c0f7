//! Every statement, and the connections for them.
//!
//! Each statement is a transaction of its own and nothing is prepared on a connection, so that a
//! PgBouncer that pools transactions may be in between.

use std::sync::Arc;
use std::time::Duration;

use switchboard_postgres::{Connection, Connector, OpenError, reason};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::{ToSql, Type};
use tracing::warn;

use crate::config::{After, Config};
use crate::name::{Channel, Table};
use crate::row::{ROW_LEN_MAX, Row};

/// Why the table could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no way to it.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What the database said, or that it said nothing.
    #[error("{}", reason(.0))]
    Database(#[from] tokio_postgres::Error),
    /// It did not answer in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// What waits for a tenant, without looking at it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) tenant: String,
    /// How long its first row waits.
    pub(crate) age: Duration,
    /// Whether another node takes for it.
    pub(crate) is_elsewhere: bool,
}

/// What came of rows of one tenant, to be written down in the table.
#[derive(Debug, Default)]
pub(crate) struct Settlement {
    pub(crate) tenant: String,
    /// Those that are events now.
    pub(crate) taken: Vec<i64>,
    /// Those that cannot be, with the reasons.
    pub(crate) refused: Vec<i64>,
    pub(crate) errors: Vec<String>,
}

/// The statements for one table.
#[derive(Debug)]
pub(crate) struct Statements {
    listen: String,
    heads: String,
    claim: String,
    rows: String,
    take: String,
    refuse: String,
    release: String,
    sweep: String,
}

/// The connections to the table.
#[derive(Debug)]
pub(crate) struct Store {
    statements: Arc<Statements>,
    timeout: Duration,
    work: Connection,
    /// None if listening is not possible; then the table is polled.
    listener: Option<Connection>,
}

impl Statements {
    pub(crate) fn new(config: &Config) -> Self {
        let Config { table, channel, .. } = config;
        let of = |template: &str| with_names(template, table, channel);
        Self {
            listen: of("LISTEN {channel}"),
            heads: of(HEADS),
            claim: of(CLAIM),
            rows: of(ROWS),
            take: of(match config.after {
                After::Delete => DELETE,
                After::Mark => MARK,
            }),
            refuse: of(REFUSE),
            release: of("DELETE FROM {leases} WHERE holder = $1"),
            sweep: of(SWEEP),
        }
    }
}

impl Store {
    /// Connects; `heard` is woken when there are rows.
    pub(crate) async fn open(
        connector: &Connector,
        statements: &Arc<Statements>,
        heard: &Arc<Notify>,
        timeout: Duration,
    ) -> Result<Self, StoreError> {
        let mut store = Self {
            statements: Arc::clone(statements),
            timeout,
            work: within(timeout, connector.connect()).await?,
            listener: None,
        };
        store.listen(connector, heard).await;
        store.ask(&store.statements.sweep, &[]).await?;
        Ok(store)
    }

    /// Listens again if that broke off. That it does not work is no failure: rows are found by
    /// looking.
    pub(crate) async fn listen(&mut self, connector: &Connector, heard: &Arc<Notify>) {
        if self
            .listener
            .as_ref()
            .is_some_and(|listener| !listener.is_closed())
        {
            return;
        }
        let was_listening = self.listener.take().is_some();
        let listening = async {
            let listener = connector.connect_listening(Arc::clone(heard)).await?;
            listener.batch_execute(&self.statements.listen).await?;
            Ok(listener)
        };
        match within(self.timeout, listening).await {
            Ok(listener) => self.listener = Some(listener),
            Err(error) if was_listening => warn!(%error, "the outbox is polled: cannot listen"),
            Err(_) => {}
        }
    }

    /// Which tenants have rows that wait, beginning with `from`; at most [`HEADS_MAX`].
    pub(crate) async fn heads(&self, holder: &str, from: &str) -> Result<Vec<Head>, StoreError> {
        let limit = i64::try_from(HEADS_MAX).unwrap_or(i64::MAX);
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&holder, Type::TEXT),
            (&from, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self.ask(&self.statements.heads, &parameters).await?;
        let head = |row: tokio_postgres::Row| {
            let age: Option<f64> = row.try_get(1)?;
            Ok(Head {
                tenant: row.try_get(0)?,
                // Clocks of a database may go back.
                age: Duration::try_from_secs_f64(age.unwrap_or_default()).unwrap_or_default(),
                is_elsewhere: row.try_get(2)?,
            })
        };
        rows.into_iter().map(head).collect()
    }

    /// Takes a tenant for `holder`, or goes on with it. Answers when it was asked, or none if another
    /// node has it.
    pub(crate) async fn claim(
        &self,
        tenant: &str,
        holder: &str,
        lease: Duration,
    ) -> Result<Option<Instant>, StoreError> {
        let asked_at = Instant::now();
        let lease_ms = lease.as_secs_f64() * 1_000.0;
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&tenant, Type::TEXT),
            (&holder, Type::TEXT),
            (&lease_ms, Type::FLOAT8),
        ];
        let rows = self.ask(&self.statements.claim, &parameters).await?;
        Ok((!rows.is_empty()).then_some(asked_at))
    }

    /// The first rows of a tenant that wait, in order.
    pub(crate) async fn rows(
        &self,
        tenant: &str,
        count_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let size = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let (count_max, row_len_max) = (size(count_max), size(ROW_LEN_MAX));
        let batch_len_max = size(BATCH_LEN_MAX);
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&tenant, Type::TEXT),
            (&count_max, Type::INT8),
            (&row_len_max, Type::INT8),
            (&batch_len_max, Type::INT8),
        ];
        let rows = self.ask(&self.statements.rows, &parameters).await?;
        let read = |row: tokio_postgres::Row| {
            Ok(Row {
                seq: row.try_get(0)?,
                id: row.try_get(1)?,
                event: row.try_get(2)?,
                data: row.try_get(3)?,
                rooms: row.try_get(4)?,
                add_rooms: row.try_get(5)?,
                except_rooms: row.try_get(6)?,
                receipt_timeout_ms: row.try_get(7)?,
            })
        };
        rows.into_iter().map(read).collect()
    }

    /// Writes down what came of rows. May be repeated.
    pub(crate) async fn settle(&self, settlement: &Settlement) -> Result<(), StoreError> {
        let Settlement {
            tenant,
            taken,
            refused,
            errors,
        } = settlement;
        if !taken.is_empty() {
            let parameters: [(&(dyn ToSql + Sync), Type); 2] =
                [(tenant, Type::TEXT), (taken, Type::INT8_ARRAY)];
            self.ask(&self.statements.take, &parameters).await?;
        }
        if !refused.is_empty() {
            let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
                (tenant, Type::TEXT),
                (refused, Type::INT8_ARRAY),
                (errors, Type::TEXT_ARRAY),
            ];
            self.ask(&self.statements.refuse, &parameters).await?;
        }
        Ok(())
    }

    /// Gives up all tenants of `holder`.
    pub(crate) async fn release(&self, holder: &str) -> Result<(), StoreError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&holder, Type::TEXT)];
        self.ask(&self.statements.release, &parameters).await?;
        Ok(())
    }

    async fn ask(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        within(self.timeout, self.work.query_typed(statement, parameters)).await
    }
}

async fn within<T>(
    longest: Duration,
    work: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    let done = timeout(longest, work).await;
    Ok(done.map_err(|_| StoreError::Timeout(longest))??)
}

fn with_names(template: &str, table: &Table, channel: &Channel) -> String {
    template
        .replace("{table}", &table.quoted())
        .replace("{leases}", &table.of_suffix("_leases"))
        .replace("{channel}", &channel.quoted())
}

/// From tenant to tenant along the index, whatever waits for each. A row may be of an infinite time,
/// of which there is no age.
const HEADS: &str = "
WITH RECURSIVE heads AS (
  (SELECT tenant, created_at FROM {table}
    WHERE taken_at IS NULL AND error IS NULL AND tenant >= $2
    ORDER BY tenant, seq LIMIT 1)
  UNION ALL
  SELECT next.tenant, next.created_at FROM heads, LATERAL (
    SELECT tenant, created_at FROM {table} AS waiting
      WHERE taken_at IS NULL AND error IS NULL AND waiting.tenant > heads.tenant
      ORDER BY waiting.tenant, waiting.seq LIMIT 1) AS next
)
SELECT head.tenant,
    CASE WHEN isfinite(head.created_at)
      THEN extract(epoch FROM clock_timestamp() - head.created_at)::float8 END,
    coalesce(lease.holder <> $1 AND lease.expires_at > clock_timestamp(), false)
  FROM (SELECT * FROM heads LIMIT $3) AS head
  LEFT JOIN {leases} AS lease ON lease.tenant = head.tenant";

const CLAIM: &str = "
INSERT INTO {leases} AS lease (tenant, holder, expires_at)
  VALUES ($1, $2, clock_timestamp() + $3 * interval '1 millisecond')
  ON CONFLICT (tenant) DO UPDATE
    SET holder = excluded.holder, expires_at = excluded.expires_at
    WHERE lease.holder = excluded.holder OR lease.expires_at <= clock_timestamp()
  RETURNING 1";

/// The first row always comes, and without what makes it too long.
const ROWS: &str = "
WITH waiting AS MATERIALIZED (
  SELECT seq, id::text AS id, left(event::text, 256) AS event, data::text AS data,
      to_json(rooms)::text AS rooms, to_json(add_rooms)::text AS add_rooms,
      to_json(except_rooms)::text AS except_rooms, receipt_timeout_ms::int8 AS receipt_timeout_ms
    FROM {table}
    WHERE tenant = $1 AND taken_at IS NULL AND error IS NULL
    ORDER BY seq LIMIT $2
), sized AS (
  SELECT *, octet_length(data)::int8 + coalesce(octet_length(rooms), 0)
      + coalesce(octet_length(add_rooms), 0) + coalesce(octet_length(except_rooms), 0) AS len
    FROM waiting
), summed AS (
  SELECT *, len <= $3 AS fits, sum(least(len, $3)) OVER (ORDER BY seq) AS total FROM sized
)
SELECT seq, id, event,
    CASE WHEN fits THEN data END, CASE WHEN fits THEN rooms END,
    CASE WHEN fits THEN add_rooms END, CASE WHEN fits THEN except_rooms END,
    receipt_timeout_ms
  FROM summed WHERE total <= $4 OR total = least(len, $3) ORDER BY seq";

const DELETE: &str = "
DELETE FROM {table}
  WHERE tenant = $1 AND seq = ANY ($2) AND taken_at IS NULL AND error IS NULL";

const MARK: &str = "
UPDATE {table} SET taken_at = clock_timestamp()
  WHERE tenant = $1 AND seq = ANY ($2) AND taken_at IS NULL AND error IS NULL";

const REFUSE: &str = "
UPDATE {table} AS waiting SET error = refused.error
  FROM unnest($2::int8[], $3::text[]) AS refused (seq, error)
  WHERE waiting.tenant = $1 AND waiting.seq = refused.seq
    AND waiting.taken_at IS NULL AND waiting.error IS NULL";

/// Nobody asks for what is so old.
const SWEEP: &str = "
DELETE FROM {leases} WHERE expires_at < clock_timestamp() - interval '1 day'";

/// The most tenants of one look at the table.
pub(crate) const HEADS_MAX: usize = 1_000;
/// The most bytes of rows that are read at once; one row may be longer.
const BATCH_LEN_MAX: usize = 8 << 20;
