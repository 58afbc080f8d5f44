//! A policy folder's files by what they are for.
//!
//! Whatever looks like a policy, a schema, entities or a test, and would not be loaded from where it
//! is, is a fault: a `forbid` that silently does not count is worse than a folder that is refused.
//! Parses nothing.

use super::fault::{PolicyFault, is_full};
use crate::domain::PolicyFiles;
use crate::domain::near::nearest;

pub(super) const SCHEMA: &str = "schema.cedarschema";
pub(super) const ENTITIES: &str = "entities.json";

/// Folders that hold policies.
const POLICIES: [&str; 3] = ["roles", "rules", "guards"];
const TESTS: &str = "tests";
/// So many bytes of a file of no known name show whether it holds policies.
const HEAD: usize = 64 << 10;
/// A longer name is no slip of the hand.
const NAME_MAX: usize = 64;

/// A folder's files by what they are for.
#[derive(Default)]
pub(super) struct Folder<'f> {
    pub(super) schema: Option<&'f str>,
    pub(super) entities: Option<&'f str>,
    pub(super) roles: Vec<(&'f str, &'f str)>,
    pub(super) rules: Vec<(&'f str, &'f str)>,
    pub(super) guards: Vec<(&'f str, &'f str)>,
    pub(super) tests: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
}

impl Folder<'_> {
    /// Notes the files for policies that hold none; `filled` are those that do.
    pub(super) fn note_empty<'p>(&mut self, filled: impl Iterator<Item = &'p str>) {
        let filled: std::collections::HashSet<&str> = filled.collect();
        for (path, _) in self.rules.iter().chain(&self.guards) {
            if !filled.contains(path) {
                self.notes.push(format!("`{path}` holds no policy"));
            }
        }
    }
}

/// Sorts files by what they are for; places and encodings are checked on the way.
pub(super) fn sort<'f>(files: &'f PolicyFiles, faults: &mut Vec<PolicyFault>) -> Folder<'f> {
    let mut folder = Folder::default();
    for (path, bytes) in files.iter() {
        let Some(place) = Place::of(path) else {
            match misplaced(path, bytes) {
                Some(_) if is_full(faults) => {}
                Some(why) => faults.push(PolicyFault::new(path, why)),
                None => folder
                    .notes
                    .push(format!("`{path}` is no part of a policy folder: it is ignored")),
            }
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
    for path in files.hidden() {
        folder.notes.push(format!("`{path}` is hidden or a backup copy: it is not loaded"));
    }
    missing(&mut folder, faults);
    folder
}

/// What the folder lacks, as a fault or a note.
fn missing(folder: &mut Folder<'_>, faults: &mut Vec<PolicyFault>) {
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
            Some((_, file)) if file.contains('/') => None,
            Some(("roles", file)) if is_policy(file) => Some(Self::Roles),
            Some(("rules", file)) if is_policy(file) => Some(Self::Rules),
            Some(("guards", file)) if is_policy(file) => Some(Self::Guards),
            Some((TESTS, file)) if file.ends_with(".json") => Some(Self::Tests),
            _ => None,
        }
    }
}

fn is_policy(file: &str) -> bool {
    file.ends_with(".cedar")
}

/// Why a file that is not loaded looks as if it should be, and where it would be.
fn misplaced(path: &str, bytes: &[u8]) -> Option<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let lower = file.to_lowercase();
    if lower.contains(".cedarschema") || lower == "schema.json" || meant(file, &[SCHEMA]).is_some()
    {
        return Some(format!(
            "looks like a schema and is not loaded: the schema is `{SCHEMA}` at the top of the folder, in that form alone; rename this file, or move it out of the policy folder"
        ));
    }
    if lower.contains(".cedar") || lower == "cedar" || holds_policy(bytes) {
        return Some(policy_belongs(dir, file));
    }
    if lower.contains(".json") && meant(dir, &[TESTS]).is_some() {
        return Some(format!(
            "looks like a test and is not run: rename it to `{TESTS}/{}.json`, or move it out of the policy folder",
            stem(file, ".json")
        ));
    }
    if meant(file, &[ENTITIES]).is_some() || lower.contains(ENTITIES) || lower == "entity.json" {
        return Some(format!(
            "looks like entities and is not loaded: they are in `{ENTITIES}` at the top of the folder; rename this file, or move it out of the policy folder"
        ));
    }
    None
}

