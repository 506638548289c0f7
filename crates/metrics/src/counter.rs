use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How often something happened, or how much of it there was. Never goes back.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// A counter at 0.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// It happened once more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// There was so much more of it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// How much it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
