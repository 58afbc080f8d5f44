//! Checks the tables of `docs/security.md` and `docs/console.md`: no id is missing, and each row names
//! tests that exist or says why there is none. Does not judge whether a test shows what its row
//! requires.

use std::fs;
use std::path::Path;

/// The ids, in order; the last number may be a range.
const IDS: &[&str] = &[
    "2.2.1-2", "2.3.1-3", "2.4.1", "3.2.1-2", "3.3.1-4", "3.4.1-6", "3.4.8", "3.5.1-3", "3.5.8",
    "3.7.2", "4.1.1", "4.1.3-4", "4.4.2", "6.1.1-3", "6.2.1-12", "6.3.1-4", "6.3.7-8", "6.4.1-4",
    "6.4.6", "6.5.1-6", "6.5.8", "7.1.1-2", "7.2.1-4", "7.3.1-2", "7.4.1-5", "7.5.1-3", "8.1.1-2",
    "8.2.1-3", "8.3.1-3", "8.4.1", "11.2.4", "11.4.2", "11.5.1", "13.2.3", "13.3.1", "13.4.2",
    "14.2.1", "14.2.6", "14.3.1-3", "16.2.1-2", "16.2.5", "16.3.1-3", "16.4.1", "16.5.1", "16.5.3",
];

/// How a row begins that names no test, or does not rest on one.
const REASONS: [&str; 4] = ["documented:", "does not apply:", "no test:", "not met:"];

/// Shorter than this is no reason.
const REASON_CHARS_MIN: usize = 20;

fn read(path: &str) -> Option<String> {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

fn table() -> String {
    read("docs/security.md").unwrap()
}

/// The points of the console.
fn points() -> Vec<String> {
    (1..=51).map(|point: u32| point.to_string()).collect()
}

fn expected() -> Vec<String> {
    let mut ids = Vec::new();
    for entry in IDS {
        let (section, last) = entry.rsplit_once('.').unwrap();
        let (from, to) = last.split_once('-').unwrap_or((last, last));
        let range = from.parse::<u32>().unwrap()..=to.parse().unwrap();
        ids.extend(range.map(|number| format!("{section}.{number}")));
    }
    ids
}

/// Id, requirement, and what shows it, of each row that begins with a number.
fn rows(text: &str) -> Vec<[&str; 3]> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    rows.filter(|row| row.starts_with(|c: char| c.is_ascii_digit()))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            cells.try_into().unwrap_or_else(|_| panic!("three cells: {row}"))
        })
        .collect()
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The binaries of the integration tests.
const BINARIES: [&str; 2] = ["it", "long"];

fn is_test_path(path: &str) -> bool {
    let (first, _) = path.split_once("::").unwrap_or_default();
    BINARIES.contains(&first) || path.contains("::tests::")
}

/// Whether there is a test by this path: a function under the attribute, or a rule of the store,
/// which is a module of two tests.
fn exists(path: &str) -> bool {
    let Some((module, name)) = path.rsplit_once("::") else { return false };
    let path = module.replace("::", "/");
    let file = match (module.split_once("::"), path.strip_suffix("/tests")) {
        (Some((binary, _)), _) if BINARIES.contains(&binary) => format!("tests/{path}.rs"),
        (_, Some(path)) => format!("src/{path}.rs"),
        _ => return false,
    };
    let Some(text) = read(&file) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = [format!("fn {name}("), format!("async fn {name}(")];
    let Some(at) = lines.iter().position(|line| begins.iter().any(|fun| line.starts_with(fun)))
    else {
        return false;
    };
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with('#'));
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    let is_rule = || {
        let lists = text.split("store_rules!(").skip(1);
        let lists = lists.filter_map(|list| list.split_once(");"));
        let mut rules =
            lists.flat_map(|(list, _)| list.trim().trim_start_matches("alone:").split(','));
        rules.any(|rule| rule.trim() == name)
    };
    above.into_iter().any(is_test) || file.starts_with("tests/it/store_suite") && is_rule()
}

