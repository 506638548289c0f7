//! Settings as text: one tree of the file and, over it, the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::refusal::Refusal;

/// The names of variables that are settings: this, then section and key.
pub(super) const PREFIX: &str = "SWITCHBOARD_";
/// Stands between the segments of a key in the name of a variable.
pub(super) const SEPARATOR: &str = "__";

/// Where a value was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Source {
    /// A line of the settings file, counted from 1.
    Line(Arc<Path>, usize),
    /// The settings file as a whole, for what it lacks.
    File(Arc<Path>),
    /// A variable of the environment.
    Variable(String),
    /// There is no settings file, and no variable either.
    Nowhere,
}

/// A node of the tree and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) node: Node,
    pub(super) source: Source,
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A section, or a list of sections by their index.
    Table(Table),
    Value(Value),
}

pub(super) type Table = BTreeMap<String, Entry>;

/// A value that is not a section.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    /// From a variable, which has no types: what is expected decides what it is.
    Untyped(String),
    Integer(i64),
    Boolean(bool),
    List(Vec<Self>),
    /// Of a type that no setting has.
    Other(&'static str),
}

impl Value {
    /// The text of a text, wherever it was written.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value this is, for refusals that must not show it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Untyped(_) => "text",
            Self::Integer(_) => "a number",
            Self::Boolean(_) => "true or false",
            Self::List(_) => "a list",
            Self::Other(kind) => kind,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Untyped(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::List(_) | Self::Other(_) => f.write_str(self.kind()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::File(file) => write!(f, "{}", file.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Nowhere => f.write_str("settings"),
        }
    }
}

/// Reads the text of a settings file.
pub(super) fn parse(text: &str, file: &Arc<Path>) -> Result<Table, Refusal> {
    let line = |offset: usize| {
        let before = text.as_bytes().iter().take(offset);
        Source::Line(
            Arc::clone(file),
            1 + before.filter(|byte| **byte == b'\n').count(),
        )
    };
    let table = DeTable::parse(text).map_err(|error| Refusal {
        source: error
            .span()
            .map_or_else(|| Source::File(Arc::clone(file)), |span| line(span.start)),
        // Only the message: the text around it may be a secret.
        problem: format!("not TOML: {}", error.message()),
    })?;
    Ok(table_of(table.get_ref(), &line))
}

/// Puts the variables that are settings over what the file says.
///
/// `PORT`, which platforms set, is `server.port` unless the variable of that key is set too.
pub(super) fn overlay(table: &mut Table, variables: &BTreeMap<String, String>) {
    if let Some(port) = variables.get("PORT") {
        insert(
            table,
            &["server".to_owned(), "port".to_owned()],
            "PORT",
            port,
        );
    }
    for (name, text) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if rest.contains(SEPARATOR) {
            insert(table, &segments(rest), name, text);
        }
    }
}

/// The name of the variable for a key such as `server.port`.
pub(super) fn variable_for(key: &str) -> String {
    let key = key.replace(['.', '['], SEPARATOR).replace(']', "");
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

/// The segments of a variable's name; an event name in `audience` keeps its colons as separators.
fn segments(name: &str) -> Vec<String> {
    let lower = name.to_ascii_lowercase();
    match lower.split_once(SEPARATOR) {
        Some(("audience", event)) => vec!["audience".to_owned(), event.replace(SEPARATOR, ":")],
        _ => lower.split(SEPARATOR).map(str::to_owned).collect(),
    }
}

fn insert(table: &mut Table, path: &[String], name: &str, text: &str) {
    let Some((key, rest)) = path.split_first() else {
        return;
    };
    let source = Source::Variable(name.to_owned());
    if rest.is_empty() {
        let node = Node::Value(Value::Untyped(text.to_owned()));
        table.insert(key.clone(), Entry { node, source });
        return;
    }
    let entry = table.entry(key.clone()).or_insert_with(|| Entry {
        node: Node::Table(Table::new()),
        source: source.clone(),
    });
    if let Node::Value(_) = entry.node {
        *entry = Entry {
            node: Node::Table(Table::new()),
            source,
        };
    }
    if let Node::Table(inner) = &mut entry.node {
        insert(inner, rest, name, text);
    }
}

fn table_of(table: &DeTable<'_>, line: &impl Fn(usize) -> Source) -> Table {
    let entries = table.iter().map(|(key, value)| {
        let node = node_of(value.get_ref(), line);
        let entry = Entry {
            node,
            source: line(key.span().start),
        };
        (key.get_ref().to_string(), entry)
    });
    entries.collect()
}

fn node_of(value: &DeValue<'_>, line: &impl Fn(usize) -> Source) -> Node {
    match value {
        DeValue::Table(table) => Node::Table(table_of(table, line)),
        DeValue::Array(items)
            if !items.is_empty() && items.iter().all(|item| item.get_ref().is_table()) =>
        {
            let tables = items.iter().enumerate().map(|(index, item)| {
                let node = node_of(item.get_ref(), line);
                (
                    index.to_string(),
                    Entry {
                        node,
                        source: line(item.span().start),
                    },
                )
            });
            Node::Table(tables.collect())
        }
        other => Node::Value(value_of(other)),
    }
}

fn value_of(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond 64 bits"), Value::Integer),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Array(items) => {
            Value::List(items.iter().map(|item| value_of(item.get_ref())).collect())
        }
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date"),
        DeValue::Table(_) => Value::Other("a section"),
    }
}
