use std::time::Duration;

use super::fixture::{Fixture, delete, event, key, later, now, put, tenant};
use super::{Setup, Subject};
use crate::{AppendError, Change, Expect, ReadError, VALUES_MAX, Version};

pub async fn a_value_is_read_back(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let end = later(Duration::from_mins(1));

    let change = Change {
        expires_at: Some(end),
        ..put("qr:1", Expect::Absent, "\u{e9}\0")
    };
    fixture.change(&acme, change).await.unwrap();

    let value = fixture.value(&acme, &key("qr:1")).await.unwrap();
    assert_eq!(
        (value.bytes.as_ref(), value.expires_at),
        ("\u{e9}\0".as_bytes(), Some(end))
    );
    assert_eq!(fixture.value(&acme, &key("qr:2")).await, None);
}

pub async fn a_change_happens_only_as_expected(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let never = Expect::Version(Version::new(u64::from(u32::MAX)));
    let conflict = Err(AppendError::Conflict { key: key("k") });

    assert_eq!(fixture.change(&acme, put("k", never, "0")).await, conflict);
    assert_eq!(
        fixture.change(&acme, put("k", Expect::Absent, "1")).await,
        Ok(())
    );
    assert_eq!(
        fixture.change(&acme, put("k", Expect::Absent, "2")).await,
        conflict
    );
    let first = fixture.value(&acme, &key("k")).await.unwrap();
    assert_eq!(first.bytes, "1");

    let expected = Expect::Version(first.version);
    assert_eq!(fixture.change(&acme, put("k", expected, "3")).await, Ok(()));
    assert_eq!(
        fixture.change(&acme, put("k", expected, "4")).await,
        conflict
    );
    assert_eq!(fixture.change(&acme, delete("k", expected)).await, conflict);
    assert_eq!(
        fixture.change(&acme, put("k", Expect::Anything, "5")).await,
        Ok(())
    );
    let last = fixture.value(&acme, &key("k")).await.unwrap();
    assert_eq!(last.bytes, "5");
    assert!(last.version > first.version);

    let expected = Expect::Version(last.version);
    assert_eq!(fixture.change(&acme, delete("k", expected)).await, Ok(()));
    assert_eq!(fixture.value(&acme, &key("k")).await, None);
    assert_eq!(
        fixture.change(&acme, delete("k", Expect::Absent)).await,
        Ok(())
    );
    assert_eq!(
        fixture.change(&acme, delete("k", Expect::Anything)).await,
        Ok(())
    );
}

pub async fn versions_never_come_back(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let mut versions = Vec::new();

    for _ in 0..5 {
        fixture
            .change(&acme, put("k", Expect::Absent, "same"))
            .await
            .unwrap();
        versions.push(fixture.value(&acme, &key("k")).await.unwrap().version);
        fixture
            .change(&acme, delete("k", Expect::Anything))
            .await
            .unwrap();
    }

    assert!(
        versions.is_sorted_by(|earlier, later| earlier < later),
        "{versions:?}"
    );
    let stale = put("k", Expect::Version(versions[0]), "x");
    assert!(fixture.change(&acme, stale).await.is_err());
}

pub async fn a_value_expires(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let end = later(Duration::from_mins(1));
    let change = Change {
        expires_at: Some(end),
        ..put("k", Expect::Absent, "code")
    };
    fixture.change(&acme, change).await.unwrap();
    let value = fixture.value(&acme, &key("k")).await.unwrap();

    let before = later(Duration::from_millis(59_999));
    assert_eq!(
        fixture.value_at(&acme, &key("k"), before).await.as_ref(),
        Some(&value)
    );
    assert_eq!(fixture.value_at(&acme, &key("k"), end).await, None);
    let expected = vec![put("k", Expect::Version(value.version), "x")];
    let batch = fixture.batch(&acme, Vec::new(), expected);
    let conflict = AppendError::Conflict { key: key("k") };
    assert_eq!(fixture.journal.append(batch, end).await, Err(conflict));
    let batch = fixture.batch(&acme, Vec::new(), vec![put("k", Expect::Absent, "new")]);
    assert_eq!(fixture.journal.append(batch, end).await, Ok(Vec::new()));

    let renewed = fixture
        .value_at(&acme, &key("k"), later(Duration::from_hours(9)))
        .await
        .unwrap();
    assert_eq!(
        (renewed.bytes.as_ref(), renewed.expires_at),
        ("new".as_bytes(), None)
    );
    assert!(renewed.version > value.version);
}

