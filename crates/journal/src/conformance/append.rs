use std::collections::HashSet;

use switchboard_event::TenantId;

use super::fixture::{
    Fixture, event, key, now, offsets_of, other_event, put, take, tenant, tenant_room,
};
use super::{Setup, Subject};
use crate::{AppendError, Batch, Expect, ReadError, TailError};

pub async fn offsets_start_at_one_and_are_dense(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let room = ["contact:1"];

    let before = fixture.head(fixture.partition(&acme)).await;
    let first = fixture.append(&acme, vec![event(&acme, "a", &room)]).await;
    let more = vec![event(&acme, "b", &room), event(&acme, "c", &room)];
    let second = fixture.append(&acme, more).await;

    assert_eq!(before.offset.as_u64(), 0);
    assert_eq!((first, second), (vec![1], vec![2, 3]));
    assert_eq!(
        fixture.head(fixture.partition(&acme)).await.offset.as_u64(),
        3
    );
}

pub async fn an_empty_batch_is_answered_with_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;

    let appended = fixture
        .try_append(&tenant("acme"), Vec::new(), Vec::new())
        .await;

    assert_eq!(appended, Ok(Vec::new()));
}

pub async fn a_refused_batch_leaves_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let rooms = ["contact:1"];
    fixture
        .append(&acme, vec![event(&acme, "used", &rooms)])
        .await;
    fixture
        .change(&acme, put("there", Expect::Absent, "old"))
        .await
        .unwrap();

    let events = vec![
        event(&acme, "a", &rooms),
        other_event(&acme, "used", &rooms),
    ];
    let changes = vec![put("new", Expect::Anything, "x")];
    let reused = fixture.try_append(&acme, events, changes).await;
    let changes = vec![
        put("new", Expect::Anything, "x"),
        put("there", Expect::Absent, "x"),
    ];
    let conflict = fixture
        .try_append(&acme, vec![event(&acme, "b", &rooms)], changes)
        .await;

    let id = "used".parse().unwrap();
    assert_eq!(reused, Err(AppendError::IdReused { index: 1, id }));
    assert_eq!(conflict, Err(AppendError::Conflict { key: key("there") }));
    assert_eq!(fixture.value(&acme, &key("new")).await, None);
    assert_eq!(
        fixture.value(&acme, &key("there")).await.unwrap().bytes,
        "old"
    );
    assert_eq!(fixture.offsets(&acme, &rooms).await, [1]);
    // Neither the offsets nor the ids of the refused batches were used up.
    let events = vec![event(&acme, "a", &rooms), event(&acme, "b", &rooms)];
    assert_eq!(fixture.append(&acme, events).await, [2, 3]);
    take(&mut *fixture.tail(&acme).await, 3).await;
}

pub async fn the_same_event_is_one_record(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let (a, b) = (
        event(&acme, "a", &["contact:1"]),
        event(&acme, "b", &["contact:1"]),
    );
    fixture.append(&acme, vec![a.clone()]).await;

    let again = fixture
        .try_append(&acme, vec![b.clone(), a], Vec::new())
        .await
        .unwrap();

    assert_eq!(offsets_of(&again), [2, 1]);
    assert_eq!(
        again.iter().map(|each| each.duplicate).collect::<Vec<_>>(),
        [false, true]
    );
    let once_more = fixture
        .try_append(&acme, vec![b], Vec::new())
        .await
        .unwrap();
    assert_eq!(
        (once_more[0].position, once_more[0].duplicate),
        (again[0].position, true)
    );
    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, [1, 2]);
}

pub async fn the_same_id_with_other_content_is_refused(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;

    let other = vec![other_event(&acme, "a", &["contact:1"])];
    let refused = fixture.try_append(&acme, other, Vec::new()).await;

    let id = "a".parse().unwrap();
    assert_eq!(refused, Err(AppendError::IdReused { index: 0, id }));
}

