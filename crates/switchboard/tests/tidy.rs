//! What the compiler does not hold: which crate may know which, and how the sources look.

#![expect(
    clippy::unwrap_used,
    reason = "a repository that cannot be read fails the test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which crate may name which, docs/ARCHITECTURE.md says why. Later crates add their line.
const EDGES: [(&str, &[&str]); 17] = [
    ("metrics", &[]),
    ("outbound", &[]),
    ("limit", &[]),
    ("protocol", &[]),
    ("engine", &["protocol", "metrics", "limit"]),
    ("event", &[]),
    ("journal", &["event", "metrics"]),
    ("cluster", &["journal", "event", "metrics"]),
    ("hub", &["event"]),
    ("postgres", &[]),
    ("access", &["event", "metrics", "outbound", "postgres"]),
    (
        "gateway",
        &[
            "engine", "protocol", "hub", "journal", "event", "metrics", "outbound", "limit",
            "access",
        ],
    ),
    ("ingest", &["journal", "event", "metrics", "limit"]),
    ("dialect", &[]),
    ("outbox", &["ingest", "event", "metrics", "postgres"]),
    (
        "bridge",
        &["dialect", "ingest", "journal", "event", "metrics"],
    ),
    (
        "switchboard",
        &[
            "protocol", "engine", "event", "journal", "hub", "gateway", "ingest", "metrics",
            "outbound", "limit", "access", "postgres", "outbox", "cluster", "bridge",
        ],
    ),
];

/// Crates that take time and randomness as arguments and touch nothing outside of themselves.
const PURE: [&str; 7] = [
    "metrics", "limit", "protocol", "dialect", "event", "journal", "hub",
];
/// What a pure crate must not name, and the modules that may: storage, and what tests it.
const IMPURE_WORDS: [&str; 6] = [
    "Instant::now",
    "SystemTime::now",
    "std::net",
    "std::fs",
    "std::thread",
    "getrandom",
];
const IMPURE_MODULES: [&str; 2] = ["crates/journal/src/disk", "crates/journal/src/conformance"];

const FILE_LINES_MAX: usize = 600;
/// Files that are longer, with their length. It may only shrink: a file that got shorter must be
/// entered with its new length, and one that fits must be taken out.
const LONGER_FILES: [(&str, usize); 0] = [];

const FUNCTION_LINES_MAX: usize = 70;
/// Functions that are longer, as `path:name`, with their length. It may only shrink as well.
const LONGER_FUNCTIONS: [(&str, usize); 0] = [];

#[test]
fn every_crate_names_only_the_crates_that_it_may() {
    let edges: BTreeMap<_, _> = EDGES.into_iter().collect();
    let mut crates = BTreeSet::new();
    for directory in directories(&root().join("crates")) {
        let name = directory.file_name().unwrap().to_str().unwrap().to_owned();
        let allowed = edges.get(name.as_str());
        let allowed = *allowed.unwrap_or_else(|| panic!("crate {name} has no line in EDGES"));
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();

        for table in ["dependencies", "build-dependencies"] {
            for dependency in ours(&manifest, table) {
                let is_allowed = allowed.contains(&dependency.as_str());
                assert!(
                    is_allowed,
                    "crate {name} must not know {dependency}: see docs/ARCHITECTURE.md"
                );
            }
        }
        // A test may also use what its crate reaches through others.
        let reached = reached(&edges, &name);
        for dependency in ours(&manifest, "dev-dependencies") {
            let is_allowed = dependency == name || reached.contains(dependency.as_str());
            assert!(is_allowed, "tests of {name} must not know {dependency}");
        }
        crates.insert(name);
    }
    let listed: BTreeSet<_> = edges.keys().map(|name| (*name).to_owned()).collect();
    assert_eq!(crates, listed, "EDGES and crates/ differ");
}

#[test]
fn no_path_between_crates_leads_back() {
    let edges: BTreeMap<_, _> = EDGES.into_iter().collect();

    for name in edges.keys() {
        assert!(
            !reached(&edges, name).contains(name),
            "{name} reaches itself"
        );
    }
}

