//! How often something may happen: a [`Rate`], and [`Buckets`] that hold many to it.
//!
//! Whoever has somebody to limit owns the buckets, names each by a [`Key`] and tells the time. What
//! is refused, and what is said then, is somebody else's business.

mod buckets;
mod key;
mod rate;

pub use buckets::{Buckets, Wait};
pub use key::{Key, Keys};
pub use rate::{InvalidRate, Rate};
