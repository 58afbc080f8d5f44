//! The proof of guards by symbolic analysis, for every kind of request, and what it finds beside.
//!
//! A guard counts as proved only where every kind of request is, in the terms of our own evaluation: it
//! denies at least what Cedar denies, and more where a `forbid` cannot be evaluated. A counterexample counts
//! only if our own evaluation gives the answers that contradict the guard.

use std::collections::HashSet;

use cedar_policy::{EntityUid, Policy};
use cedar_policy_symcc::CompiledPolicySet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Snapshot;
use super::counterexample::{NOT_REPLAYED, QueryMaker};
use super::example_query::ExampleQuery;
use super::guards::{Guard, GuardCheck, GuardKind};
use super::request_kind::{AnalysedSet, KindPolicies, Reasons, RequestKind, literals};
use super::solver_protocol::{Proof, Questions, SmtSolver, denies_always, implies, never_errs};
use crate::domain::{GuardState, PolicyFiles};

/// A guard, and what is known about it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct GuardProof {
    /// Its id.
    pub id: String,
    /// Its file.
    pub file: String,
    /// `at_most` or `at_least`.
    pub kind: String,
    /// What it states, for people; may be empty.
    pub summary: String,
    /// What is known.
    #[serde(serialize_with = "write_state", deserialize_with = "read_state")]
    pub state: GuardState,
    /// Why nothing more is known; empty if it is proved or refuted.
    pub why: String,
    /// A query that contradicts it: the set allows it (`at_most`) or denies it (`at_least`).
    pub example: Option<ExampleQuery>,
}

fn write_state<S: Serializer>(state: &GuardState, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

fn read_state<'de, D: Deserializer<'de>>(deserializer: D) -> Result<GuardState, D::Error> {
    let word = String::deserialize(deserializer)?;
    let state = GuardState::ALL.into_iter().find(|state| state.as_str() == word);
    state.ok_or_else(|| D::Error::custom("no state of a guard"))
}

impl GuardProof {
    /// Whether the set allows the example.
    #[must_use]
    pub fn allowed(&self) -> bool {
        self.kind == GuardKind::AtMost.as_str()
    }

    fn of(guard: &Guard, state: GuardState, why: impl Into<String>) -> Self {
        Self {
            id: guard.id().to_owned(),
            file: guard.file.clone(),
            kind: guard.kind.as_str().to_owned(),
            summary: guard.summary().to_owned(),
            state,
            why: why.into(),
            example: None,
        }
    }
}

/// The work on one guard.
struct GuardWork<'s> {
    guard: &'s Guard,
    example: Option<ExampleQuery>,
    unknown: Reasons,
}

/// What is known about each guard of a set.
#[derive(Clone, Debug, Default)]
pub struct GuardProofs {
    /// Each guard.
    pub guards: Vec<GuardProof>,
    /// How many cases of the matrix were evaluated.
    pub cases: usize,
}

impl Snapshot {
    /// The same about each guard, for a reason that lies in none of them.
    #[must_use]
    pub fn guards_alike(&self, state: GuardState, why: &str) -> GuardProofs {
        let guards = self.guards.iter().map(|guard| GuardProof::of(guard, state, why));
        GuardProofs { guards: guards.collect(), cases: 0 }
    }

    /// What the cases of the matrix say about each guard, and why there is no proof.
    #[must_use]
    pub fn checked_guard_proofs(&self, why: &str) -> GuardProofs {
        self.guard_proofs_of(self.known_guard_check(), why)
    }

    /// What the check of the folder found, or else the result of one now.
    fn known_guard_check(&self) -> GuardCheck {
        self.guard_cases.map_or_else(|| self.check_guards(), GuardCheck::all_hold)
    }

    /// The same of cases that were evaluated before.
    #[must_use]
    pub fn guard_proofs_of(&self, check: GuardCheck, why: &str) -> GuardProofs {
        let cases = check.cases;
        let checked = |work: GuardWork<'_>| match work.example {
            None => GuardProof::of(work.guard, GuardState::Checked, why),
            Some(_) => work.proof(),
        };
        let guards = self.checked_guards(check).into_iter().map(checked).collect();
        GuardProofs { guards, cases }
    }

    /// The guards, each with the first case of the matrix that contradicts it.
    fn checked_guards(&self, check: GuardCheck) -> Vec<GuardWork<'_>> {
        let mut broken = check.broken;
        let guards = self.guards.iter().enumerate();
        let work = |(at, guard)| GuardWork {
            guard,
            example: broken.remove(&at).map(|broken| broken.example),
            unknown: Reasons::default(),
        };
        guards.map(work).collect()
    }

    /// Proves or refutes the guards. `files` are those that this set was loaded from. May take as long as
    /// the solver does.
    pub fn prove_guards(&self, files: &PolicyFiles, solver: &mut dyn SmtSolver) -> GuardProofs {
        let analysed = match AnalysedSet::new(self, files) {
            Ok(analysed) => analysed,
            Err(why) => return self.guards_alike(GuardState::Unknown, &why),
        };
        let check = self.known_guard_check();
        let cases = check.cases;
        let mut works = self.checked_guards(check);
        let mut questions = Questions::to(solver);
        for kind in analysed.kinds() {
            prove_kind(&analysed, &kind, &mut works, &mut questions);
        }
        GuardProofs { guards: works.into_iter().map(GuardWork::proof).collect(), cases }
    }
}

