//! The difference of two sets by symbolic analysis: for every kind of request, whether the new set allows
//! the same, more, less, or other things, whatever the attributes are.
//!
//! In the terms of our own evaluation, as with guards: a request shows a change only if both sets, asked in
//! the usual way, give the answers that it claims.

use std::collections::BTreeSet;

use cedar_policy::Policy;
use cedar_policy_symcc::SymEnv;
use serde::{Deserialize, Serialize};

use super::Snapshot;
use super::counterexample::{NOT_REPLAYED, QueryMaker};
use super::example_query::ExampleQuery;
use super::request_kind::{AnalysedSet, KindPolicies, RequestKind, literals};
use super::solver_protocol::{Proof, Questions, SmtSolver, denies_always, implies, never_errs};
use crate::domain::{PolicyFiles, RoleId, worded};

worded! {
    /// How what is allowed changes for one kind of request.
    #[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
    pub enum Relation {
        /// More is allowed, and nothing less.
        Wider = "wider",
        /// Something more is allowed, and something less.
        Neither = "neither",
        /// Less is allowed, and nothing more.
        Narrower = "narrower",
        /// It is not known.
        Unknown = "unknown",
        /// The same is allowed.
        Equal = "equal",
    }
}

/// One kind of request.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct KindChange {
    /// The type of the principal, in snake case.
    pub principal: String,
    /// The action's name.
    pub action: String,
    /// The type of the resource, in snake case.
    pub resource: String,
    /// How it changes.
    pub relation: Relation,
    /// A query that only the new set allows.
    pub gained: Option<ExampleQuery>,
    /// A query that only the former set allows.
    pub lost: Option<ExampleQuery>,
    /// Why it is not known; empty if it is.
    pub why: String,
}

/// The difference, kind by kind.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct SymbolicDifference {
    /// All kinds that one of the sets has.
    pub kinds: Vec<KindChange>,
    /// Why nothing was compared; empty if something was.
    pub why: String,
}

impl SymbolicDifference {
    /// Nothing was compared.
    #[must_use]
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }

    /// Whether it is known of every kind of request how it changes.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.why.is_empty() && self.count(Relation::Unknown) == 0
    }

    /// How many kinds change in this way.
    #[must_use]
    pub fn count(&self, relation: Relation) -> usize {
        self.kinds.iter().filter(|kind| kind.relation == relation).count()
    }

    /// Whether a query is allowed by the new set only.
    #[must_use]
    pub fn is_wider(&self) -> bool {
        self.kinds.iter().any(|kind| kind.gained.is_some())
    }

    /// Whether a query is allowed by the former set only.
    #[must_use]
    pub fn is_narrower(&self) -> bool {
        self.kinds.iter().any(|kind| kind.lost.is_some())
    }
}

impl Snapshot {
    /// The difference from `before` to this set; each with the files that it was loaded from. May take as
    /// long as the solver does.
    pub fn symbolic_difference(
        &self,
        files: &PolicyFiles,
        before: (&Self, &PolicyFiles),
        solver: &mut dyn SmtSolver,
    ) -> SymbolicDifference {
        let [_, entities] = &self.data;
        if before.0.data.get(1) != Some(entities) {
            return SymbolicDifference::unknown(
                "`entities.json` is another one, and only policies are compared symbolically",
            );
        }
        let sets = AnalysedSet::new(self, files)
            .and_then(|now| Ok((now, AnalysedSet::new(before.0, before.1)?)));
        match sets {
            Ok((now, before)) => {
                ComparedKinds::new(now, before).difference(&mut Questions::to(solver))
            }
            Err(why) => SymbolicDifference::unknown(why),
        }
    }
}

struct ComparedKinds<'s> {
    now: AnalysedSet<'s>,
    before: AnalysedSet<'s>,
    /// The roles of both sets.
    roles: BTreeSet<&'s RoleId>,
}

/// The results of the two questions about one kind: a query that only one set allows, if there is one.
type Found = Result<Option<ExampleQuery>, String>;

impl<'s> ComparedKinds<'s> {
    fn new(now: AnalysedSet<'s>, before: AnalysedSet<'s>) -> Self {
        let cards = now.set.roles().iter().chain(before.set.roles());
        let roles = cards.map(|card| &card.id).collect();
        Self { now, before, roles }
    }

    fn difference(&self, questions: &mut Questions<'_>) -> SymbolicDifference {
        let kinds: BTreeSet<RequestKind> =
            self.now.kinds().into_iter().chain(self.before.kinds()).collect();
        let kinds = kinds.into_iter().map(|kind| self.change(kind, questions)).collect();
        SymbolicDifference { kinds, why: String::new() }
    }

    fn change(&self, kind: RequestKind, questions: &mut Questions<'_>) -> KindChange {
        let (gained, lost) = match self.compared(&kind, questions) {
            Ok(found) => found,
            Err(why) => (Err(why.clone()), Err(why)),
        };
        let relation = match (&gained, &lost) {
            (Ok(None), Ok(None)) => Relation::Equal,
            (Ok(Some(_)), Ok(None)) => Relation::Wider,
            (Ok(None), Ok(Some(_))) => Relation::Narrower,
            (Ok(Some(_)), Ok(Some(_))) => Relation::Neither,
            (Err(_), _) | (_, Err(_)) => Relation::Unknown,
        };
        let why = [&gained, &lost].into_iter().find_map(|found| found.as_ref().err());
        let why = why.cloned().unwrap_or_default();
        let RequestKind { principal, action, resource } = kind;
        let (gained, lost) = (gained.ok().flatten(), lost.ok().flatten());
        KindChange { principal, action, resource, relation, gained, lost, why }
    }

