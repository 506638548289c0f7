//! How much is being appended at once, and what is beyond.

use std::collections::BTreeMap;
use std::sync::Arc;

use switchboard_metrics::Tally;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::outcome::Unavailable;
use crate::source::Item;

/// Bounds what is being appended. What does not fit is refused before anything of it is done.
#[derive(Debug)]
pub(crate) struct InFlight {
    appends: Arc<Semaphore>,
    appends_max: usize,
    units: Arc<Semaphore>,
    units_max: usize,
    refused: Tally,
}

/// The share of an append. Comes back when it has its outcome, whoever waits for it.
#[derive(Debug)]
pub(crate) struct Share {
    _append: OwnedSemaphorePermit,
    _units: OwnedSemaphorePermit,
}

/// What is being appended now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct InFlightCounts {
    /// Appends: each is what one request brings for one tenant.
    pub appends: usize,
    /// Bytes of their payloads, in whole KiB for each.
    pub bytes: usize,
}

impl InFlight {
    pub(crate) fn new(appends_max: usize, bytes_max: usize) -> Self {
        let appends_max = appends_max.min(Semaphore::MAX_PERMITS);
        let units_max = (bytes_max / UNIT).min(UNITS_MAX);
        Self {
            appends: Arc::new(Semaphore::new(appends_max)),
            appends_max,
            units: Arc::new(Semaphore::new(units_max)),
            units_max,
            refused: Tally::of([APPENDS, BYTES]),
        }
    }

    /// A share for these, if there is one. What alone is more than all may be has its turn when
    /// nothing else is in flight.
    pub(crate) fn take(&self, items: &[Item]) -> Result<Share, Unavailable> {
        let drafts = items.iter().flat_map(|item| &item.drafts);
        let bytes: usize = drafts.map(|draft| draft.data.get().len()).sum();
        let units = bytes.div_ceil(UNIT).min(self.units_max);
        let refused = |setting| {
            move |_| {
                self.refused.increment(setting);
                Unavailable::Overloaded
            }
        };
        let append = Arc::clone(&self.appends).try_acquire_owned();
        let append = append.map_err(refused(APPENDS))?;
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let units = Arc::clone(&self.units).try_acquire_many_owned(units);
        Ok(Share {
            _append: append,
            _units: units.map_err(refused(BYTES))?,
        })
    }

    pub(crate) fn counts(&self) -> InFlightCounts {
        InFlightCounts {
            appends: self.appends_max - self.appends.available_permits(),
            bytes: (self.units_max - self.units.available_permits()) * UNIT,
        }
    }

    /// How much was refused, by the setting that says how much there may be.
    pub(crate) fn refused(&self) -> BTreeMap<&'static str, u64> {
        self.refused.counts()
    }
}

/// Bytes that one permit covers.
const UNIT: usize = 1024;
/// As many as can be taken at once: 4 TiB.
const UNITS_MAX: usize = u32::MAX as usize;
const APPENDS: &str = "appends_max";
const BYTES: &str = "append_bytes_max";

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;
    use switchboard_event::Draft;

    use super::*;

    #[test]
    fn appends_and_their_bytes_are_bounded_until_they_have_their_outcome() {
        let in_flight = InFlight::new(2, 8 * UNIT);

        let first = in_flight.take(&[item(5 * UNIT)]).unwrap();
        assert!(in_flight.take(&[item(4 * UNIT)]).is_err());
        let second = in_flight.take(&[item(3 * UNIT)]).unwrap();
        assert!(in_flight.take(&[item(2)]).is_err());
        assert_eq!(
            in_flight.counts(),
            InFlightCounts {
                appends: 2,
                bytes: 8 * UNIT
            }
        );
        drop((first, second));

        assert_eq!(in_flight.counts(), InFlightCounts::default());
        assert!(in_flight.take(&[item(80 * UNIT)]).is_ok());
        assert_eq!(
            in_flight.refused(),
            BTreeMap::from([(APPENDS, 1), (BYTES, 1)])
        );
    }

    fn item(len: usize) -> Item {
        let text = format!("\"{}\"", "x".repeat(len - 2));
        Draft::new("contact:updated", RawValue::from_string(text).unwrap()).into()
    }
}
