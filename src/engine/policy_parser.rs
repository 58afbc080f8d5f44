//! Parsed policies with their source locations and their syntax.
//!
//! Does not check policies against the schema, and never drops one without a fault.

use std::str::FromStr;

use cedar_policy::{Policy, PolicyId, PolicySet};
use serde_json::Value as Json;

use super::load_progress::LoadProgress;
use super::nesting_limit::too_deep;
use super::parallel::in_parallel;
use super::policy_fault::{FAULTS_MAX, PolicyFault, is_full};

pub(super) struct ParsedPolicy<'f> {
    pub(super) file: &'f str,
    pub(super) text: &'f str,
    pub(super) policy: Policy,
    /// In Cedar's JSON form; null before [`read_syntax`].
    pub(super) syntax: Json,
}

impl ParsedPolicy<'_> {
    /// A fault at this policy's first line.
    pub(super) fn fault(&self, message: impl Into<String>) -> PolicyFault {
        match self.policy.as_ref().loc() {
            Some(loc) => {
                let head = self
                    .text
                    .get(loc.start()..loc.end())
                    .map_or(1, |text| text.find(['\n', '(']).unwrap_or(text.len()));
                PolicyFault::at(self.file, self.text, (loc.start(), head), message)
            }
            None => PolicyFault::new(self.file, message),
        }
    }

    /// A fault at the annotation of this key, which may stand below the first line.
    pub(super) fn fault_at(&self, key: &str, message: impl Into<String>) -> PolicyFault {
        let mut annotations = self.policy.as_ref().annotations();
        let found = annotations.find(|(known, _)| known.as_ref() == key);
        match found.and_then(|(_, annotation)| annotation.loc.as_ref()) {
            Some(loc) => PolicyFault::at(
                self.file,
                self.text,
                (loc.start(), loc.end() - loc.start()),
                message,
            ),
            None => self.fault(message),
        }
    }

    /// The value of an annotation. Cedar's own look-up parses the key each time, which costs ten
    /// thousand policies a tenth of a second.
    pub(super) fn annotation(&self, key: &str) -> Option<&str> {
        self.policy.annotations().find(|(found, _)| *found == key).map(|(_, value)| value)
    }
}

/// Parses policy files; each policy takes its `@id` as its id.
pub(super) fn read_policies<'a, 'f: 'a>(
    files: impl Iterator<Item = &'a (&'f str, &'f str)>,
    tell: impl Fn(&str),
    faults: &mut Vec<PolicyFault>,
) -> Vec<ParsedPolicy<'f>> {
    let mut placed = Vec::new();
    for &(file, text) in files {
        if is_full(faults) {
            break;
        }
        tell(file);
        if let Some((at, why)) = too_deep(text) {
            faults.push(PolicyFault::at(file, text, (at, 1), why));
            continue;
        }
        let set = match PolicySet::from_str(text) {
            Ok(set) => set,
            Err(errors) => {
                let errors = errors.iter().take(FAULTS_MAX);
                faults.extend(errors.map(|error| PolicyFault::of(file, text, error)));
                continue;
            }
        };
        for template in set.templates().take(FAULTS_MAX) {
            let name = template.annotation("id").unwrap_or("without an id");
            faults.push(PolicyFault::new(
                file,
                format!("the policy `{name}` has a slot (`?principal` or `?resource`): nothing fills it, so it would silently do nothing; write the entity itself"),
            ));
        }
        let place = |policy: &Policy| ParsedPolicy {
            file,
            text,
            policy: policy.clone(),
            syntax: Json::Null,
        };
        let mut found: Vec<ParsedPolicy<'f>> = set.policies().map(place).collect();
        found.sort_by_key(|placed| placed.policy.as_ref().loc().map(|loc| loc.start()));
        for mut policy in found {
            if is_full(faults) {
                break;
            }
            match policy.annotation("id").map(str::to_owned) {
                Some(id) if !id.trim().is_empty() => {
                    policy.policy = policy.policy.new_id(PolicyId::new(id));
                    placed.push(policy);
                }
                _ => {
                    faults.push(policy.fault(
                        "this policy has no `@id`: give it one that is unique in the folder",
                    ))
                }
            }
        }
    }
    placed
}

/// Fills in the syntax of each policy.
pub(super) fn read_syntax(
    policies: &mut [ParsedPolicy<'_>],
    progress: &LoadProgress<'_>,
    faults: &mut Vec<PolicyFault>,
) {
    let read = in_parallel(policies, |share| {
        let syntax = |placed: &ParsedPolicy<'_>| {
            placed
                .policy
                .to_json()
                .map_err(|fault| PolicyFault::new(placed.file, fault.to_string()))
        };
        let of_files = share.chunk_by(|one, next| one.file == next.file);
        let syntax_of = |file: &[ParsedPolicy<'_>]| {
            let name = file.first().map_or("", |placed| placed.file);
            progress.on(name, || file.iter().map(syntax).collect::<Vec<_>>())
        };
        of_files.flat_map(syntax_of).collect::<Vec<_>>()
    });
    for (placed, syntax) in policies.iter_mut().zip(read.into_iter().flatten()) {
        match syntax {
            Ok(syntax) => placed.syntax = syntax,
            Err(fault) => faults.push(fault),
        }
    }
}
