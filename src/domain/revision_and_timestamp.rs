//! Monotonic numbers: the store's revision and a record's version; and timestamps.
//!
//! Newtypes, so that no two bare integers are confused in a signature.

use std::fmt;
use std::time::Duration;

use super::limits;

/// The store's revision: increases by one with each change. 0 is the empty store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record's version, for `If-Match`: 1 at first, increases by one with each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// The version of a new record.
    pub const FIRST: Self = Self(1);

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Whether this lies so far after `now` that the clock was wrong when it was written down, or is
    /// now. What was made then is over: it would else last as long as the clock was wrong.
    #[must_use]
    pub fn is_ahead_of(self, now: Self) -> bool {
        self.0 > now.later(limits::CLOCK_AHEAD_MAX).0
    }

    /// Whether what lasts so long and ends at this moment has begun and has not ended.
    #[must_use]
    pub fn ends_within(self, lifetime: Duration, now: Self) -> bool {
        now < self && !self.is_ahead_of(now.later(lifetime))
    }

    /// The moment so much later.
    #[must_use]
    pub fn later(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}
