//! Deliveries.

use super::Part;
use crate::order::{FanOut, FannedOut};
use crate::plan::Section;
use crate::results::Results;
use crate::server::ServerKind;
use crate::statistics::quantile;
use crate::table::Table;

pub(super) fn parts(results: &Results) -> Vec<Part<'_>> {
    vec![deliveries(results), ratios(results), latencies(results)]
}

fn deliveries(results: &Results) -> Part<'_> {
    let mut table = table(results);
    for case in &results.plan.cases {
        table.row(name("CPU per delivery", case), "us", 2, |server| {
            let samples = samples(results, server, *case);
            samples.map(|(_, it)| it.cpu_us_per_delivery).collect()
        });
    }
    let shares = results.fan_out.iter().map(|(.., it)| it.loader_share);
    let loader = shares.fold(0.0, f64::max) * 100.0;
    let text = format!(
        "CPU of the server for each delivery of 300 bytes of data. Publishing is included: it weighs in \
         small rooms. The load generator used at most {loader:.0} % of one core."
    );
    Part { text, table }
}

fn ratios(results: &Results) -> Part<'_> {
    let mut table = table(results);
    for case in &results.plan.cases {
        table.row(name("times the floor", case), "x", 2, |server| {
            paired_ratios(results, server, ServerKind::Floor, *case)
        });
        if let Some(goal) = goal(case) {
            table.at_most(goal);
        }
    }
    let text =
        "The same as ratios of what was measured side by side, to `floor`: one writev for each \
                socket and burst (for single messages that is one write)."
            .to_owned();
    Part { text, table }
}

fn latencies(results: &Results) -> Part<'_> {
    let mut table = table(results);
    for case in &results.plan.cases {
        table.percentiles(name("last socket", case), "ms", 1, |server| {
            let values: Vec<f64> = samples(results, server, *case)
                .flat_map(|(_, it)| it.last_ms.clone())
                .collect();
            let at = |q| quantile(&values, q);
            at(0.5).zip(at(0.99)).into_iter().collect()
        });
    }
    let text = "From the first byte of the request until the last socket of the room has the last message of \
                it, over all rounds; server and clients share the cores."
        .to_owned();
    Part { text, table }
}

fn table(results: &Results) -> Table<'_> {
    Table::new(results, Section::FanOut, results.servers.clone())
}

fn name(what: &str, case: &FanOut) -> String {
    format!("{what}: bursts of {} to {}", case.burst, case.room)
}

/// At most so many times the floor.
fn goal(case: &FanOut) -> Option<f64> {
    match (case.burst, case.room) {
        (1, 5_000) => Some(1.15),
        (100, 1_000 | 5_000) => Some(2.0),
        _ => None,
    }
}

fn samples(
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
    samples(results, server, case)
        .filter_map(|(round, found)| {
            let (_, base) = samples(results, base, case).find(|(it, _)| *it == round)?;
            Some(found.cpu_us_per_delivery / base.cpu_us_per_delivery)
        })
        .collect()
}
