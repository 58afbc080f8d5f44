//! The types of the schema, and the conversion of JSON values to them.
//!
//! Declared attributes are checked, undeclared ones dropped, and a bare string is accepted as an
//! entity where one is expected. Strict: a value that does not conform is named and refused.

use std::borrow::Cow;
use std::collections::HashMap;

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use serde_json::Value as Json;

use super::extension_value_spelling;
use super::type_titles::TypeTitles;
use crate::domain::Value;
use crate::domain::access_query::property;

#[derive(Clone, Debug)]
pub(super) enum AttributeType {
    Long,
    Bool,
    String,
    Set(Box<AttributeType>),
    Record(AttributeShape),
    /// An entity, with its possible ids if the schema lists them.
    Entity(EntityTypeName, Option<Vec<String>>),
    Extension(Extension),
}

/// Cedar's extension types.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extension {
    Decimal,
    Ip,
    DateTime,
    Duration,
}

/// The declared attributes of an entity type, a context or a record.
#[derive(Clone, Debug, Default)]
pub(super) struct AttributeShape {
    pub(super) attributes: Vec<Attribute>,
}

#[derive(Clone, Debug)]
pub(super) struct Attribute {
    pub(super) name: String,
    pub(super) kind: AttributeType,
    pub(super) required: bool,
    /// Whether a policy reads an attribute of this name; others are not built.
    pub(super) mentioned: bool,
    /// Whether one does that is not compiled.
    pub(super) left_to_cedar: bool,
}

/// The number of attributes named; the rest is counted.
const NAMED_MAX: usize = 10;

/// Attributes that do not conform, at least one: the path of each, and why.
#[derive(Clone, Debug)]
pub(super) struct BadAttributes {
    pub(super) found: Vec<(String, String)>,
    /// The number of further ones.
    pub(super) more: usize,
}

/// The path is built on the way out, so that conforming values pay nothing for it.
impl BadAttributes {
    pub(super) fn because(why: impl Into<String>) -> Self {
        Self { found: vec![(String::new(), why.into())], more: 0 }
    }

    /// Combines faults.
    fn and(mut self, mut others: Self) -> Self {
        self.found.append(&mut others.found);
        self.more += others.more + self.found.len().saturating_sub(NAMED_MAX);
        self.found.truncate(NAMED_MAX);
        self
    }

    pub(super) fn mistyped(wanted: &str, found: &Value<'_>) -> Self {
        match found {
            // `1.5` is a number, too, and `5.0` is not written as a whole number.
            Value::Double(number) => Self::because(format!("must be {wanted}, not {number:?}")),
            found => Self::because(format!("must be {wanted}, not {}", found.kind())),
        }
    }

    pub(super) fn missing() -> Self {
        Self::because("is required by the schema and missing")
    }

    /// The same fault, with the enclosing attribute in its path.
    pub(super) fn within(mut self, outer: &str) -> Self {
        for (path, _) in &mut self.found {
            let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
            *path = format!("{outer}{dot}{path}");
        }
        self
    }
}

/// The faults of several parts: the first does not hide the others.
#[derive(Default)]
pub(super) struct AttributeFaults(Option<BadAttributes>);

impl AttributeFaults {
    /// The value, if it conforms.
    pub(super) fn keep<T>(&mut self, read: Result<T, BadAttributes>) -> Option<T> {
        read.map_err(|bad| {
            self.0 = Some(match self.0.take() {
                Some(before) => before.and(bad),
                None => bad,
            })
        })
        .ok()
    }

    /// Whether there is a fault.
    pub(super) const fn is_any(&self) -> bool {
        self.0.is_some()
    }

    /// The result, if there is no fault.
    pub(super) fn unless_any<T>(self, made: T) -> Result<T, BadAttributes> {
        self.0.map_or(Ok(made), Err)
    }
}

impl AttributeShape {
    pub(super) fn get(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }
}

/// Entities that attributes named.
pub(super) type ReferencedEntities = Vec<EntityUid>;

