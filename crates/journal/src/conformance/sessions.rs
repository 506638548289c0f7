use std::num::NonZeroU32;
use std::sync::Arc;

use switchboard_event::{Epoch, Offset, Position, TenantId};
use tokio::task::JoinSet;

use super::fixture::{Fixture, event, now, tenant};
use super::store::{FIRST, Store, at, key, owner, rooms, session};
use super::{Setup, Subject};
use crate::{Claimed, SessionError, StoredRoom, StoredSession};

pub async fn a_session_comes_back_as_it_was_saved(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    let saved = StoredSession {
        start: Position {
            epoch: Epoch::new(u64::MAX),
            offset: Offset::new(1 << 40),
        },
        rooms: rooms(&[
            ("user:7", 0),
            ("team:acme", 1),
            ("whatsapp:a:b:link", 127),
            ("whatsapp:a:b", 128),
            ("order:\u{e9}", 1 << 40),
        ]),
        ..session("one")
    };

    sessions.save(1, FIRST, &saved).await.unwrap();

    let claimed = sessions.claim(1).await.unwrap().unwrap();
    assert_eq!(
        (&claimed.session, claimed.generation),
        (&saved, FIRST.next())
    );
    let bare = StoredSession {
        rooms: Vec::new(),
        ..saved
    };
    sessions.save(1, claimed.generation, &bare).await.unwrap();
    assert_eq!(sessions.claim(1).await.unwrap().unwrap().session, bare);
}

pub async fn an_unknown_session_is_not_claimed(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();

    assert_eq!(sessions.claim(2).await, Ok(None));
}

pub async fn a_claim_fences_the_older_owner(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();
    let second = sessions.claim(1).await.unwrap().unwrap().generation;

    let refused = sessions.save(1, FIRST, &session("late")).await;
    let skipped = sessions.touch(&[(1, FIRST)], 60, 0).await;
    sessions.remove(1, FIRST).await.unwrap();

    assert_eq!(refused, Err(SessionError::Superseded));
    assert_eq!(skipped, [0]);
    let Claimed {
        session: stored,
        generation: third,
    } = sessions.claim(1).await.unwrap().unwrap();
    assert_eq!(stored, session("one"));
    assert!(third > second && second > FIRST);
    let refused = sessions.save(1, second, &session("late")).await;
    assert_eq!(refused, Err(SessionError::Superseded));
    sessions.save(1, third, &session("two")).await.unwrap();
    sessions.save(1, third, &session("three")).await.unwrap();
    let stored = sessions.claim(1).await.unwrap().unwrap().session;
    assert_eq!(stored, session("three"));
}

pub async fn somebody_elses_session_is_not_claimed(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    let mine = session("mine");
    sessions.save(1, FIRST, &mine).await.unwrap();

    for (other, user) in [("globex", "7"), ("acme", "8"), ("*", "7")] {
        let (tenant, user) = (TenantId::from_stored(other).unwrap(), user.parse().unwrap());
        let claimed = sessions.claim_as(1, &tenant, &user, 60, 0).await;
        assert_eq!(claimed, Ok(None), "{other}");
    }

    // Nor was its owner disturbed, or its life extended.
    sessions.save(1, FIRST, &mine).await.unwrap();
    assert_eq!(sessions.touch(&[(1, FIRST)], 10, 0).await, [0; 0]);
    assert_eq!(sessions.claim_at(1, 60, 10).await, Ok(None));
}

pub async fn claims_at_once_get_different_generations(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let store = Arc::clone(&sessions.store);
        tasks.spawn(async move {
            let (tenant, user) = owner();
            let claimed = store.claim(&key(1), &tenant, &user, at(10), now()).await;
            claimed.unwrap().unwrap().generation
        });
    }
    let mut generations = tasks.join_all().await;

    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), TASKS);
    let (highest, others) = generations.split_last().unwrap();
    for generation in others {
        let refused = sessions.save(1, *generation, &session("late")).await;
        assert_eq!(refused, Err(SessionError::Superseded));
    }
    sessions.save(1, *highest, &session("one")).await.unwrap();
}

pub async fn a_session_expires(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();
    let second = sessions.claim(1).await.unwrap().unwrap().generation;

    let claimed = sessions.claim_at(1, 10, 9).await.unwrap();
    assert_eq!(claimed.unwrap().generation, second.next());
    assert_eq!(sessions.claim_at(1, 20, 10).await, Ok(None));
    assert_eq!(sessions.touch(&[(1, second.next())], 20, 10).await, [0]);

    // What is over is as if it had never been.
    let again = session("again");
    sessions.save_at(1, FIRST, &again, 20, 10).await.unwrap();
    let claimed = sessions.claim_at(1, 20, 11).await.unwrap().unwrap();
    assert_eq!((claimed.session, claimed.generation), (again, FIRST.next()));
}

pub async fn a_claim_and_a_touch_extend_a_life_and_never_shorten_it(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();

    assert_eq!(sessions.touch(&[(1, FIRST)], 20, 5).await, [0; 0]);
    assert_eq!(sessions.touch(&[(1, FIRST)], 6, 5).await, [0; 0]);
    let claimed = sessions.claim_at(1, 30, 19).await.unwrap().unwrap();
    let claimed = {
        assert_eq!(claimed.generation, FIRST.next());
        sessions.claim_at(1, 20, 19).await.unwrap().unwrap()
    };
    assert_eq!(claimed.session, session("one"));
    assert!(sessions.claim_at(1, 30, 29).await.unwrap().is_some());
    assert_eq!(sessions.claim_at(1, 40, 30).await, Ok(None));
}

