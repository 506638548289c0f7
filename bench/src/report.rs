//! From samples to the table.

use std::fs;
use std::path::Path;

use crate::compare::Results;
use crate::server::ServerKind;
use crate::station::{Connections, FanOut, FannedOut};
use crate::statistics::{Summary, quantile};

/// What stands below this line in the saved file is written by people and kept.
const NOTES: &str = "<!-- Notes below this line are kept when the table is made again. -->";

/// All tables, as Markdown.
pub(crate) fn table(results: &Results) -> String {
    let mut text = String::from(
        "# Results\n\nMade by `bench/run`; bench/README.md says what is measured and how.\n\n",
    );
    for fact in &results.machine {
        text += &format!("- {fact}\n");
    }
    text += &format!(
        "- {} rounds of fan-out, {} of connections, servers in turns; cells are medians (min-max)\n",
        results.plan.rounds, results.plan.connection_rounds
    );
    let sections = [
        reach(results),
        connections(results),
        deliveries(results),
        ratios(results),
        latencies(results),
        failures(results),
    ];
    for section in sections.into_iter().flatten() {
        text.push('\n');
        text += &section;
    }
    text
}

/// Writes the table and keeps the notes that the file had.
pub(crate) fn save(path: &Path, table: &str) -> anyhow::Result<()> {
    let notes = fs::read_to_string(path)
        .ok()
        .and_then(|old| Some(old.split_once(NOTES)?.1.to_owned()))
        .unwrap_or_else(|| "\n".to_owned());
    Ok(fs::write(path, format!("{table}\n{NOTES}{notes}"))?)
}

