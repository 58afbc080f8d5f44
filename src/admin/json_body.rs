//! Parsing of JSON bodies: one object without duplicate keys, read field by field.
//!
//! All faults of a body are reported together, under the names of its fields (`items[3].email`):
//! wrong types, missing and unknown fields, and violations of a field's own rule. Strict: a number
//! is not accepted as a string, and `null` is an absent value.

use std::fmt;
use std::mem;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use serde_json::Value;

use super::query_params::{faulty, meant};
use crate::domain::{Failure, Kind, input_cleanup, limits};
use crate::http::Request;

/// The fields of an object, each removed by the call that reads it.
#[derive(Debug)]
pub(super) struct JsonBody {
    /// The prefix of the names of its fields.
    place: String,
    given: Vec<(String, JsonField)>,
    known: Vec<&'static str>,
    faults: Vec<(String, String)>,
}

impl JsonBody {
    /// Reads the body of a request, up to this size.
    ///
    /// # Errors
    /// `Invalid` when it is not JSON, not an object or names a field twice; `TooLarge`; `Timeout`.
    pub(super) async fn read(request: &mut Request, most: usize) -> Result<Self, Failure> {
        if !request.content_type_is_json() {
            return Err(Failure::new(
                Kind::Invalid,
                "content_type",
                "the body must be JSON: send it with `content-type: application/json`",
            ));
        }
        let body = request.body(most).await?;
        Self::parse(&body)
    }

    /// Reads the body of a call that takes none: what somebody sends must not be ignored silently.
    ///
    /// # Errors
    /// `Invalid`, when there is anything in it.
    pub(super) async fn nothing(request: &mut Request) -> Result<(), Failure> {
        if !request.has_body() {
            return Ok(());
        }
        Self::read(request, limits::OPEN_BODY_BYTES_MAX).await?.done(Some(()))
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        match serde_json::from_slice(input_cleanup::without_byte_order_mark(body)) {
            Ok(JsonField::Object(given)) => Ok(Self::of(String::new(), given)),
            Ok(_) => Err(unreadable("it is another JSON value")),
            Err(fault) => Err(unreadable(&fault.to_string())),
        }
    }

    fn of(place: String, given: Vec<(String, JsonField)>) -> Self {
        Self { place, given, known: Vec::new(), faults: Vec::new() }
    }

