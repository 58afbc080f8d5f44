//! Times for people: relative, with the date and the zone beside it.
//!
//! Written in UTC and marked as such; the script converts them to the reader's time zone.

use std::fmt;

use crate::clock;
use crate::domain::Timestamp;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const MONTH: i64 = 30 * DAY;
const YEAR: i64 = 365 * DAY;

/// A time in a page: `Display` writes a `time` element, which needs no escaping.
pub(super) struct TimeLabel {
    at: Timestamp,
    /// The reference for a relative time; `None` for an absolute one.
    now: Option<Timestamp>,
    /// Only the day.
    day: bool,
    /// Shows the exact time as a tooltip.
    exact: bool,
}

impl TimeLabel {
    /// The date and the time.
    pub(super) const fn exactly(at: Timestamp) -> Self {
        Self { at, now: None, day: false, exact: false }
    }

    /// The day without the time.
    pub(super) const fn day(at: Timestamp) -> Self {
        Self { at, now: None, day: true, exact: false }
    }

    /// A relative time.
    pub(super) const fn from(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now: Some(now), day: false, exact: true }
    }

    /// The same for lists, without a tooltip.
    pub(super) const fn roughly(at: Timestamp, now: Timestamp) -> Self {
        Self { exact: false, ..Self::from(at, now) }
    }

    /// The same as text, without an element.
    pub(super) fn words(&self) -> String {
        match self.now {
            None if self.day => clock::day(self.at),
            None => clock::written_out(self.at),
            Some(now) => apart(now.0.saturating_sub(self.at.0)),
        }
    }
}

impl fmt::Display for TimeLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (machine, words) = (clock::rfc3339(self.at), self.words());
        match self.now {
            Some(_) if !self.exact => {
                write!(f, r#"<time datetime="{machine}" data-ago>{words}</time>"#)
            }
            Some(_) => {
                let full = clock::written_out(self.at);
                write!(f, r#"<time datetime="{machine}" title="{full}" data-ago>{words}</time>"#)
            }
            None if self.day => write!(f, r#"<time datetime="{machine}" data-day>{words}</time>"#),
            None => write!(f, r#"<time datetime="{machine}">{words}</time>"#),
        }
    }
}

/// A relative time: past if positive.
fn apart(ms: i64) -> String {
    let (size, past) = (ms.saturating_abs(), ms >= 0);
    if size < MINUTE {
        return if past { "just now" } else { "in a moment" }.to_owned();
    }
    // The future is rounded: just after 72 hours have begun, they are 3 days and not 2.
    let count = |unit: i64| if past { size / unit } else { size.saturating_add(unit / 2) / unit };
    let units =
        [(MINUTE, 60, "minute"), (HOUR, 24, "hour"), (DAY, 30, "day"), (MONTH, 12, "month")];
    let found = units.into_iter().find(|(unit, most, _)| count(*unit) < *most);
    let (unit, name) = found.map_or((YEAR, "year"), |(unit, _, name)| (unit, name));
    let count = count(unit).max(1);
    let many = if count == 1 { "" } else { "s" };
    if past { format!("{count} {name}{many} ago") } else { format!("in {count} {name}{many}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_told_in_the_largest_unit() {
        let told = [
            (0, "just now"),
            (-1, "in a moment"),
            (MINUTE, "1 minute ago"),
            (HOUR - 1, "59 minutes ago"),
            (-DAY, "in 1 day"),
            (45 * DAY, "1 month ago"),
            (800 * DAY, "2 years ago"),
            (362 * DAY, "1 year ago"),
            (1 - 3 * DAY, "in 3 days"),
            (3 * DAY - 1, "2 days ago"),
            (-60 * HOUR + 1, "in 2 days"),
            (1 - HOUR, "in 1 hour"),
            (1 - DAY, "in 1 day"),
        ];
        for (ms, words) in told {
            assert_eq!(apart(ms), words, "{ms}");
        }
    }
}
