//! The fast path for the usual query: parsed in one pass, and without an allocation where each object has
//! at most one property.
//!
//! Accepts a body only if each key occurs once, is known, and has the usual type. Any other body is
//! left to [`super::strict_json`], which reads it and reports faults. So this parser never refuses a body,
//! and what it accepts has the same meaning there.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::domain::{EntityRef, Query, Value, limits};

/// A query without options; or the part of one that an item of a batch, or the body around it, gives.
#[derive(Default)]
pub(super) struct FastQuery<'b> {
    subject: Option<StrictObject<Entity<'b>>>,
    action: Option<StrictObject<Action<'b>>>,
    resource: Option<StrictObject<Entity<'b>>>,
    context: Option<StrictObject<Properties<'b>>>,
}

#[derive(Default)]
struct Entity<'b> {
    kind: Option<&'b str>,
    id: Option<&'b str>,
    properties: Option<StrictObject<Properties<'b>>>,
}

#[derive(Default)]
struct Action<'b> {
    name: Option<&'b str>,
    properties: Option<StrictObject<Properties<'b>>>,
}

/// Most properties of one object: they are compared one by one to find a key that is given twice.
const PROPERTIES_MAX: usize = 8;

// No batch of this form has too many values.
const _: () = assert!(limits::BATCH_ITEMS_MAX * PROPERTIES_MAX * 4 <= limits::BATCH_VALUES_MAX);
const _: () = assert!(PROPERTIES_MAX * 4 <= limits::QUERY_VALUES_MAX);

type Property<'b> = (Cow<'b, str>, Value<'b>);

/// Texts, whole numbers and booleans by name.
#[derive(Default)]
enum Properties<'b> {
    #[default]
    None,
    /// Usually `account`, which so takes no allocation.
    One([Property<'b>; 1]),
    Several(Vec<Property<'b>>),
}

impl<'b> Properties<'b> {
    fn as_slice(&self) -> &[Property<'b>] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Several(several) => several,
        }
    }

    fn push(&mut self, property: Property<'b>) {
        *self = match std::mem::take(self) {
            Self::None => Self::One([property]),
            Self::One([first]) => Self::Several(vec![first, property]),
            Self::Several(mut several) => {
                several.push(property);
                Self::Several(several)
            }
        };
    }
}

/// A value of a property: text without escapes, a whole number of 64 bits, or a boolean.
struct PlainValue<'b>(Value<'b>);

impl<'b> FastQuery<'b> {
    /// `None` if the body is not of this form: use the full parser.
    pub(super) fn read(body: &'b [u8]) -> Option<Self> {
        read(body).map(|StrictObject(plain)| plain)
    }

    /// `None` if something is missing or too long: use the full parser.
    pub(super) fn query(&self) -> Option<Query<'_>> {
        self.query_in(&NOTHING)
    }

    /// Members that an item lacks are taken from the body around it.
    fn query_in<'q>(&'q self, outer: &'q FastQuery<'_>) -> Option<Query<'q>> {
        let StrictObject(action) = self.action.as_ref().or(outer.action.as_ref())?;
        Some(Query {
            subject: entity(self.subject.as_ref().or(outer.subject.as_ref()))?,
            action: short(action.name)?,
            action_properties: properties(action.properties.as_ref()),
            resource: entity(self.resource.as_ref().or(outer.resource.as_ref()))?,
            context: properties(self.context.as_ref().or(outer.context.as_ref())),
        })
    }
}

/// The context of a query that is not in a batch.
static NOTHING: FastQuery<'static> =
    FastQuery { subject: None, action: None, resource: None, context: None };

/// A batch of such queries, all of which are to be answered.
#[derive(Default)]
pub(super) struct FastBatch<'b> {
    outer: FastQuery<'b>,
    items: Option<FastItems<'b>>,
}

/// The items of a batch, at most the default maximum. An item takes a hundred times the memory of `{}` in a
/// body, so longer batches are left to the full parser, whose values are small.
struct FastItems<'b>(Vec<StrictObject<FastQuery<'b>>>);

impl<'b> FastBatch<'b> {
    /// `None` if the body is not of this form: use the full parser.
    pub(super) fn read(body: &'b [u8]) -> Option<Self> {
        read(body).map(|StrictObject(batch)| batch)
    }

    /// `None` if there are no items or more than `most`, or one of them is not of this form: use
    /// the full parser.
    pub(super) fn queries(&self, most: usize) -> Option<Vec<Query<'_>>> {
        let FastItems(items) = self.items.as_ref()?;
        if !(1..=most).contains(&items.len()) {
            return None;
        }
        items.iter().map(|StrictObject(item)| item.query_in(&self.outer)).collect()
    }
}