    /// Whether a field is given, without taking it out.
    pub(super) fn names(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        match self.take(name)? {
            JsonField::Text(text) => {
                parse(&text).map_err(|failure| self.fault(name, failure.public)).ok()
            }
            _ => self.refuse(name, "must be a string"),
        }
    }

    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        self.insist(name);
        self.optional(name, parse)
    }

    /// An optional boolean.
    pub(super) fn flag(&mut self, name: &'static str) -> Option<bool> {
        match self.take(name)? {
            JsonField::Flag(flag) => Some(flag),
            _ => self.refuse(name, "must be `true` or `false`"),
        }
    }

    /// An optional whole number.
    pub(super) fn whole(&mut self, name: &'static str, within: RangeInclusive<u64>) -> Option<u64> {
        match self.take(name)? {
            JsonField::Whole(number) if within.contains(&number) => Some(number),
            _ => {
                let (least, most) = within.into_inner();
                self.refuse(name, &format!("must be a whole number from {least} to {most}"))
            }
        }
    }

    pub(super) fn required_whole(
        &mut self,
        name: &'static str,
        within: RangeInclusive<u64>,
    ) -> Option<u64> {
        self.insist(name);
        self.whole(name, within)
    }

    /// A required word of a list.
    pub(super) fn word<T: Clone>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Option<T> {
        self.required(name, |text| meant(name, words, text))
    }

    /// A required array of strings, not empty.
    pub(super) fn texts<T>(
        &mut self,
        name: &'static str,
        most: usize,
        parse: impl Fn(&str) -> Result<T, Failure>,
    ) -> Option<Vec<T>> {
        let mut read = Vec::new();
        for (index, given) in self.list(name, most)?.into_iter().enumerate() {
            let place = format!("{name}[{index}]");
            match given {
                JsonField::Text(text) => match parse(&text) {
                    Ok(value) => read.push(value),
                    Err(failure) => self.fault(&place, failure.public),
                },
                _ => self.fault(&place, format!("`{place}` must be a string")),
            }
        }
        Some(read)
    }

    /// A required object that is passed on as JSON, up to this size.
    pub(super) fn object(&mut self, name: &'static str, most: usize) -> Option<String> {
        self.insist(name);
        match self.take(name)? {
            given @ JsonField::Object(_) => {
                let text = Value::from(given).to_string();
                if text.len() <= most {
                    return Some(text);
                }
                self.refuse(name, &format!("must not be longer than {most} bytes of JSON"))
            }
            _ => self.refuse(name, "must be an object"),
        }
    }

    /// A required array of objects, not empty. `read` reads the fields of each.
    pub(super) fn items<T>(
        &mut self,
        name: &'static str,
        most: usize,
        read: impl Fn(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut items = Vec::new();
        for (index, given) in self.list(name, most)?.into_iter().enumerate() {
            let place = format!("{name}[{index}]");
            let JsonField::Object(given) = given else {
                self.fault(&place, format!("`{place}` must be an object"));
                continue;
            };
            let mut item = Self::of(format!("{}{place}.", self.place), given);
            items.extend(read(&mut item));
            self.faults.extend(item.end());
        }
        Some(items)
    }

    fn list(&mut self, name: &'static str, most: usize) -> Option<Vec<JsonField>> {
        self.insist(name);
        match self.take(name)? {
            JsonField::List(list) if (1..=most).contains(&list.len()) => Some(list),
            _ => self.refuse(name, &format!("must be an array of 1 to {most}")),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<JsonField> {
        self.known.push(name);
        let place = self.given.iter().position(|(given, _)| given == name)?;
        Some(self.given.swap_remove(place).1)
    }

    fn insist(&mut self, name: &'static str) {
        if !self.names(name) {
            self.fault(name, format!("`{}{name}` is missing", self.place));
        }
    }

    fn refuse<T>(&mut self, name: &str, why: &str) -> Option<T> {
        self.fault(name, format!("`{}{name}` {why}", self.place));
        None
    }

    /// Adds a fault of a field beyond its own rule.
    pub(super) fn fault(&mut self, name: &str, reason: String) {
        self.faults.push((format!("{}{name}", self.place), reason));
    }

    /// Checks that no fields are left and returns `value` if there is no fault. It is `None` only
    /// if a required field was faulty.
    ///
    /// # Errors
    /// `Invalid` with every fault.
    pub(super) fn done<T>(mut self, value: Option<T>) -> Result<T, Failure> {
        faulty(self.end())?;
        value.ok_or_else(|| Failure::internal("a form without faults and without value"))
    }

    /// The same for an edit, which must change something.
    ///
    /// # Errors
    /// `Invalid` with every fault, or `no_change`.
    pub(super) fn changing<T>(mut self, value: T, changes: bool) -> Result<T, Failure> {
        let fields = self.known.join("`, `");
        faulty(self.end())?;
        if changes {
            return Ok(value);
        }
        let text = format!("the body changes nothing: give one of `{fields}`");
        Err(Failure::new(Kind::Invalid, "no_change", text))
    }

    /// All faults; fields that were not read are unknown.
    fn end(&mut self) -> Vec<(String, String)> {
        let known = match self.known.as_slice() {
            [] => "leave it out".to_owned(),
            known => format!("use `{}`", known.join("`, `")),
        };
        for (name, _) in mem::take(&mut self.given) {
            let shown = name.escape_debug().to_string();
            self.fault(&shown, format!("there is no field `{}{shown}`: {known}", self.place));
        }
        mem::take(&mut self.faults)
    }
}

fn unreadable(why: &str) -> Failure {
    Failure::new(Kind::Invalid, "body", format!("the body must be one JSON object: {why}"))
}

/// A JSON value of a body.
#[derive(Debug, PartialEq)]
enum JsonField {
    Text(String),
    Flag(bool),
    /// Zero or more; `1.0` is a whole number like `1` (JSON Schema, section 6.1.1).
    Whole(u64),
    List(Vec<Self>),
    /// Its fields in order, each name once.
    Object(Vec<(String, Self)>),
    /// What no field accepts: `null` and all other numbers.
    Other(Value),
}

impl From<JsonField> for Value {
    fn from(given: JsonField) -> Self {
        match given {
            JsonField::Text(text) => Self::String(text),
            JsonField::Flag(flag) => Self::Bool(flag),
            JsonField::Whole(number) => Self::from(number),
            JsonField::List(list) => list.into_iter().map(Self::from).collect(),
            JsonField::Object(members) => {
                members.into_iter().map(|(name, given)| (name, Self::from(given))).collect()
            }
            JsonField::Other(value) => value,
        }
    }
}

impl<'de> Deserialize<'de> for JsonField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonFieldVisitor)
    }
}

