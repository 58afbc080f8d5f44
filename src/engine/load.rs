//! The gate: from a folder's files to a snapshot, all or nothing.
//!
//! Every step collects its faults, and the steps that can still run do, so that one look shows
//! everything that is wrong. Nothing is repaired, nothing is skipped: a file that is not
//! understood is a fault. Never looks at the live set and never swaps anything.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use cedar_policy::{
    Effect, Entities, EntityTypeName, EntityUid, Policy, Request, Schema, SchemaFragment,
};
use serde_json::Value as Json;

use super::evaluate::Evaluation;
use super::fault::PolicyFault;
use super::gather::{can_hold, is_supplied};
use super::names::Names;
use super::nesting::schema_too_deep;
use super::placed::{Placed, read_policies, read_syntax};
use super::policy_tests::{self, Outcome};
use super::roles::RoleCard;
use super::shares::in_shares;
use super::slices::{Keys, Parts, Scope, Side, Slices};
use super::stored::Stored;
use super::types::Shapes;
use super::validate::validate;
use super::{PolicyMeta, Snapshot, matrix};
use crate::domain::{Digest, PolicyFiles, RoleId, limits};

/// More policies for everyone than this, on one kind of question, is worth a word at load.
const EVERYONE_NOTE: usize = 64;

const SCHEMA: &str = "schema.cedarschema";
const ENTITIES: &str = "entities.json";

/// A folder's files by what they are for.
#[derive(Default)]
struct Folder<'f> {
    schema: Option<&'f str>,
    entities: Option<&'f str>,
    roles: Vec<(&'f str, &'f str)>,
    rules: Vec<(&'f str, &'f str)>,
    guards: Vec<(&'f str, &'f str)>,
    tests: Vec<(String, String)>,
    notes: Vec<String>,
}

/// Whoever may do both in the own account administers it.
const ADMINISTERING: [&str; 2] = ["team:edit", "roles:assign"];

impl Snapshot {
    /// Takes a folder through the gate. `held` are the roles that members hold, with how many
    /// members: none of them may disappear.
    ///
    /// # Errors
    /// Every fault that was found; there is no snapshot then.
    pub fn load(files: &PolicyFiles, held: &[(RoleId, usize)]) -> Result<Self, Vec<PolicyFault>> {
        let mut faults = Vec::new();
        let mut folder = sort(files, &mut faults);
        let schema =
            folder.schema.and_then(|text| read_schema(text, &mut folder.notes, &mut faults));
        let mut live = read_policies(folder.roles.iter().chain(&folder.rules), &mut faults);
        let mut guards = read_policies(folder.guards.iter(), &mut faults);
        let cards = read_cards(&folder, &live, &mut faults);
        check_ids(live.iter().chain(&guards), &mut faults);
        check_guards(&guards, &mut faults);
        check_held(&cards, held, &mut faults);
        if live.len() > limits::POLICIES_MAX {
            let most = limits::POLICIES_MAX;
            faults
                .push(PolicyFault::new("", format!("the folder holds more than {most} policies")));
        }
        // A set that is too large is not worth the time that validating it would take.
        let Some((schema, names)) = schema.filter(|_| live.len() <= limits::POLICIES_MAX) else {
            return Err(faults);
        };
        for policies in [&mut live, &mut guards] {
            read_syntax(policies, &mut faults);
            validate(&schema, policies, &mut folder.notes, &mut faults);
        }
        let stored = read_entities(&folder, &schema, &names, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let draft =
            Draft { files, folder, schema, names, stored, live, cards, guards: guards.len() };
        draft.finish()
    }
}

/// What passed every check of single files.
struct Draft<'f> {
    files: &'f PolicyFiles,
    folder: Folder<'f>,
    schema: Schema,
    names: Names,
    stored: Stored,
    live: Vec<Placed<'f>>,
    cards: Vec<RoleCard>,
    guards: usize,
}

/// What the syntax of one policy tells.
struct Understood {
    policy: Policy,
    scope: Scope,
    determined: bool,
    meaning: String,
    mentions: HashSet<String>,
}

impl Understood {
    fn of(placed: &Placed<'_>, role_type: Option<&EntityTypeName>) -> Self {
        let Placed { policy, syntax, .. } = placed;
        let scope = Scope::of(policy);
        let determined = matrix::determined(syntax, &scope, role_type);
        let mut names = HashSet::new();
        mentions(syntax, &mut names);
        let (policy, meaning) = (policy.clone(), syntax.to_string());
        Self { policy, scope, determined, meaning, mentions: names }
    }
}

