//! Where the table is, and how it is looked at.

use std::time::Duration;

use switchboard_ingest::Reach;
use switchboard_postgres::Address;

use crate::name::{Channel, Table};

/// What an outbox is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the database is.
    pub address: Address,
    /// Whom to trust for its certificate, as PEM. Default: whom the system trusts.
    pub ca: Option<Box<[u8]>>,
    /// The table.
    pub table: Table,
    /// Where it tells that there are rows.
    pub channel: Channel,
    /// Whose events the rows may be.
    pub reach: Reach,
    /// How often it is looked for rows when nothing was told, default 1 s: behind a PgBouncer that
    /// pools transactions nothing ever is. Each look is one small query.
    pub poll: Duration,
    /// Most rows of one tenant that are taken at once, default 500, at most 1,000. More are faster,
    /// and are waited for by the other tenants.
    pub batch: usize,
    /// What becomes of a row that was taken.
    pub after: After,
    /// How long a tenant stays with a node that says nothing more, default 10 s. Less costs a
    /// statement for each half of it and tenant that has rows.
    pub lease: Duration,
    /// How long connecting or a statement may take, default 5 s.
    pub timeout: Duration,
}

/// What becomes of a row that was taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum After {
    /// It is deleted.
    Delete,
    /// It stays, and `taken_at` says when. Then deleting is somebody else's business.
    Mark,
}
