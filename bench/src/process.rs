//! What the kernel says that a process has used.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A running process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    pid: Pid,
    clock: ClockId,
}

impl Process {
    pub(crate) fn new(pid: u32) -> anyhow::Result<Self> {
        let pid = Pid::from_raw(i32::try_from(pid)?);
        Ok(Self {
            pid,
            clock: clock_getcpuclockid(pid)?,
        })
    }

    /// The process of the caller.
    pub(crate) fn own() -> anyhow::Result<Self> {
        Self::new(std::process::id())
    }

    /// User and system time of all threads, ended ones included.
    ///
    /// The sum that `/proc/PID/stat` shows in ticks of 10 ms, in nanoseconds.
    pub(crate) fn cpu(self) -> anyhow::Result<Duration> {
        Ok(clock_gettime(self.clock)?.into())
    }

    /// Resident memory in bytes, counted page by page (`VmRSS` may lag behind).
    pub(crate) fn resident(self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        let kilobytes: Option<u64> =
            line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
        Ok(kilobytes.with_context(|| format!("no Rss in {path}"))? * 1024)
    }
}
