//! A JSON reader that rejects duplicate keys, limits the depth, and borrows from the input where
//! possible.
//!
//! Most readers keep the last of two equal keys; here they are an error, because it is unclear
//! which value the caller meant.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::domain::access_query::Record;
use crate::domain::{Failure, Kind, Value, input_cleanup, limits};

/// Up to this many keys a scan is faster than a set.
const SCANNED_MAX: usize = 16;

/// Reads a whole body.
///
/// # Errors
/// `Invalid` with line and column, when it is not JSON, nests too deeply, or names a member twice.
pub(super) fn parse(body: &[u8]) -> Result<Value<'_>, Failure> {
    let refuse = |fault: serde_json::Error| {
        Failure::new(Kind::Invalid, "bad_json", format!("the body cannot be read as JSON: {fault}"))
    };
    if body.is_empty() {
        return Err(Failure::new(
            Kind::Invalid,
            "bad_json",
            "the body is empty: send a JSON object",
        ));
    }
    let body = input_cleanup::without_byte_order_mark(body);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = DepthLimited(limits::JSON_DEPTH_MAX).deserialize(&mut reader).map_err(refuse)?;
    reader.end().map_err(refuse)?;
    Ok(value)
}

/// Reads a value of limited depth.
#[derive(Clone, Copy)]
struct DepthLimited(usize);

impl DepthLimited {
    fn inner<E: serde::de::Error>(self) -> Result<Self, E> {
        self.0.checked_sub(1).map(Self).ok_or_else(|| {
            E::custom(format!("it nests deeper than {} levels", limits::JSON_DEPTH_MAX))
        })
    }
}

impl<'de> DeserializeSeed<'de> for DepthLimited {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for DepthLimited {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Long(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(i64::try_from(value).map_or(Value::Double(value as f64), Value::Long))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Value::Double(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Value::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let inner = self.inner()?;
        let mut record = Record::with_capacity(4);
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key_seed(Name)? {
            if is_repeated(&record, &mut seen, &name) {
                return Err(A::Error::custom(format!("the key `{name}` is given twice")));
            }
            record.push((name, members.next_value_seed(inner)?));
        }
        Ok(Value::Record(record))
    }
}

/// Few keys are scanned; a set takes over before the scan becomes quadratic.
fn is_repeated<'de>(record: &Record<'de>, seen: &mut HashSet<String>, name: &str) -> bool {
    if record.len() < SCANNED_MAX {
        return record.iter().any(|(known, _)| known == name);
    }
    if seen.is_empty() {
        seen.extend(record.iter().map(|(known, _)| known.clone().into_owned()));
    }
    !seen.insert(name.to_owned())
}

/// Reads a key, borrowed if it has no escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        reader.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().public
    }

    #[test]
    fn members_stand_once_at_any_depth() {
        assert!(refused(r#"{"a":1,"a":2}"#).contains("`a` is given twice"));
        assert!(refused(r#"{"x":[{"y":{"b":1,"b":1}}]}"#).contains("`b` is given twice"));
        assert!(refused(r#"{"\u0061":1,"a":2}"#).contains("`a` is given twice"));
        let many: Vec<String> = (0..40).map(|n| format!("\"m{n}\":0")).collect();
        assert!(parse(format!("{{{}}}", many.join(",")).as_bytes()).is_ok());
        assert!(refused(&format!("{{{},\"m39\":1}}", many.join(","))).contains("`m39`"));
        assert!(refused(&format!("{{{},\"m3\":1}}", many.join(","))).contains("`m3`"));
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(limits::JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert!(refused(&nested(limits::JSON_DEPTH_MAX + 1)).contains("nests deeper"));
        assert!(refused(&nested(100_000)).contains("nests deeper"));
    }

    #[test]
    fn what_is_not_json_is_named_by_place() {
        for body in ["{", "{}x", "nul", r#"{"a":"\ud800"}"#, "{\"a\":\"\u{1}\"}", "[1,]", "1e999"] {
            assert!(refused(body).contains("line 1 column"), "{body}: {}", refused(body));
        }
        assert!(parse(b"\xff\xfe").is_err());
        assert!(parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn a_byte_order_mark_before_a_body_is_skipped() {
        assert_eq!(parse(b"\xef\xbb\xbf7").unwrap(), Value::Long(7));
        assert!(parse(b"\xef\xbb\xbf\xef\xbb\xbf7").is_err());
    }

    #[test]
    fn numbers_and_borrowing() {
        assert_eq!(parse(b"9223372036854775807").unwrap(), Value::Long(i64::MAX));
        assert!(matches!(parse(b"9223372036854775808").unwrap(), Value::Double(_)));
        assert!(matches!(parse(b"\"plain\"").unwrap(), Value::String(Cow::Borrowed("plain"))));
        assert!(matches!(parse(br#""\n""#).unwrap(), Value::String(Cow::Owned(_))));
    }
}