fn policy_belongs(dir: &str, file: &str) -> String {
    let stem = stem(file, ".cedar");
    let place = match meant(dir, &POLICIES) {
        Some(known) => format!("rename it to `{known}/{stem}.cedar`"),
        None => {
            format!("rename it to `rules/{stem}.cedar`, or to the same name in `roles` or `guards`")
        }
    };
    format!("looks like a policy and is not loaded: {place}, or move it out of the policy folder")
}

/// The name without its ending, and what hangs on that.
fn stem<'n>(file: &'n str, ending: &str) -> &'n str {
    let at = file.to_ascii_lowercase().find(ending);
    let stem = at.and_then(|at| file.get(..at)).or_else(|| Some(file.split_once('.')?.0));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(file)
}

/// Which of the known names somebody meant.
fn meant<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let short = name.len() <= NAME_MAX;
    short.then(|| nearest(&name.to_lowercase(), known.iter().copied())).flatten()
}

/// Whether the bytes begin as Cedar policies do, or hold one in Cedar's JSON form.
fn holds_policy(bytes: &[u8]) -> bool {
    let head = String::from_utf8_lossy(bytes.get(..HEAD).unwrap_or(bytes));
    let mut rest = head.trim_start_matches('\u{feff}').trim_start();
    if rest.starts_with(['{', '[']) {
        let effect = head.contains("\"permit\"") || head.contains("\"forbid\"");
        return effect && head.contains("\"effect\"");
    }
    while let Some(after) = skipped(rest) {
        rest = after.trim_start();
    }
    ["permit", "forbid"]
        .iter()
        .filter_map(|word| rest.strip_prefix(word))
        .any(|after| after.trim_start().starts_with('('))
}