/// Converts one value by its type.
pub(super) fn read(
    kind: &AttributeType,
    value: &Value<'_>,
    named: &mut ReferencedEntities,
) -> Result<RestrictedExpression, BadAttributes> {
    match (kind, value) {
        (AttributeType::Long, Value::Long(number)) => Ok(RestrictedExpression::new_long(*number)),
        (AttributeType::Long, _) => Err(BadAttributes::mistyped("a whole number", value)),
        (AttributeType::Bool, Value::Bool(flag)) => Ok(RestrictedExpression::new_bool(*flag)),
        (AttributeType::Bool, _) => Err(BadAttributes::mistyped("true or false", value)),
        (AttributeType::String, Value::String(text)) => {
            Ok(RestrictedExpression::new_string(text.clone().into_owned()))
        }
        (AttributeType::String, _) => Err(BadAttributes::mistyped("a string", value)),
        (AttributeType::Set(inner), Value::List(items)) => {
            let (mut read_items, mut faults) =
                (Vec::with_capacity(items.len()), AttributeFaults::default());
            for (at, item) in items.iter().enumerate() {
                let item = read(inner, item, named).map_err(|bad| bad.within(&format!("[{at}]")));
                read_items.extend(faults.keep(item));
            }
            faults.unless_any(read_items).map(RestrictedExpression::new_set)
        }
        (AttributeType::Set(_), _) => Err(BadAttributes::mistyped("an array", value)),
        (AttributeType::Record(shape), Value::Record(members)) => {
            RestrictedExpression::new_record(read_shape(shape, members, named)?)
                .map_err(|fault| BadAttributes::because(fault.to_string()))
        }
        (AttributeType::Record(_), _) => Err(BadAttributes::mistyped("an object", value)),
        (AttributeType::Entity(name, ids), _) => {
            let uid = read_entity(name, ids.as_deref(), value)?;
            named.push(uid.clone());
            Ok(RestrictedExpression::new_entity_uid(uid))
        }
        (AttributeType::Extension(extension), _) => read_extension(*extension, value),
    }
}

/// Converts the declared attributes of a record; undeclared ones are dropped.
pub(super) fn read_shape(
    shape: &AttributeShape,
    members: &[(Cow<'_, str>, Value<'_>)],
    named: &mut ReferencedEntities,
) -> Result<Vec<(String, RestrictedExpression)>, BadAttributes> {
    let (mut fields, mut faults) =
        (Vec::with_capacity(shape.attributes.len()), AttributeFaults::default());
    for attribute in &shape.attributes {
        let value = match property(members, &attribute.name) {
            Some(value) => read(&attribute.kind, value, named),
            None if attribute.required => Err(BadAttributes::missing()),
            None => continue,
        };
        let value = faults.keep(value.map_err(|bad| bad.within(&attribute.name)));
        fields.extend(value.map(|value| (attribute.name.clone(), value)));
    }
    faults.unless_any(fields)
}

/// The caller's text, escaped for use between backticks: it cannot close them.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().to_string().replace('`', "\\u{60}")
}

/// A sentence with texts between double quotes, as Cedar writes ids: these cannot close the
/// backticks around them.
pub(super) fn shown_within_quotes(sentence: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    let mut out = String::with_capacity(sentence.len());
    for letter in sentence.chars() {
        match letter {
            '`' if quoted => out.push_str("\\u{60}"),
            letter => out.push(letter),
        }
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
    }
    out
}

/// An entity as a bare id, as `{"type","id"}` or as `{"__entity":{"type","id"}}`.
pub(super) fn read_entity(
    name: &EntityTypeName,
    ids: Option<&[String]>,
    value: &Value<'_>,
) -> Result<EntityUid, BadAttributes> {
    let id = entity_id(name, ids, value)?;
    Ok(EntityUid::from_type_name_and_id(name.clone(), EntityId::new(id)))
}

/// The id of an entity in one of these forms.
pub(super) fn entity_id<'v>(
    name: &EntityTypeName,
    ids: Option<&[String]>,
    value: &'v Value<'_>,
) -> Result<&'v str, BadAttributes> {
    let wrapped =
        value.as_record().and_then(|members| property(members, "__entity")).unwrap_or(value);
    let id = match wrapped {
        Value::String(id) => id.as_ref(),
        Value::Record(members) => {
            let text = |key| property(members, key).and_then(Value::as_str);
            let (Some(kind), Some(id)) = (text("type"), text("id")) else {
                return Err(BadAttributes::because("must name its entity by `type` and `id`"));
            };
            if kind != name.to_string() {
                let why = format!("must be an entity of type `{name}`, not `{}`", shown(kind));
                return Err(BadAttributes::because(why));
            }
            id
        }
        _ => {
            let wanted = format!("the id of an entity of type `{name}`");
            return Err(BadAttributes::mistyped(&wanted, value));
        }
    };
    check_listed(name, ids, id)?;
    Ok(id)
}

