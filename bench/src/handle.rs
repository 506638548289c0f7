//! A station in a process of its own, seen from the comparison.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::order::{Finding, Order};
use crate::past::Past;
use crate::server::ServerKind;
use crate::setup::Setup;

/// Where servers keep their logs and journals while they run.
pub(crate) const DATA: &str = "target/run";

/// A station, which ends with this value.
pub(crate) struct Handle {
    pub(crate) server: ServerKind,
    child: Child,
    orders: Option<ChildStdin>,
    findings: BufReader<ChildStdout>,
    data: PathBuf,
}

impl Handle {
    pub(crate) fn start(
        server: ServerKind,
        setup: Setup,
        switchboard: &Path,
    ) -> anyhow::Result<Self> {
        let data = directory(server);
        let mut child = Command::new(std::env::current_exe()?)
            .args(["station", "--server", server.name()])
            .args(["--setup", setup.name(), "--switchboard"])
            .arg(switchboard)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let findings = child.stdout.take().context("standard output is piped")?;
        let orders = child.stdin.take();
        Ok(Self {
            server,
            child,
            orders,
            findings: BufReader::new(findings),
            data,
        })
    }

    /// The inner error is the station's: other servers can go on.
    pub(crate) fn order(&mut self, order: &Order) -> anyhow::Result<Result<Finding, String>> {
        let orders = self.orders.as_mut().context("the station takes orders")?;
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        orders.write_all(&line)?;
        let mut finding = String::new();
        self.findings.read_line(&mut finding)?;
        serde_json::from_str(&finding).with_context(|| format!("{finding:?} is no finding"))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // A station without orders kills its server and ends.
        drop(self.orders.take());
        let _ = self.child.wait();
        // The next server of this kind starts with an empty journal.
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// Writes the journal that the next server of this kind starts with.
pub(crate) fn write_past(server: ServerKind, records: u64, events: u64) -> anyhow::Result<Past> {
    let data = directory(server);
    fs::create_dir_all(&data)?;
    let output = Command::new(std::env::current_exe()?)
        .arg("past")
        .arg("--path")
        .arg(data.join("journal"))
        .args(["--records", &records.to_string()])
        .args(["--events", &events.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(
        output.status.success(),
        "writing a past ended with {}",
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn directory(server: ServerKind) -> PathBuf {
    Path::new(DATA).join(server.name())
}