pub async fn many_sessions_are_touched_at_once(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    let kept: Vec<u32> = (0..COUNT).step_by(20).collect();
    for number in &kept {
        let session = session(&number.to_string());
        sessions.save(*number, FIRST, &session).await.unwrap();
    }
    let superseded = kept[1];
    sessions.claim(superseded).await.unwrap().unwrap();

    let all: Vec<_> = (0..COUNT).map(|number| (number, FIRST)).collect();
    let mut skipped = sessions.touch(&all, 60, 5).await;

    skipped.sort_unstable();
    let expected: Vec<usize> = (0..COUNT)
        .filter(|number| !kept.contains(number) || *number == superseded)
        .map(|number| usize::try_from(number).unwrap())
        .collect();
    assert_eq!(skipped, expected);
    for number in kept {
        let claimed = sessions.claim_at(number, 60, 59).await.unwrap();
        assert_eq!(claimed.is_some(), number != superseded, "{number}");
    }
    assert_eq!(sessions.touch(&[], 60, 5).await, [0; 0]);
}

pub async fn a_removed_session_is_gone(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    for number in [1, 2] {
        sessions.save(number, FIRST, &session("x")).await.unwrap();
    }

    sessions.remove(1, FIRST).await.unwrap();
    sessions.remove(1, FIRST).await.unwrap();
    sessions.remove(3, FIRST).await.unwrap();

    assert_eq!(sessions.claim(1).await, Ok(None));
    assert!(sessions.claim(2).await.unwrap().is_some());
}

pub async fn beyond_their_number_the_session_that_expires_first_goes(
    open: impl AsyncFn(Setup) -> Subject,
) {
    let setup = Setup {
        sessions_max: NonZeroU32::new(3).unwrap(),
        ..Setup::default()
    };
    let sessions = Store::with(open, setup).await;
    for (number, minutes) in [(1, 30), (2, 10), (3, 20)] {
        let session = session(&number.to_string());
        let saved = sessions.save_at(number, FIRST, &session, minutes, 0).await;
        saved.unwrap();
    }

    // Saving one of them again makes it no more of them.
    sessions
        .save_at(2, FIRST, &session("2"), 25, 0)
        .await
        .unwrap();
    // The one that would expire first is the new one itself, which stays.
    sessions
        .save_at(4, FIRST, &session("4"), 5, 0)
        .await
        .unwrap();
    assert_eq!(sessions.known(&[1, 2, 3, 4]).await, [1, 2, 4]);
    sessions
        .save_at(5, FIRST, &session("5"), 40, 0)
        .await
        .unwrap();
    assert_eq!(sessions.known(&[1, 2, 3, 4, 5]).await, [1, 2, 5]);

    // A place that became free is used before another one goes.
    sessions.remove(1, FIRST).await.unwrap();
    sessions
        .save_at(6, FIRST, &session("6"), 40, 0)
        .await
        .unwrap();
    assert_eq!(sessions.known(&[1, 2, 5, 6]).await, [2, 5, 6]);
}

pub async fn a_session_has_a_bounded_number_of_rooms(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    let room = |number| StoredRoom {
        room: format!("contact:{number}").parse().unwrap(),
        from: Offset::new(number),
    };
    let (count, count_max) = (StoredSession::ROOMS_MAX + 1, StoredSession::ROOMS_MAX);
    let mut large = session("large");
    large.rooms = (1..=count_max as u64).map(room).collect();

    sessions.save(1, FIRST, &large).await.unwrap();
    let claimed = sessions.claim(1).await.unwrap().unwrap();
    large.rooms.push(room(0));
    let refused = sessions.save(1, claimed.generation, &large).await;

    assert_eq!(claimed.session.rooms.len(), count_max);
    assert_eq!(
        refused,
        Err(SessionError::TooManyRooms { count, count_max })
    );
    let again = sessions.claim(1).await.unwrap().unwrap();
    assert_eq!(again.session, claimed.session);
}

pub async fn sessions_and_events_are_written_side_by_side(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Arc::new(Fixture::open(open).await);
    let acme = tenant("acme");

    let mut tasks = JoinSet::new();
    for number in 0..40_u32 {
        let (fixture, acme) = (Arc::clone(&fixture), acme.clone());
        tasks.spawn(async move {
            let (tenant, user) = owner();
            let sessions = &fixture.sessions;
            let (key, stored) = (key(number), session(&number.to_string()));
            let event = event(&acme, &number.to_string(), &["contact:1"]);
            let (saved, _) = tokio::join!(
                sessions.save(&key, FIRST, &stored, at(10), now()),
                fixture.append(&acme, vec![event]),
            );
            saved.unwrap();
            let claimed = sessions.claim(&key, &tenant, &user, at(10), now()).await;
            assert_eq!(claimed.unwrap().unwrap().session, stored);
        });
    }
    tasks.join_all().await;

    let offsets: Vec<u64> = (1..=40).collect();
    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, offsets);
}

pub async fn a_closed_store_of_sessions_refuses(open: impl AsyncFn(Setup) -> Subject) {
    let sessions = Store::open(open).await;
    sessions.save(1, FIRST, &session("one")).await.unwrap();

    sessions.fixture.journal.close().await;

    let closed = SessionError::Closed;
    let saved = sessions.save(1, FIRST, &session("two")).await;
    assert_eq!(saved, Err(closed.clone()));
    assert_eq!(sessions.claim(1).await, Err(closed.clone()));
    assert_eq!(sessions.remove(1, FIRST).await, Err(closed.clone()));
    let touched = sessions.store.touch(&[(key(1), FIRST)], at(1), now()).await;
    assert_eq!(touched, Err(closed));
}

const TASKS: usize = 24;
/// More than one slice of the disk journal.
const COUNT: u32 = 2_500;
