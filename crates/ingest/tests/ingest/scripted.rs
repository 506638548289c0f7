//! A journal whose appends go wrong on command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::json;
use switchboard_event::{Position, TenantId, Timestamp};
use switchboard_ingest::{Config, PublishError, Unavailable};
use switchboard_journal::{
    AppendError, Appended, Batch, Health, Journal, Key, Page, Partition, Partitions, Query,
    ReadError, Record, Stats, Tail, Value,
};
use tokio::sync::Semaphore;

use crate::bodies;
use crate::world::{World, paused, tenant};

/// Answers appends with these failures first, and then passes them on.
pub(crate) struct Scripted {
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) failures: Mutex<VecDeque<AppendError>>,
    pub(crate) appends: Arc<Mutex<Vec<usize>>>,
    /// Each append takes one, and waits for it.
    pub(crate) turns: Arc<Semaphore>,
}

#[async_trait]
impl Journal for Scripted {
    fn partitions(&self) -> Partitions {
        self.journal.partitions()
    }

    async fn append(&self, batch: Batch, now: Timestamp) -> Result<Vec<Appended>, AppendError> {
        self.appends.lock().unwrap().push(batch.events().len());
        self.turns.acquire().await.unwrap().forget();
        let failure = self.failures.lock().unwrap().pop_front();
        match failure {
            Some(failure) => Err(failure),
            None => self.journal.append(batch, now).await,
        }
    }

    async fn read(&self, query: Query) -> Result<Page, ReadError> {
        self.journal.read(query).await
    }

    async fn awaiting(
        &self,
        partition: Partition,
        since: Timestamp,
    ) -> Result<Vec<Arc<Record>>, ReadError> {
        self.journal.awaiting(partition, since).await
    }

    async fn values(
        &self,
        tenant: &TenantId,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Value>>, ReadError> {
        self.journal.values(tenant, keys, now).await
    }

    async fn head(&self, partition: Partition) -> Result<Position, ReadError> {
        self.journal.head(partition).await
    }

    fn tail(&self, partition: Partition, after: Position) -> Box<dyn Tail> {
        self.journal.tail(partition, after)
    }

    fn stats(&self) -> Stats {
        self.journal.stats()
    }

    fn health(&self) -> Health {
        self.journal.health()
    }

    async fn close(&self) {
        self.journal.close().await;
    }
}

#[tokio::test]
async fn a_journal_that_cannot_append_is_a_503_that_says_when_to_come_back() {
    for (failure, code) in [
        (
            AppendError::Unavailable {
                reason: "disk full".to_owned(),
            },
            "unavailable",
        ),
        (AppendError::Overloaded, "overloaded"),
        (AppendError::Closed, "closing"),
    ] {
        let (world, _) = world([failure.clone(), failure.clone(), failure]);

        let one = world.publish(&paused("1")).await;
        let many = world
            .publish(&json!([paused("2"), {"event": "none", "data": {}}]))
            .await;
        let webhook = world
            .webhook("acme-cloud", bodies::bytes("message-text"))
            .await;

        for answer in [one, many, webhook] {
            answer.assert_problem(503, code, None);
            assert_eq!(answer.headers["retry-after"], "1");
            assert!(!answer.text.contains("disk"), "{}", answer.text);
        }
        assert!(world.records().await.is_empty());
        assert_eq!(world.ingest.stats().counts().webhook_refused, 1);
    }
}

#[tokio::test]
async fn a_closed_journal_refuses_also_what_needs_to_be_looked_up() {
    let world = World::new();
    world.journal.close().await;

    let answer = world
        .publish(&json!({"event": "message:read", "data": {"messageId": "m"}}))
        .await;

    answer.assert_problem(503, "closing", None);
}

#[tokio::test]
async fn a_conflict_is_tried_again_and_not_for_ever() {
    let conflict = AppendError::Conflict {
        key: "message:m".parse().unwrap(),
    };
    let (recovers, _) = world(vec![conflict.clone(); 8]);
    let (gives_up, appends) = world(vec![conflict; 9]);

    assert_eq!(recovers.publish(&paused("1")).await.status, 202);
    gives_up
        .publish(&paused("1"))
        .await
        .assert_problem(503, "overloaded", None);
    assert_eq!(appends.lock().unwrap().len(), 9);
}

#[tokio::test]
async fn nothing_is_appended_when_publishing_fails() {
    let (world, _) = world([AppendError::Overloaded]);
    let draft = serde_json::from_value(paused("1")).unwrap();

    let outcome = world.ingest.publish(&tenant("acme"), vec![draft]).await;

    assert_eq!(
        outcome.unwrap_err(),
        PublishError::Unavailable(Unavailable::Overloaded)
    );
}

#[tokio::test]
async fn a_reused_id_costs_its_own_event_and_one_more_attempt() {
    let (world, appends) = world([]);
    world.publish(&paused("taken")).await;

    let mut drafts: Vec<_> = (0..10).map(|n| paused(&format!("new-{n}"))).collect();
    drafts.insert(
        5,
        json!({"id": "taken", "event": "campaign:resumed", "data": {"campaignId": "c"}}),
    );
    let answer = world.publish(&drafts.into()).await;

    assert_eq!(answer.status, 207);
    let results = answer.json()["results"].clone();
    assert_eq!(results[5]["id"], "taken");
    assert_eq!(results[5]["error"]["code"], "id_reused");
    assert!(results[4]["position"].is_string() && results[6]["position"].is_string());
    assert_eq!(*appends.lock().unwrap(), [1, 11, 10]);
}

#[tokio::test]
async fn many_reused_ids_do_not_make_every_attempt_look_at_everything_again() {
    let (world, appends) = world([]);
    let taken: Vec<_> = (0..200).map(|n| paused(&format!("taken-{n}"))).collect();
    world.publish(&taken.into()).await;
    appends.lock().unwrap().clear();

    let drafts: Vec<_> = (0..200)
        .flat_map(|n| {
            let other = json!({"id": format!("taken-{n}"), "event": "campaign:resumed", "data": {"campaignId": "c"}});
            [paused(&format!("new-{n}")), other]
        })
        .collect();
    let answer = world.publish(&drafts.into()).await;

    let results = answer.json()["results"].clone();
    let taken = results
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["position"].is_string())
        .count();
    assert_eq!(taken, 200);
    assert_eq!(world.records().await.len(), 400);
    // In full, then without each of nine reused ids, then pairs of what is good and what is next.
    assert!(
        appends.lock().unwrap().len() <= 2 * 200 + 10,
        "{}",
        appends.lock().unwrap().len()
    );
}

fn world(failures: impl Into<VecDeque<AppendError>>) -> (World, Arc<Mutex<Vec<usize>>>) {
    let appends = Arc::new(Mutex::new(Vec::new()));
    let failures = Mutex::new(failures.into());
    let seen = Arc::clone(&appends);
    let world = World::with(Config::default(), |journal| {
        Arc::new(Scripted {
            journal,
            failures,
            appends: seen,
            turns: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        })
    });
    (world, appends)
}
