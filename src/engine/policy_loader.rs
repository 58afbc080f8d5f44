//! The loader: from the files of a folder to a snapshot, all or nothing.
//!
//! Every step collects its faults, and independent steps still run after a fault, so that one run
//! reports everything that is wrong. Nothing is repaired or skipped: a file that is not understood
//! is a fault. Does not read or replace the live set.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::thread;

use cedar_policy::{Effect, Entities, Entity, EntityTypeName, EntityUid, Policy, Request, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::admin_lockout_checks::ADMINISTERING;
use super::cacheable_policies::is_cacheable_policy;
use super::compiled_condition::{CompiledPolicy, Compiler, PolicySyntax};
use super::evaluate::{Evaluation, SliceKeys};
use super::folder_files::{ENTITIES, FolderFiles, SCHEMA, sort};
use super::guards::Guard;
use super::left_to_cedar::NotCompiled;
use super::load_progress::LoadProgress;
use super::parallel::{STACK, in_parallel};
use super::policy_fault::{PolicyFault, bounded, bounded_notes, is_full};
use super::policy_parser::{ParsedPolicy, read_policies, read_syntax};
use super::policy_scope::{PolicyScope, ScopeConstraint};
use super::policy_slices::{PolicySlices, SliceInputs};
use super::policy_test_runner::{self, TestOutcome};
use super::role_catalogue::RoleCard;
use super::schema::read_schema;
use super::schema_conformity::Conformity;
use super::schema_names::Symbols;
use super::size_limits::{self, SizeExcess};
use super::static_entities::StaticEntities;
use super::validate::validate;
use super::{PolicyMeta, Snapshot};
use crate::domain::{Digest, PolicyFiles, RoleId, limits, plural};

/// With more policies for everyone than this on one kind of query, the load notes it.
const EVERYONE_NOTE: usize = 64;

/// The step after all files were read.
const SLICES: &str = "the whole set";

/// The results of a check, so that it need not be repeated.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct LoadFacts {
    /// Notes that did not lead to a refusal.
    pub notes: Vec<String>,
    /// How many tests passed.
    pub tests: usize,
    /// The number of cases on which the guards hold; `None` if they were not evaluated.
    pub guard_cases: Option<usize>,
}

/// How a folder is loaded.
pub enum LoadMode<'p> {
    /// With every check; the callback gets the current file or step.
    Whole(&'p (dyn Fn(&str) + Sync)),
    /// The same files have passed: steps that only check are left out.
    Again(LoadFacts),
}

impl LoadMode<'_> {
    fn tell(&self, step: &str) {
        if let Self::Whole(tell) = self {
            tell(step);
        }
    }
}

impl Snapshot {
    /// Loads a folder. `held` are the roles that members have, with the number of members: none of
    /// them may disappear.
    ///
    /// # Errors
    /// Every fault that was found; there is no snapshot then.
    pub fn load(files: &PolicyFiles, held: &[(RoleId, usize)]) -> Result<Self, Vec<PolicyFault>> {
        Self::pass(files, held, &LoadMode::Whole(&|_| {}))
    }

