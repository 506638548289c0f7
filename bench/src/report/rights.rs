//! Tokens and policies.

use super::Part;
use crate::order::Decided;
use crate::plan::Section;
use crate::results::Results;
use crate::server::ServerKind;
use crate::setup::Setup;
use crate::table::Table;

pub(super) fn parts(results: &Results) -> Vec<Part<'_>> {
    vec![connects(results), subscriptions(results)]
}

fn connects(results: &Results) -> Part<'_> {
    let servers = results.servers.iter().copied();
    let columns = servers.filter(|it| it.verifies_tokens()).collect();
    let mut table = Table::new(results, Section::Rights, columns);
    for (what, setup) in [
        ("CPU per connection with HS256", Setup::Plain),
        ("CPU per connection with ES256", Setup::Es256),
    ] {
        table.row(what, "us", 0, |server: ServerKind| {
            let samples = results.accepted.iter();
            samples
                .filter(|(its, it, _)| *its == server && *it == setup)
                .map(|(.., it)| it.cpu_us_per_connection)
                .collect()
        });
    }
    let (base, all) = results.plan.accepted;
    let text = format!(
        "Accept, verify and join, between {base} and {all} connections; each signature is verified once."
    );
    Part { text, table }
}

fn subscriptions(results: &Results) -> Part<'_> {
    let servers = results.servers.iter().copied();
    let columns = servers.filter(|it| it.is_ours()).collect();
    let mut table = Table::new(results, Section::Rights, columns);
    let rows = [
        ("claims", Decided::Claims),
        ("sql, cold", Decided::Sql),
        ("sql, warm", Decided::SqlWarm),
        ("http, cold", Decided::Http),
        ("http, warm", Decided::HttpWarm),
    ];
    let samples = |server, decided| {
        let samples = results.subscribed.iter();
        samples.filter(move |(its, it, _)| *its == server && *it == decided)
    };
    for (what, decided) in rows {
        table.row(format!("CPU per subscription: {what}"), "us", 0, |server| {
            samples(server, decided).map(|(.., it)| it.cpu_us).collect()
        });
    }
    for (what, decided) in rows {
        table.percentiles(format!("until its ack: {what}"), "ms", 2, |server| {
            samples(server, decided)
                .map(|(.., it)| (it.latencies.p50_ms, it.latencies.p99_ms))
                .collect()
        });
    }
    let text = format!(
        "{} clients, each of which subscribes to a room of its own, 16 at a time. `claims` is decided by \
         the token; `sql` by a query of SQLite, `http` by a backend that answers at once: cold is asked, \
         warm is what was answered before. On disk each subscription is written down before its ack. \
         Peers have no policies.",
        results.plan.subscribers
    );
    Part { text, table }
}
