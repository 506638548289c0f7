//! What came of a campaign.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::select;
use switchboard_event::Timestamp;
use switchboard_event::machine::campaign::{Campaign, CampaignRefused, News, Order, Phase};
use switchboard_event::machine::message::Progress::{self, Delivered, Failed, Read, Sent};

/// A campaign and its messages, as a journal would hold them.
#[derive(Default)]
struct World {
    campaign: Option<Campaign>,
    results: HashMap<u32, Progress>,
    news: Vec<News>,
}

impl World {
    fn started(total: u64) -> Self {
        let mut world = Self::default();
        world.order(&Order::Start { total }).unwrap();
        world
    }

    fn order(&mut self, order: &Order) -> Result<usize, CampaignRefused> {
        let earlier = self.campaign.as_ref().map(reread);
        let (campaign, news) = Campaign::order(earlier, order, end())?;
        self.campaign = Some(campaign);
        let count = news.len();
        self.news.extend(news);
        Ok(count)
    }

    fn count(&mut self, message: u32, told: Progress) -> Result<bool, CampaignRefused> {
        let campaign = self.campaign.as_mut().unwrap();
        let before = self.results.get(&message).copied();
        let is_news = campaign.count(before, told, EVERY, &mut self.news)?;
        if is_news {
            self.results.insert(message, told);
        }
        Ok(is_news)
    }

    fn phase(&self) -> Phase {
        self.campaign.as_ref().unwrap().phase()
    }

    /// How far each `campaign:progress` was.
    fn progress(&self) -> Vec<u64> {
        let counts = self.news.iter().filter_map(|news| match news {
            News::Progress(counts) => Some(counts.sent.unwrap() + counts.failed.unwrap()),
            _ => None,
        });
        counts.collect()
    }

    fn completions(&self) -> usize {
        let is_completed = |news: &&News| matches!(news, News::Completed(_));
        self.news.iter().filter(is_completed).count()
    }
}

#[test]
fn the_example_of_the_contract_comes_out_as_it_stands_there() {
    let mut world = World::started(1000);
    for message in 0..995 {
        world.count(message, Sent).unwrap();
    }
    for message in 0..990 {
        world.count(message, Delivered).unwrap();
    }
    for message in 0..850 {
        world.count(message, Read).unwrap();
    }
    for message in 995..1000 {
        world.count(message, Failed).unwrap();
    }

    let Some(News::Completed(stats)) = world.news.last() else {
        panic!("{:?}", world.news.last());
    };
    let json = serde_json::to_value(stats).unwrap();
    let expected = serde_json::json!({
        "totalRecipients": 1000, "sentCount": 995, "deliveredCount": 990, "readCount": 850,
        "failedCount": 5, "deliveryRate": 99.5, "readRate": 85.0,
    });
    assert_eq!(json, expected);
}

#[test]
fn progress_is_told_at_every_so_many_results_or_at_every_twentieth_part_if_that_is_less() {
    for (total, marks) in [
        (10_000, (1..=100).map(|mark| mark * 100).collect::<Vec<_>>()),
        (1_000, (1..=20).map(|mark| mark * 50).collect()),
        (45, (1..=22).map(|mark| mark * 2).chain([45]).collect()),
        (3, vec![1, 2, 3]),
    ] {
        let mut world = World::started(total);

        for message in 0..total {
            world.count(u32::try_from(message).unwrap(), Sent).unwrap();
        }

        assert_eq!(world.progress(), marks, "{total}");
        assert_eq!((world.completions(), world.phase()), (1, Phase::Completed));
    }
}

#[test]
fn percentages_are_rounded_down_and_nothing_is_divided_by_nothing() {
    let mut world = World::started(3);
    world.count(1, Sent).unwrap();
    world.count(2, Failed).unwrap();
    let campaign = world.campaign.as_ref().unwrap();
    assert_eq!(campaign.counts().percentage, Some(66.0));

    let empty = World::started(0);
    assert_eq!((empty.completions(), empty.phase()), (1, Phase::Completed));
    let stats = empty.campaign.as_ref().unwrap().stats();
    assert_eq!(
        (stats.delivery_rate, stats.read_rate),
        (Some(0.0), Some(0.0))
    );
}

#[test]
fn every_order_has_its_answer_in_every_phase() {
    let orders = [
        Order::Start { total: 9 },
        Order::Pause,
        Order::Resume,
        Order::Fail,
        Order::Complete,
    ];
    // Some(n): followed, with that many events; None: refused.
    let rows = [
        (vec![], [Some(0), Some(1), Some(0), Some(1), Some(1)]),
        (
            vec![Order::Pause],
            [Some(0), Some(0), Some(1), Some(1), Some(1)],
        ),
        (vec![Order::Fail], [None, None, None, Some(0), None]),
        (vec![Order::Complete], [None, None, None, None, Some(0)]),
    ];
    for (before, outcomes) in rows {
        for (order, outcome) in orders.iter().zip(outcomes) {
            let mut world = World::started(9);
            for order in &before {
                world.order(order).unwrap();
            }
            let phase = world.phase();

            let answer = world.order(order);

            assert_eq!(answer.ok(), outcome, "{order:?} while {phase:?}");
            if outcome.is_none() {
                assert_eq!(answer.unwrap_err().phase(), Some(phase));
            }
        }
    }
    for order in &orders[1..] {
        let refused = World::default().order(order).unwrap_err();
        assert_eq!(
            (refused.code(), Phase::word(refused.phase())),
            ("campaign_unknown", "Unknown")
        );
    }
    let refused = World::started(9).order(&Order::Start { total: 8 });
    assert_eq!(refused.unwrap_err().code(), "campaign_transition");
}

