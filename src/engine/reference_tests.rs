//! The oracle: a property test that compares decisions with Cedar's own `Authorizer`, which gets
//! the whole set and all entities, over random folders, members and queries.
//!
//! Reasons and errors must be equal, and so must decisions, except that a `forbid` that errs denies
//! here. The oracle reads a query on its own, with Cedar's JSON reader, and shares no code with
//! `entity_builder` and `policy_slices`. `ORACLE_SEED` and `ORACLE_CASES` choose other queries; `ORACLE_BYTES`
//! names a file whose bytes choose everything, for a fuzzer.

mod condition_tests;
mod generated_teams;
mod generated_values;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Decision as CedarDecision, Effect, Entities, Entity, EntityUid, Policy,
    PolicyId, PolicySet, Request, Schema,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value as Json, json};

use super::entity_builder::{BuiltAttributes, EntityBuilder, Principal, ResolvedQuery};
use super::evaluate::{Environment, Evaluation, SliceKeys, Verdict};
use super::policy_scope::{PolicyScope, ScopeConstraint};
use super::{Members, QueryContext, Snapshot, render};
use crate::clock;
use crate::domain::access_query::Record;
use crate::domain::{
    Decision, EntityRef, MemberAccess, MemberTexts, MemberView, PolicyFiles, Query, Timestamp,
    Value,
};
use generated_teams::{Dice, Person, Question, Said, Town, uid};

const SEED: u64 = 20_261_124;
const CASES: usize = 10_000;
const QUESTIONS_PER_TOWN: usize = 60;
const QUESTIONS_OF_BYTES: usize = 8;

/// Which policies the engine is not given, to see that the property notices.
type Missing = fn(&Policy, &PolicyScope) -> bool;

/// The engine is given every policy.
const NONE_MISSING: Missing = |_, _| false;

/// The generated team, as the engine is shown it.
struct Team(HashMap<String, Person>);

impl Members for Team {
    fn access<R>(&self, id: &str, read: impl FnOnce(MemberAccess<'_>) -> R) -> Option<R> {
        self.with(id, |view| read(view.access()))
    }

    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.0.get(id).map(|person| {
            read(MemberView {
                id: &person.id,
                account: person.account,
                role: person.role,
                active: person.active,
                texts: MemberTexts::Apart {
                    email_key: &person.email,
                    first_name: "A",
                    last_name: "B",
                },
                two_step: person.two_step,
                joined: Timestamp(person.joined_ms),
            })
        })
    }
}

/// A town with its policies live, and what the oracle needs of them.
struct Scene {
    town: Town,
    team: Team,
    snapshot: Snapshot,
    schema: Schema,
    whole: PolicySet,
    forbids: BTreeSet<PolicyId>,
    /// Every stored entity and every member.
    population: HashMap<EntityUid, Entity>,
}

impl Scene {
    fn new(town: Town, missing: Missing) -> Result<Self, String> {
        let complete = loaded(&town.files)?;
        let (schema, _) = Schema::from_cedarschema_str(&town.files[0].1).unwrap();
        let mut whole = PolicySet::new();
        for (policy, _) in &complete.policies {
            whole.add(policy.clone()).unwrap();
        }
        let left_out = complete.policies.iter().filter(|(policy, scope)| missing(policy, scope));
        let left_out: Vec<String> = left_out
            .map(|(policy, _)| format!("@id(\"{}\")\n", policy.annotation("id").unwrap()))
            .collect();
        let snapshot =
            if left_out.is_empty() { complete } else { loaded(&without(&town.files, &left_out))? };
        let forbids = whole.policies().filter(|policy| policy.effect() == Effect::Forbid);
        let people: Vec<Json> =
            town.people.iter().map(|person| member(&town, person, &Said::new())).collect();
        let population = town
            .stored
            .iter()
            .chain(&people)
            .map(|json| Entity::from_json_value(json.clone(), Some(&schema)).unwrap())
            .map(|entity| (entity.uid(), entity))
            .collect();
        let team = town.people.iter().map(|person| (person.id.clone(), person.clone())).collect();
        Ok(Self {
            team: Team(team),
            forbids: forbids.map(|policy| policy.id().clone()).collect(),
            population,
            town,
            snapshot,
            schema,
            whole,
        })
    }

