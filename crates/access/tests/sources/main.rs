//! The sources against what they really ask: a Postgres of its own, and servers that misbehave.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod http;
mod postgres;
