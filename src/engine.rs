//! The decision engine: one immutable value with the live policies, which answers queries.
//!
//! A [`Snapshot`] is loaded from the files of a policy folder, all or nothing, and never changes;
//! replacing it is the caller's work. The engine does not use disk, network, clock or store: it
//! reads members through [`Members`], and Cedar's types never leave it.

mod access_changes;
mod access_difference;
mod admin_lockout_checks;
mod attribute_types;
mod cacheable_policies;
mod cedar_expression_json;
mod change_report;
mod compiled_condition;
mod compiled_condition_inputs;
mod compiled_decision;
mod counterexample;
mod decide;
mod decision_cache;
#[cfg(test)]
mod engine_tests;
mod entity_builder;
mod evaluate;
mod example_query;
mod explain;
#[cfg(test)]
mod explanation_tests;
mod extension_value_spelling;
mod folder_files;
mod guard_proof;
mod guards;
mod left_to_cedar;
mod load_progress;
mod nesting_limit;
mod parallel;
mod plan;
mod plan_filter;
mod policy_fault;
mod policy_formatter;
mod policy_loader;
mod policy_parser;
mod policy_scope;
mod policy_slices;
mod policy_test_runner;
mod policy_warnings;
mod reads_of_other_entities;
#[cfg(test)]
mod reference_tests;
mod request_kind;
mod role_catalogue;
mod role_matrix;
mod role_matrix_diff;
mod schema;
mod schema_conformity;
mod schema_facts;
mod schema_names;
mod size_limits;
mod solver_protocol;
mod static_entities;
mod symbolic_difference;
mod type_titles;
mod validate;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use cedar_policy::PolicyId;

pub use access_difference::{AccessDifference, ChangedCell, Example, Place};
pub use change_report::AccessChanges;
pub use example_query::{ExampleQuery, made_up_member};
pub use guard_proof::{GuardProof, GuardProofs};
pub use guards::{GuardCheck, GuardKind};
pub use plan::{Plan, PlannedFilter};
pub use policy_fault::{PolicyFault, render};
pub use policy_formatter::format;
pub use policy_loader::{LoadFacts, LoadMode};
pub use policy_warnings::{Oddity, PolicyWarning};
pub use role_catalogue::RoleCard;
pub use role_matrix::{Cell, Matrix, MatrixRow};
pub use role_matrix_diff::AccessChange;
pub use solver_protocol::SmtSolver;
pub use symbolic_difference::{KindChange, Relation, SymbolicDifference};
pub use type_titles::TypeTitles;

use crate::domain::{Digest, GuardOutcomes, MemberAccess, MemberView, RoleId};
use decision_cache::DecisionCache;

/// Looks up members by id. Implemented by the directory, and by maps in tests.
pub trait Members {
    /// Calls `read` with the member, if there is one.
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R>;

    /// Calls `read` with the member's entry in the index, if that is faster; `None` does not mean
    /// that the member does not exist.
    fn access<R>(&self, _: &str, _: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        None
    }
}

/// An empty set of members.
#[derive(Clone, Copy, Debug)]
pub struct NoMembers;

impl Members for NoMembers {
    fn with<R>(&self, _: &str, _: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        None
    }
}

/// The data beside the policies that a decision reads.
#[derive(Debug)]
pub struct QueryContext<'w, M> {
    /// Who is on the team.
    pub members: &'w M,
    /// The account that a resource without one belongs to.
    pub single_account: Option<&'w str>,
}

/// One policy of the live set, as far as it is shown.
#[derive(Debug)]
struct PolicyMeta {
    /// Cedar's JSON form without annotations: equal if two policies mean the same.
    meaning: String,
    /// Whether only role, status and relation to the account matter: see [`cacheable_policies`].
    determined: bool,
}

/// One immutable policy set.
#[derive(Debug)]
pub struct Snapshot {
    names: schema_names::Symbols,
    stored: static_entities::StaticEntities,
    conformity: schema_conformity::Conformity,
    slices: policy_slices::PolicySlices,
    /// The known roles, by name: an index into the decision cache.
    role_index: HashMap<String, usize, foldhash::fast::RandomState>,
    policies: Vec<(cedar_policy::Policy, policy_scope::PolicyScope)>,
    /// Of each policy, in the same order.
    compiled: Vec<Result<compiled_condition::CompiledPolicy, left_to_cedar::NotCompiled>>,
    meta: BTreeMap<String, PolicyMeta>,
    forbids: HashSet<PolicyId>,
    roles: Vec<RoleCard>,
    administering: BTreeSet<RoleId>,
    guards: Vec<guards::Guard>,
    /// The number of cases on which they hold, if they were evaluated.
    guard_cases: Option<usize>,
    /// What the gate has found about them, if it was asked.
    guard_outcomes: Option<GuardOutcomes>,
    tests: usize,
    notes: Vec<String>,
    /// Digests of the schema and the entities: the matrix may not show a change there.
    data: [Digest; 2],
    digest: Digest,
    digest_hex: String,
    /// All policies as one set, built on first use.
    whole: OnceLock<cedar_policy::PolicySet>,
    /// Built on first use: the set never changes.
    matrix: OnceLock<Arc<Matrix>>,
}

