//! The table as `switchboard outbox init` makes it.

use std::time::Duration;

use switchboard_postgres::{Address, Connector};
use tokio::time::timeout;

use crate::name::{Channel, Table};
use crate::store::StoreError;

/// What is made in the CRM's database.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The table.
    pub table: Table,
    /// Where it tells that there are rows; without it nothing is told, and the table is polled.
    pub channel: Option<Channel>,
}

impl Schema {
    /// The statements, which can be run again without harm. PostgreSQL 13 or newer.
    pub fn to_sql(&self) -> String {
        let Self { table, channel } = self;
        let mut sql = TABLE
            .replace("{table}", &table.quoted())
            .replace("{leases}", &table.of_suffix("_leases"))
            .replace("{waiting}", &table.bare("_waiting"));
        let trigger = match channel {
            Some(_) => TRIGGER,
            None => NO_TRIGGER,
        };
        sql.push_str(
            &trigger
                .replace("{table}", &table.quoted())
                .replace("{function}", &table.of_suffix("_notify"))
                .replace("{trigger}", &table.bare("_notify"))
                .replace("{channel}", channel.as_ref().map_or("", Channel::as_str)),
        );
        sql
    }
}

/// Makes it, all of it or nothing.
pub async fn apply(
    schema: &Schema,
    address: Address,
    ca: Option<&[u8]>,
    timeout_each: Duration,
) -> Result<(), StoreError> {
    let connector = Connector::new(address, timeout_each, ca)?;
    let work = async {
        let connection = connector.connect().await?;
        // One message is one transaction.
        connection.batch_execute(&schema.to_sql()).await
    };
    let done = timeout(timeout_each.saturating_mul(2), work).await;
    Ok(done.map_err(|_| StoreError::Timeout(timeout_each))??)
}

const TABLE: &str = "\
-- What the CRM wants to be told, written in the transaction that makes it so.
CREATE TABLE IF NOT EXISTS {table} (
  -- The event's id: the same id is the same event.
  id text PRIMARY KEY DEFAULT gen_random_uuid()::text,
  -- Whose it is; '' where there is one customer.
  tenant text NOT NULL DEFAULT '',
  event text NOT NULL,
  data jsonb NOT NULL,
  -- Instead of the event's default audience, beside it, and who does not hear it.
  rooms text[],
  add_rooms text[],
  except_rooms text[],
  -- Asks who got it.
  receipt_timeout_ms integer,
  -- The order within a tenant; not written by the CRM.
  seq bigint GENERATED ALWAYS AS IDENTITY,
  created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Written by Switchboard: when it was taken, if rows are kept, or why it cannot be.
  taken_at timestamptz,
  error text
);
CREATE INDEX IF NOT EXISTS {waiting} ON {table} (tenant, seq)
  WHERE taken_at IS NULL AND error IS NULL;
-- Rows come and go: what is dead is to be swept by number, not by share.
ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);
-- Which node takes a tenant's rows.
CREATE TABLE IF NOT EXISTS {leases} (
  tenant text PRIMARY KEY,
  holder text NOT NULL,
  expires_at timestamptz NOT NULL
);
";

const TRIGGER: &str = "\
-- Tells that there are rows, once they are committed.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('{channel}', '');
  RETURN NULL;
END
$$;
DROP TRIGGER IF EXISTS {trigger} ON {table};
CREATE TRIGGER {trigger} AFTER INSERT ON {table}
  FOR EACH STATEMENT EXECUTE FUNCTION {function}();
";

const NO_TRIGGER: &str = "\
-- Nothing is told: the table is polled.
DROP TRIGGER IF EXISTS {trigger} ON {table};
DROP FUNCTION IF EXISTS {function}();
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_that_of_the_table() {
        let table: Table = "crm.events_out".parse().unwrap();
        let channel = Some(table.channel());

        let sql = Schema { table, channel }.to_sql();

        assert!(sql.contains(r#"CREATE TABLE IF NOT EXISTS "crm"."events_out" ("#));
        assert!(sql.contains(r#"INDEX IF NOT EXISTS "events_out_waiting" ON "crm"."events_out""#));
        assert!(sql.contains("pg_notify('events_out', '')"));
        assert!(!sql.contains('{'), "{sql}");
    }

    #[test]
    fn without_a_channel_there_is_no_trigger() {
        let table = Table::default();

        let sql = Schema {
            table,
            channel: None,
        }
        .to_sql();

        assert!(!sql.contains("CREATE TRIGGER"), "{sql}");
        assert!(!sql.contains('{'), "{sql}");
    }
}