    /// The same with a given passage. Runs on its own thread, whose stack is larger than the
    /// nesting limits require.
    ///
    /// # Errors
    /// Every fault that was found, up to a bound; there is no snapshot then.
    pub fn pass(
        files: &PolicyFiles,
        held: &[(RoleId, usize)],
        passage: &LoadMode<'_>,
    ) -> Result<Self, Vec<PolicyFault>> {
        let passed = thread::scope(|threads| {
            let work = move || load(files, held, passage);
            let gate = thread::Builder::new().name("policies".to_owned()).stack_size(STACK);
            let gate = gate.spawn_scoped(threads, work).map_err(|fault| {
                vec![PolicyFault::of_host(format!("no thread to load the policies on: {fault}"))]
            })?;
            gate.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        passed.map_err(bounded)
    }
}

fn load(
    files: &PolicyFiles,
    held: &[(RoleId, usize)],
    passage: &LoadMode<'_>,
) -> Result<Snapshot, Vec<PolicyFault>> {
    let mut faults = Vec::new();
    let mut folder = sort(files, &mut faults);
    passage.tell(SCHEMA);
    let schema = folder.schema.and_then(|text| read_schema(text, &mut folder.notes, &mut faults));
    let tell = |file: &str| passage.tell(file);
    let mut live = read_policies(folder.roles.iter().chain(&folder.rules), tell, &mut faults);
    let mut guards = read_policies(folder.guards.iter(), tell, &mut faults);
    // What is slow from here on is of no file, unless one is told.
    passage.tell("");
    folder.note_empty(live.iter().chain(&guards).map(|placed| placed.file));
    let cards = read_cards(&folder, &live, &mut faults);
    check_ids(live.iter().chain(&guards), &mut faults);
    check_places(&live, &guards, &mut faults);
    check_guards(&guards, &mut faults);
    check_held(&cards, held, &mut faults);
    if live.len() > limits::POLICIES_MAX {
        let most = limits::POLICIES_MAX;
        faults.push(PolicyFault::new("", format!("the folder holds more than {most} policies")));
    }
    // A set that is too large is not validated, which would take long.
    let Some((schema, names)) = schema.filter(|_| live.len() <= limits::POLICIES_MAX) else {
        return Err(faults);
    };
    let progress = LoadProgress::new(&tell);
    for policies in [&mut live, &mut guards] {
        read_syntax(policies, &progress, &mut faults);
        if let LoadMode::Whole(_) = passage {
            validate(&schema, policies, &progress, &mut folder.notes, &mut faults);
        }
    }
    passage.tell(ENTITIES);
    let stored = read_entities(&folder, &schema, &names, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    SnapshotDraft { files, folder, schema, names, stored, live, cards, guards }.finish(passage)
}

/// What has passed the checks of single files.
struct SnapshotDraft<'f> {
    files: &'f PolicyFiles,
    folder: FolderFiles<'f>,
    schema: Schema,
    names: Symbols,
    stored: StaticEntities,
    live: Vec<ParsedPolicy<'f>>,
    cards: Vec<RoleCard>,
    guards: Vec<ParsedPolicy<'f>>,
}

/// What the syntax of one policy shows.
struct PolicyFacts {
    policy: Policy,
    scope: PolicyScope,
    determined: bool,
    compiled: Result<CompiledPolicy, NotCompiled>,
    meaning: String,
    mentions: HashSet<String>,
}

impl PolicyFacts {
    fn of(
        placed: &ParsedPolicy<'_>,
        compiler: &Compiler<'_>,
        role_type: Option<&EntityTypeName>,
    ) -> Self {
        let ParsedPolicy { policy, syntax, .. } = placed;
        let scope = PolicyScope::of(policy);
        let compiled = compiler.compile(&PolicySyntax { policy, scope: &scope, json: syntax });
        let determined = is_cacheable_policy(syntax, &scope, role_type);
        let mut names = HashSet::new();
        mentions(syntax, &mut names);
        let mut bare = syntax.clone();
        if let Some(members) = bare.as_object_mut() {
            members.remove("annotations");
        }
        let (policy, meaning) = (policy.clone(), bare.to_string());
        Self { policy, scope, determined, compiled, meaning, mentions: names }
    }
}

impl SnapshotDraft<'_> {
    /// Builds the slices, then runs the folder's own tests on them.
    fn finish(mut self, passage: &LoadMode<'_>) -> Result<Snapshot, Vec<PolicyFault>> {
        passage.tell(SLICES);
        let whole = |message: String| vec![PolicyFault::new("", message)];
        let role_type = self.names.name(self.names.role).cloned();
        let mut meta = BTreeMap::new();
        let (mut mentioned, mut left_to_cedar) = (HashSet::new(), HashSet::new());
        let mut policies = Vec::with_capacity(self.live.len());
        let mut all_determined = Vec::with_capacity(self.live.len());
        let mut all_compiled = Vec::with_capacity(self.live.len());
        let understood = {
            let compiler = Compiler::new(&self.names);
            let facts_of =
                |placed: &ParsedPolicy<'_>| PolicyFacts::of(placed, &compiler, role_type.as_ref());
            in_parallel(&self.live, |share| share.iter().map(facts_of).collect::<Vec<_>>())
        };
        for PolicyFacts { policy, scope, determined, compiled, meaning, mentions } in
            understood.into_iter().flatten()
        {
            match &compiled {
                Ok(policy) => policy
                    .left_to_cedar()
                    .for_each(|operand| self::mentions(&operand.json, &mut left_to_cedar)),
                Err(_) => left_to_cedar.extend(mentions.iter().cloned()),
            }
            mentioned.extend(mentions);
            all_determined.push(determined);
            if compiled.as_ref().is_err_and(|why| *why == NotCompiled::TooLarge) {
                self.folder.notes.push(note_of_large(&policy, &NotCompiled::TooLarge));
            }
            all_compiled.push(compiled);
            meta.insert(policy.id().to_string(), PolicyMeta { meaning, determined });
            policies.push((policy, scope));
        }
        // What only a guard reads must be there when it is evaluated.
        self.guards.iter().for_each(|guard| mentions(&guard.syntax, &mut mentioned));
        self.names.mark_mentioned(&mentioned, &left_to_cedar);
        let roles = known_roles(&self.names, &self.stored, &self.cards, &policies);
        let accounts_in_groups = self.stored.iter().any(|(uid, stored)| {
            Some(uid.type_name()) == self.names.name(self.names.account) && stored.lineage.len() > 1
        });
        let conformity = Conformity::new(&self.names);
        let slices = PolicySlices::new(&SliceInputs {
            schema: &self.schema,
            names: &self.names,
            stored: &self.stored,
            conformity: &conformity,
            determined: &all_determined,
            policies: &policies,
            compiled: &all_compiled,
            roles: &roles,
            accounts_in_groups,
        })
        .map_err(whole)?;
        let everyone = slices.everyone_max();
        if everyone > EVERYONE_NOTE {
            self.folder.notes.push(format!(
                "{everyone} policies apply to everybody on one kind of request: name a role, a principal or a resource in their scopes to keep decisions fast"
            ));
        }
        let digest = self.files.digest();
        let text = |text: Option<&str>| Digest::of(&[text.unwrap_or_default().as_bytes()]);
        let mut snapshot = Snapshot {
            forbids: policies
                .iter()
                .filter(|(policy, _)| policy.effect() == Effect::Forbid)
                .map(|(policy, _)| policy.id().clone())
                .collect(),
            names: self.names,
            stored: self.stored,
            conformity,
            slices,
            role_index: roles.into_iter().enumerate().map(|(at, (role, _))| (role, at)).collect(),
            policies,
            compiled: all_compiled,
            meta,
            roles: self.cards,
            administering: BTreeSet::new(),
            guards: self.guards.iter().filter_map(ParsedPolicy::guard).collect(),
            guard_cases: None,
            guard_outcomes: None,
            tests: 0,
            notes: self.folder.notes,
            data: [text(self.folder.schema), text(self.folder.entities)],
            digest,
            digest_hex: digest.hex(),
            whole: OnceLock::new(),
            matrix: OnceLock::new(),
        };
        let (faults, notes) = snapshot.unaskable();
        if !faults.is_empty() {
            return Err(faults);
        }
        snapshot.notes.extend(notes);
        snapshot.administering = snapshot.roles_allowed(&ADMINISTERING).into_iter().collect();
        match passage {
            LoadMode::Whole(tell) => {
                snapshot.tests = run_tests(&snapshot, &self.folder.tests, &self.schema, tell)?;
                snapshot.notes.extend(snapshot.nobody_administers());
                snapshot.notes = bounded_notes(snapshot.notes);
            }
            LoadMode::Again(found) => {
                snapshot.tests = found.tests;
                snapshot.guard_cases = found.guard_cases;
                snapshot.notes.clone_from(&found.notes);
            }
        }
        Ok(snapshot)
    }
}

/// The note on a policy that could be compiled if it were written in another way.
fn note_of_large(policy: &Policy, why: &NotCompiled) -> String {
    format!(
        "`{}` is evaluated by Cedar, which takes longer than a compiled policy, because {why}: split it to keep decisions fast",
        policy.id()
    )
}

fn check_ids<'a, 'f: 'a>(
    policies: impl Iterator<Item = &'a ParsedPolicy<'f>>,
    faults: &mut Vec<PolicyFault>,
) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for placed in policies {
        if is_full(faults) {
            return;
        }
        if let Some(first) = seen.insert(placed.policy.id().to_string(), placed.file) {
            faults.push(placed.fault_at(
                "id",
                format!(
                    "the id `{}` is taken by a policy in `{first}`: give each its own",
                    placed.policy.id()
                ),
            ));
        }
    }
}