pub async fn a_batch_may_hold_an_event_twice(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let (a, b) = (
        event(&acme, "a", &["contact:1"]),
        event(&acme, "b", &["contact:1"]),
    );

    let twice = vec![a.clone(), a.clone(), b];
    let appended = fixture.try_append(&acme, twice, Vec::new()).await.unwrap();
    let clash = vec![event(&acme, "c", &[]), other_event(&acme, "c", &[])];
    let refused = fixture.try_append(&acme, clash, Vec::new()).await;

    assert_eq!(offsets_of(&appended), [1, 1, 2]);
    assert_eq!(
        appended
            .iter()
            .map(|each| each.duplicate)
            .collect::<Vec<_>>(),
        [false, true, false]
    );
    let id = "c".parse().unwrap();
    assert_eq!(refused, Err(AppendError::IdReused { index: 1, id }));
}

pub async fn event_ids_of_tenants_are_apart(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::one_partition(open).await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));

    let first = fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;
    let second = fixture
        .append(&globex, vec![other_event(&globex, "a", &["contact:1"])])
        .await;

    assert_eq!((first, second), (vec![1], vec![2]));
}

pub async fn an_event_for_everyone_has_a_place_in_each_partition(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::open(open).await;
    let everyone = TenantId::everyone();
    let notice = event(&everyone, "notice", &["team:acme"]);

    let mut epochs = HashSet::new();
    for partition in fixture.journal.partitions().all() {
        let batch = || {
            Batch::new(
                partition,
                everyone.clone(),
                vec![notice.clone()],
                Vec::new(),
            )
            .unwrap()
        };
        let first = fixture.journal.append(batch(), now()).await.unwrap();
        let again = fixture.journal.append(batch(), now()).await.unwrap();
        assert_eq!((offsets_of(&first), first[0].duplicate), (vec![1], false));
        assert_eq!((offsets_of(&again), again[0].duplicate), (vec![1], true));
        epochs.insert(first[0].position.epoch);
    }

    assert_eq!(epochs.len(), 1);
    let mut query = fixture.query(&tenant("acme"), &[]).await;
    query.rooms = vec![tenant_room(&everyone, "team:acme")];
    assert_eq!(fixture.all(query).await, Ok(vec![1]));
}

pub async fn a_batch_for_another_partition_is_refused(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let own = fixture.partition(&acme);
    let other = fixture
        .journal
        .partitions()
        .all()
        .find(|each| *each != own)
        .unwrap();

    let batch = Batch::new(other, acme.clone(), Vec::new(), Vec::new()).unwrap();
    let refused = fixture.journal.append(batch, now()).await;

    assert_eq!(
        refused,
        Err(AppendError::WrongPartition {
            partition: other,
            tenant: acme
        })
    );
}

pub async fn a_closed_journal_refuses(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = fixture.partition(&acme);
    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;
    let query = fixture.query(&acme, &["contact:1"]).await;
    let mut tail = fixture
        .journal
        .tail(partition, fixture.at(partition, 1).await);

    fixture.journal.close().await;
    fixture.journal.close().await;

    let append = fixture
        .try_append(&acme, vec![event(&acme, "b", &[])], Vec::new())
        .await;
    assert_eq!(append, Err(AppendError::Closed));
    assert_eq!(
        fixture.journal.read(query).await.unwrap_err(),
        ReadError::Closed
    );
    let values = fixture.journal.values(&acme, &[key("k")], now()).await;
    assert_eq!(values, Err(ReadError::Closed));
    assert_eq!(
        fixture.journal.head(partition).await,
        Err(ReadError::Closed)
    );
    assert_eq!(
        tail.next().await.unwrap_err(),
        TailError::Read(ReadError::Closed)
    );
}

pub async fn new_records_are_counted_and_duplicates_are_not(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let events = ["a", "b"].map(|id| event(&acme, id, &["contact:1"]));
    let empty = fixture.journal.stats();
    fixture.append(&acme, events.to_vec()).await;
    let full = fixture.journal.stats();

    fixture
        .try_append(&acme, events.to_vec(), Vec::new())
        .await
        .unwrap();

    let again = fixture.journal.stats();
    assert_eq!((empty.appended, empty.bytes, empty.sessions), (0, 0, 0));
    assert_eq!(full.appended, 2);
    assert!(full.bytes > 0);
    assert_eq!((again.appended, again.bytes), (full.appended, full.bytes));
}