#[test]
fn pure_crates_read_no_clock_and_do_no_io() {
    for file in sources() {
        let path = relative(&file);
        let is_pure = PURE
            .iter()
            .any(|name| path.starts_with(&format!("crates/{name}/src/")));
        if is_test(&path)
            || !is_pure
            || IMPURE_MODULES.iter().any(|module| path.starts_with(module))
        {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in IMPURE_WORDS {
            let line = code
                .lines()
                .position(|line| line.contains(word) && !line.trim_start().starts_with("//"));
            assert!(
                line.is_none(),
                "{path}:{}: {word} in a pure crate",
                line.unwrap_or_default() + 1
            );
        }
    }
}

#[test]
fn sources_are_ascii() {
    for file in sources() {
        let bytes = fs::read(&file).unwrap();
        let line = bytes
            .split(|byte| *byte == b'\n')
            .position(|line| !line.is_ascii());

        assert!(
            line.is_none(),
            "{}:{}: not ASCII",
            relative(&file),
            line.unwrap_or_default() + 1
        );
    }
}

#[test]
fn files_are_short_and_long_ones_only_shrink() {
    let mut ratchet = Ratchet::new("LONGER_FILES", &LONGER_FILES, FILE_LINES_MAX);
    for file in sources() {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        ratchet.check(&relative(&file), lines);
    }
    ratchet.finish();
}

#[test]
fn functions_are_short_and_long_ones_only_shrink() {
    let mut ratchet = Ratchet::new("LONGER_FUNCTIONS", &LONGER_FUNCTIONS, FUNCTION_LINES_MAX);
    for file in sources() {
        let path = relative(&file);
        if file.extension().is_none_or(|end| end != "rs") || is_test(&path) {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        // Tests hold tables of examples, which may be long.
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for (name, lines) in functions(code) {
            ratchet.check(&format!("{path}:{name}"), lines);
        }
    }
    ratchet.finish();
}

#[test]
fn no_file_holds_a_path_of_somebodys_machine_or_a_download_address() {
    // In two halves, so that this file does not hold them.
    let forbidden = [
        ("/ro", "ot/"),
        ("/ho", "me/"),
        ("/Us", "ers/"),
        ("/wo", "rk/"),
        ("/tm", "p/plan"),
        ("\"reso", "lved\": \"http"),
        ("registry.npm", "js.org"),
        ("static.crates", ".io"),
        ("index.crates", ".io"),
        ("npm.pkg", ".github.com"),
    ]
    .map(|(left, right)| format!("{left}{right}"));
    for file in files(&root(), &|_| true) {
        // Pictures and other bytes are not read.
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for word in &forbidden {
                assert!(
                    !line.contains(word),
                    "{}:{}: {word}",
                    relative(&file),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn the_scan_for_functions_finds_their_ends() {
    let text = "impl A {\n    pub fn one(&self) -> u8 {\n        1\n    }\n\n    async fn two() {\n    }\n}\nfn three() {}\n";

    assert_eq!(
        functions(text),
        [
            ("one".to_owned(), 3),
            ("two".to_owned(), 2),
            ("three".to_owned(), 1)
        ]
    );
}

/// Lengths that have a limit, and exceptions that may only shrink.
struct Ratchet {
    list: &'static str,
    exceptions: BTreeMap<&'static str, usize>,
    lines_max: usize,
    faults: Vec<String>,
}

impl Ratchet {
    fn new(list: &'static str, exceptions: &[(&'static str, usize)], lines_max: usize) -> Self {
        let exceptions = exceptions.iter().copied().collect();
        Self {
            list,
            exceptions,
            lines_max,
            faults: Vec::new(),
        }
    }

    fn check(&mut self, path: &str, lines: usize) {
        let Self {
            list, lines_max, ..
        } = *self;
        let what = format!("{path} has {lines} lines");
        match self.exceptions.remove(path) {
            None if lines <= lines_max => {}
            None => self
                .faults
                .push(format!("{what}, the limit is {lines_max}")),
            Some(_) if lines <= lines_max => {
                self.faults
                    .push(format!("{what} and fits: take it out of {list}"));
            }
            Some(entered) if lines > entered => {
                self.faults
                    .push(format!("{what} and may only shrink from {entered}"));
            }
            Some(entered) if lines < entered => {
                self.faults
                    .push(format!("{what}: enter that in {list}, it was {entered}"));
            }
            Some(_) => {}
        }
    }

    fn finish(self) {
        assert!(self.faults.is_empty(), "{}", self.faults.join("\n"));
        assert!(
            self.exceptions.is_empty(),
            "{} names what is not there: {:?}",
            self.list,
            self.exceptions
        );
    }
}

/// The functions of a formatted source, each with its lines from `fn` to the closing brace.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut functions = Vec::new();
    let lines: Vec<_> = text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let Some(name) = function_name(line.trim_start()) else {
            continue;
        };
        let (end, declared) = (
            format!("{}}}", &line[..indent]),
            format!("{})", &line[..indent]),
        );
        let is_one_line = line.ends_with('}') || line.ends_with(';');
        let len = if is_one_line {
            1
        } else {
            let ends =
                |line: &&str| *line == end || (line.starts_with(&declared) && line.ends_with(';'));
            1 + lines[start..].iter().position(ends).unwrap_or(0)
        };
        functions.push((name.to_owned(), len));
    }
    functions
}

fn function_name(line: &str) -> Option<&str> {
    let qualifiers = [
        "pub ",
        "pub(crate) ",
        "pub(super) ",
        "const ",
        "async ",
        "unsafe ",
    ];
    let mut rest = line;
    while let Some(shorter) = qualifiers
        .iter()
        .find_map(|qualifier| rest.strip_prefix(qualifier))
    {
        rest = shorter;
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn ours(manifest: &toml::Table, table: &str) -> Vec<String> {
    let dependencies = manifest.get(table).and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(toml::Table::keys);
    names
        .filter_map(|name| name.strip_prefix("switchboard-"))
        .map(str::to_owned)
        .collect()
}

fn reached<'a>(edges: &BTreeMap<&'a str, &'a [&'a str]>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = edges[from].to_vec();
    while let Some(name) = open.pop() {
        if reached.insert(name) {
            open.extend(edges[name]);
        }
    }
    reached
}

/// Everything that is written by hand to be run or built.
fn sources() -> Vec<PathBuf> {
    files(&root(), &|path| {
        let end = path
            .extension()
            .and_then(|end| end.to_str())
            .unwrap_or_default();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        matches!(end, "rs" | "toml" | "js" | "mjs" | "ts" | "tsx")
            || matches!(name, "Makefile" | "run")
    })
}

/// The files of the repository that are not built or downloaded, in order.
fn files(directory: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap_or_default();
        if matches!(name, ".git" | "target" | "node_modules" | "data") {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found
}

fn directories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.join("Cargo.toml").is_file())
        .collect()
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs")
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}
