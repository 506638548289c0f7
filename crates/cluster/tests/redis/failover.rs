use switchboard_cluster::{RedisConfig, RedisJournal};
use switchboard_journal::{Journal, ReadError, TailError};

use crate::fixture::{HANG, append, fresh_prefix, ids, partition, tail, take};
use crate::server::Server;

/// A primary and one that was its replica until shortly before its end: it lacks the last records.
struct Pair {
    primary: Server,
    replica: Server,
    prefix: String,
}

impl Pair {
    fn start() -> Self {
        let primary = Server::start(&[]);
        let port = primary.port.to_string();
        let replica = Server::start(&["--replicaof", &format!("127.0.0.1 {port}")]);
        Self {
            primary,
            replica,
            prefix: fresh_prefix(),
        }
    }

    async fn node(&self) -> RedisJournal {
        let config = RedisConfig {
            urls: vec![self.primary.url(), self.replica.url()],
            prefix: self.prefix.clone(),
            ..RedisConfig::new("")
        };
        RedisJournal::open(config).await.unwrap()
    }

    /// Another node, which knows only the one that took over.
    async fn node_elsewhere(&self) -> RedisJournal {
        let config = RedisConfig {
            prefix: self.prefix.clone(),
            ..RedisConfig::new(self.replica.url())
        };
        RedisJournal::open(config).await.unwrap()
    }

    /// From now on the replica learns nothing more.
    fn part(&self) {
        assert_eq!(self.primary.cli(&["WAIT", "1", "20000"]), "1");
        let settled = || self.replica.cli(&["INFO", "replication"]);
        let deadline = std::time::Instant::now() + HANG;
        let offset = |text: &str, name: &str| {
            let mut lines = text.lines();
            let line = lines
                .find(|line| line.starts_with(name))
                .unwrap_or_default();
            line.split(':').nth(1).unwrap_or_default().trim().to_owned()
        };
        while offset(&settled(), "master_link_status") != "up" {
            assert!(std::time::Instant::now() < deadline, "no replication");
            std::thread::yield_now();
        }
        let wanted: u64 = {
            let info = self.primary.cli(&["INFO", "replication"]);
            offset(&info, "master_repl_offset").parse().unwrap()
        };
        while offset(&settled(), "slave_repl_offset")
            .parse::<u64>()
            .unwrap_or(0)
            < wanted
        {
            assert!(std::time::Instant::now() < deadline, "no replication");
            std::thread::yield_now();
        }
        assert_eq!(self.replica.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_that_lost_nothing_changes_nothing() {
    let mut pair = Pair::start();
    let node = pair.node().await;
    let mut tail = tail(&node, 0).await;
    let before = append(&node, "a").await;
    assert_eq!(ids(&take(&mut *tail, 1).await), ["a"]);

    pair.part();
    pair.primary.kill();
    let after = append(&node, "b").await;

    assert_eq!(after.position.epoch, before.position.epoch);
    assert_eq!(after.position.offset, before.position.offset.next());
    assert_eq!(ids(&take(&mut *tail, 1).await), ["b"]);
    assert!(append(&node, "a").await.duplicate);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_waits_sees_that_records_were_lost() {
    let mut pair = Pair::start();
    let node = pair.node().await;
    let mut waiting = tail(&node, 0).await;
    let kept = append(&node, "kept").await;
    pair.part();
    let lost = append(&node, "lost").await;
    assert_eq!(ids(&take(&mut *waiting, 2).await), ["kept", "lost"]);

    pair.primary.kill();

    // Nobody appends anything: the tail finds out by itself.
    let next = tokio::time::timeout(HANG, waiting.next()).await.unwrap();
    let epoch = match next {
        Err(TailError::Read(ReadError::OtherEpoch { epoch })) => epoch,
        other => panic!("nothing was seen: {other:?}"),
    };
    assert_ne!(epoch, lost.position.epoch);
    let head = node.head(partition(&node)).await.unwrap();
    assert_eq!((head.epoch, head.offset), (epoch, kept.position.offset));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_sees_that_what_it_knows_was_lost_and_replaced() {
    let mut pair = Pair::start();
    let node = pair.node().await;
    append(&node, "kept").await;
    pair.part();
    let lost = append(&node, "lost").await;
    // Somebody who knows nothing of it writes as many records, and more.
    let other = pair.node_elsewhere().await;
    let mut theirs = tail(&other, 0).await;
    for id in ["x", "y", "z"] {
        append(&other, id).await;
    }
    assert_eq!(take(&mut *theirs, 4).await.len(), 4);

    pair.primary.kill();
    let next = append(&node, "next").await;

    // Its own position is not taken for that of another record.
    assert_ne!(next.position.epoch, lost.position.epoch);
    assert_eq!(next.position.offset.as_u64(), 5);
    // Also who lost nothing goes on in the new history only.
    let ended = tokio::time::timeout(HANG, theirs.next()).await.unwrap();
    let epoch = next.position.epoch;
    let error = TailError::Read(ReadError::OtherEpoch { epoch });
    assert_eq!(ended.unwrap_err(), error);
    let again = append(&node, "lost").await;
    assert_eq!(
        (again.duplicate, again.position.offset.as_u64()),
        (false, 6)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_waits_for_as_many_replicas_as_it_should() {
    let pair = Pair::start();
    let config = RedisConfig {
        prefix: pair.prefix.clone(),
        wait_replicas: 1,
        ..RedisConfig::new(pair.primary.url())
    };
    let node = RedisJournal::open(config).await.unwrap();
    append(&node, "a").await;

    pair.part();
    let refused = crate::fixture::try_append(&node, "b").await;

    // It may have happened, and a replica may get it yet.
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("0 of 1 replicas"), "{error}");
    let again = crate::fixture::try_append(&node, "b").await;
    assert!(again.unwrap_err().to_string().contains("0 of 1 replicas"));
}
