//! The place of each file of a policy folder, by its path and its first bytes.
//!
//! A file that looks like a policy, a schema, entities or a test but would not be loaded from its
//! place is a fault: a `forbid` that is silently ignored is worse than a refused folder. Reads no
//! disk and parses nothing.

use super::spelling_suggestions::nearest;

/// The schema, at the top of the folder.
pub const SCHEMA: &str = "schema.cedarschema";
/// Further entities, at the top of the folder.
pub const ENTITIES: &str = "entities.json";

const POLICIES: [&str; 3] = ["roles", "rules", "guards"];
const TESTS: &str = "tests";
/// The number of bytes of an unknown file that are examined for policies.
pub const HEAD: usize = 64 << 10;
/// A longer name is not a typo.
const NAME_MAX: usize = 64;

/// The purpose of a file, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFileKind {
    /// `schema.cedarschema`.
    Schema,
    /// `entities.json`.
    Entities,
    /// `roles/*.cedar`.
    Roles,
    /// `rules/*.cedar`.
    Rules,
    /// `guards/*.cedar`.
    Guards,
    /// `tests/*.json`.
    Tests,
}

impl PolicyFileKind {
    /// The purpose of the file at this path; none if it is not loaded.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
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

/// Why a file looks as if it should be loaded, and the right place for it. Only the first [`HEAD`]
/// bytes are examined.
#[must_use]
pub fn misplaced(path: &str, bytes: &[u8]) -> Option<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let lower = file.to_lowercase();
    if lower.contains(".cedarschema") || meant(file, &[SCHEMA]).is_some() {
        return Some(schema_belongs());
    }
    if lower.contains(".cedar") || lower == "cedar" || holds_policy(bytes) {
        return Some(policy_belongs(dir, file));
    }
    let entities = meant(file, &[ENTITIES]).is_some() || lower.contains(ENTITIES);
    let home = if is_data(&lower) { data_home(dir, &lower) } else { None };
    match home {
        Some(DataFileKind::Test) => Some(format!(
            "looks like a test and is not run: rename it to `{TESTS}/{}.json`, the only form in which tests are read, or move it out of the policy folder",
            stem(file, ".json")
        )),
        Some(DataFileKind::Entities) => Some(entities_belong()),
        None | Some(_) if entities => Some(entities_belong()),
        Some(DataFileKind::Schema) => Some(schema_belongs()),
        Some(DataFileKind::Policy) => Some(policy_belongs(dir, file)),
        None => None,
    }
}

fn schema_belongs() -> String {
    format!(
        "looks like a schema and is not loaded: the only schema is `{SCHEMA}` at the top of the folder; rename this file, or move it out of the policy folder"
    )
}

fn entities_belong() -> String {
    format!(
        "looks like entities and is not loaded: they are all in `{ENTITIES}` at the top of the folder; move them there or rename this file, or move it out of the policy folder"
    )
}

/// What a data file could contain.
enum DataFileKind {
    Test,
    Entities,
    Schema,
    Policy,
}

/// Whether a file has a format that other tools use for policies, entities or tests.
fn is_data(file: &str) -> bool {
    [".json", ".yaml", ".yml", ".toml", ".ndjson", ".hcl"].iter().any(|form| file.contains(form))
}

/// What such a file contains, by its folder, or at the top by its own name.
fn data_home(dir: &str, file: &str) -> Option<DataFileKind> {
    const HOMES: [&str; 14] = [
        TESTS, "test", "entities", "entity", "schema", "schemas", "roles", "role", "rules", "rule",
        "guards", "guard", "policies", "policy",
    ];
    let at_top = file.split('.').next().filter(|stem| HOMES.contains(stem));
    let home = if dir.is_empty() { at_top } else { meant(dir, &HOMES) };
    Some(match home? {
        TESTS | "test" => DataFileKind::Test,
        "entities" | "entity" => DataFileKind::Entities,
        "schema" | "schemas" => DataFileKind::Schema,
        _ => DataFileKind::Policy,
    })
}

/// Whether a file or folder name is ignored: hidden, or left by an editor.
#[must_use]
pub fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with(['~', '#'])
}

/// Hidden folders of other programs: version control, snapshots, and the targets of a `ConfigMap`
/// (`..data`, `..2026_01_31_...`).
#[must_use]
pub fn is_kept_by_a_program(folder: &str) -> bool {
    let volume = folder.strip_prefix("..").is_some_and(|name| {
        matches!(name, "data" | "data_tmp") || name.starts_with(|c: char| c.is_ascii_digit())
    });
    volume || [".git", ".hg", ".jj", ".svn", ".snapshot", ".zfs"].contains(&folder)
}

