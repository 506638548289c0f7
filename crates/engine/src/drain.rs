use std::time::Duration;

use tokio::time::Instant;

use crate::{CloseReason, engine::Shared, outbox::Order};

/// Closes all sessions within `spread`, in waves at uneven times: their clients come back at once,
/// and are not to meet all in the same moment on the nodes that are left.
///
/// A session that opens meanwhile is told by its registration.
pub(crate) async fn close_all<A>(shared: &Shared<A>, spread: Duration) {
    let start = Instant::now();
    // In the order of a hash table, which is no order that clients know of.
    let mut outboxes = shared.sessions.outboxes();
    for (after, len) in waves(outboxes.len(), spread, getrandom::u32) {
        tokio::time::sleep_until(start + after).await;
        for outbox in outboxes.drain(..len) {
            outbox.order(Order::Close(CloseReason::ShuttingDown));
        }
    }
}

/// Fewer sessions than this need no waves.
const WAVE_LEN_MIN: usize = 100;

const WAVES_MAX: u32 = 50;

/// When each wave begins and how many sessions it closes: each within its own part of `spread`,
/// at a moment of chance.
fn waves<E>(
    sessions: usize,
    spread: Duration,
    random: impl Fn() -> Result<u32, E>,
) -> impl Iterator<Item = (Duration, usize)> {
    let count = if spread.is_zero() {
        1
    } else {
        let needed = u32::try_from(sessions.div_ceil(WAVE_LEN_MIN)).unwrap_or(u32::MAX);
        needed.clamp(1, WAVES_MAX)
    };
    // One wave does not wait.
    let part = if count == 1 {
        Duration::ZERO
    } else {
        spread / count
    };
    let mut rest = sessions;
    (0..count).map(move |wave| {
        let len = rest.div_ceil((count - wave) as usize);
        rest -= len;
        // Without randomness the waves are even, which is no reason not to go.
        let bits = random().unwrap_or(u32::MAX / 2);
        let after = part * wave + part.mul_f64(f64::from(bits) / f64::from(u32::MAX));
        (after, len)
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn planned(sessions: usize, spread_ms: u64, bits: u32) -> Vec<(Duration, usize)> {
        let spread = Duration::from_millis(spread_ms);
        waves(sessions, spread, || Ok::<_, Infallible>(bits)).collect()
    }

    #[test]
    fn every_session_is_closed_within_the_spread_and_in_no_wave_too_many() {
        for sessions in [0, 1, 100, 101, 250, 4_999, 100_000] {
            for bits in [0, u32::MAX / 3, u32::MAX] {
                let waves = planned(sessions, 2_000, bits);

                let closed: usize = waves.iter().map(|(_, len)| len).sum();
                assert_eq!(closed, sessions);
                assert!(waves.is_sorted_by_key(|(after, _)| *after));
                assert!(waves.iter().all(|(after, _)| after.as_millis() <= 2_000));
                let most = sessions.div_ceil(WAVES_MAX as usize).max(WAVE_LEN_MIN);
                assert!(waves.iter().all(|(_, len)| *len <= most), "{waves:?}");
            }
        }
    }

    #[test]
    fn few_sessions_or_no_spread_are_one_wave_at_once() {
        assert_eq!(planned(100, 2_000, u32::MAX), [(Duration::ZERO, 100)]);
        assert_eq!(planned(100_000, 0, u32::MAX), [(Duration::ZERO, 100_000)]);
    }

    #[test]
    fn chance_moves_a_wave_within_its_part() {
        let [(_, 100), (early, 100)] = planned(200, 1_000, 0)[..] else {
            panic!("two waves")
        };
        let (late, _) = planned(200, 1_000, u32::MAX)[1];

        assert_eq!(early.as_millis(), 500);
        assert!(late > Duration::from_millis(990), "{late:?}");
    }
}
