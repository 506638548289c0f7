use std::num::NonZeroU16;

use switchboard_event::Epoch;
use switchboard_journal::{MemoryConfig, MemoryJournal};

use super::*;

#[tokio::test]
async fn each_node_answers_for_all_of_them() {
    let bench = Bench::new();
    let (first, second) = (bench.node(1), bench.node(2));
    first.meet(10).await;
    second.meet(5).await;
    first.meet(11).await;

    let of_first = first.nodes.stats(head(12));
    let of_second = second.nodes.stats(head(5));

    assert_eq!((of_first.connected, of_first.complete), (12 + 5, true));
    assert_eq!(of_first.nodes.len(), 2);
    // What another one said last.
    assert_eq!(of_second.connected, 10 + 5);
    assert_ne!(of_first.node, of_second.node);
    assert_eq!(first.nodes.count(), 2);
}

#[tokio::test]
async fn a_node_that_says_nothing_any_more_or_leaves_is_counted_no_more() {
    let bench = Bench::new();
    let (first, second, third) = (bench.node(1), bench.node(2), bench.node(3));
    for node in [&second, &third, &first] {
        node.meet(1).await;
    }
    assert_eq!(first.nodes.count(), 3);

    third.nodes.leave().await;
    first.meet(1).await;
    assert_eq!(first.nodes.count(), 2);

    bench.pass(LEASE);
    assert_eq!(first.nodes.stats(head(1)).connected, 1);
    first.meet(1).await;
    assert_eq!(first.nodes.count(), 1);

    second.meet(4).await;
    first.meet(1).await;
    assert_eq!(first.nodes.stats(head(1)).connected, 5);
}

#[tokio::test]
async fn a_node_that_sees_nobody_says_that_some_may_be_missing() {
    let bench = Bench::new();
    let node = bench.node(1);
    assert!(!node.nodes.stats(head(1)).complete);
    node.meet(1).await;
    assert!(node.nodes.stats(head(1)).complete);

    bench.pass(LEASE);

    assert!(!node.nodes.stats(head(1)).complete);
    let alone = Nodes::new(own(), None, bench.clock.clone());
    assert!(alone.stats(head(1)).complete);
}

struct Bench {
    store: Arc<MemoryJournal>,
    clock: Clock,
    now: Arc<Mutex<Timestamp>>,
}

struct Member {
    nodes: Nodes,
}

impl Bench {
    fn new() -> Self {
        let partitions = NonZeroU16::new(4).unwrap();
        let store = Arc::new(MemoryJournal::new(MemoryConfig {
            partitions,
            ..MemoryConfig::new(Epoch::new(1))
        }));
        let now = Arc::new(Mutex::new(Timestamp::from_millis(1_000_000)));
        let told = Arc::clone(&now);
        let clock = Clock::new(move || *told.lock());
        Self { store, clock, now }
    }

    fn node(&self, holder: u64) -> Member {
        let leases = Arc::clone(&self.store) as Arc<dyn Leases>;
        let meeting = Meeting::new(&*self.store, leases, Holder::new(holder));
        Member {
            nodes: Nodes::new(own(), Some(meeting), self.clock.clone()),
        }
    }

    fn pass(&self, time: Duration) {
        let mut now = self.now.lock();
        let millis = i64::try_from(time.as_millis()).unwrap();
        *now = Timestamp::from_millis(now.as_millis() + millis);
    }
}

impl Member {
    async fn meet(&self, connected: u32) {
        let meeting = self.nodes.meeting.as_ref().unwrap();
        self.nodes.meet(meeting, head(connected)).await.unwrap();
    }
}

fn own() -> Own {
    Own {
        id: NodeId::random().unwrap(),
        name: None,
        address: "127.0.0.1:5000".parse().unwrap(),
        started_at: Timestamp::from_millis(1),
    }
}

fn head(connected: u32) -> Headcount {
    Headcount {
        connected,
        ..Headcount::default()
    }
}
