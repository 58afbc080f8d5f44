//! Whether what a caller says conforms to the schema, without converting it.
//!
//! Errs on the side of "no": `attribute_types::read`, which converts it, looks closer and says what is wrong.
//! So a "yes" here is a "yes" there.

use std::borrow::Cow;

use cedar_policy::EntityTypeName;

use super::attribute_types::{AttributeShape, AttributeType, Extension, entity_id};
use super::entity_builder::is_supplied;
use super::extension_value_spelling::datetime_ms;
use super::schema_names::Symbols;
use crate::domain::access_query::property;
use crate::domain::{Query, Value};

/// The properties that a caller says of one thing.
type Said<'s> = [(Cow<'s, str>, Value<'s>)];

/// What the schema demands of callers.
#[derive(Debug)]
pub(super) struct Conformity {
    /// The attributes of members that the store does not supply.
    said_of_members: AttributeShape,
    /// Whether one of them is required: then a member whom an attribute names may be refused.
    members_lack: bool,
    members: Option<EntityTypeName>,
}

impl Conformity {
    pub(super) fn new(names: &Symbols) -> Self {
        let mut said_of_members = names.shape(names.user).clone();
        said_of_members.attributes.retain(|attribute| !is_supplied(&attribute.name));
        Self {
            members_lack: said_of_members.attributes.iter().any(|attribute| attribute.required),
            said_of_members,
            members: names.name(names.user).cloned(),
        }
    }

    /// Whether a member lacks an attribute unless the caller says it.
    pub(super) const fn members_lack(&self) -> bool {
        self.members_lack
    }

    /// Whether what is said of the member who asks conforms.
    pub(super) fn of_subject(&self, said: &Said<'_>) -> bool {
        (said.is_empty() && !self.members_lack) || self.of(&self.said_of_members, said, None)
    }

    /// Whether what is said of a resource conforms, but for its account.
    pub(super) fn of_resource(&self, shape: &AttributeShape, said: &Said<'_>) -> bool {
        self.of(shape, said, Some("account"))
    }

    /// Whether the context and the properties of the action conform.
    pub(super) fn of_context(&self, shape: &AttributeShape, query: &Query<'_>) -> bool {
        let action = shape.get("action").filter(|_| !query.action_properties.is_empty());
        let of_action = action.is_none_or(|action| match &action.kind {
            AttributeType::Record(shape) => self.of(shape, query.action_properties, None),
            _ => false,
        });
        of_action && self.of(shape, query.context, action.map(|_| "action"))
    }

    /// Whether the attributes of a record conform, without the one that is `left_out`.
    fn of(&self, shape: &AttributeShape, said: &Said<'_>, left_out: Option<&str>) -> bool {
        let mut attributes = shape.attributes.iter();
        attributes.all(|attribute| {
            Some(attribute.name.as_str()) == left_out
                || match property(said, &attribute.name) {
                    Some(value) => self.is_of(&attribute.kind, value),
                    None => !attribute.required,
                }
        })
    }

    /// Whether a value is of this type. Recursion is limited by the depth of the schema.
    pub(super) fn is_of(&self, kind: &AttributeType, value: &Value<'_>) -> bool {
        match (kind, value) {
            (AttributeType::Long, Value::Long(_))
            | (AttributeType::Bool, Value::Bool(_))
            | (AttributeType::String, Value::String(_)) => true,
            (AttributeType::Extension(Extension::DateTime), Value::String(text)) => {
                datetime_ms(text).is_some()
            }
            (AttributeType::Set(inner), Value::List(items)) => {
                items.iter().all(|item| self.is_of(inner, item))
            }
            (AttributeType::Record(shape), Value::Record(members)) => self.of(shape, members, None),
            (AttributeType::Entity(name, ids), _) => {
                let may_be_refused = self.members_lack && self.members.as_ref() == Some(name);
                !may_be_refused && entity_id(name, ids.as_deref(), value).is_ok()
            }
            _ => false,
        }
    }
}
