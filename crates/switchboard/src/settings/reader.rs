//! Takes typed values out of the tree, and writes down everything that is wrong.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

use super::refusal::{Refusal, SettingsError};
use super::secret::Secret;
use super::tree::{Entry, Node, Source, Table, Value, variable_for};

/// What all sections of one load share.
pub(super) struct Reader {
    /// Relative paths in the settings file start here.
    directory: PathBuf,
    /// Who is blamed for what is missing.
    origin: Source,
    notes: RefCell<Notes>,
}

#[derive(Default)]
struct Notes {
    refusals: Vec<Refusal>,
    unknown: Vec<(String, Source)>,
    known: BTreeSet<String>,
}

/// A section of the settings. Whoever reads it takes out each key that it knows, and then calls
/// [`finish`](Self::finish): what is left is unknown.
pub(super) struct Section<'a> {
    reader: &'a Reader,
    path: String,
    source: Source,
    table: Table,
}

impl Reader {
    pub(super) fn new(origin: Source, directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            origin,
            notes: RefCell::default(),
        }
    }

    pub(super) fn root(&self, table: Table) -> Section<'_> {
        Section {
            reader: self,
            path: String::new(),
            source: self.origin.clone(),
            table,
        }
    }

    /// Everything that was refused, unknown keys last, each with the known key nearest to it.
    pub(super) fn finish(self) -> Result<(), SettingsError> {
        let Notes {
            mut refusals,
            unknown,
            known,
        } = self.notes.into_inner();
        for (path, source) in unknown {
            let nearest = known
                .iter()
                .max_by(|a, b| likeness(a, &path).total_cmp(&likeness(b, &path)));
            let nearest = nearest
                .map(|key| format!(", the nearest known one is {key}"))
                .unwrap_or_default();
            refusals.push(Refusal {
                source,
                problem: format!("unknown key {path}{nearest}"),
            });
        }
        if refusals.is_empty() {
            Ok(())
        } else {
            Err(SettingsError::new(refusals))
        }
    }

    /// Every key that somebody asked for.
    pub(super) fn known_keys(&self) -> BTreeSet<String> {
        self.notes.borrow().known.clone()
    }

    fn refuse(&self, source: &Source, problem: String) {
        self.notes.borrow_mut().refusals.push(Refusal {
            source: source.clone(),
            problem,
        });
    }
}

