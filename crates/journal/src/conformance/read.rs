use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Audience, Epoch, Event, EventParts, Offset, Position, TenantId};

use super::fixture::{Fixture, event, later, now, offset, parse, parts, take, tenant, tenant_room};
use super::{Setup, Subject};
use crate::{Batch, Partitions, Query, ReadError};

pub async fn what_is_read_is_what_was_appended(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let whole = Event::from_parts(EventParts {
        id: "wamid.\"\u{e9}'".parse().unwrap(),
        tenant: acme.clone(),
        at: later(Duration::from_millis(7)),
        name: "whatsapp:qr:generated".into(),
        data: Bytes::from_static(b"{\"content\":\"\\u0000 \xf0\x9f\x98\x80\", \"n\": 1e400}"),
        audience: Audience {
            rooms: parse(&["whatsapp:1:link", "order:7", "user:a\"b"]),
            except: parse(&["user:42", "team:acme"]),
        },
        expires_at: Some(later(Duration::from_hours(1))),
        receipt_by: Some(later(Duration::from_secs(10))),
        fingerprint: [0x80; 16],
    });
    let plain = Event::from_parts(EventParts {
        data: Bytes::new(),
        audience: Audience {
            rooms: parse(&["order:7"]),
            except: Vec::new(),
        },
        ..parts(&acme, "b", &[])
    });

    fixture
        .append(&acme, vec![whole.clone(), plain.clone()])
        .await;

    let page = fixture.read(fixture.query(&acme, &["order:7"]).await).await;
    let read: Vec<&Event> = page.records.iter().map(|record| &record.event).collect();
    assert!(read == [&whole, &plain]);
    let tailed = take(&mut *fixture.tail(&acme).await, 2).await;
    let tailed: Vec<&Event> = tailed.iter().map(|record| &record.event).collect();
    assert!(tailed == [&whole, &plain]);
}

pub async fn records_that_await_a_receipt_are_found_until_its_end(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::one_partition(open).await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let partition = fixture.partition(&acme);
    let awaiting = |tenant: &TenantId, id: &str, seconds: u64| {
        Event::from_parts(EventParts {
            receipt_by: Some(later(Duration::from_secs(seconds))),
            ..parts(tenant, id, &["contact:1"])
        })
    };
    let events = [awaiting(&acme, "late", 30), awaiting(&acme, "soon", 10)];
    fixture.append(&acme, events.to_vec()).await;
    let plain = vec![event(&acme, "plain", &["contact:1"])];
    fixture.append(&acme, plain).await;
    let other = awaiting(&globex, "other", 20);
    fixture.append(&globex, vec![other.clone()]).await;

    let found = async |seconds: u64| {
        let since = later(Duration::from_secs(seconds));
        let records = fixture.journal.awaiting(partition, since).await.unwrap();
        records.iter().map(|one| offset(one)).collect::<Vec<_>>()
    };

    assert_eq!(found(0).await, [2, 4, 1]);
    assert_eq!(found(10).await, [4, 1]);
    assert_eq!(found(30).await, Vec::<u64>::new());
    let records = fixture.journal.awaiting(partition, now()).await.unwrap();
    assert!(records[1].event == other);
}

pub async fn records_of_several_rooms_come_in_order_and_once(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let audiences: [&[&str]; 6] = [
        &["contact:1", "whatsapp:1"],
        &["contact:2"],
        &["whatsapp:1"],
        &["contact:1"],
        &[],
        &["whatsapp:1", "contact:1", "contact:2"],
    ];
    for (number, rooms) in audiences.into_iter().enumerate() {
        fixture
            .append(&acme, vec![event(&acme, &number.to_string(), rooms)])
            .await;
    }

    assert_eq!(
        fixture.offsets(&acme, &["contact:1", "whatsapp:1"]).await,
        [1, 3, 4, 6]
    );
    assert_eq!(
        fixture.offsets(&acme, &["contact:2", "contact:2"]).await,
        [2, 6]
    );
    assert_eq!(fixture.offsets(&acme, &["contact:3"]).await, [0_u64; 0]);
    assert_eq!(fixture.offsets(&acme, &[]).await, [0_u64; 0]);
    let query = Query {
        after: fixture.at(fixture.partition(&acme), 3).await,
        ..fixture.query(&acme, &["contact:1"]).await
    };
    assert_eq!(fixture.all(query).await, Ok(vec![4, 6]));
}