impl Draft<'_> {
    /// Slices, then the folder's own tests on those slices.
    fn finish(mut self) -> Result<Snapshot, Vec<PolicyFault>> {
        let whole = |message: String| vec![PolicyFault::new("", message)];
        let role_type = self.names.name(self.names.role).cloned();
        let mut meta = BTreeMap::new();
        let mut mentioned = HashSet::new();
        let mut policies = Vec::with_capacity(self.live.len());
        let mut all_determined = Vec::with_capacity(self.live.len());
        let understood = in_shares(&self.live, |share| {
            let each = share.iter().map(|placed| Understood::of(placed, role_type.as_ref()));
            each.collect::<Vec<Understood>>()
        });
        for Understood { policy, scope, determined, meaning, mentions } in
            understood.into_iter().flatten()
        {
            mentioned.extend(mentions);
            all_determined.push(determined);
            meta.insert(policy.id().to_string(), PolicyMeta { meaning, determined });
            policies.push((policy, scope));
        }
        self.names.mark_mentioned(&mentioned);
        let roles = known_roles(&self.names, &self.stored, &self.cards, &policies);
        let accounts_in_groups = self.stored.iter().any(|(uid, stored)| {
            Some(uid.type_name()) == self.names.name(self.names.account) && stored.lineage.len() > 1
        });
        let slices = Slices::new(&Parts {
            schema: &self.schema,
            names: &self.names,
            stored: &self.stored,
            determined: &all_determined,
            policies: &policies,
            roles: &roles,
            accounts_in_groups,
        })
        .map_err(whole)?;
        let everyone = slices.everyone_max();
        if everyone > EVERYONE_NOTE {
            self.folder.notes.push(format!(
                "{everyone} policies apply to everybody on one kind of question: name a role, a principal or a resource in their scopes to keep decisions fast"
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
            slices,
            role_index: roles.into_iter().enumerate().map(|(at, (role, _))| (role, at)).collect(),
            policies,
            meta,
            roles: self.cards,
            administering: BTreeSet::new(),
            guards: self.guards,
            tests: 0,
            notes: self.folder.notes,
            data: [text(self.folder.schema), text(self.folder.entities)],
            digest,
            digest_hex: digest.hex(),
            whole: OnceLock::new(),
            matrix: OnceLock::new(),
        };
        snapshot.administering = snapshot.roles_allowed(&ADMINISTERING).into_iter().collect();
        snapshot.tests = run_tests(&snapshot, &self.folder.tests, &self.schema)?;
        Ok(snapshot)
    }
}

/// Sorts files by what they are for; bounds and encodings are checked on the way.
fn sort<'f>(files: &'f PolicyFiles, faults: &mut Vec<PolicyFault>) -> Folder<'f> {
    let mut folder = Folder::default();
    for (path, bytes) in files.iter() {
        let Some(place) = Place::of(path) else {
            folder.notes.push(format!("`{path}` is no part of a policy folder: it is ignored"));
            continue;
        };
        let Ok(text) = std::str::from_utf8(bytes) else {
            faults.push(PolicyFault::new(path, "is not UTF-8 text: save it as UTF-8"));
            continue;
        };
        match place {
            Place::Schema => folder.schema = Some(text),
            Place::Entities => folder.entities = Some(text),
            Place::Roles => folder.roles.push((path, text)),
            Place::Rules => folder.rules.push((path, text)),
            Place::Guards => folder.guards.push((path, text)),
            Place::Tests => folder.tests.push((path.to_owned(), text.to_owned())),
        }
    }
    if folder.schema.is_none() && !faults.iter().any(|fault| fault.file == SCHEMA) {
        faults.push(PolicyFault::new(
            "",
            format!("the folder has no `{SCHEMA}`: `kwic-team policy init DIR` writes a whole folder to begin with"),
        ));
    }
    if folder.roles.is_empty() {
        faults.push(PolicyFault::new(
            "",
            "the folder has no role: write at least one file `roles/ROLE.cedar`",
        ));
    }
    for (missing, what) in [
        (folder.rules.is_empty(), "rules/: no rule holds for everyone, such as tenancy"),
        (folder.guards.is_empty(), "guards/: nothing is stated that every change must keep"),
        (folder.tests.is_empty(), "tests/: nothing is tried before a set goes live"),
    ] {
        if missing {
            folder.notes.push(format!("the folder has no {what}"));
        }
    }
    folder
}

/// What a file is for, by its path.
enum Place {
    Schema,
    Entities,
    Roles,
    Rules,
    Guards,
    Tests,
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        match path.split_once('/') {
            None if path == SCHEMA => Some(Self::Schema),
            None if path == ENTITIES => Some(Self::Entities),
            Some(("roles", file)) if is_policy(file) => Some(Self::Roles),
            Some(("rules", file)) if is_policy(file) => Some(Self::Rules),
            Some(("guards", file)) if is_policy(file) => Some(Self::Guards),
            Some(("tests", file)) if !file.contains('/') && file.ends_with(".json") => {
                Some(Self::Tests)
            }
            _ => None,
        }
    }
}

