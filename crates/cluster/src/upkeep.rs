//! What is done without being asked: seeing whether Redis writes, and making room.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Cmd;
use tokio::time::{MissedTickBehavior, interval};
use tracing::debug;

use crate::append::KEYS;
use crate::core::Core;
use crate::reply;
use crate::script::{FORGET, UPKEEP};

/// Writes a little to each server, all the time: so its state is known without an append, and it
/// is noticed when it works again.
pub(crate) async fn probe(core: Arc<Core>) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if core.config.cluster && core.router.trouble().is_some() {
            // Another server may have become the primary.
            let _ = core.router.refresh().await;
        }
        let places = core.shards.iter().map(|shard| &shard.place);
        for (link, place) in core.router.links(places) {
            let mut write = redis::cmd("HSET");
            write.arg(place.key("meta")).arg("probe").arg(1);
            let trouble = link.send(&write).await.err();
            link.note(trouble.map(|failure| failure.reason()));
        }
    }
}

/// Takes what is too old or too much, and what expired, a little at a time.
pub(crate) async fn keep(core: Arc<Core>) {
    let mut ticks = interval(KEEP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now = core.now();
        for shard in &core.shards {
            let level = core.level.load(Ordering::Relaxed);
            let kept = core.ask(shard, &UPKEEP, KEYS, |call: &mut Cmd| {
                call.arg(now).arg(core.old(now)).arg(level).arg(STEPS_MAX);
            });
            match kept.await {
                Ok((_, meta, _)) => {
                    if let Some(ring) = shard.ring()
                        && ring.extent().epoch == meta.epoch
                    {
                        ring.trim(meta.floor.min(ring.extent().head));
                    }
                }
                Err(failure) => {
                    let reason = failure.reason();
                    debug!(partition = %shard.partition, %reason, "no upkeep");
                }
            }
        }
        level(&core);
        for index in 0..core.session_shards() {
            let keys = core.session_keys(index);
            let mut call = FORGET.call(&keys);
            call.arg(now);
            let place = &core.shards[index].place;
            if let Ok(answer) = core.router.run(place, &FORGET, &call).await
                && let Some(count) = reply::number(&answer)
            {
                core.sessions[index].store(count, Ordering::Relaxed);
            }
        }
    }
}

/// Finds how much each partition may hold: what the small ones do not need is for the large ones.
fn level(core: &Core) {
    let mut sizes: Vec<u64> = core.shards.iter().map(|shard| shard.bytes()).collect();
    sizes.sort_unstable();
    let level = water_level(&sizes, core.config.retention_bytes);
    core.level.store(level, Ordering::Relaxed);
}

/// The level at which `sizes`, smallest first, hold `total` together when each is cut off there.
/// One that is alone at the top may take all that is left.
fn water_level(sizes: &[u64], total: u64) -> u64 {
    let (mut left, mut count) = (total, sizes.len() as u64);
    for size in sizes {
        let share = left / count.max(1);
        if *size > share || count == 1 {
            return share;
        }
        left -= size;
        count -= 1;
    }
    total
}

const PROBE_INTERVAL: Duration = Duration::from_millis(500);
const KEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How much of anything is taken of a partition at a time.
const STEPS_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_small_partitions_leave_is_for_the_large_ones() {
        for (sizes, total, expected) in [
            (&[0, 0, 0, 0][..], 100, 100),
            (&[0, 0, 10, 500], 100, 90),
            (&[10, 200, 300], 100, 45),
            (&[40, 40, 40], 90, 30),
            (&[500], 100, 100),
        ] {
            assert_eq!(water_level(sizes, total), expected, "{sizes:?}");
        }
    }
}
