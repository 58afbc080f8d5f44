//! The files of a policy folder, grouped by purpose.
//!
//! Parses nothing, and does not decide where a file belongs.

use super::policy_fault::{PolicyFault, is_full};
use crate::domain::policy_file_kind::PolicyFileKind;
pub(super) use crate::domain::policy_file_kind::{ENTITIES, SCHEMA};
use crate::domain::{PolicyFiles, input_cleanup};

/// A folder's files by what they are for.
#[derive(Default)]
pub(super) struct FolderFiles<'f> {
    pub(super) schema: Option<&'f str>,
    pub(super) entities: Option<&'f str>,
    pub(super) roles: Vec<(&'f str, &'f str)>,
    pub(super) rules: Vec<(&'f str, &'f str)>,
    pub(super) guards: Vec<(&'f str, &'f str)>,
    pub(super) tests: Vec<(String, String)>,
    pub(super) notes: Vec<String>,
}

impl FolderFiles<'_> {
    /// Notes policy files without policies; `filled` are those that have some.
    pub(super) fn note_empty<'p>(&mut self, filled: impl Iterator<Item = &'p str>) {
        let filled: std::collections::HashSet<&str> = filled.collect();
        for (path, _) in self.rules.iter().chain(&self.guards) {
            if !filled.contains(path) {
                self.notes.push(format!("`{path}` holds no policy"));
            }
        }
    }
}

/// Groups files by purpose, and checks places and encodings.
pub(super) fn sort<'f>(files: &'f PolicyFiles, faults: &mut Vec<PolicyFault>) -> FolderFiles<'f> {
    let mut folder = FolderFiles::default();
    for (path, why) in files.misplaced() {
        if is_full(faults) {
            break;
        }
        faults.push(PolicyFault::new(path, why));
    }
    folder.notes.extend_from_slice(files.notes());
    for (path, bytes) in files.iter() {
        let text = match input_cleanup::text(bytes) {
            Ok(text) => text,
            Err(why) => {
                faults.push(PolicyFault::new(path, why));
                continue;
            }
        };
        let place = PolicyFileKind::of(path);
        if place.is_some() && text.trim().is_empty() {
            faults.push(PolicyFault::new(path, EMPTY));
            continue;
        }
        if !matches!(place, Some(PolicyFileKind::Tests | PolicyFileKind::Entities))
            && let Some(at) = odd_line_break(text)
        {
            faults.push(PolicyFault::at(path, text, at, ODD_LINE_BREAK));
            continue;
        }
        match place {
            Some(PolicyFileKind::Schema) => folder.schema = Some(text),
            Some(PolicyFileKind::Entities) => folder.entities = Some(text),
            Some(PolicyFileKind::Roles) => folder.roles.push((path, text)),
            Some(PolicyFileKind::Rules) => folder.rules.push((path, text)),
            Some(PolicyFileKind::Guards) => folder.guards.push((path, text)),
            Some(PolicyFileKind::Tests) => folder.tests.push((path.to_owned(), text.to_owned())),
            // Such a file is among the misplaced ones.
            None => {}
        }
    }
    missing(&mut folder, faults);
    folder
}

/// A `forbid` that was in it would be gone without anybody having meant it.
const EMPTY: &str = "is empty, as an editor leaves a file on a full disk or half way through saving it: put back what it held, or delete the file";

const ODD_LINE_BREAK: &str = "ends a line with a character that is no line end to Cedar, or to people: what looks like a policy may be part of a comment there, or the reverse; end lines with a line feed (`\\n`) alone, or behind a carriage return (`\\r\\n`)";

