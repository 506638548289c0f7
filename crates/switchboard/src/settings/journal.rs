//! Where records are kept, and for how long.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use switchboard_journal::{EventKind, KindRetention};

use super::reader::Section;
use super::redis::RedisSettings;

/// `[journal]`
#[derive(Clone, Debug)]
pub struct JournalSettings {
    /// Where records are kept.
    pub kind: JournalKind,
    /// How long a record is kept. Default 24 h; a client that was away for longer is told to
    /// reload.
    pub retention_age: Duration,
    /// How many bytes of records are kept. Default 1 GiB; raising it costs as much disk.
    pub retention_size: u64,
    /// Kinds of events whose payloads are kept for less time than that. Default: none.
    pub retention_events: Vec<KindRetention>,
    /// Into how many partitions tenants are hashed. Default 16; it cannot change for a journal
    /// that exists.
    pub partitions: u16,
}

/// `journal.kind` and what belongs to it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum JournalKind {
    /// In this directory, synced before every answer. The default, in `data`.
    Disk(PathBuf),
    /// Nowhere: a restart forgets everything.
    Memory,
    /// On Redis, where many nodes share it.
    Redis(Box<RedisSettings>),
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            kind: JournalKind::Disk("data".into()),
            retention_age: Duration::from_hours(24),
            retention_size: ByteSize::gib(1).as_u64(),
            retention_events: Vec::new(),
            partitions: 16,
        }
    }
}

impl JournalSettings {
    /// With where Redis is, which the bridge needs too if anything `is_bridged`.
    pub(super) fn read(
        mut section: Section<'_>,
        redis: Section<'_>,
        is_bridged: bool,
    ) -> (Self, Option<RedisSettings>) {
        let default = Self::default();
        let path_source = section.source_of("path");
        let path_counts = section.has("path") && !section.overrules("kind", &path_source);
        let path = section
            .path("path")
            .unwrap_or_else(|| section.relative("data"));
        let words = [
            ("disk", Word::Disk),
            ("memory", Word::Memory),
            ("redis", Word::Redis),
        ];
        let word = section.word("kind", &words).unwrap_or(Word::Disk);
        if word != Word::Disk && path_counts {
            let name = words.iter().find(|(_, other)| *other == word);
            let name = name.map_or("", |(name, _)| name);
            let problem = format!("is set, but journal.kind is {name:?}, which has no path");
            section.refuse(&path_source, "path", &problem);
        }
        let retention_age = section.duration("retention_age", AGES);
        let retention_age = retention_age.unwrap_or(default.retention_age);
        let redis = RedisSettings::read(redis, word == Word::Redis || is_bridged);
        let events_source = section.source_of("retention_events");
        if word == Word::Redis && section.has("retention_events") {
            let problem = "is set, but on redis all events are kept for the same time";
            section.refuse(&events_source, "retention_events", problem);
        }
        let settings = Self {
            kind: match (word, redis.clone()) {
                (Word::Redis, Some(redis)) => JournalKind::Redis(Box::new(redis)),
                (Word::Memory, _) => JournalKind::Memory,
                // Without an address it was refused.
                (Word::Disk | Word::Redis, _) => JournalKind::Disk(path),
            },
            retention_age,
            retention_size: section
                .size("retention_size", SIZES)
                .unwrap_or(default.retention_size),
            retention_events: retention_events(section.section("retention_events"), retention_age),
            partitions: section
                .number("partitions", 1..=PARTITIONS_MAX)
                .and_then(|count| count.try_into().ok())
                .unwrap_or(default.partitions),
        };
        section.finish();
        (settings, redis)
    }
}

/// Each key is the name of an event, or the beginning of names and `*`.
fn retention_events(mut section: Section<'_>, retention_age: Duration) -> Vec<KindRetention> {
    let names = section.keys();
    if names.len() > KINDS_MAX {
        let problem = format!("is one of {} kinds, the limit is {KINDS_MAX}", names.len());
        let source = section.source_of(&names[0]);
        section.refuse(&source, &names[0], &problem);
    }
    let mut kinds = Vec::new();
    for name in names {
        let source = section.source_of(&name);
        let Some(age) = section.duration(&name, AGES) else {
            continue;
        };
        match name.parse::<EventKind>() {
            Ok(_) if age >= retention_age => {
                let problem = "must be shorter than journal.retention_age";
                section.refuse(&source, &name, problem);
            }
            Ok(kind) => kinds.push(KindRetention { kind, age }),
            Err(error) => section.refuse(&source, &name, &error.to_string()),
        }
    }
    kinds
}

/// Each rule looks at every record.
const KINDS_MAX: usize = 32;

#[derive(Clone, Copy, Eq, PartialEq)]
enum Word {
    Disk,
    Memory,
    Redis,
}

const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(87600);
const SIZES: RangeInclusive<ByteSize> = ByteSize::kib(64)..=ByteSize::tib(16);
const PARTITIONS_MAX: u32 = 1024;

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::{Environment, Settings};

    #[test]
    fn kinds_of_events_are_kept_for_less_time_than_the_rest() {
        let load = |kind: &str| {
            let secret = "[auth]\nsecret = \"0123456789abcdef0123456789abcdef\"\n";
            let text = format!("{secret}[journal.retention_events]\n{kind}");
            let file = Some((Path::new("switchboard.toml"), &*text));
            Settings::from_text(file, &Environment::default())
        };
        let refused = |kind: &str| load(kind).unwrap_err().to_string();

        let kinds = load("\"message:*\" = \"6h\"")
            .unwrap()
            .journal
            .retention_events;
        let (long, all) = (
            refused("\"message:*\" = \"24h\""),
            refused("\"*\" = \"1h\""),
        );

        assert_eq!(kinds[0].kind.to_string(), "message:*");
        assert_eq!(kinds[0].age, Duration::from_hours(6));
        assert!(
            long.contains("must be shorter than journal.retention_age"),
            "{long}"
        );
        assert!(
            all.contains("must be an event's name, or the beginning of one"),
            "{all}"
        );
    }
}
