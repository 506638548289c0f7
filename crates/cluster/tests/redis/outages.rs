use std::time::Duration;

use switchboard_cluster::{RedisConfig, RedisJournal};
use switchboard_journal::{AppendError, Fleeting, Health, Heard, Journal};
use tokio::time::Instant;

use crate::fixture::{HANG, append, fresh_prefix, ids, partition, tail, take, try_append, until};
use crate::server::Server;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_forgot_its_scripts_learns_them_again() {
    let server = Server::start(&[]);
    let node = open(&server).await;
    append(&node, "a").await;

    assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");

    assert_eq!(
        try_append(&node, "b")
            .await
            .unwrap()
            .position
            .offset
            .as_u64(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_crash_of_a_redis_that_syncs() {
    let aof = ["--appendonly", "yes", "--appendfsync", "always"];
    let mut server = Server::start(&aof);
    let node = open(&server).await;
    let mut waiting = tail(&node, 0).await;
    let first = append(&node, "a").await;
    take(&mut *waiting, 1).await;

    server.restart(&aof);
    let second = append(&node, "b").await;

    assert_eq!(second.position.epoch, first.position.epoch);
    assert_eq!(second.position.offset.as_u64(), 2);
    assert_eq!(ids(&take(&mut *waiting, 1).await), ["b"]);
    let again = append(&node, "a").await;
    assert_eq!((again.position, again.duplicate), (first.position, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forgot_everything_begins_another_history() {
    let mut server = Server::start(&["--appendonly", "no"]);
    let node = open(&server).await;
    let mut waiting = tail(&node, 0).await;
    let first = append(&node, "a").await;
    take(&mut *waiting, 1).await;

    server.restart(&["--appendonly", "no"]);
    let again = append(&node, "a").await;

    assert!(!again.duplicate);
    assert_eq!(again.position.offset.as_u64(), 1);
    assert_ne!(again.position.epoch, first.position.epoch);
    let next = tokio::time::timeout(HANG, waiting.next()).await.unwrap();
    assert!(next.is_err(), "{next:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_does_not_answer_is_unavailable_in_time_and_then_ready_again() {
    let server = Server::start(&[]);
    let limit = Duration::from_millis(500);
    let node = RedisJournal::open(RedisConfig {
        command_timeout: limit,
        connect_timeout: limit,
        prefix: fresh_prefix(),
        ..RedisConfig::new(server.url())
    });
    let node = node.await.unwrap();
    let mut waiting = tail(&node, 0).await;
    append(&node, "a").await;
    take(&mut *waiting, 1).await;
    assert_eq!(node.health(), Health::Ready);

    server.signal("STOP");
    let begun_at = Instant::now();
    let refused = try_append(&node, "b").await;

    assert!(
        matches!(refused, Err(AppendError::Unavailable { .. })),
        "{refused:?}"
    );
    assert!(begun_at.elapsed() < limit * 4, "{:?}", begun_at.elapsed());
    assert!(matches!(node.health(), Health::Failing { .. }));
    // Whoever comes now is refused at once.
    let begun_at = Instant::now();
    assert!(try_append(&node, "c").await.is_err());
    assert!(begun_at.elapsed() < limit, "{:?}", begun_at.elapsed());

    server.signal("CONT");
    until("health", || node.health() == Health::Ready).await;
    // What was refused has one outcome, whether it happened or not.
    let (b, c) = (append(&node, "b").await, append(&node, "c").await);
    let again = append(&node, "b").await;
    assert_eq!((again.position, again.duplicate), (b.position, true));
    let records = take(&mut *waiting, 2).await;
    let mut expected = [(b.position, "b"), (c.position, "c")];
    expected.sort_by_key(|(position, _)| position.offset);
    let found: Vec<_> = records.iter().map(|one| one.position).collect();
    assert_eq!(found, expected.map(|(position, _)| position));
    assert_eq!(ids(&records), expected.map(|(_, id)| id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_without_memory_refuses_and_works_again_when_there_is_some() {
    let server = Server::start(&[]);
    let node = open(&server).await;
    append(&node, "a").await;

    server.cli(&["CONFIG", "SET", "maxmemory", "1000000"]);
    let refused = try_append(&node, "b").await;

    let error = refused.unwrap_err().to_string();
    assert!(error.contains("OOM"), "{error}");
    until("health", || node.health() != Health::Ready).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    until("health", || node.health() == Health::Ready).await;
    assert_eq!(
        try_append(&node, "b")
            .await
            .unwrap()
            .position
            .offset
            .as_u64(),
        2
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_hear_each_other() {
    let server = Server::start(&[]);
    let prefix = fresh_prefix();
    let config = || RedisConfig {
        prefix: prefix.clone(),
        ..RedisConfig::new(server.url())
    };
    let one = RedisJournal::open(config()).await.unwrap();
    let two = RedisJournal::open(config()).await.unwrap();
    let mut records = tail(&two, 0).await;
    let mut listener = two.listen(partition(&two));
    let channels = || server.cli(&["PUBSUB", "SHARDCHANNELS"]);
    until("a listener", || !channels().is_empty()).await;

    append(&one, "a").await;
    one.send(partition(&one), said());

    assert_eq!(ids(&take(&mut *records, 1).await), ["a"]);
    let heard = tokio::time::timeout(HANG, listener.next()).await.unwrap();
    assert_eq!(heard, Some(Heard::Event(said())));

    // A broken connection is told, because nobody knows what was said meanwhile.
    server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    let heard = tokio::time::timeout(HANG, listener.next()).await.unwrap();
    assert_eq!(heard, Some(Heard::Lost(1)));
}

fn said() -> std::sync::Arc<switchboard_event::FleetingEvent> {
    let event = crate::fixture::event("said");
    let voice = "somebody".parse().unwrap();
    std::sync::Arc::new(switchboard_event::FleetingEvent::of(event, voice))
}

async fn open(server: &Server) -> RedisJournal {
    let config = RedisConfig {
        prefix: fresh_prefix(),
        ..RedisConfig::new(server.url())
    };
    RedisJournal::open(config).await.unwrap()
}
