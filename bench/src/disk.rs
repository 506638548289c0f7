//! What the disk can do by itself: how fast a small write is synced.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::statistics::Latencies;

/// A page of the journal's write-ahead log.
const WRITE_LEN: u64 = 4096;
/// What is written over, again and again, as that log is.
const FILE_LEN: u64 = 4 << 20;

/// What one writer that syncs each write gets out of a disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Syncs {
    pub(crate) per_s: f64,
    pub(crate) latencies: Latencies,
}

/// Writes 4 KiB and waits for the disk (`fdatasync`), again and again, in `directory`.
pub(crate) fn syncs(directory: &Path, time: Duration) -> anyhow::Result<Syncs> {
    let path = directory.join("syncs");
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    let outcome = measure(&file, time);
    std::fs::remove_file(&path)?;
    outcome
}

fn measure(file: &File, time: Duration) -> anyhow::Result<Syncs> {
    let block = vec![0x5a; usize::try_from(WRITE_LEN)?];
    for at in (0..FILE_LEN).step_by(block.len()) {
        file.write_all_at(&block, at)?;
    }
    file.sync_all()?;
    let (begin, mut samples, mut at) = (Instant::now(), Vec::new(), 0);
    while begin.elapsed() < time {
        let sent_at = Instant::now();
        file.write_all_at(&block, at)?;
        file.sync_data()?;
        samples.push(sent_at.elapsed());
        at = (at + WRITE_LEN) % FILE_LEN;
    }
    let latencies = Latencies::of(&samples)?;
    Ok(Syncs {
        per_s: crate::statistics::per_second(samples.len(), begin.elapsed()),
        latencies,
    })
}
