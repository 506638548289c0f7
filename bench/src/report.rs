//! From samples to the table.

mod connections;
mod durability;
mod fan_out;
mod rights;

use std::fs;
use std::path::Path;

use crate::plan::{Scale, Section};
use crate::results::Results;
use crate::table::Table;

/// What stands below this line in the saved file is written by people and kept.
const NOTES: &str = "<!-- Notes below this line are kept when the table is made again. -->";

/// A table of a section with what is to be said before it.
struct Part<'a> {
    text: String,
    table: Table<'a>,
}

/// All tables, as Markdown.
pub(crate) fn table(results: &Results) -> String {
    let sections: Vec<(&str, Vec<Part<'_>>)> = results
        .plan
        .sections
        .iter()
        .map(|section| match section {
            Section::Connections => ("Connections", connections::parts(results)),
            Section::FanOut => ("Fan-out", fan_out::parts(results)),
            Section::Rights => ("Rights", rights::parts(results)),
            Section::Durability => ("Durability", durability::parts(results)),
        })
        .collect();
    let mut text = String::from(
        "# Results\n\nMade by `bench/run`; bench/README.md says what is measured and how.\n\n",
    );
    text += &failures(results);
    for fact in &results.machine {
        text += &format!("- {fact}\n");
    }
    let rounds = results.plan.rounds;
    text += &format!(
        "- rounds: connections {}, fan-out {}, rights {}, durability {}; servers in turns; cells are \
         medians (min-max)\n",
        rounds.connections, rounds.fan_out, rounds.rights, rounds.durability
    );
    text += &match results.plan.scale {
        Scale::Full => goals(&sections),
        Scale::Short => format!("- a short run: fewer rounds\n{}", goals(&sections)),
        Scale::Quick => "- a trial of a tenth of the size, which says nothing about goals\n".into(),
    };
    for (title, parts) in &sections {
        text += &format!("\n## {title}\n");
        for part in parts {
            if let Some(table) = part.table.text() {
                text += &format!("\n{}\n\n{table}", part.text);
            }
        }
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

/// First of all, so that nobody takes the rest for a result.
fn failures(results: &Results) -> String {
    if results.failures.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "**THIS RUN FAILED.** Lost clients, missing or doubled messages: what a server did in the \
         same section does not count.\n\n",
    );
    for failure in &results.failures {
        text += &format!("- {}: {}\n", failure.server.name(), failure.what);
    }
    text + "\n"
}

/// How many goals were reached, and which were not.
fn goals(sections: &[(&str, Vec<Part<'_>>)]) -> String {
    let outcomes: Vec<_> = sections
        .iter()
        .flat_map(|(_, parts)| parts)
        .flat_map(|part| part.table.outcomes())
        .collect();
    let missed: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.verdict() != "reached")
        .collect();
    let reached = outcomes.len() - missed.len();
    let mut text = format!("- {reached} of {} goals reached\n", outcomes.len());
    for outcome in missed {
        let measured = match outcome.measured {
            Some(measured) => format!("{measured:.2}"),
            None => "nothing".to_owned(),
        };
        let (what, at_most, verdict) = (&outcome.what, outcome.at_most, outcome.verdict());
        text += &format!("- {verdict}: {what}, {measured} where {at_most} is the goal\n");
    }
    text
}