impl Section<'_> {
    /// A section of this section; empty if it is not there.
    pub(super) fn section(&mut self, key: &str) -> Self {
        let path = self.known(key);
        let reader = self.reader;
        match self.table.remove(key) {
            Some(Entry {
                node: Node::Table(table),
                source,
            }) => Section {
                reader,
                path,
                source,
                table,
            },
            Some(Entry {
                node: Node::Value(value),
                source,
            }) => {
                reader.refuse(
                    &source,
                    format!("{path} is {}, must be a section", value.kind()),
                );
                Section {
                    reader,
                    path,
                    source,
                    table: Table::new(),
                }
            }
            None => Section {
                reader,
                path,
                source: reader.origin.clone(),
                table: Table::new(),
            },
        }
    }

    /// The sections of a list such as `[[producers]]`, in order.
    pub(super) fn sections(&mut self, key: &str) -> Vec<Self> {
        let Section {
            reader,
            path,
            table,
            source: list_source,
        } = self.section(key);
        let mut sections = BTreeMap::new();
        for (index, Entry { node, source }) in table {
            let path = format!("{path}[{index}]");
            match (index.parse::<usize>(), node) {
                (Ok(index), Node::Table(table)) => {
                    sections.insert(
                        index,
                        Section {
                            reader,
                            path,
                            source,
                            table,
                        },
                    );
                }
                _ => reader.refuse(
                    &list_source,
                    format!("{} must be a list of sections", path_of_list(&path)),
                ),
            }
        }
        sections.into_values().collect()
    }

    /// The value of `key` if it is there and `parse` takes it. An error of `parse` says what the
    /// value must be.
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        let (path, source, value) = self.take(key)?;
        match parse(&value) {
            Ok(taken) => Some(taken),
            Err(rule) => {
                self.reader
                    .refuse(&source, format!("{path} is {value}, {rule}"));
                None
            }
        }
    }

    /// The same for a text that is parsed by its type.
    pub(super) fn parsed<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<T> {
        self.value(key, |value| {
            let text = value.as_text().ok_or_else(|| "must be text".to_owned())?;
            text.parse().map_err(|error: T::Err| error.to_string())
        })
    }

    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        self.value(key, |value| match value.as_text() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
            _ => Err("must be text that is not empty".to_owned()),
        })
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Option<T> {
        self.value(key, |value| {
            let found = words.iter().find(|(word, _)| value.as_text() == Some(word));
            found.map(|(_, meaning)| *meaning).ok_or_else(|| {
                let words: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
                format!("must be {}", words.join(" or "))
            })
        })
    }

    pub(super) fn flag(&mut self, key: &str) -> Option<bool> {
        self.value(key, |value| {
            flag(value).ok_or_else(|| "must be true or false".to_owned())
        })
    }

    pub(super) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        self.value(key, |value| {
            let number = match value {
                Value::Integer(number) => u32::try_from(*number).ok(),
                Value::Untyped(text) => text.trim().parse().ok(),
                _ => None,
            };
            number
                .filter(|number| range.contains(number))
                .ok_or_else(|| {
                    format!(
                        "must be a whole number from {} to {}",
                        range.start(),
                        range.end()
                    )
                })
        })
    }

    pub(super) fn duration(
        &mut self,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.value(key, |value| {
            let duration = value
                .as_text()
                .and_then(|text| humantime::parse_duration(text.trim()).ok());
            duration
                .filter(|duration| range.contains(duration))
                .ok_or_else(|| {
                    let (least, most) = (whole(*range.start()), whole(*range.end()));
                    format!("must be a duration with its unit from \"{least}\" to \"{most}\"")
                })
        })
    }

    pub(super) fn size(&mut self, key: &str, range: RangeInclusive<ByteSize>) -> Option<u64> {
        self.value(key, |value| {
            let size = value
                .as_text()
                .and_then(|text| text.trim().parse::<ByteSize>().ok());
            size.filter(|size| range.contains(size))
                .map(|size| size.as_u64())
                .ok_or_else(|| {
                    format!(
                        "must be a size with its unit from \"{}\" to \"{}\"",
                        range.start(),
                        range.end()
                    )
                })
        })
    }

    /// A list of texts; in a variable they are parted by commas.
    pub(super) fn list<T: FromStr<Err: Display>>(&mut self, key: &str) -> Option<Vec<T>> {
        let (path, source, value) = self.take(key)?;
        let texts = match &value {
            Value::Untyped(text) => text
                .split(',')
                .map(str::trim)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
                .collect(),
            Value::List(items) if items.iter().all(|item| item.as_text().is_some()) => items
                .iter()
                .filter_map(Value::as_text)
                .map(str::to_owned)
                .collect(),
            other => {
                self.reader.refuse(
                    &source,
                    format!("{path} is {other}, must be a list of texts"),
                );
                return None;
            }
        };
        let texts: Vec<String> = texts;
        let mut parsed = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            match text.parse() {
                Ok(item) => parsed.push(item),
                Err(error) => self
                    .reader
                    .refuse(&source, format!("{path}[{index}] is {text:?}, {error}")),
            }
        }
        Some(parsed)
    }

    /// A path; in the settings file a relative one starts at the directory of that file.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let from_variable = self.is_variable(key) == Some(true);
        let text = self.text(key)?;
        Some(if from_variable {
            PathBuf::from(text)
        } else {
            self.reader.directory.join(text)
        })
    }

    /// `path` as it would be if the settings file said it.
    pub(super) fn relative(&self, path: &str) -> PathBuf {
        self.reader.directory.join(path)
    }

    /// A secret: `key`, or the content of the file that `{key}_file` names. No refusal shows it.
    ///
    /// As everywhere a variable wins over the settings file, also over the other key in it.
    pub(super) fn secret(&mut self, key: &str) -> Option<Secret> {
        let file_key = format!("{key}_file");
        if let Some(loser) = self.loser(key, &file_key) {
            self.forget(&loser);
        }
        let file_source = self.source_of(&file_key);
        let file = self.path(&file_key);
        match (self.take(key), file) {
            (Some((path, source, _)), Some(_)) => {
                self.reader
                    .refuse(&source, format!("{path} and {path}_file are both set"));
                None
            }
            (Some((path, source, value)), None) => {
                if let Some(text) = value.as_text() {
                    Some(Secret::new(text))
                } else {
                    self.reader
                        .refuse(&source, format!("{path} is {}, must be text", value.kind()));
                    None
                }
            }
            (None, Some(file)) => match fs::read_to_string(&file) {
                Ok(text) => Some(Secret::new(text.trim_end_matches(['\r', '\n']))),
                Err(error) => {
                    let path = self.path_of(&file_key);
                    self.reader.refuse(
                        &file_source,
                        format!(
                            "{path} is {:?}, which cannot be read: {error}",
                            file.display().to_string()
                        ),
                    );
                    None
                }
            },
            (None, None) => None,
        }
    }

    /// Whether the secret `key` is written, there or as a file; call it before it is taken.
    pub(super) fn has_secret(&self, key: &str) -> bool {
        self.has(key) || self.has(&format!("{key}_file"))
    }

    /// Which of the two keys of a secret counts; call it before it is taken.
    pub(super) fn key_of_secret(&self, key: &str) -> String {
        let file_key = format!("{key}_file");
        match self.loser(key, &file_key) {
            Some(loser) if loser == key => file_key,
            None if !self.has(key) && self.has(&file_key) => file_key,
            _ => key.to_owned(),
        }
    }

    /// Where the one that counts is written; call it before it is taken.
    pub(super) fn source_of_secret(&self, key: &str) -> Source {
        self.source_of(&self.key_of_secret(key))
    }

    /// Whether `choice` is a variable and what it leaves without a meaning is not: then that is no
    /// contradiction, but overruled. Call it before `choice` is taken.
    pub(super) fn overrules(&self, choice: &str, source: &Source) -> bool {
        self.is_variable(choice) == Some(true) && !matches!(source, Source::Variable(_))
    }

    /// Which of two keys for one value does not count, as only the other one is a variable.
    pub(super) fn loser(&self, one: &str, other: &str) -> Option<String> {
        match (self.is_variable(one)?, self.is_variable(other)?) {
            (true, false) => Some(other.to_owned()),
            (false, true) => Some(one.to_owned()),
            _ => None,
        }
    }

    /// Leaves `key` out: it is overruled.
    pub(super) fn forget(&mut self, key: &str) {
        self.known(key);
        self.table.remove(key);
    }

    /// Whether `key` is written in a variable; none if it is written nowhere.
    fn is_variable(&self, key: &str) -> Option<bool> {
        let entry = self.table.get(key)?;
        Some(matches!(entry.source, Source::Variable(_)))
    }

    /// All keys of this section, whatever they are, each with its value as a list of texts.
    pub(super) fn lists(&mut self) -> BTreeMap<String, Vec<String>> {
        let keys = self.keys();
        keys.into_iter()
            .filter_map(|key| Some((key.clone(), self.list(&key)?)))
            .collect()
    }

    /// A section of free keys, each with its value as a `T`; none if the section is not there.
    pub(super) fn parsed_by_name<T: FromStr<Err: Display>>(
        &mut self,
        key: &str,
    ) -> Option<BTreeMap<String, T>> {
        if !self.has(key) {
            self.known(key);
            return None;
        }
        let mut section = self.section(key);
        let names = section.keys();
        Some(
            names
                .into_iter()
                .filter_map(|name| Some((name.clone(), section.parsed(&name)?)))
                .collect(),
        )
    }

    /// Refuses the section for the lack of `key`.
    pub(super) fn missing(&self, key: &str) {
        let path = self.path_of(key);
        let problem = format!(
            "{path} is missing (it can be set as {} too)",
            variable_for(&path)
        );
        self.reader.refuse(&self.source, problem);
    }

    /// Refuses `key`, for a reason beyond its own value.
    pub(super) fn refuse(&self, source: &Source, key: &str, problem: &str) {
        self.reader
            .refuse(source, format!("{} {problem}", self.path_of(key)));
    }

    /// The same for a whole path, which need not be in this section.
    pub(super) fn refuse_path(&self, source: &Source, path: &str, problem: &str) {
        self.reader.refuse(source, format!("{path} {problem}"));
    }

    /// Where `key` is written; call it before the key is taken.
    pub(super) fn source_of(&self, key: &str) -> Source {
        self.table
            .get(key)
            .map_or_else(|| self.source.clone(), |entry| entry.source.clone())
    }

    /// Whether `key` is written anywhere; call it before the key is taken.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The text of `key`, which is not taken by this; an empty one if it is something else.
    pub(super) fn peek(&mut self, key: &str) -> Option<String> {
        self.known(key);
        match &self.table.get(key)?.node {
            Node::Value(value) => Some(value.as_text().unwrap_or_default().to_owned()),
            Node::Table(_) => Some(String::new()),
        }
    }

    /// The keys that are written here and were not taken yet.
    pub(super) fn keys(&self) -> Vec<String> {
        self.table.keys().cloned().collect()
    }

    /// Notes what is left as unknown.
    pub(super) fn finish(&self) {
        let mut notes = self.reader.notes.borrow_mut();
        for (key, entry) in &self.table {
            notes
                .unknown
                .push((self.path_of(key), entry.source.clone()));
        }
    }

    fn take(&mut self, key: &str) -> Option<(String, Source, Value)> {
        let path = self.known(key);
        let Entry { node, source } = self.table.remove(key)?;
        match node {
            Node::Value(value) => Some((path, source, value)),
            Node::Table(_) => {
                self.reader
                    .refuse(&source, format!("{path} is a section, must be a value"));
                None
            }
        }
    }

    fn known(&self, key: &str) -> String {
        let path = self.path_of(key);
        self.reader.notes.borrow_mut().known.insert(path.clone());
        path
    }

    pub(super) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

