//! What a process holds, before and after.

use std::{
    fs,
    future::Future,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use switchboard_engine::{Config, Stats};
use tokio::task::JoinSet;

use crate::{
    hostile::{Bystander, until},
    server::Server,
};

/// What is measured. The rehearsals before give buffers and tables the size that they need.
const REPEATS: usize = 10_000;
const REHEARSALS: usize = 2_000;

/// At the same time.
const CLIENTS: usize = 16;

/// How much the process may grow: 105 bytes for each repeat.
const GROWTH_MAX_KB: usize = 1 << 10;

/// A heap grows for a while with what happens to come at the same time. What is lost with each
/// repeat is lost in every round.
const ROUNDS: usize = 3;

/// Runs an ignored test in a process of its own.
pub(super) fn run_alone(test: &str) {
    // The file itself may have been built anew meanwhile.
    let output = Command::new("/proc/self/exe")
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let is_run = said.contains("1 passed");
    assert!(
        output.status.success() && is_run,
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Repeats `act` and shows that nothing is left of it, and that somebody else is still served.
pub(super) async fn repeat<F>(config: Config, act: fn(Arc<Server>, usize) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let config = Config {
        // On a busy machine a row takes longer than the bystander would be waited for.
        ping_interval: Duration::from_mins(10),
        ..config
    };
    let server = Arc::new(Server::start(config).await);
    let mut bystander = Bystander::join(&server).await;
    let files = open_files();
    act_often(&server, act, REHEARSALS).await;
    let mut resident_kb = vec![settled_kb(&server, files).await];

    for _ in 0..ROUNDS {
        act_often(&server, act, REPEATS).await;
        resident_kb.push(settled_kb(&server, files).await);
        bystander.assert_served().await;
        if is_flat(&resident_kb) {
            return;
        }
    }

    panic!("the process grows in every round: {resident_kb:?} KB");
}

/// Whether the last round made the process grow by no more than chance does.
fn is_flat(resident_kb: &[usize]) -> bool {
    let [.., before, after] = resident_kb else {
        return false;
    };
    after.saturating_sub(*before) <= GROWTH_MAX_KB
}

async fn act_often<F>(server: &Arc<Server>, act: fn(Arc<Server>, usize) -> F, times: usize)
where
    F: Future<Output = ()> + Send + 'static,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (server, next) = (server.clone(), next.clone());
        clients.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= times {
                    return;
                }
                act(server.clone(), number).await;
                // Who does not wait for an answer must not run ahead of the server.
                while server.engine.stats().http > 2 * CLIENTS {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

/// How much memory the process holds once only the bystander is served, and as many files are open
/// as were before.
async fn settled_kb(server: &Server, files: usize) -> usize {
    let bystander = Stats {
        websocket: 1,
        polling: 0,
        sockets: 1,
        http: 0,
    };
    until("sessions end", || server.engine.stats() == bystander).await;
    until("files are closed", || open_files() == files).await;
    resident_kb()
}

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn resident_kb() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
