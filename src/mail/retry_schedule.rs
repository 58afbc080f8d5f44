//! The retry schedule of mail.

use crate::domain::Timestamp;

const MINUTE_MS: i64 = 60_000;
/// The delays in minutes after the first attempts; the last one repeats.
const WAITS: [i64; 5] = [1, 5, 15, 60, 240];

/// The next attempt after so many: after 1, 5, 15, 60 and 240 minutes, then every 4 hours, each a
/// fifth longer or shorter by `jitter`, a random byte, so that mails that failed together are not
/// retried together.
#[must_use]
pub fn next_try(attempts: u32, now: Timestamp, jitter: u8) -> Timestamp {
    let tries = usize::try_from(attempts.max(1)).unwrap_or(usize::MAX);
    let minutes = WAITS.get(tries - 1).or(WAITS.last()).copied().unwrap_or(1);
    let wait = minutes * MINUTE_MS;
    let shift = wait * 2 / 5 * i64::from(jitter) / 255 - wait / 5;
    Timestamp(now.0.saturating_add(wait + shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_scatter_by_a_fifth() {
        let minutes = |attempts, jitter| {
            (next_try(attempts, Timestamp(1_000), jitter).0 - 1_000) as f64 / 60_000.0
        };
        for (attempts, wait) in [(0, 1.0), (1, 1.0), (2, 5.0), (3, 15.0), (4, 60.0), (5, 240.0)] {
            assert!((minutes(attempts, 0) - wait * 0.8).abs() < 0.01, "{attempts}");
            assert!((minutes(attempts, 255) - wait * 1.2).abs() < 0.01, "{attempts}");
            assert!((minutes(attempts, 127) - wait).abs() < wait * 0.01, "{attempts}");
        }
        for attempts in [6, 7, 1_000, u32::MAX] {
            assert!((minutes(attempts, 255) - 288.0).abs() < 0.01, "{attempts}");
        }
        assert_eq!(next_try(1, Timestamp(i64::MAX), 0), Timestamp(i64::MAX));
    }
}
