//! Real servers, on ports that the system picks, which end with this process.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A running `redis-server`.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) dir: TempDir,
    pid: u32,
    /// The shell that waits for the end of its input, and kills the server then: it gets there
    /// also if this process is killed.
    keeper: Child,
}

impl Server {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        for _ in 0..ATTEMPTS_MAX {
            let (dir, port) = (tempfile::tempdir().unwrap(), free_port());
            let (keeper, pid) = launch(port, dir.path(), arguments);
            let server = Self {
                port,
                dir,
                pid,
                keeper,
            };
            // If not, somebody else took the port.
            if server.answers() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What `redis-cli` says to a command.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli")
            .args(["-p", &port])
            .args(arguments)
            .output();
        String::from_utf8(output.unwrap().stdout)
            .unwrap()
            .trim()
            .to_owned()
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.pid.to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// Ends the process as a crash would, and starts it again in its directory.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        self.kill();
        let (keeper, pid) = launch(self.port, self.dir.path(), arguments);
        (self.keeper, self.pid) = (keeper, pid);
        assert!(self.answers(), "redis-server does not start again");
    }

    pub(crate) fn kill(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }

    fn answers(&self) -> bool {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while std::time::Instant::now() < deadline {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            if log.contains("Address already in use") {
                return false;
            }
            if log.contains("Ready to accept")
                && TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
            {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(port: u16, dir: &Path, arguments: &[&str]) -> (Child, u32) {
    let port = port.to_string();
    let plain: &[&str] = if arguments.contains(&"--tls-port") {
        &["--port", "0"]
    } else {
        &["--port", &port]
    };
    let script = "redis-server \"$@\" >/dev/null & echo $!; cat >/dev/null; kill -9 $!";
    let _ = std::fs::remove_file(dir.join("log"));
    let mut keeper = Command::new("sh")
        .args(["-c", script, "sh", "--bind", "127.0.0.1", "--save", ""])
        .args(plain)
        .args([
            "--repl-diskless-sync-delay",
            "0",
            "--logfile",
            "log",
            "--dir",
        ])
        .arg(dir)
        .args(
            arguments
                .iter()
                .map(|argument| argument.replace("PORT", &port)),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = keeper.stdout.take().unwrap();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (keeper, line.trim().parse().unwrap())
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

const ATTEMPTS_MAX: usize = 5;