/// Each role file has exactly one policy that introduces the role.
fn read_cards(
    folder: &FolderFiles<'_>,
    live: &[ParsedPolicy<'_>],
    faults: &mut Vec<PolicyFault>,
) -> Vec<RoleCard> {
    let mut introducing: HashMap<&str, Vec<&ParsedPolicy<'_>>> = HashMap::new();
    for placed in live.iter().filter(|placed| placed.annotation("role").is_some()) {
        introducing.entry(placed.file).or_default().push(placed);
    }
    let mut cards = Vec::new();
    for &(file, _) in &folder.roles {
        if is_full(faults) {
            break;
        }
        let stem = file.strip_prefix("roles/").unwrap_or(file);
        let stem = stem.strip_suffix(".cedar").unwrap_or(stem);
        match introducing.remove(file).as_deref() {
            Some([placed]) => cards.extend(read_card(stem, placed, faults)),
            Some(_) => faults.push(PolicyFault::new(
                file,
                "more than one policy carries `@role`: keep it on the one that introduces the role",
            )),
            // A file that did not parse is reported already.
            None if faults.iter().any(|fault| fault.file == file) => {}
            None => faults.push(PolicyFault::new(
                file,
                format!("no policy carries `@role(\"{stem}\")`: put it on the one that introduces the role"),
            )),
        }
    }
    for placed in introducing.into_values().flatten() {
        if is_full(faults) {
            break;
        }
        faults.push(placed.fault_at("role", "`@role` belongs into a file of `roles/`"));
    }
    cards.sort_by(|a, b| a.id.cmp(&b.id));
    cards
}

fn read_card(
    stem: &str,
    placed: &ParsedPolicy<'_>,
    faults: &mut Vec<PolicyFault>,
) -> Option<RoleCard> {
    let found = faults.len();
    let mut text = |key: &str| {
        let value = placed.annotation(key).unwrap_or_default().trim().to_owned();
        if value.is_empty() {
            faults.push(placed.fault_at(
                key,
                format!("the role `{stem}` has no `@{key}`: people choose a role by it"),
            ));
        }
        value
    };
    let (title, summary, best_for) = (text("title"), text("summary"), text("best_for"));
    if placed.annotation("role") != Some(stem) {
        faults.push(placed.fault_at("role", format!("`@role` must be the file's name: `{stem}`")));
    }
    let id = RoleId::parse(stem).map_err(|fault| faults.push(placed.fault(fault.public))).ok()?;
    (faults.len() == found).then_some(RoleCard { id, title, summary, best_for })
}

/// A policy in the wrong folder has another effect than intended: a guard would permit.
fn check_places(
    live: &[ParsedPolicy<'_>],
    guards: &[ParsedPolicy<'_>],
    faults: &mut Vec<PolicyFault>,
) {
    for (policies, key, place) in [(live, "guard", "guards"), (guards, "role", "roles")] {
        for placed in policies.iter().filter(|placed| placed.annotation(key).is_some()) {
            if is_full(faults) {
                return;
            }
            faults.push(placed.fault_at(key, format!(
                "`@{key}` belongs into a file of `{place}/`: move this policy there, or take `@{key}` away"
            )));
        }
    }
}

impl ParsedPolicy<'_> {
    fn guard(&self) -> Option<Guard> {
        Guard::of(&self.policy, self.annotation("guard"), self.file)
    }
}

/// A guard names its kind, and is a `permit`; there are not too many.
fn check_guards(guards: &[ParsedPolicy<'_>], faults: &mut Vec<PolicyFault>) {
    if guards.len() > limits::GUARDS_MAX {
        let most = limits::GUARDS_MAX;
        faults.push(PolicyFault::new(
            "",
            format!("`guards/` holds more than {most} guards: say several things in one"),
        ));
    }
    for guard in guards {
        if is_full(faults) {
            return;
        }
        if guard.guard().is_none() {
            faults.push(guard.fault_at(
                "guard",
                "a guard needs `@guard(\"at_most\")` (whatever the set allows, this allows too) or `@guard(\"at_least\")` (whatever this allows, the set allows too)",
            ));
        }
        if guard.policy.effect() == Effect::Forbid {
            faults.push(guard.fault("a guard is a `permit` that states a bound: write it as one"));
        }
    }
}

fn check_held(cards: &[RoleCard], held: &[(RoleId, usize)], faults: &mut Vec<PolicyFault>) {
    // While role files are at fault, their roles have not disappeared: one fault is enough.
    if faults.iter().any(|fault| fault.file.starts_with("roles/")) {
        return;
    }
    for (role, members) in held {
        if *members > 0 && !cards.iter().any(|card| card.id == *role) {
            faults.push(PolicyFault::new(
                format!("roles/{role}.cedar"),
                format!(
                    "the role `{role}` is gone, and {} it: give them another role first, or bring the file back",
                    plural(*members, "member holds", "members hold")
                ),
            ));
        }
    }
}

fn read_entities(
    folder: &FolderFiles<'_>,
    schema: &Schema,
    names: &Symbols,
    faults: &mut Vec<PolicyFault>,
) -> StaticEntities {
    let Some(text) = folder.entities else { return StaticEntities::default() };
    if let Err(SizeExcess { at, why }) = size_limits::of_entities(text) {
        faults.push(match at {
            Some(at) => PolicyFault::at(ENTITIES, text, at, why),
            None => PolicyFault::new(ENTITIES, why),
        });
        return StaticEntities::default();
    }
    let stored = match StaticEntities::read(text, schema, names) {
        Ok(stored) => stored,
        Err(sentence) => {
            faults.push(PolicyFault::new(ENTITIES, sentence));
            return StaticEntities::default();
        }
    };
    for (uid, _) in stored.iter() {
        if Some(uid.type_name()) == names.name(names.user) && !is_full(faults) {
            faults.push(PolicyFault::new(
                ENTITIES,
                format!("`{uid}` is a member: members live in the store; `kwic-team member import` takes many"),
            ));
        }
    }
    stored
}

/// Every attribute name that a policy reads with `.` or tests with `has`.
fn mentions(json: &Json, into: &mut HashSet<String>) {
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                if matches!(key.as_str(), "." | "has") {
                    // `has a.b` tests a list of names.
                    let names = match value.get("attr") {
                        Some(Json::Array(names)) => names.as_slice(),
                        Some(name) => std::slice::from_ref(name),
                        None => &[],
                    };
                    into.extend(names.iter().filter_map(Json::as_str).map(str::to_owned));
                }
                mentions(value, into);
            }
        }
        Json::Array(items) => items.iter().for_each(|item| mentions(item, into)),
        _ => {}
    }
}