/// UTF-8 is checked once for the whole body, which is cheaper than for each string.
fn read<'b, T: ObjectFields<'b>>(body: &'b [u8]) -> Option<StrictObject<T>> {
    serde_json::from_str(std::str::from_utf8(body).ok()?).ok()
}

fn entity<'q>(read: Option<&'q StrictObject<Entity<'_>>>) -> Option<EntityRef<'q>> {
    let StrictObject(entity) = read?;
    let properties = properties(entity.properties.as_ref());
    Some(EntityRef { kind: short(entity.kind)?, id: short(entity.id)?, properties })
}

fn properties<'q, 'b>(read: Option<&'q StrictObject<Properties<'b>>>) -> &'q [Property<'b>] {
    read.map_or(&[], |StrictObject(properties)| properties.as_slice())
}

fn short(text: Option<&str>) -> Option<&str> {
    text.filter(|text| text.len() <= limits::QUERY_NAME_BYTES_MAX)
}

/// The target of an object, key by key.
trait ObjectFields<'b>: Default {
    /// Reads the value of this key.
    ///
    /// # Errors
    /// Whatever is not taken here: a name that is not known, or a second time.
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error>;
}

impl<'b> ObjectFields<'b> for FastQuery<'b> {
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error> {
        match name {
            "subject" => set_once(&mut self.subject, from),
            "action" => set_once(&mut self.action, from),
            "resource" => set_once(&mut self.resource, from),
            "context" => set_once(&mut self.context, from),
            _ => Err(not_plain()),
        }
    }
}

impl<'b> ObjectFields<'b> for FastBatch<'b> {
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error> {
        match name {
            "evaluations" => set_once(&mut self.items, from),
            _ => self.outer.take(name, from),
        }
    }
}

impl<'b> ObjectFields<'b> for Entity<'b> {
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error> {
        match name {
            "type" => set_once(&mut self.kind, from),
            "id" => set_once(&mut self.id, from),
            "properties" => set_once(&mut self.properties, from),
            _ => Err(not_plain()),
        }
    }
}

impl<'b> ObjectFields<'b> for Action<'b> {
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error> {
        match name {
            "name" => set_once(&mut self.name, from),
            "properties" => set_once(&mut self.properties, from),
            _ => Err(not_plain()),
        }
    }
}

impl<'b> ObjectFields<'b> for Properties<'b> {
    fn take<A: MapAccess<'b>>(&mut self, name: &'b str, from: &mut A) -> Result<(), A::Error> {
        let known = self.as_slice();
        if known.len() == PROPERTIES_MAX || known.iter().any(|(other, _)| other == name) {
            return Err(not_plain());
        }
        let PlainValue(value) = from.next_value()?;
        self.push((Cow::Borrowed(name), value));
        Ok(())
    }
}

impl<'de> Deserialize<'de> for PlainValue<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(PlainValueVisitor)
    }
}

struct PlainValueVisitor;

/// Every other kind of value is an error.
impl<'de> Visitor<'de> for PlainValueVisitor {
    type Value = PlainValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PlainValue(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PlainValue(Value::Long(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        let number = i64::try_from(value).map_err(|_| not_plain())?;
        Ok(PlainValue(Value::Long(number)))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(PlainValue(Value::String(Cow::Borrowed(value))))
    }
}

fn set_once<'b, A: MapAccess<'b>, T: Deserialize<'b>>(
    place: &mut Option<T>,
    from: &mut A,
) -> Result<(), A::Error> {
    if place.is_some() {
        return Err(not_plain());
    }
    *place = Some(from.next_value()?);
    Ok(())
}

/// Not shown: the full parser reads the body again.
fn not_plain<E: Error>() -> E {
    E::custom("")
}

/// An object only: what `derive` generates would accept an array as well.
#[derive(Default)]
struct StrictObject<T>(T);

impl<'de, T: ObjectFields<'de>> Deserialize<'de> for StrictObject<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: ObjectFields<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = StrictObject<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut read = T::default();
        while let Some(name) = from.next_key()? {
            read.take(name, &mut from)?;
        }
        Ok(StrictObject(read))
    }
}

impl<'de> Deserialize<'de> for FastItems<'de> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_seq(BoundedList)
    }
}

struct BoundedList;

impl<'de> Visitor<'de> for BoundedList {
    type Value = FastItems<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = from.next_element()? {
            if items.len() == limits::BATCH_ITEMS_MAX {
                return Err(not_plain());
            }
            items.push(item);
        }
        Ok(FastItems(items))
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::authzen::{request_reader, strict_json};

    const USUAL: &str = r#"{"subject":{"type":"user","id":"m1"},"action":{"name":"templates:view"},"resource":{"type":"template","id":"t1","properties":{"account":"acme"}}}"#;

