use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Event, EventParts, Offset, Position, TenantId};

use super::fixture::{Fixture, event, later, parts, take, tenant};
use super::{Setup, Subject};
use crate::{KindRetention, Query, ReadError, TailError};

pub async fn old_records_are_taken(open: impl AsyncFn(Setup) -> Subject) {
    let setup = Setup {
        retention_age: Duration::from_hours(1),
        ..Setup::default()
    };
    let fixture = Fixture::with(open, setup).await;
    let acme = tenant("acme");
    let rooms = ["contact:1"];
    let append = async |id: &str, minutes| {
        let event = event(&acme, id, &rooms);
        fixture
            .append_at(&acme, vec![event], later(Duration::from_mins(minutes)))
            .await[0]
    };

    append("a", 0).await;
    append("b", 1).await;
    append("c", 59).await;
    append("d", 90).await;
    // What is taken is taken before the next append is answered.
    append("e", 91).await;

    let trimmed = ReadError::Trimmed {
        oldest: Offset::new(3),
    };
    let from = |query: &Query, offset| Position {
        offset: Offset::new(offset),
        ..query.after
    };
    let query = fixture.query(&acme, &rooms).await;
    assert_eq!(fixture.all(query.clone()).await, Err(trimmed.clone()));
    let after = from(&query, 1);
    assert_eq!(
        fixture
            .all(Query {
                after,
                ..query.clone()
            })
            .await,
        Err(trimmed.clone())
    );
    let after = from(&query, 2);
    assert_eq!(
        fixture.all(Query { after, ..query }).await,
        Ok(vec![3, 4, 5])
    );
    let mut tail = fixture.tail(&acme).await;
    assert_eq!(tail.next().await.unwrap_err(), TailError::Read(trimmed));
    // The id of a record that is gone is free again.
    assert_eq!(append("a", 92).await, 6);
}

pub async fn too_many_bytes_are_taken_from_the_oldest_on(open: impl AsyncFn(Setup) -> Subject) {
    let setup = Setup {
        retention_bytes: 64 * 1024,
        ..Setup::default()
    };
    let fixture = Fixture::with(open, setup).await;
    let acme = tenant("acme");

    for number in 1..=200 {
        fixture.append(&acme, vec![large(&acme, number)]).await;
    }
    fixture
        .append(&acme, vec![event(&acme, "last", &["contact:1"])])
        .await;

    let query = fixture.query(&acme, &["contact:1"]).await;
    let oldest = match fixture.all(query.clone()).await {
        Err(ReadError::Trimmed { oldest }) => oldest.as_u64(),
        other => panic!("nothing was taken: {other:?}"),
    };
    assert!((100..=190).contains(&oldest), "the oldest is {oldest}");
    let after = Position {
        offset: Offset::new(oldest - 1),
        ..query.after
    };
    let kept: Vec<u64> = (oldest..=201).collect();
    assert_eq!(
        fixture.all(Query { after, ..query }).await,
        Ok(kept.clone())
    );
    let mut tail = fixture.journal.tail(fixture.partition(&acme), after);
    take(&mut *tail, kept.len()).await;
}

pub async fn offsets_go_on_when_everything_was_taken(open: impl AsyncFn(Setup) -> Subject) {
    let setup = Setup {
        retention_age: Duration::from_hours(1),
        ..Setup::default()
    };
    let fixture = Fixture::with(
        open,
        Setup {
            partitions: 1.try_into().unwrap(),
            ..setup
        },
    )
    .await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;

    let day = later(Duration::from_hours(24));
    let week = later(Duration::from_hours(168));
    fixture
        .append_at(&globex, vec![event(&globex, "b", &[])], day)
        .await;
    fixture
        .append_at(&globex, vec![event(&globex, "c", &[])], week)
        .await;
    let offsets = fixture
        .append_at(&acme, vec![event(&acme, "d", &["contact:1"])], week)
        .await;

    assert_eq!(offsets, [4]);
    let after = fixture.at(fixture.partition(&acme), 2).await;
    let query = Query {
        after,
        ..fixture.query(&acme, &["contact:1"]).await
    };
    assert_eq!(fixture.all(query).await, Ok(vec![4]));
}

pub async fn kinds_that_are_kept_for_less_time_leave_their_places(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let rule = |kind: &str, minutes| KindRetention {
        kind: kind.parse().unwrap(),
        age: Duration::from_mins(minutes),
    };
    let setup = Setup {
        retention_events: vec![rule("order:*", 10), rule("contact:created", 20)],
        ..Setup::default()
    };
    let fixture = Fixture::with(open, setup).await;
    let acme = tenant("acme");
    let named = |name: &str, id: &str| {
        Event::from_parts(EventParts {
            name: name.into(),
            ..parts(&acme, id, &["contact:1"])
        })
    };
    let append = async |event: Event, minutes| {
        let now = later(Duration::from_mins(minutes));
        fixture.append_at(&acme, vec![event], now).await[0]
    };
    append(named("order:placed", "a"), 0).await;
    append(named("contact:created", "b"), 0).await;
    append(named("contact:updated", "c"), 0).await;
    append(named("order:paid", "d"), 5).await;

    // What is over is taken before the append after the next one is answered.
    append(named("contact:updated", "e"), 11).await;
    append(named("contact:updated", "f"), 12).await;
    let early = fixture.offsets(&acme, &["contact:1"]).await;
    append(named("contact:updated", "g"), 21).await;
    append(named("contact:updated", "h"), 22).await;
    let late = fixture.offsets(&acme, &["contact:1"]).await;

    assert_eq!(early, [2, 3, 4, 5, 6]);
    assert_eq!(late, [3, 5, 6, 7, 8]);
    let records = take(&mut *fixture.tail(&acme).await, 8).await;
    assert!(records[0].event == named("order:placed", "a").tombstone());
    let again = vec![named("order:placed", "a")];
    assert!(fixture.try_append(&acme, again, Vec::new()).await.unwrap()[0].duplicate);
}

fn large(tenant: &TenantId, number: u64) -> Event {
    let data = Bytes::from(vec![b' '; 1_000]);
    Event::from_parts(EventParts {
        data,
        ..parts(tenant, &number.to_string(), &["contact:1"])
    })
}