/// What follows a comment or an annotation.
fn skipped(text: &str) -> Option<&str> {
    if let Some(comment) = text.strip_prefix("//") {
        return Some(comment.split_once('\n').map_or("", |(_, rest)| rest));
    }
    let name = text.strip_prefix('@')?;
    let after = name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_').trim_start();
    let Some(value) = after.strip_prefix('(') else { return Some(after) };
    let value = value.trim_start().strip_prefix('"')?;
    let mut escaped = false;
    let end = value.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    value.get(end + 1..)?.trim_start().strip_prefix(')')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Snapshot;
    use crate::policy_folder;

    const FORBID: &str = "@id(\"stop\") forbid (principal, action, resource);";

    fn with(path: &str, text: &str) -> PolicyFiles {
        let shipped = policy_folder::shipped();
        let shipped = shipped.iter().map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
        let one = (path.to_owned(), text.as_bytes().to_vec());
        PolicyFiles::new(shipped.chain([one]).collect())
    }

    #[test]
    fn what_looks_as_if_it_counted_and_does_not_is_refused_and_told_where_to() {
        let json = r#"{"effect": "forbid", "principal": {"op": "All"}, "conditions": []}"#;
        let commented =
            "// Stop everything.\n@id(\"a \\\" b\")\n@x forbid\n(principal, action, resource);";
        for (path, text, place) in [
            ("lockdown.cedar", FORBID, "rules/lockdown.cedar"),
            ("policies.cedar", FORBID, "rules/policies.cedar"),
            ("policy.cedar", "", "rules/policy.cedar"),
            ("Rules/stop.cedar", FORBID, "rules/stop.cedar"),
            ("RULES/stop.cedar", FORBID, "rules/stop.cedar"),
            ("rule/stop.cedar", FORBID, "rules/stop.cedar"),
            ("role/stop.cedar", FORBID, "roles/stop.cedar"),
            ("gaurd/stop.cedar", FORBID, "guards"),
            ("guard/stop.cedar", FORBID, "guards/stop.cedar"),
            ("policies/stop.cedar", FORBID, "rules/stop.cedar"),
            ("tests/stop.cedar", FORBID, "rules/stop.cedar"),
            ("rules/stop.CEDAR", FORBID, "rules/stop.cedar"),
            ("roles/stop.Cedar", FORBID, "roles/stop.cedar"),
            ("rules/stop.cedar.bak", FORBID, "rules/stop.cedar"),
            ("rules/stop.cedar.txt", FORBID, "rules/stop.cedar"),
            ("rules/stop.cedar ", FORBID, "rules/stop.cedar"),
            ("rules/stop.cedarpolicy", FORBID, "rules/stop.cedar"),
            ("rules/stop.txt", FORBID, "rules/stop.cedar"),
            ("rules/stop", commented, "rules/stop.cedar"),
            ("stop.polar", "\u{feff}permit(principal, action, resource);", "rules/stop.cedar"),
            ("rules/stop.json", json, "rules/stop.cedar"),
            ("stop.json", json, "rules/stop.cedar"),
            ("Schema.cedarschema", "", SCHEMA),
            ("more.cedarschema", "", SCHEMA),
            ("schema.cedarschema.json", "{}", SCHEMA),
            ("schema.json", "{}", SCHEMA),
            ("shema.cedarschema", "", SCHEMA),
            ("schema.cedarscheme", "", SCHEMA),
            ("rules/schema.cedarschema", "", SCHEMA),
            ("entities.JSON", "[]", ENTITIES),
            ("Entities.json", "[]", ENTITIES),
            ("entitys.json", "[]", ENTITIES),
            ("entity.json", "[]", ENTITIES),
            ("rules/entities.json", "[]", ENTITIES),
            ("tests/more.JSON", "[]", "tests/more.json"),
            ("Tests/more.json", "[]", "tests/more.json"),
            ("test/more.json", "[]", "tests/more.json"),
            ("tests/more.json.bak", "[]", "tests/more.json"),
        ] {
            let faults = Snapshot::load(&with(path, text), &[]).err();
            let faults = faults.unwrap_or_else(|| panic!("`{path}` is passed over"));
            let [fault] = &faults[..] else { panic!("{path}: {faults:?}") };
            assert_eq!(fault.file, path);
            assert!(fault.message.contains("and is not "), "{fault}");
            assert!(fault.message.contains(place), "{fault}");
        }
    }

    #[test]
    fn what_is_none_is_noted_and_loads() {
        for (path, text) in [
            ("README.md", "# Policies\n```cedar\npermit (principal, action, resource);\n```"),
            ("rules/README.md", "How to write a rule: permit (principal, ...)"),
            ("LICENSE", "You are permitted (and encouraged)"),
            ("Makefile", "check:\n\tkwic-team policy check ."),
            ("package.json", "{\"name\": \"policies\"}"),
            ("docs/roles.md", ""),
            ("rules/logo.png", "\u{0}PNG"),
        ] {
            let snapshot = Snapshot::load(&with(path, text), &[]);
            let snapshot = snapshot.unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
            assert!(snapshot.notes().iter().any(|note| note.contains(path)), "{path}");
        }
    }

    #[test]
    fn a_file_without_a_policy_and_a_hidden_one_are_noted() {
        let files = with("rules/later.cedar", "// Nothing yet.");
        let files = files.with_hidden(vec!["rules/tenancy.cedar~".to_owned()]);
        let notes = Snapshot::load(&files, &[]).unwrap().notes().to_vec();
        assert_eq!(
            notes,
            [
                "`rules/tenancy.cedar~` is hidden or a backup copy: it is not loaded",
                "`rules/later.cedar` holds no policy"
            ]
        );
    }
}