    /// What is gained and what is lost.
    fn compared(
        &self,
        kind: &RequestKind,
        questions: &mut Questions<'_>,
    ) -> Result<(Found, Found), String> {
        let (now, before) = (self.now.of(kind), self.before.of(kind));
        let (Some(new), Some(old)) = (&now, &before) else {
            // A set denies every request of a kind that it does not have.
            let only = |set, found: Option<&KindPolicies<'_>>, questions: &mut Questions<'_>| {
                found.map_or(Ok(None), |found| self.allowed_by_one(set, found, questions))
            };
            let gained = only(&self.now, now.as_ref(), questions);
            return Ok((gained, only(&self.before, before.as_ref(), questions)));
        };
        let is_same_schema = self.now.set.data.first() == self.before.set.data.first();
        if is_same_schema && self.is_same(new, old) {
            return Ok((Ok(None), Ok(None)));
        }
        if let Some(why) = questions.spent() {
            return Err(why);
        }
        if !is_same_schema {
            let request = |set: &AnalysedSet<'_>, found: &KindPolicies<'_>| {
                SymEnv::new(&set.schema, &found.env).ok()
            };
            if request(&self.now, new) != request(&self.before, old) {
                return Err("the schema is another one".to_owned());
            }
        }
        let gained = self.allowed_by_first((&self.now, new), (&self.before, old), questions);
        Ok((gained, self.allowed_by_first((&self.before, old), (&self.now, new), questions)))
    }

    /// Whether both have the same policies.
    fn is_same(&self, new: &KindPolicies<'_>, old: &KindPolicies<'_>) -> bool {
        meanings(self.now.set, new) == meanings(self.before.set, old)
    }

    /// A query that the set allows.
    fn allowed_by_one(
        &self,
        set: &AnalysedSet<'_>,
        found: &KindPolicies<'_>,
        questions: &mut Questions<'_>,
    ) -> Found {
        if !found.permits() {
            return Ok(None);
        }
        let policies = found.policies.iter().copied();
        if let Some(why) = questions.spent().or_else(|| set.obstacle(policies.clone())) {
            return Err(why);
        }
        let named = literals(policies.clone());
        let facts = set.member_facts(self.roles.iter().copied(), &named);
        let compiled = set.compile(&found.env, policies.chain(&facts))?;
        let maker =
            QueryMaker { set: set.set, roles: self.roles.iter().copied().collect(), named: &named };
        self.read(denies_always(questions, &compiled), &maker, set)
    }

    /// A query that the first set allows, and the second does not.
    fn allowed_by_first(
        &self,
        (first, of_first): (&AnalysedSet<'_>, &KindPolicies<'_>),
        (second, of_second): (&AnalysedSet<'_>, &KindPolicies<'_>),
        questions: &mut Questions<'_>,
    ) -> Found {
        if !of_first.permits() {
            return Ok(None);
        }
        let policies = of_first.policies.iter().copied();
        let others = of_second.policies.iter().copied();
        let obstacle =
            || first.obstacle(policies.clone()).or_else(|| second.obstacle(others.clone()));
        if let Some(why) = questions.spent().or_else(obstacle) {
            return Err(why);
        }
        let named = literals(policies.clone().chain(others.clone()));
        let facts = first.member_facts(self.roles.iter().copied(), &named);
        let part = first.compile(&of_first.env, policies.chain(&facts))?;
        let whole = second.compile(&of_second.env, others)?;
        let maker = QueryMaker {
            set: first.set,
            roles: self.roles.iter().copied().collect(),
            named: &named,
        };
        let shown = self.read(implies(questions, &part, &whole), &maker, first)?;
        if shown.is_some() {
            return Ok(shown);
        }
        // A `forbid` of both that cannot be evaluated denies in both.
        let own = meanings(first.set, of_first);
        for forbid in of_second.forbids().filter(|forbid| {
            meaning(second.set, forbid).is_none_or(|meaning| !own.contains(meaning))
        }) {
            let compiled = second.compile_one(&of_second.env, forbid)?;
            let shown = self.read(never_errs(questions, &compiled), &maker, first);
            match shown {
                Ok(None) => {}
                Ok(shown) => return Ok(shown),
                Err(why) => {
                    return Err(format!(
                        "the `forbid` `{}` is not proved to be evaluated always, and denies where it cannot be: {why}",
                        forbid.id()
                    ));
                }
            }
        }
        Ok(None)
    }

    /// The answer to a question: nothing if there is no such query.
    fn read(&self, proof: Proof, maker: &QueryMaker<'_>, allowing: &AnalysedSet<'_>) -> Found {
        match proof {
            Proof::Proved => Ok(None),
            Proof::Unknown(why) => Err(why),
            Proof::Refuted(env) => {
                let is_now = std::ptr::eq(allowing, &raw const self.now);
                let denying = if is_now { &self.before } else { &self.now };
                let mut shown = maker
                    .queries(&env)
                    .into_iter()
                    .filter(|query| allowing.set.allows(query) && !denying.set.allows(query));
                shown.next().map(Some).ok_or_else(|| NOT_REPLAYED.to_owned())
            }
        }
    }
}

fn meaning<'s>(set: &'s Snapshot, policy: &Policy) -> Option<&'s str> {
    set.meta.get::<str>(policy.id().as_ref()).map(|meta| meta.meaning.as_str())
}

fn meanings<'s>(set: &'s Snapshot, found: &KindPolicies<'_>) -> BTreeSet<&'s str> {
    found.policies.iter().filter_map(|policy| meaning(set, policy)).collect()
}
