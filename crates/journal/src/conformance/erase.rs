use std::time::Duration;

use bytes::Bytes;
use switchboard_event::{Event, EventParts};

use super::fixture::{
    Fixture, event, key, later, now, other_event, parts, put, take, tenant, tenant_room,
};
use super::{Setup, Subject};
use crate::{AppendError, EraseError, Erased, Expect};

pub async fn an_erased_record_leaves_its_place_and_nothing_else(
    open: impl AsyncFn(Setup) -> Subject,
) {
    for forgetful in [false, true] {
        let setup = Setup {
            forgetful,
            ..Setup::default()
        };
        let fixture = Fixture::with(&open, setup).await;
        let acme = tenant("acme");
        let of_both = Event::from_parts(EventParts {
            receipt_by: Some(later(Duration::from_hours(1))),
            ..parts(&acme, "b", &["contact:1", "contact:2"])
        });
        let events = vec![
            event(&acme, "a", &["contact:1"]),
            of_both,
            event(&acme, "c", &["contact:2"]),
        ];
        fixture.append(&acme, events).await;
        let mut early = fixture.tail(&acme).await;
        take(&mut *early, 3).await;

        let erased = fixture
            .journal
            .erase(&tenant_room(&acme, "contact:1"))
            .await;

        assert_eq!(erased.map(|erased| erased.records), Ok(2));
        assert!(fixture.offsets(&acme, &["contact:1"]).await.is_empty());
        assert_eq!(
            fixture.offsets(&acme, &["contact:1", "contact:2"]).await,
            [3]
        );
        let partition = fixture.partition(&acme);
        let awaiting = fixture.journal.awaiting(partition, now()).await.unwrap();
        assert!(awaiting.is_empty());
        assert_eq!(
            fixture
                .append(&acme, vec![event(&acme, "d", &["contact:1"])])
                .await,
            [4]
        );
        take(&mut *early, 1).await;
        let records = take(&mut *fixture.tail(&acme).await, 4).await;
        let is_tombstone: Vec<_> = records.iter().map(|one| one.event.is_tombstone()).collect();
        assert_eq!(is_tombstone, [true, true, false, false]);
        assert!(records[0].event == event(&acme, "a", &["contact:1"]).tombstone());
        assert!(records[2].event == event(&acme, "c", &["contact:2"]));
    }
}

pub async fn an_erased_event_is_still_known(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let first = event(&acme, "a", &["contact:1"]);
    let change = put("k", Expect::Anything, "once");
    fixture.append(&acme, vec![first.clone()]).await;
    fixture
        .journal
        .erase(&tenant_room(&acme, "contact:1"))
        .await
        .unwrap();

    let again = fixture
        .try_append(&acme, vec![first], vec![change])
        .await
        .unwrap();
    let other = other_event(&acme, "a", &["contact:1"]);
    let reused = fixture.try_append(&acme, vec![other], Vec::new()).await;

    assert!(again[0].duplicate && again[0].position.offset.as_u64() == 1);
    assert!(matches!(
        reused,
        Err(AppendError::IdReused { index: 0, .. })
    ));
    assert!(fixture.offsets(&acme, &["contact:1"]).await.is_empty());
    let values = fixture.journal.values(&acme, &[key("k")], now()).await;
    assert_eq!(values, Ok(vec![None]));
}

pub async fn an_erased_record_takes_its_values_along(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let shown = Bytes::from_static(br#"{"flowId":"5","contactId":"1"}"#);
    let flow = Event::from_parts(EventParts {
        name: "flow:execution:started".into(),
        data: shown,
        ..parts(&acme, "a", &["flow:5", "contact:1"])
    });
    let change = switchboard_event::snapshot::changes(&flow).pop().unwrap();
    let of_flow = change.key.as_str();
    let value = String::from_utf8(change.value.unwrap().to_vec()).unwrap();
    let changes = vec![
        put(
            "message:m",
            Expect::Anything,
            r#"{"rooms":["whatsapp:5","contact:1"]}"#,
        ),
        put("message:n", Expect::Anything, r#"{"rooms":["contact:10"]}"#),
        put("receipt:a", Expect::Anything, "{}"),
        put("receipt:b", Expect::Anything, "{}"),
        put("snapshot:last:contact:1", Expect::Anything, "{}"),
        // That a right ended stays so, whatever it names.
        put(
            "revoked:user:7",
            Expect::Anything,
            r#"{"rooms":{"contact:1":0}}"#,
        ),
        put(of_flow, Expect::Anything, &value),
    ];
    let keys: Vec<_> = changes.iter().map(|change| change.key.clone()).collect();
    fixture
        .try_append(&acme, vec![flow], changes)
        .await
        .unwrap();
    // A store that keeps in memory what was read must forget it.
    let before = fixture.journal.values(&acme, &keys, now()).await.unwrap();
    assert!(before.iter().all(Option::is_some));

    let erased = fixture
        .journal
        .erase(&tenant_room(&acme, "contact:1"))
        .await;
    let again = fixture
        .journal
        .erase(&tenant_room(&acme, "contact:1"))
        .await;

    let (records, values) = (1, 4);
    assert_eq!(erased, Ok(Erased { records, values }));
    assert_eq!(again, Ok(Erased::default()));
    let left = fixture.journal.values(&acme, &keys, now()).await.unwrap();
    let left: Vec<_> = left.iter().map(Option::is_some).collect();
    assert_eq!(left, [false, true, false, true, false, true, false]);
}

pub async fn another_room_or_tenant_is_not_erased(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::one_partition(open).await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));
    let named = r#"{"rooms":["contact:1"]}"#;
    let change = put("message:m", Expect::Anything, named);
    for number in 0..300 {
        let id = number.to_string();
        fixture
            .append(&acme, vec![event(&acme, &id, &["contact:1"])])
            .await;
    }
    fixture
        .append(
            &acme,
            vec![event(&acme, "x", &["contact:11", "whatsapp:1"])],
        )
        .await;
    let theirs = vec![event(&globex, "a", &["contact:1"])];
    fixture
        .try_append(&globex, theirs, vec![change])
        .await
        .unwrap();

    let erased = fixture
        .journal
        .erase(&tenant_room(&acme, "contact:1"))
        .await;

    let (records, values) = (300, 0);
    assert_eq!(erased, Ok(Erased { records, values }));
    assert_eq!(fixture.offsets(&acme, &["contact:11"]).await, [301]);
    assert_eq!(fixture.offsets(&globex, &["contact:1"]).await, [302]);
    let values = fixture
        .journal
        .values(&globex, &[key("message:m")], now())
        .await
        .unwrap();
    assert!(values[0].is_some());
}

pub async fn what_is_appended_later_is_not_erased(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let room = tenant_room(&acme, "contact:1");
    let nothing = fixture.journal.erase(&room).await;
    fixture
        .append(&acme, vec![event(&acme, "a", &["contact:1"])])
        .await;
    fixture.journal.erase(&room).await.unwrap();

    fixture
        .append(&acme, vec![event(&acme, "b", &["contact:1"])])
        .await;

    assert_eq!(nothing, Ok(Erased::default()));
    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, [2]);
}

pub async fn a_closed_journal_erases_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    fixture.journal.close().await;

    let erased = fixture
        .journal
        .erase(&tenant_room(&tenant("acme"), "contact:1"))
        .await;

    assert_eq!(erased, Err(EraseError::Closed));
}