    /// What Cedar says over the whole set and all entities; `None` where the subject is unknown
    /// or something does not conform to the schema.
    fn oracle(&self, question: &Question) -> Option<Verdict> {
        let (request, entities) = self.cedar(question)?;
        let response = Authorizer::new().is_authorized(&request, &self.whole, &entities);
        let erred: BTreeSet<PolicyId> = response
            .diagnostics()
            .errors()
            .map(|error| {
                let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
                error.policy_id().clone()
            })
            .collect();
        let forbid_erred = erred.iter().any(|id| self.forbids.contains(id));
        Some(Verdict {
            allowed: response.decision() == CedarDecision::Allow && !forbid_erred,
            forbid_erred,
            reasons: response.diagnostics().reason().cloned().collect(),
            erred,
        })
    }

    /// The question as the contract maps it to Cedar, conformity included.
    fn cedar(&self, question: &Question) -> Option<(Request, Entities)> {
        let prefix = self.town.prefix;
        let (kind, id) = &question.subject;
        let subject = uid(prefix, kind, id);
        let asked = uid(prefix, question.resource.0, &question.resource.1);
        let mut people = self.population.clone();
        let read = |json| Entity::from_json_value(json, Some(&self.schema)).ok();
        let mut put = |entity: Entity| people.insert(entity.uid(), entity);
        let person = self.team.0.get(id).filter(|_| *kind == "User");
        if let Some(person) = person {
            let says = if asked == subject {
                one_of(&question.subject_says, &question.resource_says)?
            } else {
                question.subject_says.clone()
            };
            put(read(member(&self.town, person, &says))?);
        } else if !self.town.stored.iter().any(|entity| entity["uid"] == subject) {
            return None;
        }
        if asked != subject {
            put(read(self.resource(question, &asked))?);
        } else if person.is_none() && question.resource_says.keys().any(|name| !is_undeclared(name))
        {
            return None;
        }
        let parse = |json: Json| EntityUid::from_json(json).unwrap();
        let action = parse(uid(prefix, "Action", &question.action));
        let mut context = question.context.clone();
        if !question.action_says.is_empty() {
            context.insert("action".into(), question.action_says.clone().into());
        }
        if question.action == "plain" {
            context.clear();
        }
        let context =
            Context::from_json_value(context.into(), Some((&self.schema, &action))).ok()?;
        let request =
            Request::new(parse(subject), action, parse(asked), context, Some(&self.schema)).ok()?;
        let entities = Entities::from_entities(people.into_values(), Some(&self.schema)).ok()?;
        Some((request, entities))
    }

    /// The resource's JSON: the store's word on members, stored parents, the caller's attributes.
    fn resource(&self, question: &Question, asked: &Json) -> Json {
        let prefix = self.town.prefix;
        let (kind, id) = &question.resource;
        let mut says = question.resource_says.clone();
        says.retain(|name, _| !is_undeclared(name));
        if let (&"User", Some(person)) = (kind, self.team.0.get(id)) {
            return member(&self.town, person, &says);
        }
        let stored = self.town.stored.iter().find(|entity| entity["uid"] == *asked);
        let account = match (*kind, stored, question.account) {
            ("Account", _, _) => None,
            (_, Some(stored), said) => {
                said.or(question.single_account.filter(|_| self.is_nowhere(stored)))
            }
            (_, None, said) => said.or(question.single_account),
        };
        if let (true, Some(slug)) = (["Template", "Secret", "User"].contains(kind), account) {
            says.insert("account".into(), self.town.account_said(slug));
        }
        let account = account.map(|slug| uid(prefix, "Account", slug));
        if let Some(stored) = stored {
            let mut entity = stored.clone();
            for (name, value) in says {
                entity["attrs"][name] = value;
            }
            let single = question.single_account.map(|slug| uid(prefix, "Account", slug));
            if account.is_some() && account == single && self.is_nowhere(stored) {
                entity["parents"].as_array_mut().unwrap().extend(account);
            }
            return entity;
        }
        // The schema puts a role into no account, whatever the caller says.
        let parents: Vec<Json> = account.into_iter().filter(|_| *kind != "Role").collect();
        json!({"uid": asked, "attrs": says, "parents": parents})
    }

