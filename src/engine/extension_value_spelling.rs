//! Values of Cedar's extension types: converts common spellings to the one that Cedar parses.
//!
//! Converts only if the value stays exactly the same. Unknown spellings are passed on unchanged,
//! for Cedar to reject.

use std::borrow::Cow;

use crate::clock;
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

/// The milliseconds since 1970 of a date, or of a date and time in UTC, in a form that Cedar parses;
/// `None` for any other text, which Cedar may take.
pub(super) fn datetime_ms(text: &str) -> Option<i64> {
    let (date, time) = text.split_at_checked("2026-01-31".len())?;
    let [year, month, day] = numbers(date, b"0000-00-00", [(0, 4), (5, 7), (8, 10)])?;
    let start = clock::day_start(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?)?;
    let [hour, minute, second, ms] = match time.strip_prefix('T').map(|time| time.strip_suffix('Z'))
    {
        None if time.is_empty() => [0; 4],
        None | Some(None) => return None,
        Some(Some(time)) if time.len() == "08:00:00".len() => {
            let [hour, minute, second] = numbers(time, b"00:00:00", [(0, 2), (3, 5), (6, 8)])?;
            [hour, minute, second, 0]
        }
        Some(Some(time)) => numbers(time, b"00:00:00.000", [(0, 2), (3, 5), (6, 8), (9, 12)])?,
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let minutes = i64::from(hour) * 60 + i64::from(minute);
    let ms_of_day = (minutes * 60 + i64::from(second)) * 1_000 + i64::from(ms);
    Some(start.0 + ms_of_day)
}

/// The numbers at these places of a text of this form, in which a `0` stands for any digit.
fn numbers<const N: usize>(text: &str, form: &[u8], at: [(usize, usize); N]) -> Option<[i16; N]> {
    let fits =
        |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
    if text.len() != form.len() || !text.as_bytes().iter().zip(form).all(fits) {
        return None;
    }
    let mut found = [0; N];
    for (number, (from, to)) in found.iter_mut().zip(at) {
        *number = text.get(from..to)?.parse().ok()?;
    }
    Some(found)
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
    use cedar_policy::{
        Context, Entities, EntityUid, EvalResult, Request, RestrictedExpression, eval_expression,
    };

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

    /// What is read here is what Cedar reads, to the millisecond; what Cedar refuses is not read.
    #[test]
    fn the_milliseconds_of_a_date_are_those_of_cedar() {
        let entities = Entities::empty();
        let uid: EntityUid = "A::\"a\"".parse().unwrap();
        let request = Request::new(uid.clone(), uid.clone(), uid, Context::empty(), None).unwrap();
        let by_cedar = |text: &str| {
            let expression = format!(
                "datetime({text:?}).durationSince(datetime(\"1970-01-01\")).toMilliseconds()"
            );
            match eval_expression(&request, &entities, &expression.parse().ok()?) {
                Ok(EvalResult::Long(ms)) => Some(ms),
                _ => None,
            }
        };
        let mut read = 0;
        for year in ["0000", "0001", "1600", "1969", "1970", "2024", "2026", "2100", "9999", "26"] {
            for day in [
                "01-01", "02-28", "02-29", "02-30", "12-31", "13-01", "00-10", "06-31", "6-01",
                "+1-01",
            ] {
                for time in [
                    "",
                    "T00:00:00Z",
                    "T23:59:59.999Z",
                    "T23:59:60Z",
                    "T24:00:00Z",
                    "T08:60:00Z",
                    "T08:00:00.5Z",
                    "T08:00:00",
                    "t08:00:00Z",
                    " 08:00:00Z",
                    "T08:00:00.001Z",
                    "T8:00:00Z",
                    "T08:00:00+00:00",
                ] {
                    let text = format!("{year}-{day}{time}");
                    let own = datetime_ms(&text);
                    let expected = by_cedar(&text);
                    assert!(
                        own.is_none() || own == expected,
                        "{text}: {own:?}, Cedar: {expected:?}"
                    );
                    // All of these forms that Cedar takes are read.
                    assert_eq!(own, expected, "{text}");
                    read += usize::from(own.is_some());
                }
            }
        }
        assert!(read > 100, "{read}");
        for text in
            ["2026-01-31T08:00:00+0100", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", "", "2026-01-3\u{660}"]
        {
            assert_eq!(datetime_ms(text), None, "{text}");
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
