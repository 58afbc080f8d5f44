//! The guards of a folder: statements that every policy set must keep, never part of a decision.
//!
//! `at_most`: the set allows nothing beyond the guard. `at_least`: the set allows everything that the guard
//! allows. Here they are evaluated: on the cases of the matrix, and on single examples. Cases prove
//! nothing about other cases; that is the work of [`super::guard_proof`].

use std::collections::BTreeMap;

use cedar_policy::{Policy, PolicyId, PolicySet};

use super::Snapshot;
use super::entity_builder::{BuiltAttributes, EntityBuilder, Principal, ResolvedQuery};
use super::evaluate::{Evaluation, SliceKeys, Verdict};
use super::example_query::ExampleQuery;
use super::policy_fault::{PolicyFault, bounded};
use super::role_matrix::SITUATIONS;
use crate::domain::{plural, worded};

/// The limit on the work of one check, in the units of [`super::role_matrix_diff`]: some seconds.
const WORK_MAX: usize = 3_000_000;
/// The cost of one case, and of each policy in it.
const CASE: usize = 20;
const POLICY: usize = 2;

worded! {
    /// What a guard states.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum GuardKind {
        /// Whatever the set allows, the guard allows.
        AtMost = "at_most",
        /// Whatever the guard allows, the set allows.
        AtLeast = "at_least",
    }
}

/// One guard.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub(super) kind: GuardKind,
    pub(super) policy: Policy,
    /// The policy alone.
    set: PolicySet,
    pub(super) file: String,
}

impl Guard {
    /// A guard of a folder; `None` where the loader has found a fault in it.
    pub(super) fn of(policy: &Policy, kind: Option<&str>, file: &str) -> Option<Self> {
        let kind = GuardKind::ALL.into_iter().find(|known| Some(known.as_str()) == kind)?;
        let set = PolicySet::from_policies([policy.clone()]).ok()?;
        Some(Self { kind, policy: policy.clone(), set, file: file.to_owned() })
    }

    pub(super) fn id(&self) -> &str {
        self.policy.id().as_ref()
    }

    /// What it states, for people.
    pub(super) fn summary(&self) -> &str {
        self.policy.annotation("summary").unwrap_or_default()
    }

    fn fault(&self, BrokenGuard { case, more, .. }: &BrokenGuard) -> PolicyFault {
        let summary = self.summary().trim().trim_end_matches('.');
        let states = if summary.is_empty() { String::new() } else { format!(" ({summary})") };
        let more = match more {
            0 => String::new(),
            more => format!(", and in {}", plural(*more, "more case", "more cases")),
        };
        PolicyFault::new(
            self.file.as_str(),
            format!(
                "the policies break the guard `{}`{states}: {case}{more}; correct the policies, or the guard if it no longer states what is wanted",
                self.id()
            ),
        )
    }

    /// Whether the answers contradict it.
    fn is_broken(&self, allowed: bool, guard_allows: bool) -> bool {
        match self.kind {
            GuardKind::AtMost => allowed && !guard_allows,
            GuardKind::AtLeast => guard_allows && !allowed,
        }
    }
}

/// The result of checking the guards on cases.
#[derive(Debug, Default)]
pub struct GuardCheck {
    /// The guards that do not hold, by their number.
    pub(super) broken: BTreeMap<usize, BrokenGuard>,
    /// One fault for each guard that does not hold, with the first case.
    pub faults: Vec<PolicyFault>,
    /// How many cases were evaluated.
    pub cases: usize,
    /// Whether all cases of the matrix were.
    pub is_whole: bool,
}

impl GuardCheck {
    /// All guards hold on so many cases, which a check before has evaluated: whether these were all, it said.
    pub(super) fn all_hold(cases: usize) -> Self {
        Self { cases, ..Self::default() }
    }
}

/// A guard that does not hold.
#[derive(Debug)]
pub(super) struct BrokenGuard {
    /// The first case.
    pub(super) example: ExampleQuery,
    /// The same, for people.
    case: String,
    more: usize,
}

impl Snapshot {
    /// Evaluates every guard on every case of the matrix, within a limit on the work.
    #[must_use]
    pub fn check_guards(&self) -> GuardCheck {
        let mut found = GuardCheck { is_whole: true, ..GuardCheck::default() };
        if self.guards.is_empty() {
            return found;
        }
        let mut left = WORK_MAX;
        for (action, resource) in self.asked() {
            let cost = SITUATIONS.len() * (CASE + self.applicable(&action, &resource) * POLICY);
            for role in self.roles().iter().map(|card| &card.id) {
                let Some(rest) = left.checked_sub(cost) else {
                    found.is_whole = false;
                    continue;
                };
                left = rest;
                for situation in SITUATIONS {
                    if let Some(example) = self.example(role, &action, &resource, situation) {
                        self.check_case(&example, situation.label, &mut found);
                    }
                }
            }
        }
        let guards = found.broken.iter();
        let faults = guards.filter_map(|(at, broken)| Some(self.guards.get(*at)?.fault(broken)));
        found.faults = bounded(faults.collect());
        found
    }

