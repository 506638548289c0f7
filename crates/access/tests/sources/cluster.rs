//! A Postgres of a test: its own files, its own socket, nobody else's.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server; it is killed when this is dropped.
pub(crate) struct Cluster {
    directory: TempDir,
    programs: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Cluster {
    /// Makes a cluster with a table of who may hear what, and starts it. `more` is appended to its
    /// settings.
    pub(crate) fn start(more: &str) -> Self {
        let programs = programs();
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let data = directory.path().join("data");
        let made = unprivileged(&programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=crm", "--pgdata"])
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", text(&made.stderr));
        let settings = format!("fsync = off\n{more}");
        let mut file = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        file.push_str(&settings);
        fs::write(data.join("postgresql.conf"), file).unwrap();
        let mut cluster = Self {
            directory,
            programs,
            port: free_port(),
            child: None,
        };
        cluster.restart();
        cluster.run(SCHEMA);
        cluster
    }

    /// Starts the server again after it was killed, at the same address.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs already");
        let child = unprivileged(&self.programs.join("postgres"))
            .arg("-D")
            .arg(self.path().join("data"))
            .arg("-k")
            .arg(self.path())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_mins(1);
        while !self.psql("select 1").status.success() {
            let log = fs::read_to_string(self.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "postgres does not start: {log}");
            std::thread::yield_now();
        }
    }

    /// Ends the server as a crash would.
    pub(crate) fn kill(&mut self) {
        self.signal("QUIT");
        let mut child = self.child.take().unwrap();
        child.wait().unwrap();
    }

    /// Makes the server and all its processes hold still, or go on.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let signal = if is_frozen { "-STOP" } else { "-CONT" };
        for process in self.processes() {
            // One that has just ended is as still as can be.
            let sent = Command::new("kill").args([signal, &process]).output();
            sent.unwrap();
        }
    }

    /// Runs a statement.
    pub(crate) fn run(&self, sql: &str) {
        let done = self.psql(sql);
        assert!(done.status.success(), "{}", text(&done.stderr));
    }

    /// The first column of the first row.
    pub(crate) fn ask(&self, sql: &str) -> String {
        text(&self.psql(sql).stdout).trim().to_owned()
    }

    /// Its address over TCP.
    pub(crate) fn url(&self) -> String {
        format!("postgres://crm@127.0.0.1:{}/postgres", self.port)
    }

    /// Its address over the socket.
    pub(crate) fn socket_url(&self) -> String {
        let path = self.path().display().to_string().replace('/', "%2F");
        format!("postgres://crm@{path}:{}/postgres", self.port)
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn psql(&self, sql: &str) -> std::process::Output {
        Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "crm"])
            .arg("-h")
            .arg(self.path())
            .args(["-p", &self.port.to_string(), "-d", "postgres", "-c", sql])
            .output()
            .unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = fs::read_to_string(self.path().join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// The server and its children.
    fn processes(&self) -> Vec<String> {
        let pid = fs::read_to_string(self.path().join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children = children.split_whitespace().map(str::to_owned);
        std::iter::once(pid.clone()).chain(children).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        self.freeze(false);
        self.signal("QUIT");
        let _ = child.wait();
    }
}

/// The programs of the newest Postgres that is installed; Debian keeps them out of the path.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let found = installed
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|path| path.join("postgres").exists())
        .max();
    found.expect("no postgres here: apt-get install postgresql, or `make prepare`")
}

/// Gives a file to whom the server runs as.
pub(crate) fn hand_over(file: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("postgres").arg(file).status();
        assert!(given.unwrap().success());
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Postgres does not run as root.
fn unprivileged(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            // Its end comes with that of whoever started it.
            .arg("--pdeathsig=QUIT")
            .arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const SCHEMA: &str = "
    create table members (user_id text, tenant text, account bigint, level uuid);
    insert into members values ('ana', 'acme', 1, null);
";
