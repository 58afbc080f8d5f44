//! JSON bodies: one object whose members each stand once, read field by field.
//!
//! All faults of a form are told at once: wrong types, missing and unknown fields, and what a
//! field's own rule says. Never guesses: a number is no string, and `null` is nothing.

use std::fmt;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;

use super::query::faulty;
use crate::domain::{Failure, Kind, limits};
use crate::http::Request;

/// The fields of a body, each taken out by the call that knows it.
#[derive(Debug)]
pub(super) struct Form {
    given: Vec<(String, Value)>,
    known: Vec<&'static str>,
    faults: Vec<(String, String)>,
}

impl Form {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// `Invalid` when it is not JSON, not an object or names a field twice; `TooLarge` above
    /// [`limits::ADMIN_BODY_BYTES_MAX`]; `Timeout`.
    pub(super) async fn read(request: &mut Request) -> Result<Self, Failure> {
        if !request.content_type_is_json() {
            return Err(Failure::new(
                Kind::Invalid,
                "content_type",
                "the body must be JSON: send it with `content-type: application/json`",
            ));
        }
        let body = request.body(limits::ADMIN_BODY_BYTES_MAX).await?;
        Self::parse(&body)
    }

    pub(super) fn parse(body: &[u8]) -> Result<Self, Failure> {
        let Fields(given) = serde_json::from_slice(body).map_err(|fault| {
            Failure::new(Kind::Invalid, "body", format!("the body is not one JSON object: {fault}"))
        })?;
        Ok(Self { given, known: Vec::new(), faults: Vec::new() })
    }

    /// A field that may be left out.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        self.known.push(name);
        let place = self.given.iter().position(|(given, _)| given == name)?;
        let (_, value) = self.given.swap_remove(place);
        let Value::String(text) = value else {
            self.fault(name, format!("`{name}` must be a string"));
            return None;
        };
        parse(&text).map_err(|failure| self.fault(name, failure.public)).ok()
    }

    /// A field that must stand there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, Failure>,
    ) -> Option<T> {
        if !self.given.iter().any(|(given, _)| given == name) {
            self.fault(name, format!("`{name}` is missing"));
        }
        self.optional(name, parse)
    }

    fn fault(&mut self, name: &str, reason: String) {
        self.faults.push((name.to_owned(), reason));
    }

    /// All fields were taken out: `value` if nothing is wrong. It is `None` only where a required
    /// field was faulty.
    ///
    /// # Errors
    /// `Invalid` with every fault.
    pub(super) fn done<T>(mut self, value: Option<T>) -> Result<T, Failure> {
        for (name, _) in std::mem::take(&mut self.given) {
            let (shown, known) = (name.escape_debug().to_string(), self.known.join("`, `"));
            self.fault(&shown, format!("there is no field `{shown}`: use `{known}`"));
        }
        faulty(self.faults)?;
        value.ok_or_else(|| Failure::internal("a form without faults and without value"))
    }
}

/// The members of one object, in order, each name once.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Fields, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some(name) = members.next_key::<String>()? {
            if fields.iter().any(|(given, _)| *given == name) {
                let shown = name.escape_debug();
                return Err(A::Error::custom(format!("`{shown}` stands there twice")));
            }
            if fields.len() == FIELDS_MAX {
                return Err(A::Error::custom("it has too many members"));
            }
            fields.push((name, members.next_value()?));
        }
        Ok(Fields(fields))
    }
}

/// Most members of a body: far above any form, and it bounds the search for doubled ones.
const FIELDS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Email, Name, RoleId};

    #[test]
    fn every_fault_of_a_form_is_told_at_once() {
        let body = br#"{"first_name":7,"email":"nobody","role":"a","phone":"1"}"#;
        let mut form = Form::parse(body).unwrap();
        let first = form.required("first_name", |text| Name::parse("first_name", text));
        let last = form.required("last_name", |text| Name::parse("last_name", text));
        let email = form.required("email", Email::parse);
        let role = form.optional("role", RoleId::parse);
        assert!(first.is_none() && last.is_none() && email.is_none() && role.is_some());
        let failure = form.done(Some(())).unwrap_err();
        let names: Vec<&str> = failure.fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["first_name", "last_name", "email", "phone"]);
        assert!(failure.public.contains("`first_name` must be a string"), "{failure}");
        assert!(failure.public.contains("`last_name` is missing"), "{failure}");
    }

    #[test]
    fn a_field_left_out_is_no_fault_and_null_is_one() {
        let mut form = Form::parse(b"{}").unwrap();
        assert_eq!(form.optional("role", RoleId::parse), None);
        form.done(Some(())).unwrap();
        let mut form = Form::parse(br#"{"role":null}"#).unwrap();
        assert_eq!(form.optional("role", RoleId::parse), None);
        assert!(form.done(Some(())).unwrap_err().public.contains("must be a string"));
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for body in ["", "[]", "7", "{", "{} {}", r#"{"a":"1","a":"1"}"#, "\"x\""] {
            let failure = Form::parse(body.as_bytes()).unwrap_err();
            assert_eq!((failure.kind, failure.code), (Kind::Invalid, "body"), "{body}");
        }
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Form::parse(deep.as_bytes()).is_err());
    }
}