    /// Whether a stored entity is in no account, and nothing is in it.
    fn is_nowhere(&self, stored: &Json) -> bool {
        let is_account = |uid: &Json| uid["type"] == format!("{}Account", self.town.prefix);
        let above = self.above(stored);
        !above.iter().any(is_account)
            && !is_account(&stored["uid"])
            && stored["attrs"].get("account").is_none()
            && stored["uid"]["type"] != format!("{}Role", self.town.prefix)
            && !self.town.stored.iter().any(|other| self.above(other).contains(&stored["uid"]))
    }

    /// Whatever a stored entity is in.
    fn above(&self, entity: &Json) -> Vec<Json> {
        let parents = |entity: &Json| entity["parents"].as_array().cloned().unwrap_or_default();
        let mut found = parents(entity);
        let mut at = 0;
        while let Some(uid) = found.get(at).cloned() {
            let stored = self.town.stored.iter().filter(|entity| entity["uid"] == uid);
            found.extend(stored.flat_map(parents));
            at += 1;
        }
        found
    }

    /// What the engine says, and how it came to it; `None` where it refused to ask.
    fn engine(&self, question: &Question) -> (Decision, Option<(Verdict, Way)>) {
        let says = Sayings::of(question, self.town.prefix);
        let query = says.query(question);
        let world = QueryContext { members: &self.team, single_account: question.single_account };
        let recalled = self.snapshot.is_cached(&query, &world);
        let decision = self.snapshot.decide(&query, &world, false);
        let ask = |principal: Principal<'_>| {
            let (case, env) = self.snapshot.resolve_names(principal, &query, &world).ok()?;
            let gatherer = EntityBuilder {
                names: &self.snapshot.names,
                stored: &self.snapshot.stored,
                members: &self.team,
                attributes: BuiltAttributes::Read,
            };
            let gathered = gatherer.gather(&case).ok()?;
            let role = match case.principal {
                Principal::Member(view) => Some(view.role),
                Principal::Stored(..) => None,
            };
            let keys = SliceKeys {
                role,
                role_lineage: &gathered.role_lineage,
                principal: &gathered.principal_lineage,
                resource: &gathered.resource_lineage,
            };
            let mut slices = 0;
            env.each(&keys, |_| slices += 1);
            let evaluation = Evaluation {
                forbids: &self.snapshot.forbids,
                request: &gathered.request,
                entities: &gathered.entities,
            };
            let verdict = evaluation.slices(env, &keys);
            let compiled = self.compiled(&case, env, &world, &verdict);
            Some((verdict, Way { slices, recalled, compiled }))
        };
        let verdict = if question.subject.0 == "User" {
            self.team.with(&question.subject.1, |view| ask(Principal::Member(view))).flatten()
        } else {
            let uid = uid(self.town.prefix, question.subject.0, &question.subject.1);
            let uid = EntityUid::from_json(uid).unwrap();
            self.snapshot.stored.get(&uid).and_then(|stored| ask(Principal::Stored(&uid, stored)))
        };
        (decision, verdict)
    }

    /// Whether the compiled policies say what the slices say of them; `None` if there are none.
    fn compiled(
        &self,
        case: &ResolvedQuery<'_>,
        env: &Environment,
        world: &QueryContext<'_, Team>,
        verdict: &Verdict,
    ) -> Option<bool> {
        let (mut known, mut applying) = (BTreeSet::new(), BTreeSet::new());
        let mut erring = BTreeSet::new();
        let told = self.snapshot.each_compiled(case, env, world, |at, _, found| {
            let id = self.snapshot.policies[at].0.id();
            known.insert(id.clone());
            match found {
                Ok(true) => drop(applying.insert(id.clone())),
                Ok(false) => {}
                Err(_) => drop(erring.insert(id.clone())),
            }
        });
        told.filter(|_| !known.is_empty())?;
        let of_known = |ids: &BTreeSet<PolicyId>| &known & ids;
        let forbidden = !self.forbids.is_disjoint(&verdict.reasons);
        // A `forbid` that applies hides which `permit`s do.
        let shown = if forbidden { &applying & &self.forbids } else { applying };
        Some(erring == of_known(&verdict.erred) && shown == of_known(&verdict.reasons))
    }

    /// Asks both sides.
    fn compare(&self, question: &Question) -> Result<Option<(Verdict, Way)>, String> {
        let oracle = self.oracle(question);
        let (decision, engine) = self.engine(question);
        match (oracle, engine) {
            (None, None) if !decision.allowed => Ok(None),
            (Some(oracle), Some(engine))
                if oracle == engine.0
                    && oracle.allowed == decision.allowed
                    && usize::try_from(decision.erred) == Ok(oracle.erred.len())
                    && engine.1.compiled != Some(false) =>
            {
                Ok(Some(engine))
            }
            (oracle, engine) => Err(format!(
                "{}\nmembers: {:#?}\n{question:#?}\n\noracle: {oracle:#?}\n\nengine: {decision:?} {engine:#?}",
                self.town
                    .files
                    .iter()
                    .map(|(path, text)| format!("--- {path}\n{text}\n"))
                    .collect::<String>(),
                self.town.people,
            )),
        }
    }
}