/// Every role that a file introduces, an entity is, or a scope names, with its groups.
fn known_roles(
    names: &Symbols,
    stored: &StaticEntities,
    cards: &[RoleCard],
    policies: &[(Policy, PolicyScope)],
) -> Vec<(String, Vec<EntityUid>)> {
    let role_type = names.name(names.role);
    let named = |side: &ScopeConstraint| {
        side.key().filter(|uid| Some(uid.type_name()) == role_type).cloned()
    };
    let uids: HashSet<EntityUid> = cards
        .iter()
        .filter_map(|card| names.uid(names.role, card.id.as_str()))
        .chain(
            stored
                .iter()
                .map(|(uid, _)| uid.clone())
                .filter(|uid| Some(uid.type_name()) == role_type),
        )
        .chain(policies.iter().filter_map(|(_, scope)| named(&scope.principal)))
        .collect();
    uids.into_iter().map(|uid| (uid.id().unescaped().to_owned(), stored.lineage(uid))).collect()
}

/// Runs the folder's tests on the new slices.
fn run_tests(
    snapshot: &Snapshot,
    files: &[(String, String)],
    schema: &Schema,
    tell: &dyn Fn(&str),
) -> Result<usize, Vec<PolicyFault>> {
    policy_test_runner::run_policy_tests(files, schema, tell, |request, entities| {
        snapshot.try_out(request, entities)
    })
    .map_err(|faults| {
        faults
            .into_iter()
            .map(|fault| {
                let case = if fault.case.is_empty() {
                    String::new()
                } else {
                    format!("the test `{}` fails: ", fault.case)
                };
                PolicyFault::new(fault.file, format!("{case}{}", fault.message))
            })
            .collect()
    })
}

