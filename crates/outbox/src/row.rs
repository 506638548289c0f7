//! From a row to a draft.

use std::fmt;

use serde::Serialize;
use serde_json::value::RawValue;
use switchboard_event::{Draft, TenantId};
use switchboard_ingest::{Reach, Refusal, read_draft, tenant_of};

/// A row of the table, as it stands there.
pub(crate) struct Row {
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) event: String,
    /// None if the row is longer than [`ROW_LEN_MAX`].
    pub(crate) data: Option<String>,
    /// Lists, as JSON, whatever the column is.
    pub(crate) rooms: Option<String>,
    pub(crate) add_rooms: Option<String>,
    pub(crate) except_rooms: Option<String>,
    pub(crate) receipt_timeout_ms: Option<i64>,
}

impl Row {
    /// The draft that a producer would have sent. What it does not say of itself is no draft's fault,
    /// so a row is refused with the same words.
    pub(crate) fn draft(&self) -> Result<Draft, Refusal> {
        let data = self.data.as_deref().ok_or(Refusal::TooLong)?;
        let written = Written {
            id: &self.id,
            event: &self.event,
            data: raw(data)?,
            rooms: self.rooms.as_deref().map(raw).transpose()?,
            add_rooms: self.add_rooms.as_deref().map(raw).transpose()?,
            except: self.except_rooms.as_deref().map(raw).transpose()?,
            receipt: self
                .receipt_timeout_ms
                .map(|timeout_ms| Wish { timeout_ms }),
        };
        let json = serde_json::value::to_raw_value(&written).map_err(|_| Refusal::TooLong)?;
        Ok(read_draft(&json)?)
    }
}

/// The payload and the rooms stay out of logs.
impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("seq", &self.seq)
            .finish_non_exhaustive()
    }
}

/// Whose the rows of a tenant's name are: `''` stands for a draft without one.
pub(crate) fn tenant(reach: &Reach, name: &str) -> Result<TenantId, Refusal> {
    tenant_of(reach, Some(name).filter(|name| !name.is_empty()))
}

/// The draft as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    id: &'a str,
    event: &'a str,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add_rooms: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    except: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receipt: Option<Wish>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    timeout_ms: i64,
}

/// A column that holds anything but JSON is the table's fault, and for this row alone.
fn raw(json: &str) -> Result<&RawValue, Refusal> {
    serde_json::from_str(json).map_err(|error| {
        Refusal::Invalid(switchboard_ingest::InvalidDraft::Other {
            reason: error.to_string(),
        })
    })
}

/// The longest row that is read; a payload may be as long as an event's.
pub(crate) const ROW_LEN_MAX: usize = 5 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_becomes_the_draft_that_a_producer_would_send() {
        let row = Row {
            rooms: Some(r#"["contact:42"]"#.to_owned()),
            receipt_timeout_ms: Some(5_000),
            ..row()
        };

        let draft = row.draft().unwrap();

        assert_eq!(draft.id.unwrap().as_str(), "e-1");
        assert_eq!(draft.data.get(), r#"{"contactId": "42"}"#);
        assert_eq!(draft.rooms, Some(vec!["contact:42".to_owned()]));
        assert!(draft.receipt.is_some());
    }

    #[test]
    fn a_row_that_is_no_draft_is_refused_by_field() {
        let check = |row: Row, code: &str, field: Option<&str>| {
            let refusal = row.draft().unwrap_err();
            assert_eq!((refusal.code(), refusal.field()), (code, field));
        };

        let id = "a b".to_owned();
        check(Row { id, ..row() }, "invalid_field", Some("id"));
        let data = None;
        check(Row { data, ..row() }, "event_too_large", Some("data"));
        let rooms = Some("[1]".to_owned());
        check(Row { rooms, ..row() }, "invalid_field", Some("rooms"));
        let receipt_timeout_ms = Some(-1);
        let short = Row {
            receipt_timeout_ms,
            ..row()
        };
        check(short, "invalid_field", Some("receipt"));
    }

    #[test]
    fn a_row_without_a_tenant_is_of_the_only_one() {
        let acme: TenantId = "acme".parse().unwrap();
        let one = Reach::Tenant(acme.clone());

        assert_eq!(tenant(&one, "").unwrap(), acme);
        assert_eq!(tenant(&one, "other").unwrap_err().code(), "other_tenant");
        assert_eq!(tenant(&Reach::Everyone, "acme").unwrap(), acme);
        let nobody = tenant(&Reach::Everyone, "").unwrap_err();
        assert_eq!(nobody.code(), "tenant_required");
    }

    fn row() -> Row {
        Row {
            seq: 1,
            id: "e-1".to_owned(),
            event: "contact:deleted".to_owned(),
            data: Some(r#"{"contactId": "42"}"#.to_owned()),
            rooms: None,
            add_rooms: None,
            except_rooms: None,
            receipt_timeout_ms: None,
        }
    }
}
