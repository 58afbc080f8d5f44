//! A builder for JSON Schema objects: no duplicate and no additional properties.

use serde_json::{Map, Value, json};

#[derive(Clone, Debug, Default)]
pub(super) struct SchemaObject {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl SchemaObject {
    /// Adds a required property.
    pub(super) fn with(mut self, name: &'static str, schema: Value) -> Self {
        self.required.push(name);
        self.may(name, schema)
    }

    /// Adds several required properties of one kind.
    pub(super) fn all(self, names: &[&'static str], schema: fn() -> Value) -> Self {
        names.iter().fold(self, |object, name| object.with(name, schema()))
    }

    /// Adds an optional property.
    pub(super) fn may(mut self, name: &'static str, schema: Value) -> Self {
        self.properties.insert(name.to_owned(), schema);
        self
    }

    /// The same after a change, with its revision, and the nodes that have seen it where the caller
    /// waited for them.
    pub(super) fn changed(self) -> Self {
        self.with("revision", count()).may("seen", reference("Seen"))
    }

    pub(super) fn schema(self) -> Value {
        json!({
            "type": "object",
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }

    /// An edit: at least one of its properties.
    pub(super) fn correction(self) -> Value {
        let mut schema = self.schema();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("minProperties".to_owned(), json!(1));
        }
        schema
    }
}

/// An object without properties, to add them to.
pub(super) fn object() -> SchemaObject {
    SchemaObject::default()
}

/// An object with these properties, as plain JSON.
pub(super) fn keyed<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

pub(super) fn text() -> Value {
    json!({"type": "string"})
}

pub(super) fn flag() -> Value {
    json!({"type": "boolean"})
}

pub(super) fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

pub(super) fn moment() -> Value {
    json!({"type": "string", "format": "date-time"})
}

pub(super) fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

pub(super) fn list(items: Value) -> Value {
    keyed([("type", json!("array")), ("items", items)])
}

pub(super) fn or_null(schema: Value) -> Value {
    any_of([schema, json!({"type": "null"})])
}

pub(super) fn any_of<const N: usize>(schemas: [Value; N]) -> Value {
    keyed([("anyOf", Value::Array(schemas.into()))])
}