pub async fn a_retry_does_not_change_again(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let (a, b) = (event(&acme, "a", &[]), event(&acme, "b", &[]));
    let create = || vec![put("k", Expect::Absent, "1")];
    fixture
        .try_append(&acme, vec![a.clone()], create())
        .await
        .unwrap();
    let first = fixture.value(&acme, &key("k")).await;

    // The expectation no longer holds, but the change happened along with the event.
    let retry = fixture
        .try_append(&acme, vec![a.clone()], create())
        .await
        .unwrap();
    assert!(retry[0].duplicate);
    assert_eq!(fixture.value(&acme, &key("k")).await, first);

    // With an event that is new, it is another batch.
    let mixed = fixture
        .try_append(&acme, vec![a.clone(), b.clone()], create())
        .await;
    assert_eq!(mixed, Err(AppendError::Conflict { key: key("k") }));
    let replace = vec![put("k", Expect::Anything, "2")];
    fixture
        .try_append(&acme, vec![a, b], replace)
        .await
        .unwrap();
    assert_eq!(fixture.value(&acme, &key("k")).await.unwrap().bytes, "2");
}

pub async fn a_change_of_an_event_happens_with_it_and_not_again(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let of = |index, name, value| Change {
        event: Some(index),
        ..put(name, Expect::Anything, value)
    };
    let (a, b, c) = (
        event(&acme, "a", &[]),
        event(&acme, "b", &[]),
        event(&acme, "c", &[]),
    );
    let first = vec![of(0, "of-a", "1")];
    fixture
        .try_append(&acme, vec![a.clone()], first)
        .await
        .unwrap();
    fixture
        .try_append(&acme, vec![b], vec![of(0, "of-a", "2")])
        .await
        .unwrap();

    // What is known already changes nothing again, and expects nothing either.
    let stale = Change {
        expect: Expect::Absent,
        ..of(0, "of-a", "1")
    };
    let mixed = vec![stale, of(1, "of-c", "3"), put("all", Expect::Absent, "4")];
    fixture.try_append(&acme, vec![a, c], mixed).await.unwrap();

    for (name, expected) in [("of-a", "2"), ("of-c", "3"), ("all", "4")] {
        let value = fixture.value(&acme, &key(name)).await.unwrap();
        assert_eq!(value.bytes, expected, "{name}");
    }
}

pub async fn of_several_changes_of_a_key_the_last_stays(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");

    let changes = vec![put("k", Expect::Absent, "1"), put("k", Expect::Absent, "2")];
    fixture
        .try_append(&acme, Vec::new(), changes)
        .await
        .unwrap();
    assert_eq!(fixture.value(&acme, &key("k")).await.unwrap().bytes, "2");

    let changes = vec![
        put("k", Expect::Anything, "3"),
        delete("k", Expect::Anything),
    ];
    fixture
        .try_append(&acme, Vec::new(), changes)
        .await
        .unwrap();
    assert_eq!(fixture.value(&acme, &key("k")).await, None);
}

pub async fn keys_of_tenants_are_apart(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::one_partition(open).await;
    let (acme, globex) = (tenant("acme"), tenant("globex"));

    fixture
        .change(&acme, put("k", Expect::Absent, "acme's"))
        .await
        .unwrap();
    assert_eq!(fixture.value(&globex, &key("k")).await, None);
    fixture
        .change(&globex, put("k", Expect::Absent, "globex's"))
        .await
        .unwrap();
    fixture
        .change(&globex, delete("k", Expect::Anything))
        .await
        .unwrap();

    assert_eq!(
        fixture.value(&acme, &key("k")).await.unwrap().bytes,
        "acme's"
    );
}

pub async fn values_come_in_the_order_of_their_keys(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let changes = vec![put("b", Expect::Absent, "B"), put("a", Expect::Absent, "A")];
    fixture
        .try_append(&acme, Vec::new(), changes)
        .await
        .unwrap();

    let keys = ["a", "none", "b", "a"].map(key);
    let values = fixture.journal.values(&acme, &keys, now()).await.unwrap();

    let texts: Vec<_> = values
        .into_iter()
        .map(|value| value.map(|value| value.bytes.to_vec()))
        .collect();
    let [a, b] = ["A", "B"].map(|text| Some(text.as_bytes().to_vec()));
    assert_eq!(texts, [a.clone(), None, b, a]);
    let keys = vec![key("a"); VALUES_MAX + 1];
    let refused = fixture.journal.values(&acme, &keys, now()).await;
    let (count, count_max) = (VALUES_MAX + 1, VALUES_MAX);
    assert_eq!(refused, Err(ReadError::TooMany { count, count_max }));
}
