//! Who hears what: rights, grants, rooms and fan-out.
//!
//! State machines without I/O. The hub knows neither how a delivery is encoded nor how it reaches
//! a socket nor where records come from; it is generic over [`Post`], which the gateway implements.
//!
//! # Layout
//!
//! - [`access`]: [`Rights`] of a session, the [`Rules`] that decide over them, and the [`Grant`] that
//!   they make; a grant is the only way in.
//! - [`pattern`]: how a token names the rooms that it covers.
//! - [`hub`]: [`Hub`], [`Seat`] and [`Post`]: joining, leaving and fan-out.
//! - `rooms`: the tables of one partition, behind one short lock.
//! - [`momentary`]: [`Momentary`], facts that end by themselves: who types, who looks at a contact.
//! - [`attendance`]: [`Attendance`], the people behind the sockets of one node.
//! - [`presence`]: [`Presence`], who is online, from what all nodes say.

pub mod access;
pub mod attendance;
pub mod hub;
pub mod momentary;
pub mod pattern;
pub mod presence;
mod rooms;

pub use access::{Decision, Denied, Grant, LinkRights, Question, Rights, Rule, Rules};
pub use attendance::{Attendance, Word};
pub use hub::{Audience, Hub, HubStats, Joined, Post, Seat};
pub use momentary::{Change, Contact, Crowded, Fact, Momentary, MomentaryLimits, Subject, Turn};
pub use pattern::{InvalidPattern, Pattern};
pub use presence::{NodeWord, Presence, Status, Update};
pub use rooms::Recipients;