fn is_policy(file: &str) -> bool {
    !file.contains('/') && file.ends_with(".cedar")
}

fn read_schema(
    text: &str,
    notes: &mut Vec<String>,
    faults: &mut Vec<PolicyFault>,
) -> Option<(Schema, Names)> {
    let mut refuse = |message: String| faults.push(PolicyFault::new(SCHEMA, message));
    if let Some((at, why)) = schema_too_deep(text) {
        faults.push(PolicyFault::at(SCHEMA, text, (at, 1), why));
        return None;
    }
    let fragment = match SchemaFragment::from_cedarschema_str(text) {
        Ok((fragment, warnings)) => {
            notes.extend(warnings.map(|warning| format!("{SCHEMA}: {warning}")));
            fragment
        }
        Err(fault) => {
            faults.push(PolicyFault::of(SCHEMA, text, &fault));
            return None;
        }
    };
    let schema = match Schema::from_schema_fragments([fragment.clone()]) {
        Ok(schema) => schema,
        Err(fault) => {
            faults.push(PolicyFault::of(SCHEMA, text, &fault));
            return None;
        }
    };
    let json = fragment.to_json_value().map_err(|fault| fault.to_string());
    let names = json
        .and_then(|json| Shapes::read(&json))
        .map_err(|sentence| vec![sentence])
        .and_then(|shapes| Names::read(&schema, shapes));
    match names {
        Ok(names) => {
            let found = faults.len();
            faults.extend(unsuitable(&names));
            (faults.len() == found).then_some((schema, names))
        }
        Err(sentences) => {
            sentences.into_iter().for_each(&mut refuse);
            None
        }
    }
}

/// Attributes of `User` that the store supplies, declared with a type that cannot hold them.
fn unsuitable(names: &Names) -> Vec<PolicyFault> {
    let attributes = &names.shape(names.user).attributes;
    attributes
        .iter()
        .filter(|attribute| is_supplied(&attribute.name))
        .filter(|attribute| !can_hold(names, &attribute.name, &attribute.kind))
        .map(|attribute| {
            PolicyFault::new(
                SCHEMA,
                format!("the store supplies `{}` of `User`, and the declared type cannot hold it: declare `account: Account`, `role: String`, `active: Bool`, `email: String`, `first_name: String`, `last_name: String`, `two_step: Bool`, `joined: datetime`", attribute.name),
            )
        })
        .collect()
}

fn check_ids<'a, 'f: 'a>(
    policies: impl Iterator<Item = &'a Placed<'f>>,
    faults: &mut Vec<PolicyFault>,
) {
    let mut seen: HashMap<String, &str> = HashMap::new();
    for placed in policies {
        if let Some(first) = seen.insert(placed.policy.id().to_string(), placed.file) {
            faults.push(placed.fault(format!(
                "the id `{}` is taken by a policy in `{first}`: give each its own",
                placed.policy.id()
            )));
        }
    }
}

