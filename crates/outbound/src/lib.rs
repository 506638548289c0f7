//! Asks other servers, within bounds: the key server of an issuer, the backend of the CRM.
//!
//! A [`Url`] is where one may ask: it comes from the settings and never from whom one talks to. A
//! [`Client`] asks there: over TLS, or without on the same machine; it follows no redirect, gives
//! up in time, reads no more than it was told, and keeps few connections for the next question.
//! [`Trust`] is whom to believe that they are who they say: the one answer for whoever speaks TLS.

mod client;
mod trust;
mod url;

pub use client::{Client, Config, Failed, Response};
pub use trust::{InvalidRoots, Trust};
pub use url::{InvalidUrl, Url};