fn loaded(files: &[(String, String)]) -> Result<Snapshot, String> {
    let files = files.iter().map(|(path, text)| (path.clone(), text.clone().into_bytes()));
    Snapshot::load(&PolicyFiles::new(files.collect()), &[]).map_err(|faults| render(&faults))
}

/// The files without the policies that begin so. What a role must have stays, and no file is empty.
fn without(files: &[(String, String)], left_out: &[String]) -> Vec<(String, String)> {
    let kept = |text: &str| {
        let parts = text.split_inclusive(";\n");
        let kept = parts.filter(|part| !left_out.iter().any(|id| part.starts_with(id)));
        kept.collect::<String>()
            + "@id(\"last\") forbid (principal, action, resource) when { false };\n"
    };
    let shown = |(path, text): &(String, String)| {
        let rules = path == "rules/rules.cedar";
        (path.clone(), if rules { kept(text) } else { text.clone() })
    };
    files.iter().map(shown).collect()
}

fn is_undeclared(name: &str) -> bool {
    name.starts_with("zz_")
}

/// What is said of one member in two places; `None` where that differs.
fn one_of(subject: &Said, resource: &Said) -> Option<Said> {
    let mut says = resource.clone();
    let agrees = |(name, value): (&String, &Json)| resource.get(name).is_none_or(|it| it == value);
    subject.iter().filter(|(name, _)| *name == "nickname").all(agrees).then(|| {
        says.extend(subject.clone());
        says
    })
}

