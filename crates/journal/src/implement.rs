//! What journals in other crates are made from: the same judgements and the same memory as ours.

pub use crate::batch::event_bytes;
pub use crate::leases::{check as check_leases, check_count as check_lease_count};
pub use crate::page::{Extent, PageBuilder, admit};
pub use crate::ring::{Look, Reach, Ring, RingLimits};
pub use crate::tail::advanced;