/// A carriage return without a line feed, or a rarer line break: editors, terminals and Cedar
/// disagree on whether it ends a comment.
fn odd_line_break(text: &str) -> Option<(usize, usize)> {
    const RARE: [char; 5] = ['\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
    let carriage = |at: usize| text.as_bytes().get(at + 1) != Some(&b'\n');
    let odd = |&(at, c): &(usize, char)| RARE.contains(&c) || (c == '\r' && carriage(at));
    text.char_indices().find(odd).map(|(at, c)| (at, c.len_utf8()))
}

/// What the folder lacks, as a fault or a note.
fn missing(folder: &mut FolderFiles<'_>, faults: &mut Vec<PolicyFault>) {
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
    for (missing, note) in [
        (
            folder.rules.is_empty(),
            "`rules/` has no policy: no rule applies to all members, such as one that keeps them in their own account",
        ),
        (
            folder.guards.is_empty(),
            "`guards/` has no policy: nothing states what every change must keep",
        ),
        (folder.tests.is_empty(), "`tests/` has no cases: policies go live without being tested"),
    ] {
        if missing {
            folder.notes.push(note.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Snapshot;
    use crate::policy_folder;

    const FORBID: &str = "@id(\"stop\") forbid (principal, action, resource);";

    fn with(path: &str, text: &str) -> PolicyFiles {
        let shipped = policy_folder::embedded_policies();
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
            (
                "stop.json",
                r#"{"staticPolicies": {"x": "forbid (principal, action, resource);"}}"#,
                "rules/stop.cedar",
            ),
            ("rules/stop.cedar.json", "{}", "rules/stop.cedar"),
            ("rules/stop.json", "{}", "rules/stop.cedar"),
            ("rules/stop.yaml", "", "rules/stop.cedar"),
            ("guards/stop.json", "{}", "guards/stop.cedar"),
            ("policies/stop.json", "{}", "rules/stop.cedar"),
            ("rules.json", "{}", "rules/rules.cedar"),
            ("policies.yaml", "", "rules/policies.cedar"),
            (
                "stop",
                "@advice // Why.\n(\"y\") forbid (principal, action, resource);",
                "rules/stop.cedar",
            ),
            (
                "stop",
                "@id // a\n( // b\n\"x\" // c\n) forbid // d\n (principal, action, resource);",
                "rules/stop.cedar",
            ),
            ("stop", "// Why.\rforbid (principal, action, resource);", "rules/stop.cedar"),
            ("stop", "# Why.\nforbid (principal, action, resource);", "rules/stop.cedar"),
            ("stop.txt", "\u{fffd}\u{fffd}f\0o\0r\0b\0i\0d\0(\0", "rules/stop.cedar"),
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
            ("tests/t.yaml", "", "tests/t.json"),
            ("test/t.toml", "", "tests/t.json"),
            ("tests.json", "[]", "tests/tests.json"),
            ("entities/users.json", "[]", ENTITIES),
            ("entities/users.yaml", "", ENTITIES),
            ("entities.yaml", "", ENTITIES),
            ("schema/types.json", "{}", SCHEMA),
            ("schema.yaml", "", SCHEMA),
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
    fn a_line_break_that_is_none_to_cedar_or_to_people_is_refused() {
        for end in ["\r", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "\u{2029}"] {
            let text = format!("// Stop everything.\r\n// More.{end}{FORBID}\n");
            let faults = Snapshot::load(&with("rules/stop.cedar", &text), &[]).unwrap_err();
            let [fault] = &faults[..] else { panic!("{end:?}: {faults:?}") };
            assert_eq!((fault.file.as_str(), fault.line), ("rules/stop.cedar", Some(2)));
            assert!(fault.message.starts_with("ends a line with"), "{fault}");
            let schema = policy_folder::embedded_policies();
            let schema = schema.iter().find(|(path, _)| *path == SCHEMA).unwrap().1.to_vec();
            let schema = format!("// Types.{end}{}", String::from_utf8(schema).unwrap());
            let files = policy_folder::embedded_policies().with_file(SCHEMA, schema.into_bytes());
            let faults = Snapshot::load(&files, &[]).unwrap_err();
            assert!(faults.iter().any(|fault| fault.file == SCHEMA), "{end:?}: {faults:?}");
        }
        let text = format!("// Stop everything.\r\n{FORBID}\r\n")
            .replace("principal,", "principal == KWIC::User::\"x\",");
        Snapshot::load(&with("rules/stop.cedar", &text), &[]).unwrap();
    }

    #[test]
    fn what_is_none_is_noted_and_loads() {
        for (path, text) in [
            ("README.md", "# Policies\n```cedar\npermit (principal, action, resource);\n```"),
            ("rules/README.md", "How to write a rule: permit (principal, ...)"),
            ("LICENSE", "You are permitted (and encouraged)"),
            ("Makefile", "check:\n\tkwic-team policy check ."),
            ("package.json", "{\"name\": \"policies\"}"),
            (".pre-commit.yaml", "repos: []"),
            ("config.toml", ""),
            ("tests/README.md", "# Tests"),
            ("docs/roles.md", ""),
            ("rules/logo.png", "\u{0}PNG"),
        ] {
            let snapshot = Snapshot::load(&with(path, text), &[]);
            let snapshot = snapshot.unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
            assert!(snapshot.notes().iter().any(|note| note.contains(path)), "{path}");
        }
    }

    #[test]
    fn an_empty_file_is_a_fault_wherever_it_counts() {
        for path in [
            "rules/tenancy.cedar",
            "guards/own_account_only.cedar",
            "roles/later.cedar",
            "schema.cedarschema",
            "tests/later.json",
            "entities.json",
        ] {
            for text in ["", "\u{feff}", "\r\n \t\n"] {
                let files = policy_folder::embedded_policies();
                let others = files.iter().filter(|(known, _)| *known != path);
                let others = others.map(|(path, bytes)| (path.to_owned(), bytes.to_vec()));
                let empty = (path.to_owned(), text.as_bytes().to_vec());
                // Without the tests that would notice what is missing.
                let kept = others.filter(|(path, _)| !path.starts_with("tests/"));
                let files = PolicyFiles::new(kept.chain([empty]).collect());
                let faults = Snapshot::load(&files, &[]).err().unwrap();
                assert_eq!(faults[0].file, path, "{text:?}: {faults:?}");
                assert!(faults[0].message.starts_with("is empty"), "{faults:?}");
            }
        }
    }

    #[test]
    fn a_file_without_a_policy_and_a_hidden_one_are_noted() {
        let files = with("rules/later.cedar", "// Nothing yet.");
        let hidden = "`rules/tenancy.cedar~` is hidden or a backup copy: it is not loaded";
        let files = files.with(Vec::new(), vec![hidden.to_owned()]);
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