/// What Switchboard is to reach, and whether it does; a quick run cannot tell.
fn reach(results: &Results) -> Option<String> {
    if results.plan.is_quick() {
        return None;
    }
    let server = ServerKind::Switchboard;
    let connections =
        |value: fn(&Connections) -> f64| median(&connection_values(results, server, value));
    let ratio = |room, burst| {
        let case = results
            .plan
            .cases
            .iter()
            .find(|it| it.room == room && it.burst == burst)?;
        median(&paired_ratios(results, server, ServerKind::Floor, *case))
    };
    let rows = [
        (
            "resident KB per further idle connection",
            connections(|it| it.bytes_per_connection / 1024.0),
            2.0,
        ),
        (
            "CPU us per connection: accept, verify, join",
            connections(|it| it.cpu_us_per_connection),
            110.0,
        ),
        (
            "all connections cut, all back, s",
            connections(|it| it.storm.back_s),
            5.0,
        ),
        ("single to 5,000: times the floor", ratio(5_000, 1), 1.15),
        (
            "bursts of 100 to 1,000: times the vectored floor",
            ratio(1_000, 100),
            2.0,
        ),
        (
            "bursts of 100 to 5,000: times the vectored floor",
            ratio(5_000, 100),
            2.0,
        ),
    ];
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .filter_map(|(what, value, limit)| {
            let value = value?;
            let verdict = if value <= limit { "reached" } else { "missed" };
            Some(vec![
                what.to_owned(),
                format!("{value:.2}"),
                format!("{limit}"),
                verdict.to_owned(),
            ])
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    Some(format!(
        "## Reach\n\n{}",
        markdown(&["switchboard", "measured", "at most", ""], &rows)
    ))
}

fn connections(results: &Results) -> Option<String> {
    let (base, all) = results.plan.connections;
    let rows: Vec<Vec<String>> = results
        .servers
        .iter()
        .filter(|server| results.connections.iter().any(|(it, _)| it == *server))
        .map(|&server| {
            let cell = |digits, value: fn(&Connections) -> f64| {
                cell(&connection_values(results, server, value), digits)
            };
            vec![
                server.name().to_owned(),
                cell(2, |it| it.bytes_per_connection / 1024.0),
                cell(0, |it| megabytes(it.resident)),
                cell(0, |it| it.cpu_us_per_connection),
                cell(2, |it| it.storm.back_s),
                cell(0, |it| it.storm.cpu_us_per_connection),
                cell(0, |it| it.storm.recovered * 100.0),
                cell(0, |it| it.storm.missed_delivered * 100.0),
            ]
        })
        .collect();
    if rows.is_empty() {
        return None;
    }
    let head = [
        "server",
        "KB resident per idle connection",
        "MB resident in the end",
        "CPU us per connection",
        "all cut, all back, s",
        "CPU us per return",
        "recovered %",
        "missed events brought %",
    ];
    Some(format!(
        "## Connections\n\nIdle WebSockets with a token, in three rooms each, between {base} and {all}. \
         Afterwards all are cut at once and come back; one event for each measured room is published while they are away.\n\n{}",
        markdown(&head, &rows)
    ))
}

fn deliveries(results: &Results) -> Option<String> {
    let rows = case_rows(results, |case, server| {
        let values: Vec<f64> = fan_outs(results, server, case)
            .map(|(_, it)| it.cpu_us_per_delivery)
            .collect();
        cell(&values, 2)
    })?;
    let loader = results
        .fan_out
        .iter()
        .map(|(.., it)| it.loader_share)
        .fold(0.0, f64::max);
    Some(format!(
        "## CPU of the server per delivery, us\n\nEvents with 300 bytes of data. Publishing is included: \
         it weighs in small rooms. The load generator used at most {:.0} % of one core.\n\n{rows}",
        loader * 100.0
    ))
}

fn ratios(results: &Results) -> Option<String> {
    if !results.servers.contains(&ServerKind::Floor) {
        return None;
    }
    let rows = case_rows(results, |case, server| {
        cell(&paired_ratios(results, server, ServerKind::Floor, case), 2)
    })?;
    Some(format!(
        "## CPU per delivery, times the floor\n\nRatios of what was measured side by side, to `floor`: \
         one writev for each socket and burst (for single messages that is one write).\n\n{rows}"
    ))
}

fn latencies(results: &Results) -> Option<String> {
    let rows = case_rows(results, |case, server| {
        let values: Vec<f64> = fan_outs(results, server, case)
            .flat_map(|(_, it)| it.last_ms.clone())
            .collect();
        match (quantile(&values, 0.5), quantile(&values, 0.99)) {
            (Some(p50), Some(p99)) => format!("{p50:.1} / {p99:.1}"),
            _ => "-".to_owned(),
        }
    })?;
    Some(format!(
        "## Time until the last socket has it, ms, p50 / p99\n\nFrom the first byte of the request until \
         the last socket of the room has the last message of it, over all rounds; server and clients share the cores.\n\n{rows}"
    ))
}

fn failures(results: &Results) -> Option<String> {
    if results.failures.is_empty() {
        return None;
    }
    Some(format!(
        "## Failures\n\n- {}\n",
        results.failures.join("\n- ")
    ))
}

/// One row for each case, one column for each server.
fn case_rows(results: &Results, cell: impl Fn(FanOut, ServerKind) -> String) -> Option<String> {
    let measured = |server: &&ServerKind| results.fan_out.iter().any(|(_, it, ..)| it == *server);
    let servers: Vec<ServerKind> = results.servers.iter().filter(measured).copied().collect();
    if servers.is_empty() {
        return None;
    }
    let head: Vec<&str> = std::iter::once("room, burst")
        .chain(servers.iter().map(|it| it.name()))
        .collect();
    let row = |case: &FanOut| {
        let name = format!("{}, {}", case.room, case.burst);
        std::iter::once(name)
            .chain(servers.iter().map(|server| cell(*case, *server)))
            .collect()
    };
    let rows: Vec<Vec<String>> = results.plan.cases.iter().map(row).collect();
    Some(markdown(&head, &rows))
}

fn fan_outs(
    results: &Results,
    server: ServerKind,
    case: FanOut,
) -> impl Iterator<Item = (usize, &FannedOut)> {
    results
        .fan_out
        .iter()
        .filter(move |(_, its, it, _)| *its == server && *it == case)
        .map(|(round, _, _, found)| (*round, found))
}

/// For each round, how many times the CPU of `base` a delivery took.
fn paired_ratios(
    results: &Results,
    server: ServerKind,
    base: ServerKind,
    case: FanOut,
) -> Vec<f64> {
    fan_outs(results, server, case)
        .filter_map(|(round, found)| {
            let (_, base) = fan_outs(results, base, case).find(|(it, _)| *it == round)?;
            Some(found.cpu_us_per_delivery / base.cpu_us_per_delivery)
        })
        .collect()
}

fn connection_values(
    results: &Results,
    server: ServerKind,
    value: fn(&Connections) -> f64,
) -> Vec<f64> {
    results
        .connections
        .iter()
        .filter(|(it, _)| *it == server)
        .map(|(_, it)| value(it))
        .collect()
}

fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn cell(values: &[f64], digits: usize) -> String {
    match Summary::of(values) {
        Some(Summary { median, .. }) if values.len() == 1 => format!("{median:.digits$}"),
        Some(Summary { median, min, max }) => {
            format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
        }
        None => "-".to_owned(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "printed without decimals")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A Markdown table whose columns also line up as text.
fn markdown(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(String::len);
        cells
            .chain([head[column].len(), 3])
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(&mut head.iter().copied());
    text += &line(&mut rule.iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}
