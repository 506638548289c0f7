//! Kinds of records that are kept for less time than the others.

use rusqlite::Connection;
use switchboard_event::{Offset, Timestamp};

use crate::disk::ledger::Ledger;
use crate::disk::tombstone::bury;
use crate::disk::{StorageError, row};
use crate::erasure::is_of_kind;
use crate::{KindRetention, Partition, Partitions};

/// The rules, and how far each was followed.
///
/// Records are looked at in the order in which they were appended, each once by each rule, so that
/// appends pay for no index. What a process had looked at is looked at again by the next one.
#[derive(Debug)]
pub(super) struct Kinds {
    rules: Vec<KindRetention>,
    /// For each rule the last row that was looked at.
    looked: Vec<i64>,
}

/// What a slice came to. It counts once it is committed.
#[derive(Debug)]
pub(super) struct Swept {
    looked: Vec<i64>,
    pub(super) buried: Vec<(Partition, Offset)>,
    pub(super) more: bool,
}

impl Kinds {
    pub(super) fn new(rules: Vec<KindRetention>) -> Self {
        let looked = vec![0; rules.len()];
        Self { rules, looked }
    }

    /// Buries what is over, of at most [`SLICE`] records for each rule.
    pub(super) fn sweep(
        &self,
        connection: &Connection,
        partitions: Partitions,
        now: Timestamp,
        ledger: &mut Ledger,
    ) -> Result<Swept, StorageError> {
        let mut swept = Swept {
            looked: self.looked.clone(),
            buried: Vec::new(),
            more: false,
        };
        for (rule, looked) in self.rules.iter().zip(&mut swept.looked) {
            let over = over(connection, rule, looked, now)?;
            swept.more |= over.is_full;
            for seq in over.seqs {
                if let Some(buried) = bury(connection, partitions, seq, ledger, |_| true)? {
                    swept.buried.push((buried.partition, buried.offset));
                }
            }
        }
        Ok(swept)
    }

    /// Goes on behind what was committed.
    pub(super) fn keep(&mut self, swept: &Swept) {
        self.looked.clone_from(&swept.looked);
    }
}

/// Records that a rule is about and whose time is over.
struct Over {
    seqs: Vec<i64>,
    is_full: bool,
}

fn over(
    connection: &Connection,
    rule: &KindRetention,
    looked: &mut i64,
    now: Timestamp,
) -> Result<Over, StorageError> {
    let mut select = connection.prepare_cached(
        "SELECT seq, name, appended_at, receipt_by FROM record WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = select.query((*looked, row::stored(SLICE)))?;
    let (mut seqs, mut count) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let end = Timestamp::from_millis(row.get(2)?).checked_add(rule.age);
        let receipt_by = row.get::<_, Option<i64>>(3)?.map(Timestamp::from_millis);
        // Whose receipt is open is looked for when a node starts.
        if end.max(receipt_by).is_none_or(|end| end > now) {
            break;
        }
        *looked = row.get(0)?;
        count += 1;
        let name = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
        if is_of_kind(rule, name) {
            seqs.push(*looked);
        }
    }
    let is_full = count == SLICE;
    Ok(Over { seqs, is_full })
}

/// How many records a rule looks at before somebody else's turn.
const SLICE: usize = 1_024;
