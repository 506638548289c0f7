use std::sync::Arc;

use bytes::Bytes;
use switchboard_event::{Audience, FleetingEvent, TenantId};

use super::fixture::{Fixture, HANG, now, parse, tenant};
use super::{Setup, Subject};
use crate::{FLEETING_QUEUE_MAX, Heard, Listener};

pub async fn what_is_said_is_heard_by_all_who_listen_in_order(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = store.partition(&acme);
    let mut listeners = [(), ()].map(|()| store.fleeting.listen(partition));

    for number in 0..20 {
        store.fleeting.send(partition, event(&acme, number));
    }

    for listener in &mut listeners {
        for number in 0..20 {
            let heard = next(&mut **listener).await;
            assert_eq!(heard, Some(Heard::Event(event(&acme, number))));
        }
    }
}

pub async fn partitions_do_not_hear_each_other(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let others = (0..100).map(|number| tenant(&format!("other-{number}")));
    let mut others = others.filter(|one| store.partition(one) != store.partition(&acme));
    let other = others.next().unwrap();
    let mut listener = store.fleeting.listen(store.partition(&acme));

    store
        .fleeting
        .send(store.partition(&other), event(&other, 1));
    store.fleeting.send(store.partition(&acme), event(&acme, 2));

    assert_eq!(
        next(&mut *listener).await,
        Some(Heard::Event(event(&acme, 2)))
    );
}

pub async fn what_was_said_before_is_not_heard(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = store.partition(&acme);
    // Nobody listens, and nobody minds.
    store.fleeting.send(partition, event(&acme, 1));

    let mut listener = store.fleeting.listen(partition);
    store.fleeting.send(partition, event(&acme, 2));

    assert_eq!(
        next(&mut *listener).await,
        Some(Heard::Event(event(&acme, 2)))
    );
}

pub async fn a_cancelled_listener_loses_nothing(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = store.partition(&acme);
    let mut listener = store.fleeting.listen(partition);

    for number in 0..50 {
        let mut waiting = Box::pin(listener.next());
        let poll = std::future::poll_fn(|context| {
            std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready())
        });
        assert!(!poll.await, "nothing was said yet");
        drop(waiting);
        store.fleeting.send(partition, event(&acme, number));
        let heard = next(&mut *listener).await;
        assert_eq!(heard, Some(Heard::Event(event(&acme, number))));
    }
}

pub async fn a_slow_listener_loses_the_oldest_and_is_told(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = store.partition(&acme);
    let mut listener = store.fleeting.listen(partition);
    let count = u32::try_from(FLEETING_QUEUE_MAX * 2).unwrap();

    for number in 0..count {
        store.fleeting.send(partition, event(&acme, number));
    }

    let Some(Heard::Lost(lost)) = next(&mut *listener).await else {
        panic!("more was said than is kept");
    };
    let first = u32::try_from(lost).unwrap();
    assert!(first >= count / 2);
    for number in first..count {
        let heard = next(&mut *listener).await;
        assert_eq!(heard, Some(Heard::Event(event(&acme, number))));
    }
}

pub async fn nobody_hears_of_a_closed_store(open: impl AsyncFn(Setup) -> Subject) {
    let store = Fixture::open(open).await;
    let acme = tenant("acme");
    let partition = store.partition(&acme);
    let mut before = store.fleeting.listen(partition);

    store.journal.close().await;

    store.fleeting.send(partition, event(&acme, 1));
    assert_eq!(next(&mut *before).await, None);
    let mut after = store.fleeting.listen(partition);
    assert_eq!(next(&mut *after).await, None);
}

async fn next(listener: &mut dyn Listener) -> Option<Heard> {
    let next = tokio::time::timeout(HANG, listener.next()).await;
    next.expect("an answer within the time limit")
}

fn event(tenant: &TenantId, number: u32) -> Arc<FleetingEvent> {
    Arc::new(FleetingEvent {
        tenant: tenant.clone(),
        name: "typing:indicator".into(),
        data: Bytes::from(format!(r#"{{"number":{number}}}"#)),
        audience: Audience {
            rooms: parse(&["contact:1"]),
            except: parse(&["user:7"]),
        },
        voice: "socket".parse().unwrap(),
        expires_at: now(),
    })
}
