//! What was told on either side, as numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::Value;

/// Who told it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    Node,
    Here,
}

/// What a client was told: a line of `switchboard listen`.
pub(super) struct Told {
    pub(super) side: Side,
    pub(super) room: Option<String>,
    pub(super) line: String,
}

/// Counts by room and event, and within those by payload.
#[derive(Debug)]
pub(super) struct Tally {
    ignored: Vec<String>,
    rows: BTreeMap<(String, String), Row>,
}

#[derive(Debug, Default)]
struct Row {
    /// How often each payload was told, by Node and here.
    payloads: BTreeMap<u64, [u64; 2]>,
    /// Beyond as many as are told apart.
    rest: [u64; 2],
}

impl Row {
    fn total(&self, side: Side) -> u64 {
        let of_payloads = self.payloads.values().map(|counts| counts[side as usize]);
        of_payloads.sum::<u64>() + self.rest[side as usize]
    }

    fn differences(&self) -> u64 {
        let all = self.payloads.values().chain([&self.rest]);
        all.map(|[node, here]| node.abs_diff(*here)).sum()
    }
}

impl Tally {
    /// Fields of payloads that are `ignored` may differ.
    pub(super) fn new(ignored: Vec<String>) -> Self {
        Self {
            ignored,
            rows: BTreeMap::new(),
        }
    }

    pub(super) fn count(&mut self, told: &Told) {
        if let Some((name, payload)) = self.read(told) {
            let row = self.rows.entry(name).or_default();
            let is_known = row.payloads.contains_key(&payload);
            let counts = if is_known || row.payloads.len() < PAYLOADS_MAX {
                row.payloads.entry(payload).or_default()
            } else {
                &mut row.rest
            };
            counts[told.side as usize] += 1;
        }
    }

    /// Counts only what the other side has told already.
    pub(super) fn match_late(&mut self, told: &Told) {
        let Some((name, payload)) = self.read(told) else {
            return;
        };
        let row = self.rows.get_mut(&name);
        if let Some(counts) = row.and_then(|row| row.payloads.get_mut(&payload)) {
            let [node, here] = *counts;
            let is_behind = match told.side {
                Side::Node => node < here,
                Side::Here => here < node,
            };
            counts[told.side as usize] += u64::from(is_behind);
        }
    }

    /// How many events were told on one side only.
    pub(super) fn differences(&self) -> u64 {
        self.rows.values().map(Row::differences).sum()
    }

    /// The table, without payloads.
    pub(super) fn lines(&self) -> Vec<String> {
        let head = format!(
            "{:<28} {:<28} {:>8} {:>8} {:>8}",
            "room", "event", "node", "here", "differ"
        );
        let rows = self.rows.iter().map(|((room, event), row)| {
            let (node, here) = (row.total(Side::Node), row.total(Side::Here));
            let differences = row.differences();
            format!("{room:<28} {event:<28} {node:>8} {here:>8} {differences:>8}")
        });
        std::iter::once(head).chain(rows).collect()
    }

    /// The row and the payload of an event; none if it is one that only we have.
    fn read(&self, told: &Told) -> Option<((String, String), u64)> {
        let line: Value = serde_json::from_str(&told.line).ok()?;
        let event = line.get("event")?.as_str()?;
        if OURS.iter().any(|prefix| event.starts_with(prefix)) {
            return None;
        }
        let mut arguments = line.get("args")?.as_array()?.clone();
        if told.side == Side::Here {
            // The position of the line.
            arguments.pop();
        }
        if let Some(Value::Object(payload)) = arguments.first_mut() {
            payload.retain(|name, _| !self.ignored.contains(name));
        }
        let mut hash = DefaultHasher::new();
        // Members of an object are in the order of their names.
        Value::Array(arguments).to_string().hash(&mut hash);
        let room = told.room.clone().unwrap_or_else(|| "(all)".to_owned());
        Some(((room, event.to_owned()), hash.finish()))
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "the Node server",
            Self::Here => "Switchboard",
        })
    }
}

/// What only we tell, or each side for itself.
const OURS: [&str; 4] = ["session:", "presence:", "access:", "pong"];
/// How many payloads of one event and room are told apart.
const PAYLOADS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_tell_is_no_difference_whatever_its_order_and_position() {
        let mut tally = Tally::new(vec!["timestamp".to_owned()]);

        tally.count(&node(r#"[{"a":1,"b":2}]"#));
        tally.count(&node(r#"[{"a":2,"timestamp":"x"}]"#));
        tally.count(&here(r#"[{"a":2,"timestamp":"y"},"e-1"]"#));
        tally.count(&here(r#"[{"b":2,"a":1},"e-2"]"#));
        tally.count(&Told {
            line: r#"{"event":"session:sync","args":[{},"e-2"]}"#.to_owned(),
            ..here("[]")
        });

        assert_eq!(tally.differences(), 0);
        assert_eq!(tally.lines().len(), 2, "{:?}", tally.lines());
    }

    #[test]
    fn what_one_tells_is_a_difference_until_the_other_tells_it_too() {
        let mut tally = Tally::new(Vec::new());
        tally.count(&node(r#"[{"a":1}]"#));
        tally.count(&node(r#"[{"a":2}]"#));
        tally.count(&here(r#"[{"a":1},"e-1"]"#));
        tally.count(&here(r#"[{"a":3},"e-2"]"#));
        assert_eq!(tally.differences(), 2);

        tally.match_late(&here(r#"[{"a":2},"e-3"]"#));
        tally.match_late(&here(r#"[{"a":4},"e-4"]"#));

        assert_eq!(tally.differences(), 1);
        let row = &tally.lines()[1];
        assert!(row.starts_with("contact:1"), "{row}");
        let numbers: Vec<_> = row.split_whitespace().skip(2).collect();
        assert_eq!(numbers, ["2", "3", "1"]);
    }

    fn node(args: &str) -> Told {
        told(Side::Node, args)
    }

    fn here(args: &str) -> Told {
        told(Side::Here, args)
    }

    fn told(side: Side, args: &str) -> Told {
        Told {
            side,
            room: Some("contact:1".to_owned()),
            line: format!(r#"{{"event":"contact:updated","args":{args}}}"#),
        }
    }
}
