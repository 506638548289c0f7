//! Rows with a unit, what each server did, and what ours is to reach.

use crate::plan::{Scale, Section};
use crate::results::Results;
use crate::server::ServerKind;
use crate::statistics::{Summary, quantile};

/// The cell of a server that failed in the section.
const FAILED: &str = "FAILED";
const NOTHING: &str = "-";

/// One table of a section: a column for each server.
pub(crate) struct Table<'a> {
    results: &'a Results,
    section: Section,
    columns: Vec<ServerKind>,
    rows: Vec<Row>,
}

struct Row {
    what: String,
    unit: &'static str,
    cells: Vec<String>,
    /// The median of `switchboard`.
    ours: Option<f64>,
    goal: Option<f64>,
}

/// How a goal stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) what: String,
    pub(crate) measured: Option<f64>,
    pub(crate) at_most: f64,
}

impl Outcome {
    pub(crate) fn verdict(&self) -> &'static str {
        match self.measured {
            None => FAILED,
            Some(measured) if measured <= self.at_most => "reached",
            Some(_) => "MISSED",
        }
    }
}

impl<'a> Table<'a> {
    pub(crate) fn new(results: &'a Results, section: Section, columns: Vec<ServerKind>) -> Self {
        Self {
            results,
            section,
            columns,
            rows: Vec::new(),
        }
    }

    /// A row of medians, with their spread.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        digits: usize,
        values: impl Fn(ServerKind) -> Vec<f64>,
    ) {
        self.push(what.into(), unit, &values, |server| {
            cell(&values(server), digits)
        });
    }

    /// A row of two medians: the 50th and the 99th percentile.
    pub(crate) fn percentiles(
        &mut self,
        what: impl Into<String>,
        unit: &'static str,
        digits: usize,
        values: impl Fn(ServerKind) -> Vec<(f64, f64)>,
    ) {
        let first = |server| {
            values(server)
                .into_iter()
                .map(|it| it.0)
                .collect::<Vec<_>>()
        };
        let what = format!("{}, p50 / p99", what.into());
        self.push(what, unit, first, |server| {
            let seconds: Vec<f64> = values(server).into_iter().map(|it| it.1).collect();
            match (median(&first(server)), median(&seconds)) {
                (Some(p50), Some(p99)) => format!("{p50:.digits$} / {p99:.digits$}"),
                _ => NOTHING.to_owned(),
            }
        });
    }

    /// What `switchboard` is to reach in the row that was added last.
    pub(crate) fn at_most(&mut self, goal: f64) {
        let ours = self
            .columns
            .iter()
            .position(|it| *it == ServerKind::Switchboard);
        if let Some(row) = self.rows.last_mut()
            && let Some(ours) = ours
            && row.cells[ours] != NOTHING
            && self.results.plan.scale != Scale::Quick
        {
            row.goal = Some(goal);
        }
    }

    fn push(
        &mut self,
        what: String,
        unit: &'static str,
        ours: impl Fn(ServerKind) -> Vec<f64>,
        cell: impl Fn(ServerKind) -> String,
    ) {
        let cells: Vec<String> = self
            .columns
            .iter()
            .map(|&server| {
                if self.has_failed(server) {
                    FAILED.to_owned()
                } else {
                    cell(server)
                }
            })
            .collect();
        let is_whole = !self.has_failed(ServerKind::Switchboard);
        let ours = is_whole.then(|| ours(ServerKind::Switchboard));
        self.rows.push(Row {
            what,
            unit,
            cells,
            ours: ours.and_then(|values| median(&values)),
            goal: None,
        });
    }

    fn has_failed(&self, server: ServerKind) -> bool {
        self.results.has_failed(self.section, server)
    }

    /// How the goals stand.
    pub(crate) fn outcomes(&self) -> Vec<Outcome> {
        self.rows.iter().filter_map(Row::outcome).collect()
    }

    /// Markdown of the rows in which anything was measured; `None` without any.
    pub(crate) fn text(&self) -> Option<String> {
        let is_measured = |row: &&Row| row.cells.iter().any(|cell| cell != NOTHING);
        let rows: Vec<&Row> = self.rows.iter().filter(is_measured).collect();
        if rows.is_empty() {
            return None;
        }
        let names = self.columns.iter().map(|it| it.name());
        let head: Vec<&str> = ["", "unit"].into_iter().chain(names).collect();
        let has_goals = rows.iter().any(|row| row.goal.is_some());
        let head = if has_goals {
            [&head[..], &["at most", "goal"]].concat()
        } else {
            head
        };
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.texts(has_goals)).collect();
        Some(markdown(&head, &rows))
    }
}

impl Row {
    fn outcome(&self) -> Option<Outcome> {
        Some(Outcome {
            what: format!("{} ({})", self.what, self.unit),
            measured: self.ours,
            at_most: self.goal?,
        })
    }

    fn texts(&self, has_goals: bool) -> Vec<String> {
        let mut texts = vec![self.what.clone(), self.unit.to_owned()];
        texts.extend(self.cells.iter().cloned());
        if has_goals {
            let outcome = self.outcome();
            let goal = outcome.as_ref().map(|it| it.at_most.to_string());
            let verdict = outcome.map(|it| it.verdict().to_owned());
            texts.extend([goal.unwrap_or_default(), verdict.unwrap_or_default()]);
        }
        texts
    }
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
        None => NOTHING.to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_reached_missed_or_not_measured() {
        let verdict = |measured| {
            let outcome = Outcome {
                what: "memory (KB)".to_owned(),
                measured,
                at_most: 2.0,
            };
            outcome.verdict()
        };

        assert_eq!(
            [Some(2.0), Some(2.1), None].map(verdict),
            ["reached", "MISSED", "FAILED"]
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["CPU".to_owned(), "10.25".to_owned()]];

        let text = markdown(&["", "us"], &rows);

        assert_eq!(text, "|     | us    |\n| --- | ----- |\n| CPU | 10.25 |\n");
    }
}