impl Snapshot {
    /// Evaluates a test's own request with its entities and the stored ones.
    fn try_out(&self, request: &Request, given: &Entities) -> TestOutcome {
        let nothing = TestOutcome { allowed: false, reasons: Default::default(), errors: 0 };
        let (Some(principal), Some(action), Some(resource)) =
            (request.principal(), request.action(), request.resource())
        else {
            return nothing;
        };
        let stored = self.stored.iter().filter(|(uid, _)| given.get(uid).is_none());
        let stored: Vec<Entity> = stored.map(|(_, stored)| stored.entity.clone()).collect();
        // Adding finds all ancestors again, which costs more than all else here.
        let entities = if stored.is_empty() {
            Cow::Borrowed(given)
        } else {
            let Ok(all) = given.clone().add_entities(stored, None) else { return nothing };
            Cow::Owned(all)
        };
        let lineage = |uid: &EntityUid| {
            let mut lineage = vec![uid.clone()];
            lineage.extend(entities.ancestors(uid).into_iter().flatten().cloned());
            lineage
        };
        let found = (
            self.names.index_of(principal.type_name()),
            self.names.actions.iter().position(|info| info.uid == *action),
            self.names.index_of(resource.type_name()),
        );
        let (Some(kind), Some(action), Some(resource_kind)) = found else { return nothing };
        let Some(env) = self.slices.env(kind, action, resource_kind) else { return nothing };
        let evaluation =
            Evaluation { forbids: &self.forbids, request, entities: entities.as_ref() };
        let keys = SliceKeys {
            role: None,
            role_lineage: &[],
            principal: &lineage(principal),
            resource: &lineage(resource),
        };
        let verdict = evaluation.slices(env, &keys);
        TestOutcome {
            allowed: verdict.allowed,
            reasons: verdict.reasons.iter().map(ToString::to_string).collect(),
            errors: verdict.erred.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PolicyFiles {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let mut files = Vec::new();
        for folder in ["", "roles", "rules", "guards", "tests"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                    files.push((name, std::fs::read(path).unwrap()));
                }
            }
        }
        PolicyFiles::new(files)
    }