impl Snapshot {
    /// The digest of the folder that this set was made from.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether a type, as a caller spells it, is that of members.
    #[must_use]
    pub fn is_member_type(&self, spelling: &str) -> bool {
        self.names.type_index(spelling) == Some(self.names.user)
    }

    /// Whether a type, as a caller spells it, is that of accounts.
    #[must_use]
    pub fn is_account_type(&self, spelling: &str) -> bool {
        self.names.type_index(spelling) == Some(self.names.account)
    }

    /// Whether an entity is in `entities.json`.
    #[must_use]
    pub fn is_stored(&self, kind: &str, id: &str) -> bool {
        let known = self.names.type_index(kind).and_then(|kind| self.stored.known(kind, id));
        known.is_some_and(|known| known.is_stored)
    }

    /// The ids of the entities of a type in `entities.json`, sorted.
    #[must_use]
    pub fn stored_ids(&self, kind: &str) -> BTreeSet<&str> {
        self.names.type_index(kind).map(|kind| self.stored.ids(kind)).unwrap_or_default()
    }

    /// The names of all actions, sorted.
    #[must_use]
    pub fn action_names(&self) -> BTreeSet<&str> {
        self.names.actions.iter().map(|action| action.uid.id().unescaped()).collect()
    }

    /// The digest as 64 hexadecimal digits.
    #[must_use]
    pub fn digest_hex(&self) -> &str {
        &self.digest_hex
    }

    /// The role catalogue, sorted by id.
    #[must_use]
    pub fn roles(&self) -> &[RoleCard] {
        &self.roles
    }

    /// The roles whose active members may manage members and give roles on their own account,
    /// whatever their attributes: the administrators. Empty if the folder has none.
    #[must_use]
    pub fn administering(&self) -> &BTreeSet<RoleId> {
        &self.administering
    }

    /// Whether the catalogue has this role.
    #[must_use]
    pub fn has_role(&self, role: &RoleId) -> bool {
        self.roles.binary_search_by(|card| card.id.cmp(role)).is_ok()
    }

    /// All policies that decide, as Cedar takes them.
    fn whole_set(&self) -> &cedar_policy::PolicySet {
        self.whole.get_or_init(|| {
            let mut whole = cedar_policy::PolicySet::new();
            for (policy, _) in &self.policies {
                let added = whole.add(policy.clone());
                assert!(added.is_ok(), "the load has refused policies with one id");
            }
            whole
        })
    }

    /// Whether the schema has an entity type with this spelling.
    #[must_use]
    pub fn knows_type(&self, spelling: &str) -> bool {
        self.names.type_index(spelling).is_some()
    }

    /// What people call the entity types.
    #[must_use]
    pub fn type_titles(&self) -> &TypeTitles {
        &self.names.titles
    }

    /// Whether the schema has an action by this name.
    #[must_use]
    pub fn knows_action(&self, name: &str) -> bool {
        self.names.action_index(name).is_some()
    }

    /// The number of policies, without guards.
    #[must_use]
    pub fn policy_count(&self) -> usize {
        self.policies.len()
    }

    /// The number of cached decisions.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.slices.caches().map(DecisionCache::held).sum()
    }

    /// A policy, as the folder has it.
    #[must_use]
    pub fn policy_text(&self, id: &str) -> Option<String> {
        let found =
            self.policies.iter().find(|(policy, _)| AsRef::<str>::as_ref(policy.id()) == id);
        found.map(|(policy, _)| policy.to_string())
    }

    /// The number of guards in the folder.
    #[must_use]
    pub fn guard_count(&self) -> usize {
        self.guards.len()
    }

    /// How many policy tests passed at load.
    #[must_use]
    pub fn test_count(&self) -> usize {
        self.tests
    }

    /// The number of cases of the matrix on which the guards hold; `None` if they were not evaluated.
    #[must_use]
    pub fn guard_cases(&self) -> Option<usize> {
        self.guard_cases
    }

    /// The same set, whose guards were evaluated and hold on so many cases: they are not evaluated again.
    #[must_use]
    pub(crate) fn with_guard_cases(mut self, cases: Option<usize>) -> Self {
        self.guard_cases = cases;
        self
    }

    /// The same set with one more note.
    #[must_use]
    pub fn with_note(mut self, note: Option<String>) -> Self {
        self.notes.extend(note);
        self
    }

    /// The same set with what is known about its guards.
    #[must_use]
    pub fn with_guard_outcomes(mut self, outcomes: Option<GuardOutcomes>) -> Self {
        self.guard_outcomes = outcomes;
        self
    }

    /// What is known about the guards; `None` if this set was loaded without that.
    #[must_use]
    pub fn guard_outcomes(&self) -> Option<&GuardOutcomes> {
        self.guard_outcomes.as_ref()
    }

    /// The id of each guard, and what it states, for people; that may be empty.
    pub fn guards(&self) -> impl Iterator<Item = (&str, &str)> {
        self.guards.iter().map(|guard| (guard.id(), guard.summary()))
    }

    /// What the load noticed without refusing it.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}
