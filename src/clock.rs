//! The clock: the only place that asks what time it is.
//!
//! Tests hold a fixed clock and move it; nothing else in the house reads the system's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::domain::Timestamp;

/// A source of time.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's clock.
    System,
    /// A clock that stands still until a test moves it.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at`.
    #[must_use]
    pub fn fixed(at: Timestamp) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.0)))
    }

    /// The time of day.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp(jiff::Timestamp::now().as_millisecond()),
            Self::Fixed(at) => Timestamp(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a fixed clock; the machine's clock is nobody's to move.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Self::Fixed(at) = self {
            at.fetch_add(by_ms, Ordering::Relaxed);
        }
    }
}

/// A mark for measuring how long something takes; never a time of day.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one home of the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A moment as RFC 3339 text in UTC, such as `2026-11-24T12:00:00.123Z`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// A moment as people read it, to the minute and in UTC, such as `24 November 2026, 12:00 UTC`.
#[must_use]
pub fn written_out(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |at| at.strftime("%-d %B %Y, %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_out() {
        assert_eq!(written_out(Timestamp(0)), "1 January 1970, 00:00 UTC");
        assert_eq!(written_out(Timestamp(1_795_521_659_999)), "24 November 2026, 12:00 UTC");
    }
}
