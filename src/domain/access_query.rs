//! An authorization query: may this subject do this action to this resource, in this context?
//!
//! Borrows from the request's body. A `Query` has the shape that the API requires; the engine
//! checks whether its names exist.

use std::borrow::Cow;

/// A JSON value whose objects have no duplicate keys.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A whole number that fits 64 bits.
    Long(i64),
    /// Any other number.
    Double(f64),
    /// Text.
    String(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object, in the order of the input.
    Record(Record<'a>),
}

/// The keys and values of an object, in the order of the input; no duplicates.
pub type Record<'a> = Vec<(Cow<'a, str>, Value<'a>)>;

impl<'a> Value<'a> {
    /// The text, where this is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The members, where this is an object.
    #[must_use]
    pub fn as_record(&self) -> Option<&Record<'a>> {
        match self {
            Self::Record(members) => Some(members),
            _ => None,
        }
    }

    /// The same, without borrowing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Long(value) => Value::Long(value),
            Self::Double(value) => Value::Double(value),
            Self::String(text) => Value::String(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Record(members) => Value::Record(owned(&members)),
        }
    }

    /// The JSON name of this kind of value.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Long(_) | Self::Double(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "an array",
            Self::Record(_) => "an object",
        }
    }
}

/// Finds a value of an object by key.
#[must_use]
pub fn property<'r, 'a>(
    record: &'r [(Cow<'a, str>, Value<'a>)],
    name: &str,
) -> Option<&'r Value<'a>> {
    record.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Parses `TYPE:ID`; `None` if one of the two is missing. A type may be qualified with `::`, an id
/// may contain anything: the first single colon separates them.
#[must_use]
pub fn type_and_id(text: &str) -> Option<(&str, &str)> {
    let divides = |at: &usize| {
        text.get(at + 1..).is_some_and(|rest| !rest.starts_with(':'))
            && text.get(..*at).is_some_and(|head| !head.ends_with(':'))
    };
    let at = text.match_indices(':').map(|(at, _)| at).find(divides)?;
    let (kind, id) = (text.get(..at)?, text.get(at + 1..)?);
    (!kind.is_empty() && !id.is_empty()).then_some((kind, id))
}

/// A subject or a resource in a query.
#[derive(Clone, Copy, Debug)]
pub struct EntityRef<'q> {
    /// The type, as the caller spells it.
    pub kind: &'q str,
    /// The id within the type.
    pub id: &'q str,
    /// The attributes that the caller gives; may be empty.
    pub properties: &'q [(Cow<'q, str>, Value<'q>)],
}

/// One query, borrowed from the request.
#[derive(Clone, Copy, Debug)]
pub struct Query<'q> {
    /// The subject.
    pub subject: EntityRef<'q>,
    /// The action's name as in the schema.
    pub action: &'q str,
    /// The action's attributes that the caller gives; become `context.action` if declared.
    pub action_properties: &'q [(Cow<'q, str>, Value<'q>)],
    /// The resource.
    pub resource: EntityRef<'q>,
    /// The context.
    pub context: &'q [(Cow<'q, str>, Value<'q>)],
}

/// A query that outlives its request.
#[derive(Clone, Debug)]
pub struct OwnedQuery {
    subject: OwnedEntityRef,
    action: String,
    action_properties: Record<'static>,
    resource: OwnedEntityRef,
    context: Record<'static>,
}

/// An owned [`EntityRef`].
#[derive(Clone, Debug)]
struct OwnedEntityRef {
    kind: String,
    id: String,
    properties: Record<'static>,
}

impl OwnedEntityRef {
    fn of(entity: &EntityRef<'_>) -> Self {
        Self {
            kind: entity.kind.to_owned(),
            id: entity.id.to_owned(),
            properties: owned(entity.properties),
        }
    }

    fn entity(&self) -> EntityRef<'_> {
        EntityRef { kind: &self.kind, id: &self.id, properties: &self.properties }
    }
}

impl OwnedQuery {
    /// Makes it owned.
    #[must_use]
    pub fn of(query: &Query<'_>) -> Self {
        Self {
            subject: OwnedEntityRef::of(&query.subject),
            action: query.action.to_owned(),
            action_properties: owned(query.action_properties),
            resource: OwnedEntityRef::of(&query.resource),
            context: owned(query.context),
        }
    }

    /// The query, borrowed.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query {
            subject: self.subject.entity(),
            action: &self.action,
            action_properties: &self.action_properties,
            resource: self.resource.entity(),
            context: &self.context,
        }
    }
}

/// The same keys and values, without borrowing.
#[must_use]
pub fn owned(members: &[(Cow<'_, str>, Value<'_>)]) -> Record<'static> {
    let own = |(name, value): &(Cow<'_, str>, Value<'_>)| {
        (Cow::Owned(name.clone().into_owned()), value.clone().into_owned())
    };
    members.iter().map(own).collect()
}
