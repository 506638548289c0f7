use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{TenantId, Timestamp};
use tokio::task::JoinSet;

use super::fixture::{Fixture, event, tenant};
use super::rng::Rng;
use super::store::at;
use super::{Setup, Subject};
use crate::{Holder, LEASES_MAX, Lease, LeaseCursor, LeaseError, LeaseName, Partition};

pub async fn a_lease_is_held_until_it_is_released(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let first = lease("presence:7", ONE, 5);
    let anew = Lease {
        value: Bytes::from_static(b"away"),
        expires_at: at(3),
        ..first.clone()
    };

    store.leases.hold(&[first]).await.unwrap();
    store
        .leases
        .hold(std::slice::from_ref(&anew))
        .await
        .unwrap();

    // The later word takes the earlier one's place, also with an earlier end.
    assert_eq!(held(&store, "").await, std::slice::from_ref(&anew));
    let names = [name("presence:other"), anew.name];
    store.leases.release(ONE, &names).await.unwrap();
    store.leases.release(ONE, &names).await.unwrap();
    assert_eq!(held(&store, "").await, []);
}

pub async fn several_may_hold_a_name(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let leases = [lease("presence:7", ONE, 5), lease("presence:7", TWO, 5)];
    store.leases.hold(&leases).await.unwrap();

    store
        .leases
        .release(TWO, &[name("presence:7")])
        .await
        .unwrap();

    assert_eq!(held(&store, "").await, leases[..1]);
}

pub async fn a_lease_whose_time_is_over_is_held_until_it_is_taken(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let store = Fixture::open(open).await;
    let lease = lease("presence:7", ONE, 5);
    store
        .leases
        .hold(std::slice::from_ref(&lease))
        .await
        .unwrap();

    assert_eq!(take(&store, "", 4).await, []);
    assert_eq!(held(&store, "").await, std::slice::from_ref(&lease));
    // Its holder may still be the first to come.
    assert_eq!(renew(&store, ONE, &["presence:7"], 6).await, [0; 0]);
    assert_eq!(take(&store, "", 5).await, []);

    let taken = take(&store, "", 6).await;

    let expires_at = at(6);
    assert_eq!(
        taken,
        [Lease {
            expires_at,
            ..lease
        }]
    );
    assert_eq!(held(&store, "").await, []);
    assert_eq!(renew(&store, ONE, &["presence:7"], 9).await, [0]);
}

pub async fn a_lease_is_taken_once(open: impl AsyncFn(Setup) -> Subject) {
    let store = Arc::new(Fixture::open(open).await);
    let leases: Vec<_> = (0..200)
        .map(|number| lease(&format!("presence:{number}"), ONE, 1))
        .collect();
    store.leases.hold(&leases).await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { take(&store, "", 1).await });
    }
    let mut taken = tasks.join_all().await.concat();

    taken.sort_by(|a, b| a.name.cmp(&b.name));
    let mut expected = leases;
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(taken, expected);
}

pub async fn renewing_extends_and_never_shortens_and_says_what_is_gone(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let store = Fixture::open(open).await;
    let leases = [lease("a", ONE, 5), lease("b", TWO, 5), lease("c", ONE, 5)];
    store.leases.hold(&leases).await.unwrap();

    assert_eq!(renew(&store, ONE, &["a", "b", "c", "d"], 8).await, [1, 3]);
    assert_eq!(renew(&store, ONE, &["c"], 2).await, [0; 0]);

    let ends: Vec<_> = held(&store, "")
        .await
        .iter()
        .map(|one| one.expires_at)
        .collect();
    assert_eq!(ends, [at(8), at(5), at(8)]);
}

pub async fn leases_of_other_partitions_and_prefixes_are_apart(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let store = Fixture::open(open).await;
    let other = other_partition(&store);
    let theirs = Lease {
        name: LeaseName {
            tenant: other.clone(),
            ..name("presence:7")
        },
        ..lease("presence:7", ONE, 1)
    };
    let ours = [
        lease("presence:7", ONE, 1),
        lease("presence:\u{e9}", ONE, 1),
        lease("viewing:7", ONE, 1),
    ];
    let all: Vec<_> = ours.iter().chain([&theirs]).cloned().collect();
    store.leases.hold(&all).await.unwrap();

    assert_eq!(held(&store, "presence:").await, ours[..2]);
    assert_eq!(held(&store, "presence:\u{e9}").await, ours[1..2]);
    assert_eq!(take(&store, "viewing:", 1).await, ours[2..]);
    assert_eq!(take(&store, "presence:", 1).await.len(), 2);
    let elsewhere = store.leases.held(store.partition(&other), "", None).await;
    assert_eq!(elsewhere.unwrap(), [theirs]);
}

