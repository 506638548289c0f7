use std::sync::Arc;
use std::time::Duration;

use switchboard_event::{Epoch, Event, EventParts, Offset, Position};
use tokio::task::JoinSet;

use super::fixture::{Fixture, event, later, offset, parts, take, tenant};
use super::{Setup, Subject};
use crate::{Partitions, ReadError, TailError};

pub async fn a_tail_begins_after_its_position_and_goes_on_live(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = fixture.partition(&acme);
    let events = ["a", "b", "c"].map(|id| event(&acme, id, &[]));
    fixture.append(&acme, events.into()).await;

    let mut tail = fixture
        .journal
        .tail(partition, fixture.at(partition, 1).await);
    let past = take(&mut *tail, 2).await;
    assert_eq!(
        past.iter()
            .map(|record| record.event.id().as_str())
            .collect::<Vec<_>>(),
        ["b", "c"]
    );

    let waiting = tokio::spawn(async move { take(&mut *tail, 2).await });
    fixture.append(&acme, vec![event(&acme, "d", &[])]).await;
    fixture.append(&acme, vec![event(&acme, "e", &[])]).await;
    let live = waiting.await.unwrap();
    assert_eq!(
        live.iter().map(|record| offset(record)).collect::<Vec<_>>(),
        [4, 5]
    );
}

pub async fn a_cancelled_wait_loses_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(
        open,
        Setup {
            forgetful: true,
            ..Setup::default()
        },
    )
    .await;
    let acme = tenant("acme");
    let mut tail = fixture.tail(&acme).await;

    let mut seen = Vec::new();
    for number in 1..=50 {
        if number % 3 == 0 {
            fixture
                .append(&acme, vec![event(&acme, &number.to_string(), &[])])
                .await;
        }
        tokio::select! {
            biased;
            records = tail.next() => seen.extend(records.unwrap().iter().map(|each| offset(each))),
            // Some waits are dropped at their first suspension, others a little later.
            () = yields(number % 5) => {}
        }
    }
    let rest = 16 - seen.len();
    seen.extend(
        take(&mut *tail, rest)
            .await
            .iter()
            .map(|record| offset(record)),
    );

    assert_eq!(seen, (1..=16).collect::<Vec<_>>());
}

pub async fn many_tails_see_the_same(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::one_partition(open).await;
    let partition = fixture.partition(&tenant("acme"));
    let start = fixture.at(partition, 0).await;

    let mut tails = JoinSet::new();
    for _ in 0..16 {
        let mut tail = fixture.journal.tail(partition, start);
        tails.spawn(async move { take(&mut *tail, 120).await });
    }
    let mut producers = JoinSet::new();
    for number in 0..4 {
        let journal = Arc::clone(&fixture.journal);
        let tenant = tenant(&format!("t{number}"));
        let batches: Vec<_> = (0..10)
            .map(|batch| {
                let event = |index| event(&tenant, &format!("{batch}-{index}"), &[]);
                fixture.batch(&tenant, (0..3).map(event).collect(), Vec::new())
            })
            .collect();
        producers.spawn(async move {
            for batch in batches {
                journal.append(batch, super::fixture::now()).await.unwrap();
            }
        });
    }
    producers.join_all().await;

    let seen = tails.join_all().await;
    let summary = |records: &[Arc<crate::Record>]| -> Vec<(u64, Event)> {
        records
            .iter()
            .map(|record| (offset(record), record.event.clone()))
            .collect()
    };
    let first = summary(&seen[0]);
    assert_eq!(
        first.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(),
        (1..=120).collect::<Vec<_>>()
    );
    assert!(seen.iter().all(|records| summary(records) == first));
}

pub async fn a_tail_that_fell_behind_misses_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(
        open,
        Setup {
            forgetful: true,
            ..Setup::default()
        },
    )
    .await;
    let acme = tenant("acme");
    let mut tail = fixture.tail(&acme).await;
    fixture
        .append(&acme, vec![event(&acme, "first", &[])])
        .await;
    take(&mut *tail, 1).await;

    for hundred in 0..8 {
        let events = (0..100).map(|number| event(&acme, &format!("{hundred}-{number}"), &[]));
        fixture.append(&acme, events.collect()).await;
    }

    let records = take(&mut *tail, 800).await;
    let offsets: Vec<u64> = records.iter().map(|record| offset(record)).collect();
    assert_eq!(offsets, (2..=801).collect::<Vec<_>>());
    fixture.append(&acme, vec![event(&acme, "last", &[])]).await;
    assert_eq!(offset(&take(&mut *tail, 1).await[0]), 802);
}

pub async fn expired_records_keep_their_place_in_a_tail(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let expired = Event::from_parts(EventParts {
        expires_at: Some(later(Duration::ZERO)),
        ..parts(&acme, "a", &[])
    });

    fixture
        .append(&acme, vec![expired, event(&acme, "b", &[])])
        .await;

    let records = take(&mut *fixture.tail(&acme).await, 2).await;
    assert_eq!(
        records
            .iter()
            .map(|record| offset(record))
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

pub async fn a_tail_ends_when_the_journal_is_closed(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let mut behind = fixture.tail(&acme).await;
    let mut waiting = fixture.tail(&acme).await;
    fixture.append(&acme, vec![event(&acme, "a", &[])]).await;
    take(&mut *waiting, 1).await;

    let wait = tokio::spawn(async move { waiting.next().await });
    fixture.journal.close().await;

    let closed = TailError::Read(ReadError::Closed);
    assert_eq!(wait.await.unwrap().unwrap_err(), closed);
    take(&mut *behind, 1).await;
    assert_eq!(behind.next().await.unwrap_err(), closed);
}

pub async fn a_tail_refuses_positions_that_are_not_of_this_history(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::open(open).await;
    let partition = fixture.partition(&tenant("acme"));
    let Position { epoch, offset } = fixture.head(partition).await;
    let refusal = async |partition, position| {
        fixture
            .journal
            .tail(partition, position)
            .next()
            .await
            .unwrap_err()
    };

    let other = Position {
        epoch: Epoch::new(epoch.as_u64() ^ 1),
        offset,
    };
    let error = ReadError::OtherEpoch { epoch };
    assert_eq!(refusal(partition, other).await, error.into());
    let ahead = Position {
        epoch,
        offset: Offset::new(1),
    };
    let error = ReadError::Ahead { head: Offset::ZERO };
    assert_eq!(refusal(partition, ahead).await, error.into());
    let outside = Partitions::new(99.try_into().unwrap()).at(98).unwrap();
    let error = ReadError::WrongPartition { partition: outside };
    assert_eq!(
        refusal(outside, Position { epoch, offset }).await,
        error.into()
    );
}

async fn yields(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}
