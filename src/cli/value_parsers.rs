//! Values on the command line that clap does not check by itself: each says what to type instead.

use crate::config;
use crate::domain::access_query::type_and_id;
use crate::domain::limits;

/// Seconds of a day.
const DAY: u64 = 86_400;

/// A value that says something: an empty one is a variable of a script that was not set.
pub(super) fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// A resource, as a type and an id.
pub(super) fn resource(text: &str) -> Result<String, String> {
    let named = type_and_id(text).map(|_| text.to_owned());
    named.ok_or_else(|| "give TYPE:ID, such as `doc:1`".to_owned())
}

/// Days that an API token may live, as `90` or `90d`.
pub(super) fn token_days(text: &str) -> Result<u64, String> {
    let most = limits::API_TOKEN_DAYS_MAX;
    let days = text.trim().trim_end_matches('d').parse().ok();
    days.filter(|days| (1..=most).contains(days))
        .ok_or_else(|| format!("give a number of days from 1 to {most}, such as `90`"))
}

/// Seconds up to a day, as `90` or `2m`.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let seconds = text.parse().ok().or_else(|| config::duration(text).map(|time| time.as_secs()));
    seconds
        .filter(|seconds| (1..=DAY).contains(seconds))
        .ok_or_else(|| format!("give seconds from 1 to {DAY}, such as `90`, or `2m`"))
}

/// Whole hours that an invite may live.
pub(super) fn invite_hours(text: &str) -> Result<u64, String> {
    let hour = limits::INVITE_LIFETIME_MIN.as_secs();
    let most = limits::INVITE_LIFETIME_MAX.as_secs();
    let seconds = config::duration(text.trim()).map(|time| time.as_secs());
    let whole = seconds.filter(|seconds| seconds % hour == 0 && (hour..=most).contains(seconds));
    whole.map(|seconds| seconds / hour).ok_or_else(|| {
        format!("give whole hours from `1h` to `{}h`, such as `72h` or `3d`", most / hour)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_times_are_taken_with_their_unit_and_told_with_their_range() {
        assert_eq!((token_days("90"), token_days("90d")), (Ok(90), Ok(90)));
        for text in ["2027-01-31", "0", "366", "", "d", "-1"] {
            assert!(token_days(text).unwrap_err().contains("from 1 to 365"), "{text}");
        }
        assert_eq!((seconds("90"), seconds("2m"), seconds("1d")), (Ok(90), Ok(120), Ok(DAY)));
        for text in ["2d", "0", "soon", "1.5"] {
            assert!(seconds(text).unwrap_err().contains("from 1 to 86400"), "{text}");
        }
        assert_eq!((invite_hours("72h"), invite_hours("30d")), (Ok(72), Ok(720)));
        for text in ["1000h", "90m", "72", "0h"] {
            assert!(invite_hours(text).unwrap_err().contains("from `1h` to `720h`"), "{text}");
        }
    }

    #[test]
    fn a_resource_has_a_type_and_an_id() {
        assert_eq!(resource("doc:urn:1"), Ok("doc:urn:1".to_owned()));
        for text in ["doc", "doc:", ":1", "A::B", ""] {
            assert!(resource(text).unwrap_err().contains("TYPE:ID"), "{text}");
        }
    }

    #[test]
    fn an_empty_value_is_none() {
        assert_eq!(filled("a"), Ok("a".to_owned()));
        assert!(filled("").is_err() && filled(" \t").is_err());
    }
}
