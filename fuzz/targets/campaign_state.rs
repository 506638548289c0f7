//! A campaign: whatever is stored is read or refused, and whatever comes then, it counts what there is.
//!
//! Input: the stored state (or nothing), a zero byte, and then what happens, byte by byte.

#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use switchboard_event::machine::campaign::{Campaign, News, Order};
use switchboard_event::machine::message::Progress;
use switchboard_event::{EventId, Timestamp};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (stored, happens) = (parts.next().unwrap_or_default(), parts.next());
    let mut world = World {
        campaign: Campaign::from_bytes(stored).ok(),
        results: HashMap::new(),
        completions: 0,
        now: Timestamp::from_millis(1_762_336_800_000),
    };
    let mut happens = happens.unwrap_or_default().iter().copied();
    while let Some(byte) = happens.next() {
        world.happen(byte, &mut happens);
        world.check();
    }
});

struct World {
    campaign: Option<Campaign>,
    results: HashMap<u8, Progress>,
    completions: usize,
    now: Timestamp,
}

impl World {
    fn happen(&mut self, byte: u8, more: &mut impl Iterator<Item = u8>) {
        let number = byte >> 3;
        match byte & 7 {
            0 => self.order(&Order::Start {
                total: u64::from(number),
            }),
            1 => self.order(&orders()[usize::from(number) % 4]),
            2 => {
                let event: EventId = format!("e-{number}").parse().expect("an id");
                let order = &orders()[usize::from(more.next().unwrap_or_default()) % 4];
                if let Some(campaign) = &mut self.campaign {
                    let finished = campaign.phase().is_finished();
                    campaign.learn(order, Some(&event));
                    assert!(!finished || campaign.phase().is_finished(), "it is over");
                    assert!(!campaign.learn(order, Some(&event)), "learned twice");
                }
            }
            3 => {
                let later = std::time::Duration::from_millis(100 * u64::from(number));
                self.now = self.now.checked_add(later).unwrap_or(self.now);
                if let Some(campaign) = &mut self.campaign {
                    let owed = campaign.owes_stats();
                    match campaign.stats_due(self.now) {
                        Ok(news) => assert_eq!(news.is_some(), owed),
                        Err(at) => assert!(owed && at > self.now),
                    }
                }
            }
            _ => self.count(number, more.next().unwrap_or_default()),
        }
    }

    fn order(&mut self, order: &Order) {
        let before = self.campaign.clone();
        if let Ok((campaign, news)) = Campaign::order(before, order, self.now) {
            self.campaign = Some(campaign);
            self.hear(&news);
        }
    }

    fn count(&mut self, message: u8, status: u8) {
        let Some(campaign) = &mut self.campaign else {
            return;
        };
        let told = STATUSES[usize::from(status) % STATUSES.len()];
        let before = self.results.get(&message).copied();
        let was = campaign.clone();
        let mut news = Vec::new();
        match campaign.count(before, told, 100, &mut news) {
            Ok(true) => {
                self.results.insert(message, told);
            }
            Ok(false) | Err(_) => assert_eq!(*campaign, was, "what does not count changes nothing"),
        }
        self.hear(&news);
    }

    fn hear(&mut self, news: &[News]) {
        let is_completed = |one: &&News| matches!(one, News::Completed(_));
        self.completions += news.iter().filter(is_completed).count();
        assert!(self.completions <= 1, "completed twice");
    }

    fn check(&self) {
        let Some(campaign) = &self.campaign else {
            return;
        };
        let read = Campaign::from_bytes(&campaign.to_bytes());
        assert_eq!(read.expect("what we wrote"), *campaign);
        let (counts, stats) = (campaign.counts(), campaign.stats());
        for part in [counts.percentage, stats.delivery_rate, stats.read_rate] {
            assert!((0.0..=100.0).contains(&part.expect("a part")), "{stats:?}");
        }
    }
}

fn orders() -> [Order; 4] {
    [Order::Pause, Order::Resume, Order::Fail, Order::Complete]
}

const STATUSES: [Progress; 5] = [
    Progress::Queued,
    Progress::Sent,
    Progress::Delivered,
    Progress::Read,
    Progress::Failed,
];