pub(super) fn flag(value: &Value) -> Option<bool> {
    match value {
        Value::Boolean(flag) => Some(*flag),
        Value::Untyped(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A bound in the largest unit of which it is a whole number, as it can be written in a setting.
fn whole(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "days"), (3_600, "h"), (60, "m"), (1, "s")];
    let fits = |&(unit, _): &(u64, &str)| seconds >= unit && seconds.is_multiple_of(unit);
    match units.into_iter().find(fits) {
        Some((unit, name)) if duration.subsec_nanos() == 0 => format!("{}{name}", seconds / unit),
        _ => humantime::format_duration(duration).to_string(),
    }
}

fn path_of_list(path: &str) -> &str {
    path.rsplit_once('[').map_or(path, |(list, _)| list)
}

/// How alike two keys are, from 0 to 1. A key in the wrong section is nearly as good as a slip in
/// the right one.
fn likeness(known: &str, unknown: &str) -> f64 {
    let leaf = |path: &str| {
        path.rsplit_once('.')
            .map_or_else(|| path.to_owned(), |(_, leaf)| leaf.to_owned())
    };
    let whole = strsim::normalized_damerau_levenshtein(known, unknown);
    let leaves = strsim::normalized_damerau_levenshtein(&leaf(known), &leaf(unknown));
    whole.max(0.9 * leaves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_told_in_one_unit_and_can_be_written_back() {
        for (duration, text) in [
            (Duration::from_hours(24 * 3_650), "3650days"),
            (Duration::from_hours(36), "36h"),
            (Duration::from_secs(90), "90s"),
            (Duration::from_millis(1_500), "1s 500ms"),
            (Duration::ZERO, "0s"),
        ] {
            assert_eq!(whole(duration), text);
            assert_eq!(humantime::parse_duration(text), Ok(duration));
        }
    }
}
