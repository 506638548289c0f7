//! Appends, recovery, replays.

use super::Part;
use crate::order::{Appended, Pages, Storm};
use crate::plan::Section;
use crate::results::Results;
use crate::server::ServerKind;
use crate::table::Table;

pub(super) fn parts(results: &Results) -> Vec<Part<'_>> {
    vec![appends(results), recoveries(results), replays(results)]
}

fn appends(results: &Results) -> Part<'_> {
    let mut table = Table::new(results, Section::Durability, ours(results));
    table.row("the disk: writes of 4 KiB, synced", "1/s", 0, |server| {
        let syncs = results.syncs.iter().filter(|_| is_durable(server));
        syncs.map(|it| it.per_s).collect()
    });
    table.percentiles("the disk: one of them", "ms", 2, |server| {
        let syncs = results.syncs.iter().filter(|_| is_durable(server));
        syncs
            .map(|it| (it.latencies.p50_ms, it.latencies.p99_ms))
            .collect()
    });
    let samples = |server, count| {
        let samples = results.appended.iter();
        samples
            .filter(move |(its, it, _)| *its == server && *it == count)
            .map(|(.., it)| it)
    };
    let values = |server, count, value: fn(&Appended) -> f64| -> Vec<f64> {
        samples(server, count).map(value).collect()
    };
    for &count in &results.plan.producers {
        table.row(format!("appends, {}", by(count)), "1/s", 0, |server| {
            values(server, count, |it| it.per_s)
        });
    }
    for &count in &results.plan.producers {
        table.percentiles(
            format!("until the answer, {}", by(count)),
            "ms",
            2,
            |server| {
                samples(server, count)
                    .map(|it| (it.latencies.p50_ms, it.latencies.p99_ms))
                    .collect()
            },
        );
    }
    for &count in &results.plan.producers {
        table.row(
            format!("CPU per append, {}", by(count)),
            "us",
            0,
            |server| values(server, count, |it| it.cpu_us),
        );
    }
    let shares = results.appended.iter().map(|(.., it)| it.loader_share);
    let loader = shares.fold(0.0, f64::max) * 100.0;
    let text = format!(
        "Each producer publishes one event of 300 bytes of data over HTTP, waits for the answer, and goes on. \
         On disk an answer means that the event is synced, together with whatever came meanwhile. The disk \
         is measured in the same directory before each number of producers. The load generator used at \
         most {loader:.0} % of one core. Peers keep nothing."
    );
    Part { text, table }
}

fn recoveries(results: &Results) -> Part<'_> {
    let (clients, missed) = results.plan.recovering;
    let mut columns = ours(results);
    if results.servers.contains(&ServerKind::Node) {
        columns.push(ServerKind::NodeRecovery);
    }
    let mut table = Table::new(results, Section::Durability, columns);
    let values = |server: ServerKind, value: fn(&Storm) -> f64| -> Vec<f64> {
        let samples = results.recovered.iter().filter(|(it, _)| *it == server);
        samples.map(|(_, it)| value(it)).collect()
    };
    table.percentiles("back and recovered", "s", 2, |server| {
        let samples = results.recovered.iter().filter(|(it, _)| *it == server);
        samples
            .map(|(_, it)| (it.back.p50_ms / 1e3, it.back.p99_ms / 1e3))
            .collect()
    });
    table.row("the last one", "s", 2, |server| {
        values(server, |it| it.back_s)
    });
    table.row("recovered", "%", 0, |server| {
        values(server, |it| it.recovered * 100.0)
    });
    table.row("missed events brought", "%", 0, |server| {
        values(server, |it| it.missed_delivered * 100.0)
    });
    table.row("CPU per return", "us", 0, |server| {
        values(server, |it| it.cpu_us_per_connection)
    });
    let text = format!(
        "{clients} clients of one room are cut at once, miss {missed} events, and come back as fast as they \
         can, 100 at a time. From the cut until a client has its room again and what it missed."
    );
    Part { text, table }
}

fn replays(results: &Results) -> Part<'_> {
    let (records, events) = results.plan.records;
    let mut table = Table::new(results, Section::Durability, vec![ServerKind::Switchboard]);
    let past = results.past.as_ref();
    let one = |value: Option<f64>| value.into_iter().collect::<Vec<_>>();
    table.row("writing all records in-process", "s", 1, |_| {
        one(past.map(|(past, _)| past.time_s))
    });
    let ways = [
        ("subscribe and go on", past.map(|(_, it)| &it.subscribing)),
        (
            "GET /v1/events",
            past.and_then(|(_, it)| it.paging.as_ref()),
        ),
    ];
    for (way, pages) in ways {
        let value = |value: fn(&Pages) -> f64| one(pages.map(value));
        table.row(format!("{way}: all"), "s", 2, |_| value(|it| it.time_s));
        table.row(format!("{way}: CPU per event"), "us", 2, |_| {
            value(|it| it.cpu_us)
        });
        table.percentiles(format!("{way}: one page"), "ms", 1, |_| {
            let latencies = pages.map(|it| (it.latencies.p50_ms, it.latencies.p99_ms));
            latencies.into_iter().collect()
        });
    }
    let text = format!(
        "{events} events of one room out of {records} records of one tenant, evenly among 10,000 other rooms: \
         to a client that subscribes with `after` and goes on with each `next` (up to 10,000 events a time), \
         and to a backend in pages of 1,000. The file is in the system's cache, as it was just written."
    );
    Part { text, table }
}

fn ours(results: &Results) -> Vec<ServerKind> {
    let servers = results.servers.iter().copied();
    servers.filter(|it| it.is_ours()).collect()
}

fn is_durable(server: ServerKind) -> bool {
    server == ServerKind::Switchboard
}

fn by(producers: usize) -> String {
    match producers {
        1 => "1 producer".to_owned(),
        more => format!("{more} producers"),
    }
}
