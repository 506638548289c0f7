//! From older formats to this one, when a journal is opened.

use rusqlite::{Connection, TransactionBehavior};

use crate::disk::schema::{FORMAT, identity_checksum, meta};

/// Makes what an older version wrote into what this one writes, in one transaction: after a crash
/// it is the one or the other.
pub(super) fn migrate(connection: &mut Connection) -> rusqlite::Result<()> {
    let format: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if format == FORMAT {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(LATER_TABLES)?;
    add_receipts(&transaction)?;
    let identity = identity_checksum(
        meta(&transaction, "epoch")?,
        meta(&transaction, "partitions")?,
    );
    for fact in [("identity", identity), ("commit", 0)] {
        let sql = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
        transaction.execute(sql, fact)?;
    }
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Format 1 began without the end of receipts.
fn add_receipts(connection: &Connection) -> rusqlite::Result<()> {
    let sql = "SELECT count(*) FROM pragma_table_info('record') WHERE name = 'receipt_by'";
    let is_missing = connection.query_row(sql, [], |row| Ok(row.get::<_, i64>(0)? == 0))?;
    if is_missing {
        connection.execute_batch("ALTER TABLE record ADD COLUMN receipt_by INTEGER")?;
    }
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS record_receipt ON record (partition, receipt_by) \
         WHERE receipt_by IS NOT NULL",
    )
}

/// Format 1 began without leases.
const LATER_TABLES: &str = "
CREATE TABLE IF NOT EXISTS lease (
    partition INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    holder INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition, tenant, name, holder)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lease_expiry ON lease (partition, expires_at);
";
