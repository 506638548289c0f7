//! Asks other servers, within bounds: the key server of an issuer, the backend of the CRM.
//!
//! A [`Url`] is where one may ask: it comes from the settings and never from whom one talks to. A
//! [`Client`] asks there: over TLS, or without on the same machine; it follows no redirect, gives
//! up in time, reads no more than it was told, and keeps few connections for the next question.

mod client;
mod url;

pub use client::{Client, Config, Failed, InvalidRoots, Response};
pub use url::{InvalidUrl, Url};