/// Each role file has exactly one policy that introduces the role.
fn read_cards(
    folder: &Folder<'_>,
    live: &[Placed<'_>],
    faults: &mut Vec<PolicyFault>,
) -> Vec<RoleCard> {
    let mut introducing: HashMap<&str, Vec<&Placed<'_>>> = HashMap::new();
    for placed in live.iter().filter(|placed| placed.annotation("role").is_some()) {
        introducing.entry(placed.file).or_default().push(placed);
    }
    let mut cards = Vec::new();
    for &(file, _) in &folder.roles {
        let stem = file.strip_prefix("roles/").unwrap_or(file);
        let stem = stem.strip_suffix(".cedar").unwrap_or(stem);
        match introducing.remove(file).as_deref() {
            Some([placed]) => cards.extend(read_card(stem, placed, faults)),
            Some(_) => faults.push(PolicyFault::new(
                file,
                "more than one policy carries `@role`: keep it on the one that introduces the role",
            )),
            // A file that did not parse has said so already.
            None if faults.iter().any(|fault| fault.file == file) => {}
            None => faults.push(PolicyFault::new(
                file,
                format!("no policy carries `@role(\"{stem}\")`: put it on the one that introduces the role"),
            )),
        }
    }
    for placed in introducing.into_values().flatten() {
        faults.push(placed.fault("`@role` belongs into a file of `roles/`"));
    }
    cards.sort_by(|a, b| a.id.cmp(&b.id));
    cards
}

fn read_card(stem: &str, placed: &Placed<'_>, faults: &mut Vec<PolicyFault>) -> Option<RoleCard> {
    let found = faults.len();
    let mut text =
        |key: &str| {
            let value = placed.annotation(key).unwrap_or_default().trim().to_owned();
            if value.is_empty() {
                faults.push(placed.fault(format!(
                    "the role `{stem}` has no `@{key}`: people choose a role by it"
                )));
            }
            value
        };
    let (title, summary, best_for) = (text("title"), text("summary"), text("best_for"));
    if placed.annotation("role") != Some(stem) {
        faults.push(placed.fault(format!("`@role` must be the file's name: `{stem}`")));
    }
    let id = RoleId::parse(stem).map_err(|fault| faults.push(placed.fault(fault.public))).ok()?;
    (faults.len() == found).then_some(RoleCard { id, title, summary, best_for })
}

/// A guard says which kind of statement it is, and states it by permitting.
fn check_guards(guards: &[Placed<'_>], faults: &mut Vec<PolicyFault>) {
    for guard in guards {
        if !matches!(guard.annotation("guard"), Some("at_most" | "at_least")) {
            faults.push(guard.fault(
                "a guard needs `@guard(\"at_most\")` (whatever the set allows, this allows too) or `@guard(\"at_least\")` (whatever this allows, the set allows too)",
            ));
        }
        if guard.policy.effect() == Effect::Forbid {
            faults.push(guard.fault("a guard is a `permit` that states a bound: write it as one"));
        }
    }
}

fn check_held(cards: &[RoleCard], held: &[(RoleId, usize)], faults: &mut Vec<PolicyFault>) {
    // While role files are at fault, their roles have not disappeared: one fault says enough.
    if faults.iter().any(|fault| fault.file.starts_with("roles/")) {
        return;
    }
    for (role, members) in held {
        if *members > 0 && !cards.iter().any(|card| card.id == *role) {
            faults.push(PolicyFault::new(
                format!("roles/{role}.cedar"),
                format!("the role `{role}` is gone, and {members} member(s) hold it: give them another role first, or bring the file back"),
            ));
        }
    }
}

fn read_entities(
    folder: &Folder<'_>,
    schema: &Schema,
    names: &Names,
    faults: &mut Vec<PolicyFault>,
) -> Stored {
    let Some(text) = folder.entities else { return Stored::default() };
    let stored = match Stored::read(text, schema) {
        Ok(stored) => stored,
        Err(sentence) => {
            faults.push(PolicyFault::new(ENTITIES, sentence));
            return Stored::default();
        }
    };
    for (uid, _) in stored.iter() {
        if Some(uid.type_name()) == names.name(names.user) {
            faults.push(PolicyFault::new(
                ENTITIES,
                format!("`{uid}` is a member: members live in the store; `kwic-team member import` takes many"),
            ));
        }
    }
    stored
}

/// Every attribute name that a policy reads with `.` or asks for with `has`.
fn mentions(json: &Json, into: &mut HashSet<String>) {
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                if matches!(key.as_str(), "." | "has") {
                    // `has a.b` asks for a list of names.
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
    names: &Names,
    stored: &Stored,
    cards: &[RoleCard],
    policies: &[(Policy, Scope)],
) -> Vec<(String, Vec<EntityUid>)> {
    let role_type = names.name(names.role);
    let named = |side: &Side| side.key().filter(|uid| Some(uid.type_name()) == role_type).cloned();
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

/// Runs the folder's tests on the slices that will answer.
fn run_tests(
    snapshot: &Snapshot,
    files: &[(String, String)],
    schema: &Schema,
) -> Result<usize, Vec<PolicyFault>> {
    policy_tests::run(files, schema, |request, entities| snapshot.try_out(request, entities))
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
    /// Judges a test's own request among its own entities and the stored ones.
    fn try_out(&self, request: &Request, given: &Entities) -> Outcome {
        let nothing = Outcome { allowed: false, reasons: Default::default(), errors: 0 };
        let (Some(principal), Some(action), Some(resource)) =
            (request.principal(), request.action(), request.resource())
        else {
            return nothing;
        };
        let stored = self.stored.iter().filter(|(uid, _)| given.get(uid).is_none());
        let all = given.iter().cloned().chain(stored.map(|(_, stored)| stored.entity.clone()));
        let Ok(entities) = Entities::from_entities(all, None) else { return nothing };
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
        let evaluation = Evaluation { forbids: &self.forbids, request, entities: &entities };
        let keys = Keys {
            role: None,
            role_lineage: &[],
            principal: &lineage(principal),
            resource: &lineage(resource),
        };
        let verdict = evaluation.slices(env, &keys);
        Outcome {
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