/// A member's JSON, with what a caller may add.
fn member(town: &Town, person: &Person, says: &Said) -> Json {
    let account = uid(town.prefix, "Account", person.account);
    let role = uid(town.prefix, "Role", person.role);
    let said_role = if town.role_text { json!(person.role) } else { role.clone() };
    let joined = if town.plain {
        json!(person.joined_ms)
    } else {
        // Cedar reads a datetime's fraction in three digits only.
        let text = clock::rfc3339(Timestamp(person.joined_ms));
        let (whole, fraction) =
            text.trim_end_matches('Z').split_once('.').unwrap_or((text.trim_end_matches('Z'), "0"));
        json!({"__extn": {"fn": "datetime", "arg": format!("{whole}.{fraction:0<3}Z")}})
    };
    let mut attrs = json!({
        "account": town.account_said(person.account), "role": said_role, "active": person.active, "email": person.email,
        "two_step": person.two_step, "joined": joined,
    });
    if let Some(nickname) = says.get("nickname") {
        attrs["nickname"] = nickname.clone();
    }
    json!({"uid": uid(town.prefix, "User", &person.id), "attrs": attrs, "parents": [account, role]})
}

/// A question's records as the API would hand them over.
struct Sayings {
    subject: Record<'static>,
    action: Record<'static>,
    resource: Record<'static>,
    context: Record<'static>,
    resource_kind: String,
}

impl Sayings {
    fn of(question: &Question, prefix: &str) -> Self {
        let record = |said: &Said| record(said, question.bare);
        let mut resource = record(&question.resource_says);
        if let Some(slug) = question.account {
            resource.push((Cow::Borrowed("account"), Value::String(Cow::Borrowed(slug))));
        }
        let kind = question.resource.0;
        let resource_kind = match kind {
            "BotFlow" if question.bare => "bot_flow".to_owned(),
            "User" if question.bare => "member".to_owned(),
            _ => format!("{prefix}{kind}"),
        };
        Self {
            subject: record(&question.subject_says),
            action: record(&question.action_says),
            resource,
            context: record(&question.context),
            resource_kind,
        }
    }

    fn query<'q>(&'q self, question: &'q Question) -> Query<'q> {
        Query {
            subject: EntityRef {
                kind: question.subject.0,
                id: &question.subject.1,
                properties: &self.subject,
            },
            action: &question.action,
            action_properties: &self.action,
            resource: EntityRef {
                kind: &self.resource_kind,
                id: &question.resource.1,
                properties: &self.resource,
            },
            context: &self.context,
        }
    }
}

fn record(said: &Said, bare: bool) -> Record<'static> {
    said.iter().map(|(name, json)| (Cow::Owned(name.clone()), value(json, bare))).collect()
}

fn value(json: &Json, bare: bool) -> Value<'static> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Double(number.as_f64().unwrap_or(0.0)), Value::Long),
        Json::String(text) => Value::String(Cow::Owned(text.clone())),
        Json::Array(items) => Value::List(items.iter().map(|item| value(item, bare)).collect()),
        Json::Object(members) => match members.get("id") {
            Some(id) if bare => value(id, bare),
            _ => Value::Record(record(members, bare)),
        },
    }
}

/// How the engine came to an answer.
#[derive(Clone, Copy, Debug)]
struct Way {
    slices: usize,
    /// Whether the decision came from the cache.
    recalled: bool,
    /// Whether compiled policies agree, if there are any for this question.
    compiled: Option<bool>,
}

/// What the questions were like.
#[derive(Debug, Default)]
struct Mix {
    answered: usize,
    allowed: usize,
    forbidden: usize,
    erred: usize,
    forbid_erred: usize,
    several_slices: usize,
    recalled: usize,
    compiled: usize,
    refused_questions: usize,
    folders: usize,
    refused_folders: usize,
    first_refusal: String,
}

impl Mix {
    fn count(&mut self, verdict: &Verdict, way: Way, forbids: &BTreeSet<PolicyId>) {
        let by_forbid = verdict.reasons.iter().any(|id| forbids.contains(id));
        self.answered += 1;
        self.allowed += usize::from(verdict.allowed);
        self.forbidden += usize::from(by_forbid || verdict.forbid_erred);
        self.erred += usize::from(!verdict.erred.is_empty());
        self.forbid_erred += usize::from(verdict.forbid_erred);
        self.several_slices += usize::from(way.slices > 1);
        self.recalled += usize::from(way.recalled);
        self.compiled += usize::from(way.compiled.is_some());
    }

