//! Whether a policy reads an entity other than the principal and the resource.
//!
//! Cedar's analysis assumes that every entity which a request names is known. Here an entity that an
//! attribute names may be unknown: then `has` says no, and reading it fails. So nothing counts as proved
//! that depends on such a reading. Errs on the side of "it does".

use std::collections::HashSet;

use serde_json::Value as Json;

use super::attribute_types::{AttributeShape, AttributeType};
use super::schema_names::Symbols;

/// The attributes that hold an entity somewhere in the schema, by name.
#[derive(Debug, Default)]
pub(super) struct EntityAttributes<'n>(HashSet<&'n str>);

impl<'n> EntityAttributes<'n> {
    pub(super) fn of(names: &'n Symbols) -> Self {
        let mut found = Self::default();
        names.types.iter().for_each(|info| found.read(&info.shape));
        names.actions.iter().for_each(|info| found.read(&info.context));
        found
    }

    fn read(&mut self, shape: &'n AttributeShape) {
        for attribute in &shape.attributes {
            match &attribute.kind {
                AttributeType::Entity(..) => {
                    self.0.insert(&attribute.name);
                }
                AttributeType::Record(inner) => self.read(inner),
                _ => {}
            }
        }
    }

    /// Whether an expression in Cedar's JSON form reads an attribute or a tag of another entity.
    pub(super) fn are_followed_in(&self, json: &Json) -> bool {
        match json {
            Json::Object(members) => members.iter().any(|(operator, inside)| {
                self.is_followed_by(operator, inside) || self.are_followed_in(inside)
            }),
            Json::Array(items) => items.iter().any(|item| self.are_followed_in(item)),
            _ => false,
        }
    }

    /// Whether this operator itself does, whatever its operands do.
    pub(super) fn is_followed_by(&self, operator: &str, inside: &Json) -> bool {
        matches!(operator, "." | "has" | "getTag" | "hasTag")
            && (inside.get("left").is_none_or(|left| self.is_other(left))
                || self.is_on_the_way(inside))
    }

    /// Whether what is read from is an entity other than the principal and the resource.
    fn is_other(&self, left: &Json) -> bool {
        if left.get("Var").is_some() || left.get("Record").is_some() {
            return false;
        }
        let attribute = left.get(".").and_then(|read| read.get("attr")).and_then(Json::as_str);
        attribute.is_none_or(|name| self.0.contains(name)) || !begins_at_variable(left)
    }

    /// `has a.b` reads `a` to test `b`.
    fn is_on_the_way(&self, value: &Json) -> bool {
        let names = value.get("attr").and_then(Json::as_array);
        let Some((_, way)) = names.and_then(|names| names.split_last()) else { return false };
        let is_entity = |name: &Json| name.as_str().is_none_or(|name| self.0.contains(name));
        let is_known = value.get("left").is_some_and(begins_at_variable);
        way.iter().any(is_entity) || !(way.is_empty() || is_known)
    }
}

/// Whether an expression is a variable, or an attribute of an attribute of one: then the schema knows
/// what its names are. Not so the names of a record that the policy makes.
fn begins_at_variable(mut expression: &Json) -> bool {
    while let Some(left) = expression.get(".").and_then(|read| read.get("left")) {
        expression = left;
    }
    expression.get("Var").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::policy_fault::render;
    use crate::engine::schema::read_schema;

    #[test]
    fn what_follows_an_attribute_to_another_entity_is_found() {
        let schema = "entity Account { plan: String }; entity Role; \
            entity User in [Role, Account] { account: Account, active: Bool, at: { home: Account, no: Long } } tags Account; \
            action a appliesTo { principal: [User], resource: [User], context: { ip?: { of: { owner: User }, x: Long } } };";
        let (mut notes, mut faults) = (Vec::new(), Vec::new());
        let read = read_schema(schema, &mut notes, &mut faults);
        let (_, names) = read.unwrap_or_else(|| panic!("{}", render(&faults)));
        let attributes = EntityAttributes::of(&names);
        for (condition, expected) in [
            ("principal.active", false),
            ("resource in principal.account", false),
            ("principal.at.no > 1", false),
            ("context has ip && context.ip.x > 1 && context.ip.of.owner == principal", false),
            ("context has ip.of", false),
            ("{a: 1}.a == 1 && action in Action::\"a\"", false),
            ("principal.account.plan == \"\"", true),
            ("principal.account has plan", true),
            ("principal.at.home.plan == \"\"", true),
            ("context has ip && context.ip.of.owner.active", true),
            ("principal has account.plan", true),
            ("Account::\"x\".plan == \"\"", true),
            ("(if principal.active then principal else resource).active", true),
            ("{o: principal.account}.o.plan == \"\"", true),
            ("{o: principal.account}.o has plan", true),
            ("{o: principal.account} has o.plan", true),
            ("{o: principal.account}.o == principal.account", false),
            ("principal.hasTag(\"t\")", false),
            ("principal.hasTag(\"t\") && principal.getTag(\"t\").plan == \"\"", true),
        ] {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            let policy: cedar_policy::Policy = text.parse().unwrap();
            let json = policy.to_json().unwrap();
            assert_eq!(attributes.are_followed_in(&json), expected, "{condition}: {json}");
        }
    }
}
