//! What the numbers were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use nix::sys::resource::{Resource, getrlimit};

/// One line for each fact; no names of hosts or people.
pub(crate) fn facts(data: &Path) -> Vec<String> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let cores = available_parallelism().map_or(0, usize::from);
    let model = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown);
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
        .map_or_else(unknown, |kilobytes| format!("{} GiB", kilobytes >> 20));
    // The release may name who built the kernel for which host: its version is enough.
    let kernel = read("/proc/sys/kernel/osrelease");
    let kernel = kernel.trim().split('-').next().unwrap_or_default();
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    vec![
        format!("{cores} cores ({model}), {memory} of memory, Linux {kernel}"),
        format!(
            "{files} file descriptors for each process, journal on {}",
            file_system(data)
        ),
        format!("{}, Node {}", version("rustc"), version("node")),
    ]
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    // "rustc 1.95.0 (hash date)": the hash says nothing here.
    text.split(" (")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// The type of the file system that holds `path`.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let path = fs::canonicalize(path).unwrap_or_default();
    let holding = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (directory, kind) = (words.next()?, words.next()?);
        path.starts_with(directory)
            .then(|| (directory.len(), kind.to_owned()))
    });
    holding
        .max_by_key(|(len, _)| *len)
        .map_or_else(|| "unknown".to_owned(), |(_, kind)| kind)
}