struct JsonFieldVisitor;

impl<'de> Visitor<'de> for JsonFieldVisitor {
    type Value = JsonField;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_str<E>(self, text: &str) -> Result<JsonField, E> {
        Ok(JsonField::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, flag: bool) -> Result<JsonField, E> {
        Ok(JsonField::Flag(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<JsonField, E> {
        Ok(JsonField::Whole(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<JsonField, E> {
        Ok(JsonField::Other(Value::from(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<JsonField, E> {
        let whole =
            number.fract() == 0.0 && (0.0..=limits::JSON_WHOLE_MAX as f64).contains(&number);
        Ok(if whole {
            JsonField::Whole(number as u64)
        } else {
            JsonField::Other(Value::from(number))
        })
    }

    fn visit_unit<E>(self) -> Result<JsonField, E> {
        Ok(JsonField::Other(Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<JsonField, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(JsonField::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<JsonField, A::Error> {
        let mut fields: Vec<(String, JsonField)> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if fields.iter().any(|(given, _)| *given == name) {
                let shown = name.escape_debug();
                return Err(A::Error::custom(format!("`{shown}` is given twice")));
            }
            if fields.len() == FIELDS_MAX {
                return Err(A::Error::custom("an object has too many keys"));
            }
            fields.push((name, members.next_value()?));
        }
        Ok(JsonField::Object(fields))
    }
}

/// The maximum number of fields of an object: far above any form, and it limits the search for
/// duplicates.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Email, Name, RoleId};

    #[test]
    fn a_byte_order_mark_before_a_body_is_skipped() {
        let mut form = JsonBody::parse(b"\xef\xbb\xbf{\"first_name\":\"Ann\"}").unwrap();
        let name = form.required("first_name", |text| Name::parse("first_name", text));
        assert_eq!(form.done(name).unwrap().as_str(), "Ann");
    }

    fn names(failure: &Failure) -> Vec<&str> {
        failure.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn every_fault_of_a_form_is_told_at_once() {
        let body = br#"{"first_name":7,"email":"nobody","role":"a","phone":"1"}"#;
        let mut form = JsonBody::parse(body).unwrap();
        let first = form.required("first_name", |text| Name::parse("first_name", text));
        let last = form.required("last_name", |text| Name::parse("last_name", text));
        let email = form.required("email", Email::parse);
        let role = form.optional("role", RoleId::parse);
        assert!(first.is_none() && last.is_none() && email.is_none() && role.is_some());
        let failure = form.done(Some(())).unwrap_err();
        assert_eq!(names(&failure), ["first_name", "last_name", "email", "phone"]);
        assert!(failure.public.contains("`first_name` must be a string"), "{failure}");
        assert!(failure.public.contains("`last_name` is missing"), "{failure}");
    }

    #[test]
    fn a_field_left_out_is_no_fault_and_null_is_one() {
        let mut form = JsonBody::parse(b"{}").unwrap();
        assert_eq!(form.optional("role", RoleId::parse), None);
        form.done(Some(())).unwrap();
        let mut form = JsonBody::parse(br#"{"role":null}"#).unwrap();
        assert_eq!(form.optional("role", RoleId::parse), None);
        assert!(form.done(Some(())).unwrap_err().public.contains("must be a string"));
    }

    #[test]
    fn numbers_and_flags_are_what_they_say() {
        let read = |body: &str| {
            let mut form = JsonBody::parse(body.as_bytes()).unwrap();
            let read = (form.whole("hours", 1..=720), form.flag("on"));
            form.done(Some(())).map(|()| read)
        };
        assert_eq!(read(r#"{"hours":72,"on":true}"#), Ok((Some(72), Some(true))));
        assert_eq!(read(r#"{"hours":72.0}"#), Ok((Some(72), None)));
        for body in [
            r#"{"hours":0}"#,
            r#"{"hours":721}"#,
            r#"{"hours":-1}"#,
            r#"{"hours":1.5}"#,
            r#"{"hours":"72"}"#,
            r#"{"hours":1e300}"#,
            r#"{"on":1}"#,
            r#"{"on":"true"}"#,
        ] {
            assert_eq!(read(body).unwrap_err().kind, Kind::Invalid, "{body}");
        }
    }

    #[test]
    fn faults_of_items_are_told_by_their_places() {
        let body = br#"{"items":[{"email":"a@b.c"},{"email":"x","to":1},7,{}],"more":1}"#;
        let mut form = JsonBody::parse(body).unwrap();
        let items = form.items("items", 4, |item| item.required("email", Email::parse));
        assert_eq!(items.unwrap().len(), 1);
        let failure = form.done(Some(())).unwrap_err();
        let expected = ["items[1].email", "items[1].to", "items[2]", "items[3].email", "more"];
        assert_eq!(names(&failure), expected);
        assert!(failure.public.contains("`items[3].email` is missing"), "{failure}");
        let texts = |body: &[u8]| {
            let mut form = JsonBody::parse(body).unwrap();
            let read = form.texts("actions", 2, |text| Ok(text.to_owned()));
            form.done(read)
        };
        assert_eq!(texts(br#"{"actions":["a","b"]}"#).unwrap(), ["a", "b"]);
        for body in [r#"{"actions":[]}"#, r#"{"actions":["a","b","c"]}"#, r#"{"actions":"a"}"#] {
            assert_eq!(names(&texts(body.as_bytes()).unwrap_err()), ["actions"], "{body}");
        }
        assert_eq!(names(&texts(br#"{"actions":["a",1]}"#).unwrap_err()), ["actions[1]"]);
    }

    #[test]
    fn an_object_is_handed_on_as_it_came_within_its_bound() {
        let object = r#"{"a":[null,-7,1.5,true,"x"],"b":{"c":18446744073709551615}}"#;
        let read = |credential: &str, most| {
            let mut form = JsonBody::parse(format!(r#"{{"credential":{credential}}}"#).as_bytes())?;
            let read = form.object("credential", most);
            form.done(read)
        };
        assert_eq!(read(object, object.len()).unwrap(), object);
        for other in ["null", "[]", "\"{}\"", "7"] {
            assert_eq!(names(&read(other, 100).unwrap_err()), ["credential"], "{other}");
        }
        assert_eq!(names(&read(object, object.len() - 1).unwrap_err()), ["credential"]);
        assert_eq!(read(r#"{"a":1,"a":2}"#, 100).unwrap_err().code, "body");
        let missing = JsonBody::parse(b"{}").map(|mut form| {
            let read = form.object("credential", 100);
            form.done(read)
        });
        assert_eq!(names(&missing.unwrap().unwrap_err()), ["credential"]);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for body in [
            "",
            "[]",
            "7",
            "{",
            "{} {}",
            r#"{"a":"1","a":"1"}"#,
            r#"{"a":[{"b":1,"b":1}]}"#,
            "\"x\"",
        ] {
            let failure = JsonBody::parse(body.as_bytes()).unwrap_err();
            assert_eq!((failure.kind, failure.code), (Kind::Invalid, "body"), "{body}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(JsonBody::parse(deep.as_bytes()).is_err());
    }
}
