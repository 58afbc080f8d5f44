//! The clock: the only place that reads the system time.
//!
//! Tests use a fixed clock and advance it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::domain::Timestamp;

/// A source of time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that is fixed until a test advances it.
    Fixed(Arc<AtomicI64>),
    /// The system clock, a number of milliseconds behind: for the history of the demonstration.
    Behind(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that is fixed at `at`.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.0)))
    }

    /// The system clock, behind by so much until it is told to catch up.
    #[must_use]
    pub fn behind(by_ms: i64) -> Self {
        Self::Behind(Arc::new(AtomicI64::new(by_ms)))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(system_ms()),
            Self::Behind(by) => Timestamp(system_ms().saturating_sub(by.load(Ordering::Relaxed))),
            Self::Fixed(at) => Timestamp(at.load(Ordering::Relaxed)),
        }
    }

    /// The moment that is so long from now.
    #[must_use]
    pub fn later(&self, by: Duration) -> Timestamp {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        Timestamp(self.now().0.saturating_add(by))
    }

    /// Advances a fixed clock, or one that is behind; the system clock cannot be changed.
    pub fn advance_ms(&self, by_ms: i64) {
        match self {
            Self::System => {}
            Self::Fixed(at) => {
                at.fetch_add(by_ms, Ordering::Relaxed);
            }
            Self::Behind(by) => {
                by.fetch_sub(by_ms, Ordering::Relaxed);
            }
        }
    }

    /// Lets a clock that is behind advance until it is behind by no more than this. No clock goes
    /// back.
    pub fn catch_up(&self, to_ms: i64) {
        if let Self::Behind(by) = self {
            by.fetch_min(to_ms, Ordering::Relaxed);
        }
    }
}

fn system_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// A monotonic instant, for measuring durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one home of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Time since the machine was started, with the time for which it was suspended: what `monotonic`
/// leaves out. For what must be over after a sleep.
#[must_use]
pub fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// A moment as RFC 3339 text in UTC, such as `2026-11-24T12:00:00.123Z`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// Parses RFC 3339 text.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let at: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

/// The first moment of a day in UTC; `None` if there is no such day.
#[must_use]
pub fn day_start(year: i16, month: i8, day: i8) -> Option<Timestamp> {
    let day = jiff::civil::Date::new(year, month, day).ok()?;
    let days = jiff::civil::Date::constant(1970, 1, 1).until(day).ok()?.get_days();
    Some(Timestamp(i64::from(days) * 86_400_000))
}

/// The time in the format of HTTP (RFC 9110, section 5.6.7), such as `Tue, 24 Nov 2026 12:00:00
/// GMT`.
#[must_use]
pub fn http_date() -> String {
    let written = jiff::fmt::rfc2822::DateTimePrinter::new();
    written.timestamp_to_rfc9110_string(&jiff::Timestamp::now()).unwrap_or_default()
}

/// A moment as people read it, to the minute and in UTC, such as `24 November 2026, 12:00 UTC`.
#[must_use]
pub fn written_out(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

/// The day of a moment as people read it, in UTC, such as `24 Nov 2026`.
#[must_use]
pub fn day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%-d %b %Y").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_late_only_catches_up() {
        let clock = Clock::behind(10_000_000);
        let late = || Clock::System.now().0 - clock.now().0;
        // The machine goes on meanwhile, by far less than is between any two of these.
        assert!((9_000_000..=10_000_000).contains(&late()));
        clock.advance_ms(5_000_000);
        assert!((4_000_000..=5_000_000).contains(&late()));
        clock.catch_up(9_000_000);
        assert!((4_000_000..=5_000_000).contains(&late()), "it went back");
        clock.catch_up(0);
        assert!((-1_000_000..=0).contains(&late()));
    }

    #[test]
    fn a_moment_is_written_out() {
        assert_eq!(written_out(Timestamp(0)), "1 January 1970, 00:00 UTC");
        assert_eq!(written_out(Timestamp(1_795_521_659_999)), "24 November 2026, 12:00 UTC");
        assert_eq!(day(Timestamp(1_795_521_659_999)), "24 Nov 2026");
        assert_eq!(
            moment(&rfc3339(Timestamp(1_795_521_659_999))),
            Some(Timestamp(1_795_521_659_999))
        );
        assert_eq!(moment("2026"), None);
    }
}
