//! Where records are kept, and for how long.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;

use super::reader::Section;

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
}

impl Default for JournalSettings {
    fn default() -> Self {
        Self {
            kind: JournalKind::Disk("data".into()),
            retention_age: Duration::from_hours(24),
            retention_size: ByteSize::gib(1).as_u64(),
            partitions: 16,
        }
    }
}

impl JournalSettings {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let default = Self::default();
        let path_source = section.source_of("path");
        let path_counts = section.has("path") && !section.overrules("kind", &path_source);
        let path = section
            .path("path")
            .unwrap_or_else(|| section.relative("data"));
        let in_memory = section
            .word("kind", &[("disk", false), ("memory", true)])
            .unwrap_or(false);
        if in_memory && path_counts {
            let problem = "is set, but journal.kind is \"memory\", which has no path";
            section.refuse(&path_source, "path", problem);
        }
        let settings = Self {
            kind: if in_memory {
                JournalKind::Memory
            } else {
                JournalKind::Disk(path)
            },
            retention_age: section
                .duration("retention_age", AGES)
                .unwrap_or(default.retention_age),
            retention_size: section
                .size("retention_size", SIZES)
                .unwrap_or(default.retention_size),
            partitions: section
                .number("partitions", 1..=PARTITIONS_MAX)
                .and_then(|count| count.try_into().ok())
                .unwrap_or(default.partitions),
        };
        section.finish();
        settings
    }
}

const AGES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(87600);
const SIZES: RangeInclusive<ByteSize> = ByteSize::kib(64)..=ByteSize::tib(16);
const PARTITIONS_MAX: u32 = 1024;
