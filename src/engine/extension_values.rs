//! Values of Cedar's extension types: converts common spellings to the one that Cedar parses.
//!
//! Converts only if the value stays exactly the same. Unknown spellings are passed on unchanged,
//! for Cedar to reject.

use std::borrow::Cow;

use crate::domain::Value;

/// A date and time of RFC 3339 in the form that Cedar parses: `T` and `Z` in upper case, no colon
/// in the offset, a fraction of three digits or none.
pub(super) fn datetime(text: &str) -> Cow<'_, str> {
    rfc3339(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

fn rfc3339(text: &str) -> Option<String> {
    let (date, time) = text.split_at_checked("2026-01-31".len())?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = time.split_at_checked("08:00:00".len())?;
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    // More than three digits are allowed only if the others are zeros.
    let fraction = match fraction.trim_end_matches('0') {
        _ if fraction.is_empty() => return None,
        "" => String::new(),
        digits if digits.len() <= 3 => format!(".{digits:0<3}"),
        _ => return None,
    };
    let offset = match offset.split_once(':') {
        Some((hours, minutes)) if hours.len() == 3 => format!("{hours}{minutes}"),
        _ => offset.replace('z', "Z"),
    };
    Some(format!("{date}T{time}{fraction}{offset}"))
}

/// Below this a decimal has at most 15 significant digits, which every floating-point number
/// represents: so the parsed number identifies the decimal.
const EXACT_BELOW: f64 = 1e11;

/// A JSON number as a decimal; `None` if it has no exact one.
pub(super) fn decimal(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Long(number) => Some(format!("{number}.0")),
        // Cedar refuses more than four digits behind the point.
        Value::Double(number) if number.abs() < EXACT_BELOW => Some(format!("{number:?}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::{Context, RestrictedExpression};

    use super::*;

    fn is_read(expression: RestrictedExpression) -> bool {
        Context::from_pairs([("value".to_owned(), expression)]).is_ok()
    }

    #[test]
    fn a_moment_of_rfc_3339_is_the_same_moment_to_cedar() {
        for (text, read) in [
            ("2026-01-31T08:00:00+01:00", "2026-01-31T08:00:00+0100"),
            ("2026-01-31T08:00:00-00:30", "2026-01-31T08:00:00-0030"),
            ("2026-01-31t08:00:00z", "2026-01-31T08:00:00Z"),
            ("2026-01-31 08:00:00Z", "2026-01-31T08:00:00Z"),
            ("2026-01-31T08:00:00.5Z", "2026-01-31T08:00:00.500Z"),
            ("2026-01-31T08:00:00.120000+05:45", "2026-01-31T08:00:00.120+0545"),
            ("2026-01-31T08:00:00.000000Z", "2026-01-31T08:00:00Z"),
            ("2026-01-31T08:00:00+0100", "2026-01-31T08:00:00+0100"),
            ("2026-01-31", "2026-01-31"),
        ] {
            assert_eq!(datetime(text), read, "{text}");
            assert!(is_read(RestrictedExpression::new_datetime(datetime(text))), "{text}");
        }
        for text in [
            "2026-01-31T08:00:00",
            "2026-01-31T08:00:00.1234Z",
            "2026-01-31T08:00:00.Z",
            "2026-01-31T08:00:00.5",
            "2026-01-31T08:00:00+01:00:00",
            "2026-01-31T08:00:00+1:00",
            "2026-01-31T08:00:00:",
            "2026-01-31T08:00:00Z:",
            "2026-02-30T08:00:00+01:00",
            "31.01.2026 08:00:00+01:00",
            "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}T08:00:00Z",
            "today",
        ] {
            assert!(!is_read(RestrictedExpression::new_datetime(datetime(text))), "{text}");
        }
    }

    #[test]
    fn a_number_is_a_decimal_where_it_is_one_exactly() {
        let double = |number| decimal(&Value::Double(number));
        assert_eq!(decimal(&Value::Long(-2)).as_deref(), Some("-2.0"));
        assert_eq!(double(1.25).as_deref(), Some("1.25"));
        assert_eq!(double(-0.0).as_deref(), Some("-0.0"));
        assert_eq!(double(-99_999_999_999.999_9).as_deref(), Some("-99999999999.9999"));
        assert_eq!(double(100_000_000_000.5), None);
        assert_eq!(double(f64::NAN), None);
        for number in [0.123_45, 1e-7] {
            assert!(!is_read(RestrictedExpression::new_decimal(double(number).unwrap())));
        }
    }
}