pub async fn pages_go_on_where_the_last_one_ended(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let rooms = ["contact:1", "contact:2", "contact:3"];
    for number in 0..10_usize {
        let event = event(&acme, &number.to_string(), &rooms[..=number % 3]);
        fixture.append(&acme, vec![event]).await;
    }
    let query = Query {
        limit: 4,
        ..fixture.query(&acme, &rooms).await
    };

    let first = fixture.read(query.clone()).await;
    let rest = Query {
        after: first.next.unwrap(),
        ..query.clone()
    };

    assert_eq!(
        first
            .records
            .iter()
            .map(|record| offset(record))
            .collect::<Vec<_>>(),
        [1, 2, 3, 4]
    );
    assert_eq!(fixture.all(rest).await, Ok((5..=10).collect()));
    for limit in [0, 1, 2, 3, 5, 9, 10, 11, usize::MAX] {
        let query = Query {
            limit,
            ..query.clone()
        };
        assert_eq!(
            fixture.all(query).await,
            Ok((1..=10).collect()),
            "limit {limit}"
        );
    }
    let exact = Query { limit: 10, ..query };
    assert_eq!(fixture.read(exact).await.next, None);
}

pub async fn pages_are_bounded_in_bytes(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let events = [300, 300, 500, 10, 2_000, 10]
        .into_iter()
        .enumerate()
        .map(|(number, len)| {
            let data = Bytes::from(vec![b' '; len]);
            Event::from_parts(EventParts {
                data,
                ..parts(&acme, &number.to_string(), &["contact:1"])
            })
        });
    fixture.append(&acme, events.collect()).await;
    let mut query = Query {
        bytes_max: 1_000,
        ..fixture.query(&acme, &["contact:1"]).await
    };

    let mut pages = Vec::new();
    loop {
        let page = fixture.read(query.clone()).await;
        pages.push(
            page.records
                .iter()
                .map(|record| offset(record))
                .collect::<Vec<_>>(),
        );
        match page.next {
            Some(next) => query.after = next,
            None => break,
        }
    }

    assert_eq!(pages, [vec![1, 2], vec![3, 4], vec![5], vec![6]]);
}

pub async fn nothing_beyond_through_is_read(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let events = (0..9).map(|number| event(&acme, &number.to_string(), &["contact:1"]));
    fixture.append(&acme, events.collect()).await;
    let query = fixture.query(&acme, &["contact:1"]).await;
    let after = |offset| Position {
        offset: Offset::new(offset),
        ..query.after
    };

    for (after, through, expected) in [
        (after(0), 4, vec![1, 2, 3, 4]),
        (after(3), 4, vec![4]),
        (after(4), 4, vec![]),
        (after(5), 4, vec![]),
        (after(7), 99, vec![8, 9]),
        (after(9), 99, vec![]),
        (after(0), 0, vec![]),
    ] {
        let query = Query {
            after,
            through: Offset::new(through),
            limit: 3,
            ..query.clone()
        };
        assert_eq!(
            fixture.all(query).await,
            Ok(expected),
            "({after}, {through}]"
        );
    }
}

pub async fn records_for_everyone_are_found_when_asked_for(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let (acme, everyone) = (tenant("acme"), TenantId::everyone());
    let partition = fixture.partition(&acme);
    let rooms = ["team:shared"];
    fixture.append(&acme, vec![event(&acme, "a", &rooms)]).await;
    let notice = event(&everyone, "notice", &rooms);
    let batch = Batch::new(partition, everyone.clone(), vec![notice], Vec::new()).unwrap();
    fixture.journal.append(batch, now()).await.unwrap();
    fixture.append(&acme, vec![event(&acme, "b", &rooms)]).await;
    let mut query = fixture.query(&acme, &rooms).await;

    assert_eq!(fixture.all(query.clone()).await, Ok(vec![1, 3]));
    query.rooms.push(tenant_room(&everyone, "team:shared"));
    assert_eq!(fixture.all(query.clone()).await, Ok(vec![1, 2, 3]));
    query.rooms.remove(0);
    assert_eq!(fixture.all(query).await, Ok(vec![2]));
}