    fn percent(&self, part: usize) -> usize {
        part * 100 / self.answered.max(1)
    }
}

/// Asks until `cases` questions were answered by both sides; the first difference ends it.
fn run(seed: u64, cases: usize, missing: Missing) -> Result<Mix, String> {
    let mut mix = Mix::default();
    for town_seed in seed.. {
        if mix.answered >= cases {
            break;
        }
        let mut dice = Dice::new(town_seed);
        mix.folders += 1;
        let scene = match Scene::new(dice.town(), missing) {
            Ok(scene) => scene,
            Err(faults) => {
                mix.refused_folders += 1;
                mix.first_refusal = faults;
                assert!(
                    mix.refused_folders < 20 || mix.refused_folders * 3 < mix.folders,
                    "too many folders are refused: {mix:#?}"
                );
                continue;
            }
        };
        let questions = match scene.town.often {
            // The cache is tested by many similar queries.
            Some(_) => 2 * QUESTIONS_PER_TOWN,
            None => QUESTIONS_PER_TOWN,
        };
        for _ in 0..questions {
            let question = dice.question(&scene.town);
            match scene.compare(&question) {
                Ok(Some((verdict, way))) => mix.count(&verdict, way, &scene.forbids),
                Ok(None) => mix.refused_questions += 1,
                Err(difference) => {
                    let nth = mix.answered + mix.refused_questions + 1;
                    return Err(format!("ORACLE_SEED={town_seed} (question {nth}):\n{difference}"));
                }
            }
        }
    }
    Ok(mix)
}

#[expect(clippy::disallowed_methods, reason = "the environment of this test chooses its queries")]
fn chosen<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// Asks in a town that these bytes make; answers how many questions both sides answered. A folder
/// that is refused shows nothing.
fn by_bytes(bytes: &[u8]) -> usize {
    let mut dice = Dice::of_bytes(bytes.to_vec());
    let Ok(scene) = Scene::new(dice.town(), NONE_MISSING) else { return 0 };
    let answered = (0..QUESTIONS_OF_BYTES).filter(|_| {
        let question = dice.question(&scene.town);
        let compared = scene.compare(&question);
        compared.unwrap_or_else(|difference| panic!("{bytes:?}:\n{difference}")).is_some()
    });
    answered.count()
}