    /// Several properties in each object, of each kind.
    const PLAIN_VALUES: &str = r#"{"subject":{"type":"user","id":"m1","properties":{"team":"red"}},"action":{"name":"chats:view","properties":{"force":true,"n":-3}},"resource":{"type":"chat","id":"1","properties":{"account":"acme","assignee":"m1","open":false,"size":9223372036854775807}},"context":{"n":1,"office":"x","late":true}}"#;

    fn is_taken(body: &str) -> bool {
        FastQuery::read(body.as_bytes()).is_some_and(|plain| plain.query().is_some())
    }

    #[test]
    fn the_usual_question_is_taken() {
        assert!(is_taken(USUAL));
        assert!(is_taken(&USUAL.replace(
            r#"{"type":"user","id":"m1"}"#,
            r#"{ "id": "é", "type": "user", "properties": {} }"#
        )));
        assert!(is_taken(&USUAL.replace("\":", "\" :\n ")));
        assert!(is_taken(PLAIN_VALUES));
        let properties = |count: usize| {
            let all: Vec<String> = (0..count).map(|n| format!("\"p{n}\":{n}")).collect();
            USUAL.replace(r#""account":"acme""#, &all.join(","))
        };
        assert!(is_taken(&properties(PROPERTIES_MAX)));
        assert!(!is_taken(&properties(PROPERTIES_MAX + 1)));
    }

    #[test]
    fn what_is_unusual_is_left_to_the_full_reader() {
        for (part, other) in [
            (r#""m1""#, r#""m\u0031""#),
            (r#""m1""#, "1"),
            (r#""m1""#, "null"),
            (r#""m1""#, r#""m1","id":"m2""#),
            (r#""id":"m1""#, r#""also":1,"id":"m1""#),
            (r#"{"type":"user","id":"m1"}"#, r#"["user","m1"]"#),
            (r#"{"name":"templates:view"}"#, r#"["templates:view"]"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","account":"acme"}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":1,"n":1}"#),
            (r#"{"account":"acme"}"#, r#"{"account":null}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":1.0}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":1e2}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":-0}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":9223372036854775808}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":[]}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":{}}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","n":"\n"}"#),
            (r#"{"account":"acme"}"#, r#"{"account":"acme","\u006e":1}"#),
            (r#"{"account":"acme"}"#, "[]"),
            (r#"{"account":"acme"}"#, "null"),
            (r#","action":{"name":"templates:view"}"#, ""),
            (r#"{"subject""#, r#"{"context":null,"subject""#),
            (r#"{"subject""#, r#"{"context":[],"subject""#),
            (r#"{"subject""#, r#"{"context":{},"context":{},"subject""#),
            (r#"{"name":"templates:view"}"#, r#"{"name":"templates:view","properties":null}"#),
            (r#"{"subject""#, r#"{"options":{"explain":true},"subject""#),
            (r#"{"subject""#, r#"{"subject":{"type":"user","id":"m0"},"subject""#),
            ("}}}", "}}"),
            ("}}}", "}}} x"),
            ("m1", "\u{1}"),
        ] {
            let body = USUAL.replace(part, other);
            assert_ne!(body, USUAL, "{part}");
            assert!(!is_taken(&body), "{body}");
        }
        let long = "x".repeat(limits::QUERY_NAME_BYTES_MAX + 1);
        assert!(!is_taken(&USUAL.replace("m1", &long)));
        assert!(!is_taken(""));
    }

    const BATCH: &str = r#"{"subject":{"type":"user","id":"m1"},"resource":{"type":"template","id":"t1"},"evaluations":[{"action":{"name":"templates:view"}},{"action":{"name":"templates:edit"},"resource":{"type":"template","id":"t2","properties":{"account":"acme"}}}]}"#;

    #[test]
    fn the_usual_batch_is_taken_whole_or_not_at_all() {
        let taken = |body: &str, most| {
            FastBatch::read(body.as_bytes()).and_then(|batch| Some(batch.queries(most)?.len()))
        };
        assert_eq!(taken(BATCH, 2), Some(2));
        assert_eq!(taken(BATCH, 1), None, "the full reader says that there are too many");
        for (part, other) in [
            (r#"{"action":{"name":"templates:view"}}"#, "{}"),
            (r#"{"action":{"name":"templates:view"}}"#, "null"),
            (r#"{"action":{"name":"templates:view"}}"#, r#"[{"name":"templates:view"}]"#),
            (
                r#""evaluations""#,
                r#""options":{"evaluations_semantic":"execute_all"},"evaluations""#,
            ),
            (r#""evaluations""#, r#""evaluations":[],"evaluations""#),
            (r#""templates:edit"}"#, r#""templates:edit","properties":[]}"#),
        ] {
            let body = BATCH.replace(part, other);
            assert_ne!(body, BATCH, "{part}");
            assert_eq!(taken(&body, 9), None, "{body}");
        }
        assert_eq!(taken(USUAL, 9), None, "one question, for the full reader to say so");
        assert_eq!(taken(r#"{"evaluations":[]}"#, 9), None);
        let of = |items: usize| {
            let item = USUAL.to_owned() + ",";
            format!(r#"{{"evaluations":[{}]}}"#, item.repeat(items).trim_end_matches(','))
        };
        let most = limits::BATCH_ITEMS_MAX;
        assert_eq!(taken(&of(most), usize::MAX), Some(most));
        assert!(FastBatch::read(of(most + 1).as_bytes()).is_none(), "it stops reading there");
    }

    /// The body around the items has a complete query, and each item replaces another part of it.
    const REPLACING: &str = r#"{"subject":{"type":"user","id":"m1"},"action":{"name":"templates:view"},"resource":{"type":"template","id":"t1"},"context":{"n":1,"x":"y"},"evaluations":[{},{"context":{"n":2,"z":true}},{"context":{}},{"subject":{"type":"user","id":"m2"}},{"action":{"name":"templates:edit","properties":{"a":1}}},{"resource":{"type":"template","id":"t2"}}]}"#;

    const PIECES: [&str; 28] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "null",
        "true",
        "1",
        "\u{e9}",
        "\u{1}",
        "subject",
        "action",
        "resource",
        "properties",
        r#""id":"m2""#,
        r#""type":"user""#,
        r#""context":{}"#,
        r#""account":"#,
        r#","n":2"#,
        r#","b":true"#,
        "-",
        ".5",
        "9223372036854775807",
        r#","options":{"explain":true}"#,
    ];

    /// A body with some pieces put in, taken out or repeated.
    fn bent(body: &str, dice: &mut StdRng) -> Vec<u8> {
        let mut body = body.as_bytes().to_vec();
        for _ in 0..dice.random_range(1..4) {
            let at = dice.random_range(0..=body.len());
            let end = dice.random_range(at..=body.len().min(at + 12));
            let piece = match dice.random_range(0..4) {
                0 => body[at..end].repeat(2),
                1 => Vec::new(),
                _ => PIECES[dice.random_range(0..PIECES.len())].into(),
            };
            let end = if dice.random_range(0..2) == 0 { at } else { end };
            body.splice(at..end, piece);
        }
        body
    }

    #[test]
    fn what_is_taken_means_what_it_means_to_the_full_reader() {
        let mut dice = StdRng::seed_from_u64(11);
        let mut taken = 0;
        for number in 0..200_000 {
            let body = bent([USUAL, PLAIN_VALUES][number % 2], &mut dice);
            let Some(plain) = FastQuery::read(&body) else { continue };
            let Some(query) = plain.query() else { continue };
            taken += 1;
            let shown = String::from_utf8_lossy(&body);
            let value = strict_json::parse(&body).unwrap_or_else(|_| panic!("{shown}"));
            let full =
                request_reader::RequestBody::read(&value).unwrap_or_else(|_| panic!("{shown}"));
            let source = full.single();
            let other = source.query().unwrap_or_else(|_| panic!("{shown}"));
            assert_eq!(format!("{query:?}"), format!("{other:?}"), "{shown}");
            assert!(!full.explain, "{shown}");
        }
        assert!(taken > 10_000, "only {taken}: nothing is shown");
    }

    #[test]
    fn so_does_a_batch() {
        let mut dice = StdRng::seed_from_u64(12);
        let mut taken = 0;
        for number in 0..200_000 {
            let body = bent([BATCH, REPLACING][number % 2], &mut dice);
            let Some(batch) = FastBatch::read(&body) else { continue };
            let Some(queries) = batch.queries(9) else { continue };
            taken += 1;
            let shown = String::from_utf8_lossy(&body);
            let value = strict_json::parse(&body).unwrap_or_else(|_| panic!("{shown}"));
            let full =
                request_reader::RequestBody::read(&value).unwrap_or_else(|_| panic!("{shown}"));
            let items = full.items(9).unwrap().unwrap_or_else(|| panic!("{shown}"));
            let sources: Vec<_> = items.iter().map(|item| full.item(item).unwrap()).collect();
            let others: Vec<_> = sources.iter().map(|source| source.query().unwrap()).collect();
            assert_eq!(format!("{queries:?}"), format!("{others:?}"), "{shown}");
            assert!(
                !full.explain
                    && full.semantic().unwrap() == request_reader::BatchSemantic::ExecuteAll
            );
        }
        assert!(taken > 10_000, "only {taken}: nothing is shown");
    }
}