/// Why a hidden path looks as if it should be loaded. Leftovers of editors and other programs do
/// not: backup copies (`a.cedar~`), unsaved files (`#a.cedar#`, `.a.cedar.swp`), locks
/// (`.#a.cedar`), temporary files (`.a.cedar.Xy12`) and attributes (`._a.cedar`).
#[must_use]
pub fn hidden(path: &str) -> Option<String> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let unsaved = file.len() > 1 && file.starts_with('#') && file.ends_with('#');
    if unsaved || file.ends_with('~') || file.starts_with(".#") || file.starts_with("._") {
        return None;
    }
    let bare = |part: &str| {
        let part = part.trim_start_matches(['.', '#']);
        part.trim_end_matches(['~', '#']).to_owned()
    };
    let bare = path.split('/').map(bare).collect::<Vec<String>>().join("/");
    let what = match PolicyFileKind::of(&bare) {
        Some(PolicyFileKind::Tests) => "a test",
        Some(PolicyFileKind::Entities) => "entities",
        Some(PolicyFileKind::Schema) => "a schema",
        Some(_) => "a policy",
        None => {
            let lower = bare.to_lowercase();
            let ends = |ending: &str| lower.rsplit('/').next().is_some_and(|f| f.ends_with(ending));
            let is_named = ends(".cedar")
                || ends(".cedarschema")
                || lower.ends_with("/cedar")
                || lower == "cedar";
            return if is_named { misplaced(&bare, &[]) } else { None };
        }
    };
    Some(format!(
        "looks like {what} and is not loaded, since its name is that of a hidden file or of a copy: rename it to `{bare}`, or move it out of the policy folder"
    ))
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

/// The name without its extension.
fn stem<'n>(file: &'n str, ending: &str) -> &'n str {
    let at = file.to_ascii_lowercase().find(ending);
    let stem = at.and_then(|at| file.get(..at)).or_else(|| Some(file.split_once('.')?.0));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(file)
}

/// The known name that was probably meant.
fn meant<'n>(name: &str, known: &[&'n str]) -> Option<&'n str> {
    let short = name.len() <= NAME_MAX;
    short.then(|| nearest(&name.to_lowercase(), known.iter().copied())).flatten()
}

/// Whether the bytes begin like Cedar policies, or contain one in Cedar's JSON form.
fn holds_policy(bytes: &[u8]) -> bool {
    // Without the byte order mark and the zero bytes of UTF-16.
    let head = String::from_utf8_lossy(bytes.get(..HEAD).unwrap_or(bytes)).replace('\0', "");
    let mut rest = skip_blank(head.trim_start_matches(['\u{feff}', '\u{fffd}']));
    if rest.starts_with(['{', '[']) {
        let effect = head.contains("\"permit\"") || head.contains("\"forbid\"");
        return (effect && head.contains("\"effect\"")) || head.contains("\"staticPolicies\"");
    }
    while let Some(after) = skip_annotation(rest) {
        rest = skip_blank(after);
    }
    ["permit", "forbid"]
        .iter()
        .filter_map(|word| rest.strip_prefix(word))
        .any(|after| skip_blank(after).starts_with('('))
}

/// The text after white space and comments, also those of other languages.
fn skip_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    while rest.starts_with("//") || rest.starts_with('#') {
        rest = rest.find(['\n', '\r']).and_then(|end| rest.get(end..)).unwrap_or("").trim_start();
    }
    rest
}

/// The text after an annotation.
fn skip_annotation(text: &str) -> Option<&str> {
    let name = skip_blank(text.strip_prefix('@')?);
    let after = skip_blank(name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    let Some(value) = after.strip_prefix('(') else { return Some(after) };
    let value = skip_blank(value).strip_prefix('"')?;
    let mut escaped = false;
    let end = value.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    skip_blank(value.get(end + 1..)?).strip_prefix(')')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hidden_and_looks_like_a_policy_is_a_fault_and_what_programs_leave_is_not() {
        for (path, place) in [
            (".x.cedar", "`rules/x.cedar`"),
            ("#x.cedar", "`rules/x.cedar`"),
            ("x.cedar#", "`rules/x.cedar`"),
            ("rules/.x.cedar", "`rules/x.cedar`"),
            ("rules/.X.CEDAR", "`rules/X.cedar`"),
            ("rules/..x.cedar", "`rules/x.cedar`"),
            ("rules/#x.cedar", "`rules/x.cedar`"),
            (".rules/x.cedar", "`rules/x.cedar`"),
            ("#rules/x.cedar", "`rules/x.cedar`"),
            ("#rules#/x.cedar", "`rules/x.cedar`"),
            ("rules~/x.cedar", "`rules/x.cedar`"),
            ("..rules/x.cedar", "`rules/x.cedar`"),
            (".old/rules/x.cedar", "`rules/x.cedar`"),
            ("roles/.cedar", "`roles/"),
            (".entities.json", "`entities.json`"),
            (".schema.cedarschema", SCHEMA),
            ("tests/.more.json", "`tests/more.json`"),
            (".tests/more.json", "`tests/more.json`"),
        ] {
            let why = hidden(path).unwrap_or_else(|| panic!("`{path}` is passed over"));
            assert!(why.contains("and is not loaded") && why.contains(place), "{path}: {why}");
        }
        for path in [
            "x.cedar~",
            "rules/.x.cedar.swp",
            "rules/.x.cedar.swo",
            "rules/.x.cedar.un~",
            "rules/.x.cedar.kate-swp",
            "rules/#x.cedar#",
            "rules/.#x.cedar",
            "rules/._x.cedar",
            "rules/.x.cedar.Xy12ab",
            ".rules/x.cedar~",
            ".rules/README.md",
            ".gitignore",
            ".editorconfig",
            ".vscode/settings.json",
            "..data",
            ".#",
            "#",
            "~",
        ] {
            assert_eq!(hidden(path), None, "{path}");
        }
        for folder in ["..data", "..data_tmp", "..2026_11_28_12_00_00.123", ".git", ".snapshot"] {
            assert!(is_kept_by_a_program(folder), "{folder}");
        }
        for folder in [".rules", "..rules", "rules~", "#rules", ".data"] {
            assert!(!is_kept_by_a_program(folder), "{folder}");
        }
    }
}
