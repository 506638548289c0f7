//! Connections.

use super::Part;
use crate::order::Connections;
use crate::plan::Section;
use crate::results::Results;
use crate::server::ServerKind;
use crate::table::Table;

pub(super) fn parts(results: &Results) -> Vec<Part<'_>> {
    let (base, all) = results.plan.connections;
    let values = |server: ServerKind, value: fn(&Connections) -> f64| -> Vec<f64> {
        let samples = results.connections.iter().filter(|(it, _)| *it == server);
        samples.map(|(_, it)| value(it)).collect()
    };
    let mut table = Table::new(results, Section::Connections, results.servers.clone());
    table.row("resident per further idle connection", "KB", 2, |server| {
        values(server, |it| it.bytes_per_connection / 1024.0)
    });
    table.at_most(2.0);
    table.row("resident in the end", "MB", 0, |server| {
        values(server, |it| megabytes(it.resident))
    });
    table.row(
        "CPU per connection: accept, verify, join",
        "us",
        0,
        |server| values(server, |it| it.cpu_us_per_connection),
    );
    table.at_most(110.0);
    table.row("all cut, all back", "s", 2, |server| {
        values(server, |it| it.storm.back_s)
    });
    table.at_most(5.0);
    table.percentiles("one of them back", "s", 2, |server| {
        let samples = results.connections.iter().filter(|(it, _)| *it == server);
        samples
            .map(|(_, it)| (it.storm.back.p50_ms / 1e3, it.storm.back.p99_ms / 1e3))
            .collect()
    });
    table.row("CPU per return", "us", 0, |server| {
        values(server, |it| it.storm.cpu_us_per_connection)
    });
    table.row("recovered", "%", 0, |server| {
        values(server, |it| it.storm.recovered * 100.0)
    });
    table.row("missed events brought", "%", 0, |server| {
        values(server, |it| it.storm.missed_delivered * 100.0)
    });
    let text = format!(
        "Idle WebSockets with a token, in three rooms each, between {base} and {all}. Afterwards all are \
         cut at once and come back; one event for each measured room is published while they are away."
    );
    vec![Part { text, table }]
}

#[expect(clippy::cast_precision_loss, reason = "printed without decimals")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