pub async fn expired_records_are_skipped(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    let events = [Some(1), None, Some(3), Some(2)]
        .into_iter()
        .enumerate()
        .map(|(number, minutes)| {
            let expires_at = minutes.map(|minutes| later(Duration::from_mins(minutes)));
            let parts = parts(&acme, &number.to_string(), &["whatsapp:1:link"]);
            Event::from_parts(EventParts {
                expires_at,
                ..parts
            })
        });
    fixture.append(&acme, events.collect()).await;
    let query = fixture.query(&acme, &["whatsapp:1:link"]).await;

    for (minutes, expected) in [
        (0, vec![1, 2, 3, 4]),
        (1, vec![2, 3, 4]),
        (2, vec![2, 3]),
        (3, vec![2]),
    ] {
        let query = Query {
            now: later(Duration::from_mins(minutes)),
            limit: 2,
            ..query.clone()
        };
        assert_eq!(
            fixture.all(query).await,
            Ok(expected),
            "after {minutes} minutes"
        );
    }
}

pub async fn rooms_of_tenants_are_apart(open: impl AsyncFn(Setup) -> Subject) {
    let setup = Setup {
        partitions: 1.try_into().unwrap(),
        ..forgetful()
    };
    let fixture = Fixture::with(open, setup).await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));

    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;
    fixture
        .append(&globex, vec![event(&globex, "b", &["contact:1"])])
        .await;

    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, [1]);
    assert_eq!(fixture.offsets(&globex, &["contact:1"]).await, [2]);
}

pub async fn a_quiet_room_is_found_in_a_busy_journal(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::with(open, forgetful()).await;
    let acme = tenant("acme");
    for hundred in 0..20 {
        let events = (0..100).map(|number| {
            let rooms: &[&str] = match (hundred, number) {
                (3 | 17, 50) => &["contact:quiet", "contact:busy"],
                _ => &["contact:busy"],
            };
            event(&acme, &format!("{hundred}-{number}"), rooms)
        });
        fixture.append(&acme, events.collect()).await;
    }

    assert_eq!(
        fixture.offsets(&acme, &["contact:quiet"]).await,
        [351, 1751]
    );
    assert_eq!(fixture.offsets(&acme, &["contact:busy"]).await.len(), 2_000);
    let all: Vec<u64> = (1..=2_000).collect();
    assert_eq!(
        fixture
            .offsets(&acme, &["contact:quiet", "contact:busy"])
            .await,
        all
    );
}

pub async fn positions_that_are_not_of_this_history_are_refused(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;
    let query = fixture.query(&acme, &["contact:1"]).await;
    let epoch = query.after.epoch;
    let outside = Partitions::new(99.try_into().unwrap()).at(98).unwrap();

    let other = Epoch::new(epoch.as_u64() ^ 1);
    let after = Position {
        epoch: other,
        offset: Offset::ZERO,
    };
    let refused = fixture
        .all(Query {
            after,
            ..query.clone()
        })
        .await;
    assert_eq!(refused, Err(ReadError::OtherEpoch { epoch }));
    let after = Position {
        epoch,
        offset: Offset::new(2),
    };
    let refused = fixture
        .all(Query {
            after,
            ..query.clone()
        })
        .await;
    assert_eq!(
        refused,
        Err(ReadError::Ahead {
            head: Offset::new(1)
        })
    );
    let refused = fixture
        .all(Query {
            partition: outside,
            ..query.clone()
        })
        .await;
    assert_eq!(
        refused,
        Err(ReadError::WrongPartition { partition: outside })
    );
    let rooms = vec![tenant_room(&acme, "contact:1"); Query::ROOMS_MAX + 1];
    let refused = fixture.all(Query { rooms, ..query }).await;
    let (count, count_max) = (Query::ROOMS_MAX + 1, Query::ROOMS_MAX);
    assert_eq!(refused, Err(ReadError::TooMany { count, count_max }));
}

fn forgetful() -> Setup {
    Setup {
        forgetful: true,
        ..Setup::default()
    }
}