    fn check_case(&self, example: &ExampleQuery, label: &str, found: &mut GuardCheck) {
        found.cases += 1;
        for (at, verdict) in self.broken_by(example) {
            if let Some(known) = found.broken.get_mut(&at) {
                known.more += 1;
                continue;
            }
            let ExampleQuery { role, action, resource_type, .. } = example;
            let may = if verdict.allowed { "is allowed" } else { "is denied" };
            let by = by(&verdict);
            let case = format!("`{role}` {may} `{action}` on `{resource_type}`{label}{by}");
            let example = example.clone();
            found.broken.insert(at, BrokenGuard { example, case, more: 0 });
        }
    }

    /// The guards that a query breaks, with the set's verdict.
    fn broken_by(&self, example: &ExampleQuery) -> Vec<(usize, Verdict)> {
        let judged = self.judged(example, |verdict, evaluation| {
            let guards = self.guards.iter().enumerate();
            let broken = guards.filter(|(_, guard)| {
                // Most cases are denied, where no `at_most` guard can be broken.
                let may_be = verdict.allowed == (guard.kind == GuardKind::AtMost);
                may_be && guard.is_broken(verdict.allowed, evaluation.whole(&guard.set).allowed)
            });
            broken.map(|(at, _)| (at, verdict.clone())).collect()
        });
        judged.unwrap_or_default()
    }

    /// Whether the answers of this set and of the guard to an example contradict the guard.
    pub(super) fn breaks(&self, guard: &Guard, example: &ExampleQuery) -> bool {
        let guard_allows =
            self.judged(example, |_, evaluation| evaluation.whole(&guard.set).allowed);
        // Asked in the usual way: `kwic-team decide` must give the same answer.
        guard_allows.is_some_and(|guard_allows| guard.is_broken(self.allows(example), guard_allows))
    }

    /// Evaluates an example, and reads the verdict; `None` if its attributes do not conform to the
    /// schema, or this set does not have its action or type.
    pub(super) fn judged<R>(
        &self,
        example: &ExampleQuery,
        read: impl FnOnce(&Verdict, &Evaluation<'_>) -> R,
    ) -> Option<R> {
        let action = self.names.action_index(&example.action)?;
        let kind = self.names.type_index(&example.resource_type)?;
        let env = self.slices.env(self.names.user, action, kind)?;
        let query = example.query();
        let case = ResolvedQuery {
            principal: Principal::Member(example.view()),
            query: &query,
            action: self.names.actions.get(action)?,
            resource_type: kind,
            default_account: None,
            moved_to: None,
        };
        let gatherer = EntityBuilder {
            names: &self.names,
            stored: &self.stored,
            members: example,
            attributes: BuiltAttributes::Read,
        };
        let gathered = gatherer.gather(&case).ok()?;
        let keys = SliceKeys {
            role: Some(example.role.as_str()),
            role_lineage: &gathered.role_lineage,
            principal: &gathered.principal_lineage,
            resource: &gathered.resource_lineage,
        };
        let evaluation = Evaluation {
            forbids: &self.forbids,
            request: &gathered.request,
            entities: &gathered.entities,
        };
        Some(read(&evaluation.slices(env, &keys), &evaluation))
    }

    /// How many policies could apply to an action on a type.
    fn applicable(&self, action: &str, resource: &str) -> usize {
        let found = (self.names.action_index(action), self.names.type_index(resource));
        let (Some(action), Some(kind)) = found else { return 0 };
        self.slices.env(self.names.user, action, kind).map_or(0, |env| env.all.len())
    }
}

/// The policies that decided, as the end of a sentence.
fn by(verdict: &Verdict) -> String {
    let ids: Vec<String> =
        verdict.reasons.iter().take(3).map(|id: &PolicyId| format!("`{id}`")).collect();
    match (ids.is_empty(), verdict.forbid_erred) {
        (_, true) => " by a `forbid` that cannot be evaluated".to_owned(),
        (true, false) => String::new(),
        (false, false) => format!(" by {}", ids.join(", ")),
    }
}
