use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::fixture::{
    Fixture, event, key, now, offset, offsets_of, other_event, put, take, tenant,
};
use super::{Setup, Subject};
use crate::{AppendError, Expect};

pub async fn identical_appends_at_once_make_one_record(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let events = vec![
        event(&acme, "a", &["contact:1"]),
        event(&acme, "b", &["contact:1"]),
    ];

    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let journal = Arc::clone(&fixture.journal);
        let batch = fixture.batch(&acme, events.clone(), vec![put("k", Expect::Absent, "1")]);
        tasks.spawn(async move { journal.append(batch, now()).await.unwrap() });
    }
    let answers = tasks.join_all().await;

    assert!(
        answers.iter().all(|answer| offsets_of(answer) == [1, 2]),
        "{answers:?}"
    );
    let first: Vec<_> = answers
        .iter()
        .filter(|answer| !answer[0].duplicate)
        .collect();
    assert_eq!(first.len(), 1);
    assert!(
        answers
            .iter()
            .all(|answer| answer[0].duplicate == answer[1].duplicate)
    );
    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, [1, 2]);
}

pub async fn of_two_events_racing_for_an_id_one_is_refused(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");

    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let journal = Arc::clone(&fixture.journal);
        let is_other = number % 2 == 1;
        let make = if is_other { other_event } else { event };
        let batch = fixture.batch(&acme, vec![make(&acme, "a", &["contact:1"])], Vec::new());
        tasks.spawn(async move { (is_other, journal.append(batch, now()).await) });
    }
    let answers = tasks.join_all().await;

    let winners: BTreeSet<bool> = answers
        .iter()
        .filter(|(_, answer)| answer.is_ok())
        .map(|(side, _)| *side)
        .collect();
    assert_eq!(winners.len(), 1, "both sides were appended");
    for (side, answer) in answers {
        if winners.contains(&side) {
            assert_eq!(offsets_of(&answer.unwrap()), [1]);
        } else {
            assert!(
                matches!(answer, Err(AppendError::IdReused { index: 0, .. })),
                "{answer:?}"
            );
        }
    }
    assert_eq!(fixture.offsets(&acme, &["contact:1"]).await, [1]);
}

pub async fn appends_at_once_get_dense_offsets(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::one_partition(open).await;
    let mut tail = fixture.tail(&tenant("t0")).await;

    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let journal = Arc::clone(&fixture.journal);
        let tenant = tenant(&format!("t{number}"));
        let batches: Vec<_> = (0..8)
            .map(|batch| {
                let id = |index| format!("{number}-{batch}-{index}");
                let size = (number + batch) % 3 + 1;
                let event = |index| event(&tenant, &id(index), &["contact:1"]);
                fixture.batch(&tenant, (0..size).map(event).collect(), Vec::new())
            })
            .collect();
        tasks.spawn(async move {
            let mut positions = Vec::new();
            for batch in batches {
                let offsets = offsets_of(&journal.append(batch, now()).await.unwrap());
                let is_dense = offsets.windows(2).all(|pair| pair[0] + 1 == pair[1]);
                assert!(is_dense, "a batch was torn apart: {offsets:?}");
                positions.extend(offsets);
            }
            assert!(
                positions.is_sorted(),
                "a producer's order was lost: {positions:?}"
            );
            positions
        });
    }
    let mut offsets: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();

    offsets.sort_unstable();
    let dense: Vec<u64> = (1..=offsets.len() as u64).collect();
    assert_eq!(offsets, dense);
    let tailed = take(&mut *tail, offsets.len()).await;
    assert_eq!(
        tailed
            .iter()
            .map(|record| offset(record))
            .collect::<Vec<_>>(),
        dense
    );
}