/// Refuses an id that the schema does not list, if it lists any.
pub(super) fn check_listed(
    name: &EntityTypeName,
    ids: Option<&[String]>,
    id: &str,
) -> Result<(), BadAttributes> {
    if ids.is_none_or(|ids| ids.iter().any(|known| known == id)) {
        return Ok(());
    }
    let id = shown(id);
    let why = format!("`{id}` is none of the ids that the schema lists for `{name}`");
    Err(BadAttributes::because(why))
}

/// An extension value as a bare string, or in Cedar's JSON form, `{"fn","arg"}` alone or within
/// `{"__extn"}`; a decimal as a number too.
fn read_extension(
    extension: Extension,
    value: &Value<'_>,
) -> Result<RestrictedExpression, BadAttributes> {
    let (function, wanted) = match extension {
        Extension::Decimal => {
            ("decimal", "a decimal number of at most 4 digits behind the point, such as `\"1.25\"`")
        }
        Extension::Ip => ("ip", "an IP address, such as `192.0.2.1`"),
        Extension::DateTime => (
            "datetime",
            "a date or time, such as `2026-01-31T08:00:00Z` or, at most 3 digits behind the second, `2026-01-31T08:00:00.250+01:00`",
        ),
        Extension::Duration => ("duration", "a duration, such as `1h30m`"),
    };
    let wrapped =
        value.as_record().and_then(|members| property(members, "__extn")).unwrap_or(value);
    let call = wrapped.as_record();
    let given = match call.and_then(|call| property(call, "fn")).and_then(Value::as_str) {
        Some(named) if named == function => call.and_then(|call| property(call, "arg")),
        Some(_) => None,
        None => Some(wrapped),
    };
    let text = match (extension, given) {
        (Extension::DateTime, Some(Value::String(text))) => {
            extension_value_spelling::datetime(text)
        }
        (_, Some(Value::String(text))) => Cow::Borrowed(text.as_ref()),
        (Extension::Decimal, Some(number)) => match extension_value_spelling::decimal(number) {
            Some(text) => Cow::Owned(text),
            None => return Err(BadAttributes::mistyped(wanted, number)),
        },
        _ => return Err(BadAttributes::mistyped(wanted, value)),
    };
    let expression = match extension {
        Extension::Decimal => RestrictedExpression::new_decimal(text.as_ref()),
        Extension::Ip => RestrictedExpression::new_ip(text.as_ref()),
        Extension::DateTime => RestrictedExpression::new_datetime(text.as_ref()),
        Extension::Duration => RestrictedExpression::new_duration(text.as_ref()),
    };
    // Cedar would parse the text only later: here the attribute can still be named.
    match Context::from_pairs([("value".to_owned(), expression.clone())]) {
        Ok(_) => Ok(expression),
        Err(_) => {
            let text = shown(&text);
            Err(BadAttributes::because(format!("must be {wanted}, not `{text}`")))
        }
    }
}

/// The shapes of a whole schema, read from its JSON form.
#[derive(Debug, Default)]
pub(super) struct SchemaShapes {
    /// By full type name.
    pub(super) entities: HashMap<String, AttributeShape>,
    /// The ids that the schema lists, by full type name.
    pub(super) listed: HashMap<String, Vec<String>>,
    /// By namespace and action id.
    pub(super) contexts: HashMap<(String, String), AttributeShape>,
    /// What people call the types.
    pub(super) titles: TypeTitles,
}

impl SchemaShapes {
    /// Reads Cedar's JSON schema form (from `SchemaFragment::to_json_value`).
    ///
    /// # Errors
    /// Reports unknown constructs; a schema that Cedar accepted has none.
    pub(super) fn read(schema: &Json) -> Result<Self, String> {
        let reader = TypeReader { schema };
        let mut shapes = Self::default();
        for (namespace, body) in members(schema) {
            for (name, entity) in members(at(body, "entityTypes")) {
                let shape = match at(entity, "shape") {
                    Json::Null => AttributeShape::default(),
                    shape => reader.shape(namespace, shape)?,
                };
                shapes.entities.insert(qualified(namespace, name), shape);
                if let Some(title) = at(at(entity, "annotations"), "title").as_str() {
                    shapes.titles.add(name, title);
                }
                if let Some(ids) = listed(entity) {
                    shapes.listed.insert(qualified(namespace, name), ids);
                }
            }
            for (name, action) in members(at(body, "actions")) {
                let shape = match at(at(action, "appliesTo"), "context") {
                    Json::Null => AttributeShape::default(),
                    shape => reader.shape(namespace, shape)?,
                };
                shapes.contexts.insert((namespace.clone(), name.clone()), shape);
            }
        }
        Ok(shapes)
    }
}