/// What is wrong with one row.
fn faults_of([id, requirement, shown]: [&str; 3]) -> Vec<String> {
    let mut faults = Vec::new();
    if requirement.is_empty() {
        faults.push(format!("{id}: say what it requires"));
    }
    let reason = REASONS.iter().find_map(|kind| Some((*kind, shown.strip_prefix(kind)?)));
    if let Some((kind, reason)) = reason {
        if reason.trim().chars().count() < REASON_CHARS_MIN {
            faults.push(format!("{id}: say why"));
        }
        if kind == "documented:" && !reason.contains("](") {
            faults.push(format!("{id}: link to where it is documented"));
        }
    } else {
        let named = |part: &str| {
            let path = part.strip_prefix('`').and_then(|part| part.strip_suffix('`'));
            path.is_some_and(is_test_path)
        };
        if !shown.split(", ").all(named) {
            faults.push(format!("{id}: name tests, or begin with one of {REASONS:?}"));
        }
    }
    let missing = quoted(shown).filter(|path| is_test_path(path) && !exists(path));
    faults.extend(missing.map(|path| format!("{id}: there is no test `{path}`")));
    faults
}

/// Everything that is wrong with the table.
fn faults(text: &str, expected: &[String]) -> Vec<String> {
    let rows = rows(text);
    let mut faults = Vec::new();
    if rows.iter().map(|row| row[0]).ne(expected.iter().map(String::as_str)) {
        let missing = expected.iter().filter(|id| !rows.iter().any(|row| row[0] == **id));
        let missing: Vec<&str> = missing.map(String::as_str).collect();
        faults.push(format!("the ids are not those of `IDS` in order; missing: {missing:?}"));
    }
    faults.extend(rows.into_iter().flat_map(faults_of));
    faults
}

#[test]
fn each_row_names_tests_that_exist_or_says_why_not() {
    let found = faults(&table(), &expected());
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert_eq!(expected().len(), 106);
}

#[test]
fn each_point_of_the_console_names_tests_that_exist_or_says_why_not() {
    let found = faults(&read("docs/console.md").unwrap(), &points());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_row_at_fault_is_found() {
    let table = table();
    let row = |id: &str| {
        let begins = format!("| {id} |");
        table.lines().find(|line| line.starts_with(&begins)).unwrap()
    };
    let only = |altered: String, says: &str| {
        assert_ne!(altered, table, "{says}: nothing was altered");
        let found = faults(&altered, &expected());
        assert!(found.len() == 1 && found[0].contains(says), "{says}: {found:?}");
    };
    let (one, two) = (row("3.3.1"), row("3.3.2"));
    only(table.replace(&format!("{one}\n"), ""), "missing: [\"3.3.1\"]");
    only(table.replace(one, &format!("{one}\n{one}")), "in order; missing: []");
    only(table.replace(&format!("{one}\n{two}"), &format!("{two}\n{one}")), "missing: []");
    let with = |shown: &str| table.replace(one, &format!("| 3.3.1 | TLS only | {shown} |"));
    for nobody in [
        "it::nowhere::a_test",
        "it::two_step::no_such_test",
        "it::crash::a_power_cut_leaves_each_transition_whole_or_undone",
        "long::crash::no_such_test",
        "it::two_step::set_up",
        "it::store_suite::two_step::guarded",
        "nowhere::tests::a_test",
        "password::tests::no_such_test",
        "throttle::tests::login",
    ] {
        only(with(&format!("`{nobody}`")), &format!("3.3.1: there is no test `{nobody}`"));
        only(with(&format!("no test: it is shown elsewhere, `{nobody}`")), "there is no test");
    }
    for vague in ["", "yes", "`authenticator`", "it::two_step::a_code_signs_in_once"] {
        only(with(vague), "3.3.1: name tests");
    }
    for empty in ["no test:", "not met: ", "does not apply: it does not"] {
        only(with(empty), "3.3.1: say why");
    }
    only(with("documented: in a place that nobody finds"), "3.3.1: link to where");
    let silent = one.replace("the cookie is sent over TLS only", "");
    only(table.replace(one, &silent), "say what it requires");
    for there in [
        "it::two_step::a_code_signs_in_once",
        "it::store_suite::two_step::a_removed_member_leaves_no_factor",
        "it::store_suite::an_import_is_one_change_or_none",
        "long::crash::a_power_cut_leaves_each_transition_whole_or_undone",
        "password::tests::a_password_never_prints",
        "password::rules::tests::a_common_password_is_refused",
    ] {
        assert!(exists(there), "{there}");
    }
}