/// Asks by bytes that are changed a little each time, as a fuzzer does; answers how many questions
/// both sides answered.
fn by_changed_bytes() -> usize {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut bytes: Vec<u8> = (0..2_000).map(|_| random.random()).collect();
    let mut answered = by_bytes(&[]);
    for _ in 0..100 {
        for _ in 0..20 {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        answered += by_bytes(&bytes[..random.random_range(0..=bytes.len())]);
    }
    answered
}

#[test]
fn whatever_bytes_choose_the_answers_are_equal() {
    if let Some(file) = chosen::<PathBuf>("ORACLE_BYTES") {
        by_bytes(&std::fs::read(file).unwrap());
        return;
    }
    let answered = by_changed_bytes();
    assert!(answered > 200, "only {answered}: nothing is shown");
}

#[test]
fn the_slices_answer_as_the_whole_set_does() {
    let seed = chosen("ORACLE_SEED").unwrap_or(SEED);
    println!("ORACLE_SEED={seed}");
    let mix = run(seed, chosen("ORACLE_CASES").unwrap_or(CASES), NONE_MISSING)
        .unwrap_or_else(|difference| panic!("{difference}"));
    println!("{mix:#?}");
    println!(
        "allowed {} %, denied by a forbid {} %, with an error {} %, in several slices {} %, remembered {} %, by compiled policies {} %",
        mix.percent(mix.allowed),
        mix.percent(mix.forbidden),
        mix.percent(mix.erred),
        mix.percent(mix.several_slices),
        mix.percent(mix.recalled),
        mix.percent(mix.compiled),
    );
    assert!(mix.refused_folders * 3 < mix.folders, "{mix:#?}");
    // A few questions of one seed say nothing of the mix.
    if mix.answered >= 5_000 {
        assert!(mix.percent(mix.allowed) >= 20, "{mix:#?}");
        assert!(mix.percent(mix.forbidden) >= 20, "{mix:#?}");
        assert!(mix.percent(mix.erred) >= 8, "{mix:#?}");
        assert!(mix.percent(mix.several_slices) >= 10, "{mix:#?}");
        assert!(mix.percent(mix.recalled) >= 5, "{mix:#?}");
        assert!(mix.percent(mix.compiled) >= 20, "{mix:#?}");
    }
}

/// A wrong slice lacks a policy that applies. What the property does then is seen from the outside:
/// the engine is given a set that lacks every policy of one kind of scope.
#[test]
fn a_policy_that_the_engine_lacks_is_found() {
    let kinds: [(&str, Missing); 7] = [
        ("everyone", |_, scope| scope.principal.key().is_none() && scope.resource.key().is_none()),
        ("a role or its group", |_, scope| has_type(scope.principal.key(), "Role")),
        ("another ancestor", |_, scope| has_type(scope.principal.key(), "Account")),
        ("a type in a group", |_, scope| matches!(scope.principal, ScopeConstraint::IsIn(..))),
        ("a resource", |_, scope| scope.resource.key().is_some()),
        ("a group of actions", |_, scope| scope.action.is_some()),
        ("a forbid", |policy, _| policy.effect() == Effect::Forbid),
    ];
    for (kind, missing) in kinds {
        let difference = run(SEED, 8_000, missing).expect_err(kind);
        println!("{kind}: found at {}", difference.lines().next().unwrap_or_default());
    }
}

/// A wrong decision in the cache is a difference, too.
#[test]
fn a_wrong_decision_in_the_cache_is_found() {
    let mut found = 0;
    for town_seed in SEED..SEED + 200 {
        let mut dice = Dice::new(town_seed);
        let Ok(scene) = Scene::new(dice.town(), NONE_MISSING) else { continue };
        for _ in 0..QUESTIONS_PER_TOWN {
            let question = dice.question(&scene.town);
            let Ok(Some(_)) = scene.compare(&question) else { continue };
            let says = Sayings::of(&question, scene.town.prefix);
            let (query, single_account) = (says.query(&question), question.single_account);
            let world = QueryContext { members: &scene.team, single_account };
            if scene.snapshot.is_cached(&query, &world) {
                scene.snapshot.invert_cached(&query, &world);
                assert!(scene.compare(&question).is_err(), "not found: {question:#?}");
                scene.snapshot.invert_cached(&query, &world);
                found += 1;
            }
        }
    }
    assert!(found > 100, "only {found} were cached");
}

/// So is a compiled policy that applies where it should not.
#[test]
fn a_wrong_compiled_policy_is_found() {
    let mut found = 0;
    for town_seed in SEED..SEED + 30 {
        let mut dice = Dice::new(town_seed);
        let Ok(mut scene) = Scene::new(dice.town(), NONE_MISSING) else { continue };
        scene.snapshot = scene.snapshot.bend_compiled();
        let questions = (0..QUESTIONS_PER_TOWN).map(|_| dice.question(&scene.town));
        let questions: Vec<Question> = questions.collect();
        found += usize::from(questions.iter().any(|question| scene.compare(question).is_err()));
    }
    assert!(found > 15, "only in {found} towns");
}

fn has_type(uid: Option<&EntityUid>, name: &str) -> bool {
    uid.is_some_and(|uid| uid.type_name().basename() == name)
}
