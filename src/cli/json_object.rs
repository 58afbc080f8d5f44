//! A JSON object that stands on the command line: each of its members once, at any depth.
//!
//! As strict as the API that answers decisions: which of two values was meant is not for us to guess.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json};

use super::CommandError;
use crate::domain::input_cleanup;

/// Reads the object of a flag.
///
/// # Errors
/// A usage error that names the flag.
pub(super) fn read(flag: &str, text: &str) -> Result<Map<String, Json>, CommandError> {
    // A pasted file may have a byte order mark.
    match serde_json::from_slice(input_cleanup::without_byte_order_mark(text.as_bytes())) {
        Ok(Once(Json::Object(object))) => Ok(object),
        Ok(_) => Err(CommandError::usage(format!("{flag} must be a JSON object"))),
        Err(fault) if fault.is_data() => Err(CommandError::usage(format!("{flag}: {fault}"))),
        Err(fault) => Err(CommandError::usage(format!("{flag} is not valid JSON: {fault}"))),
    }
}

/// A value in which no object names a member twice.
struct Once(Json);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(OnceVisitor).map(Self)
    }
}

struct OnceVisitor;

impl<'de> Visitor<'de> for OnceVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json, E> {
        Ok(Json::from(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::from(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json, E> {
        Ok(Number::from_f64(number).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(Once(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some((name, Once(value))) = members.next_entry::<String, Once>()? {
            if object.contains_key(&name) {
                let name = name.escape_debug();
                return Err(A::Error::custom(format!("`{name}` is given twice: give it once")));
            }
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Exit;

    #[test]
    fn a_member_stands_once_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"a":1}]}"#, r#"{"\u0061":1,"a":2}"#] {
            let stop = read("--properties", text).unwrap_err();
            assert_eq!(stop.exit, Exit::Usage);
            assert!(
                stop.message.starts_with("--properties: `a` is given twice"),
                "{}",
                stop.message
            );
        }
    }

    #[test]
    fn every_kind_of_value_is_kept() {
        let text =
            r#"{"n":null,"b":true,"i":-7,"u":9223372036854775808,"f":1.5,"t":"x\n","l":[1,{}]}"#;
        let read = read("--context", &format!("\u{feff}{text}")).unwrap();
        assert_eq!(Json::Object(read), serde_json::from_str::<Json>(text).unwrap());
    }

    #[test]
    fn what_is_no_object_is_refused_by_the_name_of_the_flag() {
        for (text, why) in [
            ("7", "must be a JSON object"),
            ("{", "is not valid JSON"),
            ("{} x", "is not valid JSON"),
        ] {
            let stop = read("--context", text).unwrap_err();
            assert!(
                stop.message.contains("--context") && stop.message.contains(why),
                "{}",
                stop.message
            );
        }
    }
}
