//! Where each file of a policy folder belongs, by its path and its first bytes.
//!
//! Whatever looks like a policy, a schema, entities or a test, and would not be loaded from where it
//! is, is a fault: a `forbid` that silently does not count is worse than a folder that is refused.
//! Reads no disk and parses nothing.

use super::near::nearest;

/// The schema, at the top of the folder.
pub const SCHEMA: &str = "schema.cedarschema";
/// Further entities, at the top of the folder.
pub const ENTITIES: &str = "entities.json";

/// Folders that hold policies.
const POLICIES: [&str; 3] = ["roles", "rules", "guards"];
const TESTS: &str = "tests";
/// So many bytes of a file of no known name show whether it holds policies.
pub const HEAD: usize = 64 << 10;
/// A longer name is no slip of the hand.
const NAME_MAX: usize = 64;

/// What a file is for, by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
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

impl Place {
    /// What the file at this path is loaded as; nothing where it is not loaded.
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

/// Why a file that is not loaded looks as if it should be, and where it would be. Of the bytes, the
/// first [`HEAD`] count.
#[must_use]
pub fn misplaced(path: &str, bytes: &[u8]) -> Option<String> {
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