/// Resolves names while reading.
struct TypeReader<'a> {
    schema: &'a Json,
}

impl TypeReader<'_> {
    fn shape(&self, namespace: &str, json: &Json) -> Result<AttributeShape, String> {
        match self.kind(namespace, json)? {
            AttributeType::Record(shape) => Ok(shape),
            other => Err(format!("a shape must be a record, not {other:?}")),
        }
    }

    fn kind(&self, namespace: &str, json: &Json) -> Result<AttributeType, String> {
        let name = at(json, "name").as_str().unwrap_or_default();
        Ok(match at(json, "type").as_str().unwrap_or_default() {
            "Long" => AttributeType::Long,
            "Boolean" | "Bool" => AttributeType::Bool,
            "String" => AttributeType::String,
            "Set" => AttributeType::Set(Box::new(self.kind(namespace, at(json, "element"))?)),
            "Record" => {
                let attributes = members(at(json, "attributes"))
                    .map(|(name, json)| {
                        Ok(Attribute {
                            name: name.clone(),
                            kind: self.kind(namespace, json)?,
                            required: at(json, "required").as_bool().unwrap_or(true),
                            mentioned: true,
                            left_to_cedar: true,
                        })
                    })
                    .collect::<Result<_, String>>()?;
                AttributeType::Record(AttributeShape { attributes })
            }
            "Entity" => self.entity(namespace, name)?,
            "Extension" => AttributeType::Extension(extension(name)?),
            "EntityOrCommon" => self.named(namespace, name)?,
            common => self.named(namespace, common)?,
        })
    }

    /// A name of a common type, an entity type or a built-in one, in that order, in its own
    /// namespace before the empty one (Cedar's rule of resolution).
    fn named(&self, namespace: &str, name: &str) -> Result<AttributeType, String> {
        for (home, local) in candidates(namespace, name) {
            let body = at(self.schema, home);
            let common = at(at(body, "commonTypes"), local);
            if !common.is_null() {
                return self.kind(home, common);
            }
            if !at(at(body, "entityTypes"), local).is_null() {
                return self.entity(home, local);
            }
        }
        match name.strip_prefix("__cedar::").unwrap_or(name) {
            "Long" => Ok(AttributeType::Long),
            "Bool" | "Boolean" => Ok(AttributeType::Bool),
            "String" => Ok(AttributeType::String),
            other => extension(other).map(AttributeType::Extension),
        }
    }

    fn entity(&self, namespace: &str, name: &str) -> Result<AttributeType, String> {
        for (home, local) in candidates(namespace, name) {
            let entity = at(at(at(self.schema, home), "entityTypes"), local);
            if entity.is_null() {
                continue;
            }
            let ids = listed(entity);
            let full = qualified(home, local);
            let name = full.parse().map_err(|fault| format!("`{full}`: {fault}"))?;
            return Ok(AttributeType::Entity(name, ids));
        }
        Err(format!("no entity type `{name}`"))
    }
}

/// The ids that an entity type may have, if the schema lists them.
fn listed(entity: &Json) -> Option<Vec<String>> {
    let ids = at(entity, "enum").as_array()?;
    Some(ids.iter().filter_map(|id| id.as_str().map(str::to_owned)).collect())
}

/// Where a name may be declared: qualified names only there, others here or at the top.
pub(super) fn candidates<'a>(namespace: &'a str, name: &'a str) -> Vec<(&'a str, &'a str)> {
    match name.rsplit_once("::") {
        Some(qualified) => vec![qualified],
        None => vec![(namespace, name), ("", name)],
    }
}

fn extension(name: &str) -> Result<Extension, String> {
    match name {
        "decimal" => Ok(Extension::Decimal),
        "ipaddr" => Ok(Extension::Ip),
        "datetime" => Ok(Extension::DateTime),
        "duration" => Ok(Extension::Duration),
        other => Err(format!("no type `{other}`")),
    }
}

/// A name with its namespace, if there is one.
pub(super) fn qualified(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}::{name}") }
}

pub(super) fn at<'j>(json: &'j Json, key: &str) -> &'j Json {
    json.get(key).unwrap_or(&Json::Null)
}

pub(super) fn members(json: &Json) -> impl Iterator<Item = (&String, &Json)> {
    json.as_object().into_iter().flatten()
}