    #[test]
    fn what_stands_in_the_wrong_folder_is_refused() {
        for (path, key, place) in [
            ("rules/x.cedar", "@guard(\"at_most\")", "`@guard` belongs into a file of `guards/`"),
            ("rules/x.cedar", "@guard", "`@guard` belongs into a file of `guards/`"),
            ("rules/x.cedar", "@role(\"x\")", "`@role` belongs into a file of `roles/`"),
            (
                "guards/x.cedar",
                "@guard(\"at_most\") @role(\"x\")",
                "`@role` belongs into a file of `roles/`",
            ),
        ] {
            let text = format!("@id(\"x\") {key} permit (principal, action, resource);");
            let mut files = shipped().into_files();
            files.push((path.to_owned(), text.into_bytes()));
            let faults = Snapshot::load(&PolicyFiles::new(files), &[]).unwrap_err();
            let told = |fault: &PolicyFault| fault.file == path && fault.message.contains(place);
            assert!(faults.iter().any(told), "{path} {key}: {faults:?}");
        }
    }

    #[test]
    fn a_fault_of_an_annotation_is_shown_at_its_own_line() {
        for (path, text, marked) in [
            (
                "roles/operator.cedar",
                "@id(\"operator\")\n@title(\"T\")\n@role(\"operater\")\n@summary(\"s\") @best_for(\"b\")",
                "@role(\"operater\")",
            ),
            (
                "roles/operator.cedar",
                "@id(\"operator\")\n@role(\"operator\")\n  @title(\" \")\n@summary(\"s\") @best_for(\"b\")",
                "@title(\" \")",
            ),
            ("rules/x.cedar", "@id(\"x\")\n\n@role(\"x\")", "@role(\"x\")"),
            ("guards/x.cedar", "@id(\"x\")\n\n  @guard(\"most\")", "@guard(\"most\")"),
            ("rules/x.cedar", "\n\n@id(\"tenancy\")", "@id(\"tenancy\")"),
        ] {
            let text = format!("{text}\npermit (principal, action, resource);");
            let mut files = shipped().into_files();
            files.retain(|(known, _)| known != path);
            files.push((path.to_owned(), text.into_bytes()));
            let faults = Snapshot::load(&PolicyFiles::new(files), &[]).unwrap_err();
            let told = |fault: &PolicyFault| {
                let lines: Vec<&str> = fault.excerpt.lines().collect();
                let marks = lines.last().map_or(0, |marks| marks.matches('^').count());
                fault.file == path
                    && fault.line == Some(3)
                    && fault.excerpt.contains(marked)
                    && marks == marked.len()
            };
            assert!(faults.iter().any(told), "{path}: {faults:?}");
        }
    }