pub async fn a_long_list_is_read_in_pages(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let count = LEASES_MAX + LEASES_MAX / 2;
    let leases: Vec<_> = (0..count / 2)
        .flat_map(|number| [ONE, TWO].map(|holder| lease(&format!("{number:04}"), holder, 1)))
        .collect();
    for chunk in leases.chunks(LEASES_MAX) {
        store.leases.hold(chunk).await.unwrap();
    }

    let mut pages = Vec::new();
    let mut after: Option<LeaseCursor> = None;
    loop {
        let page = store.leases.held(ours(&store), "", after.as_ref()).await;
        let page = page.unwrap();
        after = page.last().map(|one| (one.name.clone(), one.holder));
        pages.push(page.len());
        if page.len() < LEASES_MAX {
            break;
        }
    }

    assert_eq!(pages, [LEASES_MAX, LEASES_MAX / 2]);
}

pub async fn expired_leases_are_taken_oldest_first_and_a_page_at_a_time(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let store = Fixture::open(open).await;
    let early: Vec<_> = (0..10).map(|n| lease(&format!("z{n}"), ONE, 1)).collect();
    let late: Vec<_> = (0..LEASES_MAX)
        .map(|n| lease(&format!("a{n}"), ONE, 2))
        .collect();
    store.leases.hold(&late).await.unwrap();
    store.leases.hold(&early).await.unwrap();

    let first = take(&store, "", 2).await;

    assert_eq!(first.len(), LEASES_MAX);
    assert!(first[..10].iter().all(|one| one.expires_at == at(1)));
    assert_eq!(take(&store, "", 2).await.len(), 10);
    assert_eq!(take(&store, "", 2).await, []);
}

pub async fn too_much_at_once_is_refused(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let (count, count_max) = (LEASES_MAX + 1, LEASES_MAX);
    let too_many = LeaseError::TooMany { count, count_max };
    let long = Lease {
        value: Bytes::from(vec![0; Lease::VALUE_LEN_MAX + 1]),
        ..lease("a", ONE, 1)
    };
    let names = vec![name("a"); count];

    let many = vec![lease("a", ONE, 1); count];
    assert_eq!(store.leases.hold(&many).await, Err(too_many.clone()));
    let (len, len_max) = (long.value.len(), Lease::VALUE_LEN_MAX);
    let too_long = LeaseError::TooLong { len, len_max };
    assert_eq!(store.leases.hold(&[long]).await, Err(too_long));
    let renewed = store.leases.renew(ONE, &names, at(1)).await;
    assert_eq!(renewed, Err(too_many.clone()));
    assert_eq!(store.leases.release(ONE, &names).await, Err(too_many));
    assert_eq!(held(&store, "").await, []);
}

pub async fn leases_and_events_are_written_side_by_side(open: impl AsyncFn(Setup) -> Subject) {
    let store = Arc::new(Fixture::open(open).await);
    let acme = tenant("acme");

    let mut tasks = JoinSet::new();
    for number in 0..40_u32 {
        let (store, acme) = (Arc::clone(&store), acme.clone());
        tasks.spawn(async move {
            let lease = lease(&number.to_string(), ONE, 1);
            let event = event(&acme, &number.to_string(), &["contact:1"]);
            let leases = [lease];
            let (held, _) =
                tokio::join!(store.leases.hold(&leases), store.append(&acme, vec![event]),);
            held.unwrap();
        });
    }
    tasks.join_all().await;

    let offsets: Vec<u64> = (1..=40).collect();
    assert_eq!(store.offsets(&acme, &["contact:1"]).await, offsets);
    assert_eq!(held(&store, "").await.len(), 40);
}

