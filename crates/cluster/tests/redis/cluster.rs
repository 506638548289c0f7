use std::process::Command;
use std::sync::LazyLock;

use switchboard_cluster::{RedisConfig, RedisJournal};
use switchboard_journal::conformance::{Setup, Subject};
use switchboard_journal::{Health, Journal};

use crate::fixture::{append, configured, fresh_prefix, subject, tail, take, until};
use crate::server::Server;

/// A cluster of three primaries, and as many replicas for each as said.
struct Cluster(Vec<Server>);

impl Cluster {
    fn start(replicas: usize) -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        let count = 3 * (1 + replicas);
        let servers: Vec<Server> = (0..count).map(|_| Server::start(&options)).collect();
        let addresses = servers.iter().map(|one| format!("127.0.0.1:{}", one.port));
        let created = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(addresses)
            .args(["--cluster-yes", "--cluster-replicas", &replicas.to_string()])
            .output()
            .unwrap();
        assert!(created.status.success(), "{created:?}");
        let cluster = Self(servers);
        let deadline = std::time::Instant::now() + crate::fixture::HANG;
        while !cluster.is_ok() {
            assert!(std::time::Instant::now() < deadline, "no cluster");
            std::thread::yield_now();
        }
        cluster
    }

    fn is_ok(&self) -> bool {
        let is_ok = |server: &Server| {
            let says = server.cli(&["CLUSTER", "INFO"]);
            let replication = server.cli(&["INFO", "replication"]);
            says.contains("cluster_state:ok") && !replication.contains("master_link_status:down")
        };
        self.0.iter().all(is_ok)
    }

    fn config(&self) -> RedisConfig {
        RedisConfig {
            urls: self.0.iter().map(Server::url).collect(),
            cluster: true,
            prefix: fresh_prefix(),
            ..RedisConfig::new("")
        }
    }
}

mod suite {
    use super::*;

    static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(0));

    async fn open(setup: Setup) -> Subject {
        subject(configured(CLUSTER.config(), &setup)).await
    }

    switchboard_journal::conformance_suite!(open, all but erasing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_a_primary_dies_its_replica_goes_on() {
    let mut cluster = Cluster::start(1);
    let node = RedisJournal::open(cluster.config()).await.unwrap();
    let mut waiting = tail(&node, 0).await;
    append(&node, "a").await;
    take(&mut *waiting, 1).await;

    // The one that has the partition: it is asked where the key is.
    let port = holder(&cluster, &node);
    let dead = cluster.0.iter().position(|one| one.port == port).unwrap();
    let mut dead = cluster.0.remove(dead);
    dead.kill();

    append(&node, "b").await;
    append(&node, "c").await;
    assert_eq!(take(&mut *waiting, 2).await.len(), 2);
    until("health", || node.health() == Health::Ready).await;
}

/// The port of the primary that has records of the fixture's tenant.
fn holder(cluster: &Cluster, _node: &RedisJournal) -> u16 {
    let mut holders = cluster.0.iter().filter(|server| {
        let is_primary = server.cli(&["ROLE"]).starts_with("master");
        let keys = server.cli(&["--scan", "--pattern", "*:log"]);
        is_primary && !keys.is_empty()
    });
    holders.next().unwrap().port
}