pub async fn of_many_writers_expecting_one_version_one_wins(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Arc::new(Fixture::open(open).await);
    let acme = tenant("acme");
    fixture
        .change(&acme, put("count", Expect::Absent, "0"))
        .await
        .unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let (fixture, acme) = (Arc::clone(&fixture), acme.clone());
        tasks.spawn(async move {
            let mut done = 0;
            while done < 5 {
                let value = fixture.value(&acme, &key("count")).await.unwrap();
                let count: u64 = std::str::from_utf8(&value.bytes).unwrap().parse().unwrap();
                let expected = Expect::Version(value.version);
                let next = put("count", expected, &(count + 1).to_string());
                match fixture.change(&acme, next).await {
                    Ok(()) => done += 1,
                    Err(AppendError::Conflict { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    tasks.join_all().await;

    assert_eq!(
        fixture.value(&acme, &key("count")).await.unwrap().bytes,
        "40"
    );
}

pub async fn an_append_that_nobody_waits_for_has_one_outcome(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let rooms = ["contact:1"];

    for number in 0..TASKS {
        let batch = fixture.batch(
            &acme,
            vec![event(&acme, &number.to_string(), &rooms)],
            vec![],
        );
        let append = fixture.journal.append(batch, now());
        // Polled at most once, then dropped.
        tokio::select! {
            biased;
            _ = append => {}
            () = std::future::ready(()) => {}
        }
    }
    let mut found = Vec::new();
    for number in 0..TASKS {
        let retry = vec![event(&acme, &number.to_string(), &rooms)];
        found.extend(fixture.try_append(&acme, retry, Vec::new()).await.unwrap());
    }

    let offsets: BTreeSet<u64> = offsets_of(&found).into_iter().collect();
    assert_eq!(
        offsets.into_iter().collect::<Vec<_>>(),
        (1..=TASKS).collect::<Vec<_>>()
    );
    assert_eq!(fixture.offsets(&acme, &rooms).await.len(), found.len());
}

pub async fn closing_finishes_what_was_queued(open: impl AsyncFn(Setup) -> Subject) {
    let fixture = Fixture::open(open).await;
    let acme = tenant("acme");
    let mut tail = fixture.tail(&acme).await;

    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let journal = Arc::clone(&fixture.journal);
        let batch = fixture.batch(
            &acme,
            vec![event(&acme, &number.to_string(), &[])],
            Vec::new(),
        );
        tasks.spawn(async move { journal.append(batch, now()).await });
    }
    fixture.journal.close().await;
    let answers = tasks.join_all().await;

    let appended = answers.iter().filter(|answer| answer.is_ok()).count();
    let closed = |answer: &&Result<_, _>| **answer == Err(AppendError::Closed);
    assert_eq!(
        appended + answers.iter().filter(closed).count(),
        answers.len(),
        "{answers:?}"
    );
    take(&mut *tail, appended).await;
    assert!(tail.next().await.is_err());
}

/// What is read back was read from storage while more was being written to it.
pub async fn tails_and_reads_keep_up_with_appends_at_once(open: impl AsyncFn(Setup) -> Subject) {
    let setup = Setup {
        partitions: 1.try_into().unwrap(),
        forgetful: true,
        ..Setup::default()
    };
    let fixture = Fixture::with(open, setup).await;
    let acme = tenant("acme");
    let total = TASKS * EACH;

    let mut readers = JoinSet::new();
    for _ in 0..3 {
        let mut tail = fixture.tail(&acme).await;
        readers.spawn(async move {
            let mut seen: Vec<u64> = Vec::new();
            while (seen.len() as u64) < total {
                seen.extend(tail.next().await.unwrap().iter().map(|each| offset(each)));
            }
            seen
        });
    }
    let (journal, mut query) = (
        Arc::clone(&fixture.journal),
        fixture.query(&acme, &["contact:1"]).await,
    );
    readers.spawn(async move {
        let mut seen = Vec::new();
        while (seen.len() as u64) < total {
            let page = journal.read(query.clone()).await.unwrap();
            // The next read begins right after what this one has found.
            if let Some(last) = page.records.last() {
                query.after = last.position;
            }
            seen.extend(page.records.iter().map(|record| offset(record)));
            tokio::task::yield_now().await;
        }
        seen
    });
    let mut producers = JoinSet::new();
    for task in 0..TASKS {
        let journal = Arc::clone(&fixture.journal);
        let event = |number| event(&acme, &format!("{task}-{number}"), &["contact:1"]);
        let batches: Vec<_> = (0..EACH)
            .map(|number| fixture.batch(&acme, vec![event(number)], Vec::new()))
            .collect();
        producers.spawn(async move {
            for batch in batches {
                journal.append(batch, now()).await.unwrap();
            }
        });
    }
    producers.join_all().await;

    let dense: Vec<u64> = (1..=total).collect();
    for seen in readers.join_all().await {
        assert_eq!(seen, dense);
    }
}

const TASKS: u64 = 24;
/// How many batches a task appends, where it is about much happening at once.
const EACH: u64 = 40;
