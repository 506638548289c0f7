//! Campaigns, one after another: some are paused on the way, few fail.

use serde_json::{Value, json};

use super::scene::{Scene, Turn};
use super::script::CAMPAIGNS;

/// The campaign that is running, or the pause between two.
#[derive(Debug, Default)]
pub(super) struct Campaign {
    /// Which of the script's campaigns is next.
    next: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Waiting,
    Running(Run),
    Paused(Run),
    /// All was sent; some read later.
    Completed(Run, Reached),
}

/// How many of what was sent came how far.
#[derive(Clone, Copy, Debug)]
struct Reached {
    delivered: u64,
    read: u64,
}

/// How far a campaign is.
#[derive(Clone, Copy, Debug)]
struct Run {
    campaign: usize,
    sent: u64,
    failed: u64,
}

impl Campaign {
    pub(super) fn act(&mut self, scene: &mut Scene) -> Turn {
        match self.state {
            State::Waiting => self.start(scene),
            State::Running(run) => self.go_on(scene, run),
            State::Completed(run, reached) => {
                self.state = State::Waiting;
                let more = scene.chance.below(60);
                let reached = Reached {
                    read: (reached.read + more).min(reached.delivered),
                    ..reached
                };
                let payload = run.stats(scene, reached);
                Turn::say("campaign:stats", payload, scene.chance.wait(6_000, 12_000))
            }
            State::Paused(run) => {
                self.state = State::Running(run);
                Turn::say(
                    "campaign:resumed",
                    run.named(scene, json!({})),
                    scene.chance.wait(800, 1_500),
                )
            }
        }
    }

    fn start(&mut self, scene: &mut Scene) -> Turn {
        let run = Run {
            campaign: self.next,
            sent: 0,
            failed: 0,
        };
        self.next = (self.next + 1) % CAMPAIGNS.len();
        self.state = State::Running(run);
        let campaign = json!({"name": CAMPAIGNS[run.campaign].name, "totalRecipients": TOTAL});
        let payload = run.named(scene, json!({"campaign": campaign}));
        Turn::say("campaign:started", payload, scene.chance.wait(1_000, 2_000))
    }

    /// One more progress mark, or what comes instead of it.
    fn go_on(&mut self, scene: &mut Scene, mut run: Run) -> Turn {
        if run.sent + run.failed == TOTAL {
            let reached = run.reached(scene);
            self.state = State::Completed(run, reached);
            return Turn::say(
                "campaign:completed",
                run.stats(scene, reached),
                scene.chance.wait(2_000, 4_000),
            );
        }
        if run.sent > 0 && scene.chance.once_in(25) {
            self.state = State::Waiting;
            let payload = run.named(scene, json!({"error": "The account was disconnected"}));
            return Turn::say("campaign:failed", payload, scene.chance.wait(8_000, 15_000));
        }
        if run.sent == TOTAL / 2 - run.failed && scene.chance.once_in(2) {
            self.state = State::Paused(run);
            return Turn::say(
                "campaign:paused",
                run.named(scene, json!({})),
                scene.chance.wait(4_000, 8_000),
            );
        }
        let failed = scene.chance.below(3);
        run.sent += MARK - failed;
        run.failed += failed;
        self.state = State::Running(run);
        let done = run.sent + run.failed;
        let progress = json!({
            "sent": run.sent,
            "total": TOTAL,
            "percentage": 100 * done / TOTAL,
            "failed": run.failed,
        });
        let payload = run.named(scene, json!({"progress": progress}));
        Turn::say("campaign:progress", payload, scene.chance.wait(800, 1_500))
    }
}

impl Run {
    fn reached(self, scene: &mut Scene) -> Reached {
        let delivered = self.sent - scene.chance.below(12);
        let read = delivered - delivered / 8 - scene.chance.below(60);
        Reached { delivered, read }
    }

    fn stats(self, scene: &Scene, Reached { delivered, read }: Reached) -> Value {
        let stats = json!({
            "totalRecipients": TOTAL,
            "sentCount": self.sent,
            "deliveredCount": delivered,
            "readCount": read,
            "failedCount": self.failed,
            "deliveryRate": percent(delivered, self.sent),
            "readRate": percent(read, TOTAL),
        });
        self.named(scene, json!({"stats": stats}))
    }

    /// `payload` with what every event of a campaign has.
    fn named(self, scene: &Scene, mut payload: Value) -> Value {
        payload["campaignId"] = json!(CAMPAIGNS[self.campaign].id);
        payload["timestamp"] = json!(scene.time());
        payload
    }
}

/// With one decimal; 0 when there is nothing to divide by.
#[expect(clippy::cast_precision_loss, reason = "at most 1000 per mille")]
fn percent(part: u64, whole: u64) -> f64 {
    (part * 1000).checked_div(whole).unwrap_or(0) as f64 / 10.0
}

const TOTAL: u64 = 1000;
/// Progress is told every hundred messages.
const MARK: u64 = 100;
