//! A busy day at an imaginary shop: what `switchboard demo` publishes.
//!
//! Pure: the same seed and start give the same day, and nothing here waits. [`Simulation`] says
//! what happens next and after how long; whoever drives it does the waiting and the publishing.
//!
//! # Layout
//!
//! - [`simulation`]: takes turns among the actors, in simulated time.
//! - `account`, `conversation`, `campaign`, `office`: the actors, each a small state machine.
//! - `scene`: what they share. `chance`: their dice. `script`: what they say.

mod account;
mod campaign;
mod chance;
mod conversation;
mod office;
mod scene;
mod script;
pub mod simulation;

pub use script::{ACCOUNTS, CAMPAIGNS, CONTACTS, Contact, FLOWS, ShopAccount, ShopCampaign};
pub use simulation::{Simulation, Step};