impl GuardWork<'_> {
    fn proof(self) -> GuardProof {
        match (self.example, self.unknown.told()) {
            (Some(example), _) => GuardProof {
                example: Some(example),
                ..GuardProof::of(self.guard, GuardState::Refuted, "")
            },
            (None, None) => GuardProof::of(self.guard, GuardState::Proved, ""),
            (None, Some(why)) => GuardProof::of(self.guard, GuardState::Unknown, why),
        }
    }
}

/// Goes on with every guard for one kind of request.
fn prove_kind(
    analysed: &AnalysedSet<'_>,
    kind: &RequestKind,
    works: &mut [GuardWork<'_>],
    questions: &mut Questions<'_>,
) {
    let Some(found) = analysed.of(kind) else { return };
    let mut set = None;
    for work in works.iter_mut().filter(|work| work.example.is_none()) {
        // What allows nothing allows at most anything.
        if work.guard.kind == GuardKind::AtMost && !found.permits() {
            continue;
        }
        if let Some(why) = questions.spent() {
            work.unknown.add(why);
            continue;
        }
        let set = set.get_or_insert_with(|| CompiledKind::of(analysed, &found));
        let proof = set.as_ref().map_err(Clone::clone).and_then(|compiled| {
            let question = GuardQuestion { analysed, found: &found, compiled, guard: work.guard };
            question.proof(questions)
        });
        match proof {
            Ok(None) => {}
            Ok(Some(example)) => work.example = Some(example),
            Err(why) => work.unknown.add(format!("{kind}: {why}")),
        }
    }
}

/// The set of one kind of request, compiled once for all guards.
struct CompiledKind {
    /// What the policies and the guards name.
    named: HashSet<EntityUid>,
    facts: Option<Policy>,
    set: CompiledPolicySet,
    /// The same for members as there can be.
    of_members: CompiledPolicySet,
}

impl CompiledKind {
    fn of(analysed: &AnalysedSet<'_>, found: &KindPolicies<'_>) -> Result<Self, String> {
        let policies = found.policies.iter().copied();
        if let Some(why) = analysed.obstacle(policies.clone()) {
            return Err(why);
        }
        let guards = analysed.set.guards.iter().map(|guard| &guard.policy);
        let named = literals(policies.clone().chain(guards));
        let roles = analysed.set.roles().iter().map(|card| &card.id);
        let facts = analysed.member_facts(roles, &named);
        let set = analysed.compile(&found.env, policies.clone())?;
        let of_members = analysed.compile(&found.env, policies.chain(&facts))?;
        Ok(Self { named, facts, set, of_members })
    }
}

/// One guard for one kind of request.
struct GuardQuestion<'q, 's> {
    analysed: &'q AnalysedSet<'s>,
    found: &'q KindPolicies<'s>,
    compiled: &'q CompiledKind,
    guard: &'q Guard,
}

impl GuardQuestion<'_, '_> {
    /// `None` if the guard holds, else a query that contradicts it.
    fn proof(&self, questions: &mut Questions<'_>) -> Result<Option<ExampleQuery>, String> {
        let Self { analysed, found, compiled, guard } = *self;
        if let Some(why) = analysed.obstacle(std::iter::once(&guard.policy)) {
            return Err(why);
        }
        let alone = |facts: Option<&Policy>| {
            analysed.compile(&found.env, std::iter::once(&guard.policy).chain(facts))
        };
        match guard.kind {
            GuardKind::AtMost => self.read(implies(questions, &compiled.of_members, &alone(None)?)),
            GuardKind::AtLeast => {
                let part = alone(compiled.facts.as_ref())?;
                let example = self.read(implies(questions, &part, &compiled.set))?;
                if example.is_some() {
                    return Ok(example);
                }
                self.forbids_can_be_evaluated(questions).or_else(|why| {
                    // Where the guard asks for nothing, nothing must be allowed.
                    let asks_nothing = matches!(denies_always(questions, &part), Proof::Proved);
                    if asks_nothing { Ok(None) } else { Err(why) }
                })
            }
        }
    }

    /// The answer to a question: nothing if it is proved.
    fn read(&self, proof: Proof) -> Result<Option<ExampleQuery>, String> {
        match proof {
            Proof::Proved => Ok(None),
            Proof::Unknown(why) => Err(why),
            Proof::Refuted(env) => {
                let set = self.analysed.set;
                let roles = set.roles().iter().map(|card| &card.id).collect();
                let maker = QueryMaker { set, roles, named: &self.compiled.named };
                let queries = maker.queries(&env).into_iter();
                let mut shown = queries.filter(|query| set.breaks(self.guard, query));
                shown.next().map(Some).ok_or_else(|| NOT_REPLAYED.to_owned())
            }
        }
    }

    /// Cedar skips a `forbid` that cannot be evaluated; ours denies. So what is to be allowed is only
    /// allowed if that cannot happen.
    fn forbids_can_be_evaluated(
        &self,
        questions: &mut Questions<'_>,
    ) -> Result<Option<ExampleQuery>, String> {
        for forbid in self.found.forbids() {
            let compiled = self.analysed.compile_one(&self.found.env, forbid)?;
            let erring = self.read(never_errs(questions, &compiled));
            match erring {
                Ok(None) => {}
                Ok(Some(example)) => return Ok(Some(example)),
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
}