pub async fn random_leases_do_as_a_simple_model_says(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let (mut model, mut rng) = (BTreeMap::<(String, u64), u64>::new(), Rng::new(11));
    for step in 0..400 {
        let text = rng.pick(&["presence:1", "presence:2", "viewing:1"]);
        let holder = Holder::new(rng.pick(&[1, 2, u64::MAX]));
        let id = (text.to_owned(), holder.number());
        let minute = rng.below(6);
        match rng.below(4) {
            0 => {
                store
                    .leases
                    .hold(&[lease(text, holder, minute)])
                    .await
                    .unwrap();
                model.insert(id, minute);
            }
            1 => {
                let gone = renew(&store, holder, &[text], minute).await;
                assert_eq!(gone.is_empty(), model.contains_key(&id), "step {step}");
                model.entry(id).and_modify(|end| *end = minute.max(*end));
            }
            2 => {
                store.leases.release(holder, &[name(text)]).await.unwrap();
                model.remove(&id);
            }
            _ => {
                let taken = take(&store, "presence:", minute).await;
                let is_due = |(id, end): (&(String, u64), &mut u64)| {
                    id.0.starts_with("presence:") && *end <= minute
                };
                let due = model.extract_if(.., |id, end| is_due((id, end))).count();
                assert_eq!(taken.len(), due, "step {step}");
            }
        }
        let now_held = held(&store, "").await;
        let now_held = now_held.into_iter().map(|one| {
            let id = (one.name.name.as_str().to_owned(), one.holder.number());
            (id, one.expires_at)
        });
        let expected = model.iter().map(|(id, end)| (id.clone(), at(*end)));
        assert_eq!(
            now_held.collect::<BTreeMap<_, _>>(),
            expected.collect::<BTreeMap<_, _>>(),
            "step {step}"
        );
    }
}

pub async fn a_closed_store_of_leases_refuses(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    store.leases.hold(&[lease("a", ONE, 1)]).await.unwrap();

    store.journal.close().await;

    let closed = LeaseError::Closed;
    let names = [name("a")];
    let leases = &store.leases;
    assert_eq!(
        leases.hold(&[lease("a", ONE, 1)]).await,
        Err(closed.clone())
    );
    assert_eq!(leases.renew(ONE, &names, at(1)).await, Err(closed.clone()));
    assert_eq!(leases.release(ONE, &names).await, Err(closed.clone()));
    let partition = ours(&store);
    assert_eq!(leases.held(partition, "", None).await, Err(closed.clone()));
    assert_eq!(leases.take_expired(partition, "", at(1)).await, Err(closed));
}

fn ours(store: &Fixture) -> Partition {
    store.partition(&tenant("acme"))
}

/// A tenant of another partition.
fn other_partition(store: &Fixture) -> TenantId {
    let numbered = (0..100).map(|number| tenant(&format!("other-{number}")));
    let mut elsewhere = numbered.filter(|one| store.partition(one) != ours(store));
    elsewhere.next().unwrap()
}

async fn held(store: &Fixture, prefix: &str) -> Vec<Lease> {
    let mut held = store.leases.held(ours(store), prefix, None).await.unwrap();
    held.sort_by(|a, b| (&a.name, a.holder).cmp(&(&b.name, b.holder)));
    held
}

async fn take(store: &Fixture, prefix: &str, minute: u64) -> Vec<Lease> {
    let taken = store.leases.take_expired(ours(store), prefix, at(minute));
    taken.await.unwrap()
}

async fn renew(store: &Fixture, holder: Holder, names: &[&str], minute: u64) -> Vec<usize> {
    let names: Vec<_> = names.iter().map(|text| name(text)).collect();
    store
        .leases
        .renew(holder, &names, at(minute))
        .await
        .unwrap()
}

fn name(text: &str) -> LeaseName {
    LeaseName {
        tenant: tenant("acme"),
        name: text.parse().unwrap(),
    }
}

fn lease(text: &str, holder: Holder, minute: u64) -> Lease {
    let expires_at: Timestamp = at(minute);
    Lease {
        name: name(text),
        holder,
        value: Bytes::from_static(b"online"),
        expires_at,
    }
}

const ONE: Holder = Holder::new(1);
/// Beyond what is positive as a signed number.
const TWO: Holder = Holder::new(u64::MAX);
