//! The schema of a folder: parsed, checked against the limits, with the names and shapes that it
//! declares.
//!
//! Knows of no policy; `size_limits` computes the size of a schema.

use cedar_policy::{Schema, SchemaFragment};

use super::attribute_types::SchemaShapes;
use super::entity_builder::{can_hold_attribute, is_supplied};
use super::folder_files::SCHEMA;
use super::nesting_limit::schema_too_deep;
use super::policy_fault::{NOTES_MAX, PolicyFault};
use super::schema_names::Symbols;
use super::size_limits::{self, SizeExcess};

/// Parses the schema; `None` if it is at fault.
pub(super) fn read_schema(
    text: &str,
    notes: &mut Vec<String>,
    faults: &mut Vec<PolicyFault>,
) -> Option<(Schema, Symbols)> {
    if let Some((at, why)) = schema_too_deep(text) {
        faults.push(PolicyFault::at(SCHEMA, text, (at, 1), why));
        return None;
    }
    let too_much = |SizeExcess { at, why }: SizeExcess| match at {
        Some(at) => PolicyFault::at(SCHEMA, text, at, why),
        None => PolicyFault::new(SCHEMA, why),
    };
    if let Err(extent) = size_limits::of_copies(text) {
        faults.push(too_much(extent));
        return None;
    }
    let fragment = match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, warnings)) => {
            notes.extend(warnings.take(NOTES_MAX).map(|warning| format!("{SCHEMA}: {warning}")));
            fragment
        }
        Err(fault) => {
            faults.push(PolicyFault::of(SCHEMA, text, &fault));
            return None;
        }
    };
    let json = match fragment.clone().to_json_value() {
        Ok(json) => json,
        Err(fault) => {
            faults.push(PolicyFault::new(SCHEMA, fault.to_string()));
            return None;
        }
    };
    // Before Cedar expands its types.
    if let Err(extent) = size_limits::of_schema(&json, text) {
        faults.push(too_much(extent));
        return None;
    }
    let schema = match Schema::from_schema_fragments([fragment]) {
        Ok(schema) => schema,
        Err(fault) => {
            faults.push(PolicyFault::of(SCHEMA, text, &fault));
            return None;
        }
    };
    let names = SchemaShapes::read(&json)
        .map_err(|sentence| vec![sentence])
        .and_then(|shapes| Symbols::read(&schema, shapes));
    match names {
        Ok(names) => {
            let found = faults.len();
            faults.extend(unsuitable(&names));
            (faults.len() == found).then_some((schema, names))
        }
        Err(sentences) => {
            faults.extend(sentences.into_iter().map(|why| PolicyFault::new(SCHEMA, why)));
            None
        }
    }
}

/// Attributes of `User` that the store supplies, but whose declared type cannot hold them.
fn unsuitable(names: &Symbols) -> Vec<PolicyFault> {
    let attributes = &names.shape(names.user).attributes;
    attributes
        .iter()
        .filter(|attribute| is_supplied(&attribute.name))
        .filter(|attribute| !can_hold_attribute(names, &attribute.name, &attribute.kind))
        .map(|attribute| {
            PolicyFault::new(
                SCHEMA,
                format!("the store supplies `{}` of `User`, and the declared type cannot hold it: declare `account: Account`, `role: String`, `active: Bool`, `email: String`, `first_name: String`, `last_name: String`, `two_step: Bool`, `joined: datetime`", attribute.name),
            )
        })
        .collect()
}