    #[test]
    fn a_policy_too_large_to_be_compiled_is_noted() {
        let with_rule = |operands: usize| {
            let rule = format!(
                "@id(\"large\") forbid (principal, action, resource) when {{ {} }};",
                vec!["principal.email == \"x\""; operands].join(" || ")
            );
            let mut files = shipped().into_files();
            files.push(("rules/large.cedar".to_owned(), rule.into_bytes()));
            let snapshot = Snapshot::load(&PolicyFiles::new(files), &[]).unwrap();
            let notes = snapshot.notes().iter().filter(|note| note.starts_with("`large`"));
            notes.cloned().collect::<Vec<String>>()
        };
        assert!(with_rule(10).is_empty());
        let notes = with_rule(80);
        let told = "`large` is evaluated by Cedar, which takes longer than a compiled policy, because it has more than 256 operators";
        assert!(matches!(&notes[..], [note] if note.starts_with(told)), "{notes:?}");
    }

    #[test]
    fn the_shipped_folder_passes_the_gate() {
        let snapshot = Snapshot::load(&shipped(), &[])
            .unwrap_or_else(|faults| panic!("{}", super::super::render(&faults)));
        assert_eq!(snapshot.roles().len(), 7);
        assert_eq!(snapshot.policy_count(), 9);
        assert_eq!(snapshot.guard_count(), 4);
        assert!(snapshot.test_count() > 924, "{}", snapshot.test_count());
        assert!(snapshot.notes().is_empty(), "{:?}", snapshot.notes());
    }
}