#[test]
fn what_comes_after_the_end_counts_for_known_messages_only_and_is_told_once_a_second() {
    let mut world = World::started(2);
    world.count(1, Sent).unwrap();
    world.order(&Order::Complete).unwrap();

    assert_eq!(
        world.count(2, Sent).unwrap_err().code(),
        "campaign_finished"
    );
    assert!(world.count(1, Delivered).unwrap());

    let campaign = world.campaign.as_mut().unwrap();
    let first = campaign.stats_due(at(10_000)).unwrap();
    assert!(matches!(first, Some(News::Stats(stats)) if stats.delivered_count == Some(1)));
    assert_eq!(campaign.stats_due(at(10_001)), Ok(None));
    world.count(1, Read).unwrap();
    let campaign = world.campaign.as_mut().unwrap();
    assert_eq!(campaign.stats_due(at(10_500)), Err(at(11_000)));
    let last = campaign.stats_due(at(11_000)).unwrap();
    assert!(matches!(last, Some(News::Stats(stats)) if stats.read_count == Some(1)));
}

#[test]
fn results_beyond_the_total_are_refused() {
    let mut world = World::started(1);
    world.order(&Order::Pause).unwrap();
    world.count(1, Failed).unwrap();

    assert_eq!(world.phase(), Phase::Completed);
    assert!(world.count(2, Sent).is_err());
}

#[derive(Clone, Debug)]
enum Input {
    Count(u32, Progress),
    Order(Order),
}

fn input() -> impl Strategy<Value = Input> {
    let progress = select(vec![Progress::Queued, Sent, Delivered, Read, Failed]);
    let orders = vec![Order::Pause, Order::Resume, Order::Fail, Order::Complete];
    prop_oneof![
        20 => (0_u32..30, progress).prop_map(|(message, told)| Input::Count(message, told)),
        1 => select(orders).prop_map(Input::Order),
    ]
}

proptest! {
    #[test]
    fn in_any_order_and_however_often_the_counts_are_those_of_the_messages(
        total in 0_u64..30,
        inputs in prop::collection::vec(input(), 0..300),
    ) {
        let mut world = World::started(total);
        for input in inputs {
            let (news_before, phase_before) = (world.news.len(), world.phase());
            match input {
                Input::Count(message, told) => drop(world.count(message, told)),
                Input::Order(order) => drop(world.order(&order)),
            }

            let stats = world.campaign.as_ref().unwrap().stats();
            let reached = |least: &[Progress]| {
                let results = world.results.values();
                results.filter(|one| least.contains(one)).count() as u64
            };
            prop_assert_eq!(stats.sent_count, Some(reached(&[Sent, Delivered, Read])));
            prop_assert_eq!(stats.delivered_count, Some(reached(&[Delivered, Read])));
            prop_assert_eq!(stats.read_count, Some(reached(&[Read])));
            prop_assert_eq!(stats.failed_count, Some(reached(&[Failed])));
            prop_assert!(stats.sent_count.unwrap() + stats.failed_count.unwrap() <= total);
            prop_assert!(world.completions() <= 1);
            prop_assert_eq!(world.completions() == 1, world.phase() == Phase::Completed);
            if phase_before.is_finished() {
                prop_assert_eq!(world.phase(), phase_before);
                prop_assert_eq!(world.news.len(), news_before);
            }
            let progress = world.progress();
            prop_assert!(progress.is_sorted_by(|a, b| a < b), "{:?}", progress);
        }
    }
}

/// The campaign as a journal would give it back.
fn reread(campaign: &Campaign) -> Campaign {
    Campaign::from_bytes(&campaign.to_bytes()).unwrap()
}

fn end() -> Timestamp {
    at(1_000_000)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

const EVERY: u64 = 100;

#[test]
fn a_state_that_counts_more_than_there_is_is_refused() {
    let state = |total: u64, sent: u64, delivered: u64, failed: u64| {
        let text = format!(
            r#"{{"version":1,"phase":"Running","total":{total},"sent":{sent},"delivered":{delivered},"read":0,
            "failed":{failed},"forgottenAt":"2026-01-15T10:00:00.000Z","statsAt":null}}"#
        );
        Campaign::from_bytes(text.as_bytes()).map(|_| ())
    };

    assert!(state(10, 9, 9, 1).is_ok());
    for [total, sent, delivered, failed] in [
        [10, 10, 0, 1],
        [10, 5, 6, 0],
        [u64::MAX, 0, 0, 0],
        [10, u64::MAX, 0, u64::MAX],
    ] {
        assert!(state(total, sent, delivered, failed).is_err(), "{sent}");
    }
}

#[test]
fn what_is_learned_moves_a_campaign_once_and_makes_no_news() {
    let mut world = World::started(10);
    let campaign = world.campaign.as_mut().unwrap();
    let (paused, other) = ("e-1".parse().unwrap(), "e-2".parse().unwrap());

    assert!(campaign.learn(&Order::Pause, Some(&paused)));
    assert_eq!(campaign.phase(), Phase::Paused);
    assert!(campaign.learn(&Order::Resume, None));
    assert!(!campaign.learn(&Order::Pause, Some(&paused)));
    assert_eq!(campaign.phase(), Phase::Running);
    assert!(campaign.learn(&Order::Complete, Some(&other)));
    campaign.learn(&Order::Fail, None);

    assert_eq!(reread(campaign).phase(), Phase::Completed);
    assert_eq!(world.news, [News::Started]);
}
