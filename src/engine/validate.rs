//! Cedar's strict validation, with a limit on how many references a condition may follow.
//!
//! Cedar alone decides whether a policy is valid and how far it reaches. Asking for both checks the
//! types twice, so the reach is checked only for policies that could exceed it.

use std::collections::{HashMap, HashSet};

use cedar_policy::{PolicyId, PolicySet, Schema, ValidationMode, ValidationResult, Validator};
use serde_json::Value as Json;

use super::entity_builder::REACH;
use super::load_progress::LoadProgress;
use super::parallel::in_parallel;
use super::policy_fault::{NOTES_MAX, PolicyFault, is_full};
use super::policy_parser::ParsedPolicy;

/// Validates each policy separately.
pub(super) fn validate(
    schema: &Schema,
    policies: &[ParsedPolicy<'_>],
    progress: &LoadProgress<'_>,
    notes: &mut Vec<String>,
    faults: &mut Vec<PolicyFault>,
) {
    let mut seen = HashSet::new();
    // A duplicate id is already reported; the second policy is validated next time.
    let first_of_id = policies.iter().filter(|placed| seen.insert(placed.policy.id().clone()));
    let first_of_id: Vec<&ParsedPolicy<'_>> = first_of_id.collect();
    let places: HashMap<&PolicyId, &ParsedPolicy<'_>> =
        first_of_id.iter().map(|placed| (placed.policy.id(), *placed)).collect();
    let results = in_parallel(&first_of_id, |share| {
        let validator = Validator::new(schema.clone());
        let of_files = share.chunk_by(|one, next| one.file == next.file);
        let results = of_files.map(|file| {
            let name = file.first().map_or("", |placed| placed.file);
            progress.on(name, || validate_file(&validator, file))
        });
        results.collect::<Vec<_>>()
    });
    let results: Vec<_> = results.into_iter().flatten().collect();
    for (unadded, _) in &results {
        faults.extend(unadded.iter().cloned());
    }
    for result in results.iter().flat_map(|(_, results)| results) {
        for error in result.validation_errors() {
            if is_full(faults) {
                break;
            }
            faults.push(match places.get(error.policy_id()) {
                Some(placed) => PolicyFault::of(placed.file, placed.text, error),
                None => PolicyFault::new("", error.to_string()),
            });
        }
        for warning in result.validation_warnings().take(NOTES_MAX) {
            let file = places.get(warning.policy_id()).map_or("", |placed| placed.file);
            notes.push(format!("{file}: {warning}"));
        }
    }
}

/// Validates policies of one file.
fn validate_file(
    validator: &Validator,
    policies: &[&ParsedPolicy<'_>],
) -> (Vec<PolicyFault>, [ValidationResult; 2]) {
    let mut unadded = Vec::new();
    let (mut near, mut far) = (PolicySet::new(), PolicySet::new());
    for placed in policies {
        let set = if stays_near(&placed.syntax) { &mut near } else { &mut far };
        if let Err(fault) = set.add(placed.policy.clone()) {
            unadded.push(PolicyFault::new(placed.file, fault.to_string()));
        }
    }
    let near = validator.validate(&near, ValidationMode::Strict);
    (unadded, [near, validate_reach(validator, &far)])
}

fn validate_reach(validator: &Validator, policies: &PolicySet) -> ValidationResult {
    let reach = u32::try_from(REACH).unwrap_or(0);
    validator.validate_with_level(policies, ValidationMode::Strict, reach)
}

/// Whether a policy certainly follows at most [`REACH`] references, without looking at types.
///
/// Each reference is one operator, so a policy with as few operators as allowed references cannot
/// follow more, in any order. An entity literal must not be the start of a reference, and only
/// types show whether it is. A scope follows one reference, from `principal` or `resource`.
fn stays_near(syntax: &Json) -> bool {
    let mut walk = ReachWalk::default();
    walk.through(syntax.get("conditions").unwrap_or(syntax));
    walk.steps == 0 || (walk.steps <= REACH && !walk.names_entity)
}

#[derive(Default)]
struct ReachWalk {
    steps: usize,
    names_entity: bool,
}

impl ReachWalk {
    /// Counts everything that might be an operator, including a key of a record literal with the
    /// same name.
    fn through(&mut self, json: &Json) {
        match json {
            Json::Object(members) => {
                for (key, value) in members {
                    match key.as_str() {
                        "." | "in" | "getTag" | "hasTag" => self.steps += 1,
                        // `has a.b` follows one reference for each name.
                        "has" => {
                            let names = value.get("attr").and_then(Json::as_array);
                            self.steps += names.map_or(1, Vec::len);
                        }
                        // Of all values, only entities are written as objects.
                        "Value" => self.names_entity |= value.is_object(),
                        _ => {}
                    }
                    self.through(value);
                }
            }
            Json::Array(items) => items.iter().for_each(|item| self.through(item)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use cedar_policy::ValidationError;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::domain::PolicyFiles;
    use crate::engine::{Snapshot, render};

    const SCHEMA: &str = r#"
        entity Node in [Node] { next: Node, nest: { next: Node }, on: Bool } tags Node;
        action look appliesTo { principal: Node, resource: Node, context: { next: Node } };
    "#;

    struct Dice(StdRng);

    impl Dice {
        fn pick<T: Copy>(&mut self, from: &[T]) -> T {
            from[self.0.random_range(0..from.len())]
        }

        /// An expression that is a `Node`.
        fn node(&mut self, depth: usize) -> String {
            if depth == 0 {
                let starts =
                    ["principal", "resource", "principal", "context.next", "Node::\"one\""];
                return self.pick(&starts).to_owned();
            }
            let node = self.node(depth - 1);
            match self.0.random_range(0..8) {
                0 => format!("{node}.nest.next"),
                1 => format!("{{a: {node}, b: resource}}.a"),
                2 => format!("(if {} then {node} else resource)", self.flag(0)),
                3 => node,
                _ => format!("{node}.next"),
            }
        }

        /// A condition.
        fn flag(&mut self, depth: usize) -> String {
            let steps = self.0.random_range(0..3);
            let (node, other) = (self.node(steps), self.node(0));
            match self.0.random_range(0..if depth == 0 { 7 } else { 11 }) {
                0 => format!("{node} in {other}"),
                1 => format!("{node} has next"),
                2 => format!("{node} has next.next"),
                3 => format!("{node} has nest.next.next"),
                4 => format!("{node} is Node in {other}"),
                5 => format!("({node}.hasTag(\"t\") && {node}.getTag(\"t\") in {other})"),
                6 => format!("{node} == {other}"),
                7 => format!("!({})", self.flag(depth - 1)),
                8 => format!("({} || {})", self.flag(depth - 1), self.flag(depth - 1)),
                _ => format!("({} && {})", self.flag(depth - 1), self.flag(depth - 1)),
            }
        }

        fn policy(&mut self) -> String {
            let scopes = [
                "principal, action, resource",
                "principal in Node::\"all\", action, resource",
                "principal, action, resource is Node in Node::\"all\"",
            ];
            let (scope, word) = (self.pick(&scopes), self.pick(&["when", "unless"]));
            let depth = self.0.random_range(0..2);
            format!("permit ({scope}) {word} {{ {} }};", self.flag(depth))
        }
    }

    /// What the gate says to a policy with this condition.
    fn refused(condition: &str) -> Option<String> {
        let schema = "entity Account; entity Role; \
            entity User in [Role, Account] { account: Account, role: String, active: Bool }; \
            entity Page in [Account] { over: Page, open: Bool }; \
            action look appliesTo { principal: User, resource: Page };";
        let role = format!(
            "@id(\"reader\") @role(\"reader\") @title(\"t\") @summary(\"s\") @best_for(\"b\") \
             permit (principal in Role::\"reader\", action, resource) when {{ {condition} }};"
        );
        let files = [("schema.cedarschema", schema.to_owned()), ("roles/reader.cedar", role)];
        let files = files.map(|(path, text)| (path.to_owned(), text.into_bytes()));
        let faults = Snapshot::load(&PolicyFiles::new(files.into()), &[]).err()?;
        Some(render(&faults))
    }

    #[test]
    fn the_gate_refuses_what_reaches_too_far() {
        for condition in ["true", "resource.open", "resource.over.open && principal.active"] {
            assert_eq!(refused(condition), None, "{condition}");
        }
        for (condition, why) in [
            ("resource.over.over.open", "level"),
            ("principal.active && resource.over.over in resource", "level"),
            ("Page::\"front\".open", "entity literal"),
            ("resource.over.closed", "closed"),
        ] {
            let said = refused(condition).unwrap_or_else(|| panic!("{condition} passed"));
            assert!(said.contains("roles/reader.cedar") && said.contains(why), "{said}");
        }
    }

    #[test]
    fn what_is_said_to_stay_near_does() {
        let (schema, _) = Schema::from_cedarschema_str(SCHEMA).unwrap();
        let validator = Validator::new(schema);
        let mut dice = Dice(StdRng::seed_from_u64(76));
        let (mut near, mut stepping, mut too_far) = (0, 0, 0);
        for _ in 0..4_000 {
            let text = dice.policy();
            let policies = PolicySet::from_str(&text).unwrap();
            if !validator.validate(&policies, ValidationMode::Strict).validation_passed() {
                continue;
            }
            let syntax = policies.policies().next().unwrap().to_json().unwrap();
            let result = validate_reach(&validator, &policies);
            let told: Vec<&ValidationError> = result.validation_errors().collect();
            if stays_near(&syntax) {
                assert!(told.is_empty(), "{text}: {told:?}");
                near += 1;
                stepping += usize::from(syntax.to_string().contains("next"));
            }
            too_far += usize::from(!told.is_empty());
        }
        println!("{near} stay near, {stepping} of them take steps, {too_far} go too far");
        assert!(near > 500 && stepping > 200 && too_far > 500, "a mix that tries little");
    }
}
