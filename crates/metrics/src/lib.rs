//! Counts that threads share without waiting for each other, and what they come to at one time.
//!
//! Whoever has something to count owns a [`Counter`], a [`Tally`] or a [`Histogram`] and gives away
//! plain snapshots. How these are told to an operator is somebody else's business.

mod counter;
mod histogram;
mod tally;

pub use counter::Counter;
pub use histogram::{Histogram, HistogramSnapshot};
pub use tally::Tally;
