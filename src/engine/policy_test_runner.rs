//! The tests of a policy folder: reads the cases of `tests/*.json` and runs each.
//!
//! A file is an array of cases in the format of Cedar's own `cedar run-tests`. As there, `entities`
//! is an array, or the name of a file beside the cases that contains one; such a file is not read
//! as cases. Requests and entities are read by the schema. All faults are collected.
//!
//! Does not decide (that is `ask`'s work) and reads no disk.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::str::FromStr;

use cedar_policy::{Context, Entities, EntityUid, Request, Schema};
use serde::Deserialize;
use serde_json::Value;

use super::policy_fault::FAULTS_MAX;

/// The result of one test query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestOutcome {
    /// True for allow.
    pub allowed: bool,
    /// The ids of the deciding policies.
    pub reasons: BTreeSet<String>,
    /// How many policies could not be evaluated.
    pub errors: usize,
}

/// One fault of the tests, or of the policies that they test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TestFault {
    /// The file, as named to the runner.
    pub file: String,
    /// The case's name, or `case 3` for the third one without a name; empty if the whole file is at
    /// fault.
    pub case: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl fmt::Display for TestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, case, message } = self;
        match case.as_str() {
            "" => write!(f, "{file}: {message}"),
            _ => write!(f, "{file}: `{case}`: {message}"),
        }
    }
}

impl Error for TestFault {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(rename = "name")]
    _name: Option<String>,
    request: Question,
    entities: Value,
    decision: Expected,
    reason: Vec<String>,
    num_errors: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    principal: String,
    action: String,
    resource: String,
    context: Value,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
}

/// Runs every case of `files` (name and text) and returns their number.
///
/// # Errors
/// Every fault of every case: JSON that is not the format, a request or entities that do not fit
/// the schema, a decision other than expected, a reason that is missing, another number of errors.
pub(super) fn run_policy_tests(
    files: &[(String, String)],
    schema: &Schema,
    tell: &dyn Fn(&str),
    ask: impl Fn(&Request, &Entities) -> TestOutcome,
) -> Result<usize, Vec<TestFault>> {
    let mut faults = Vec::new();
    let mut read = BTreeMap::new();
    for (file, text) in files {
        tell(file);
        match serde_json::from_str::<Vec<Value>>(text) {
            Ok(items) => {
                read.insert(file.as_str(), items);
            }
            Err(e) => faults.push(TestFault {
                file: file.clone(),
                case: String::new(),
                message: format!("not an array of cases in JSON: {e}"),
            }),
        }
    }

    // A shared entities file is parsed once. A fault in it is reported for the file itself: a file
    // of cases that is named as one must not be dropped silently.
    let named: BTreeSet<String> = read
        .iter()
        .flat_map(|(file, items)| items.iter().filter_map(|item| entities_file(file, item)))
        .collect();
    let mut shared = BTreeMap::new();
    for name in named {
        if let Some(items) = read.remove(name.as_str()) {
            let entities = read_entities(Value::Array(items), schema)
                .map_err(|message| {
                    faults.push(TestFault {
                        file: name.clone(),
                        case: String::new(),
                        message: format!("a case names this file as its entities: {message}"),
                    });
                })
                .ok();
            shared.insert(name, entities);
        }
    }

    let mut cases = 0;
    for (file, items) in read {
        tell(file);
        for (index, item) in items.into_iter().enumerate() {
            if faults.len() >= FAULTS_MAX {
                return Err(faults);
            }
            cases += 1;
            let case = case_name(&item, index);
            let messages = match entities_file(file, &item) {
                Some(name) => check(item, schema, shared.get(&name), &ask),
                None => check(item, schema, None, &ask),
            };
            faults.extend(messages.into_iter().map(|message| TestFault {
                file: file.to_owned(),
                case: case.clone(),
                message,
            }));
        }
    }
    if faults.is_empty() { Ok(cases) } else { Err(faults) }
}

/// The entities file of a case in `file`, as named to the runner.
fn entities_file(file: &str, item: &Value) -> Option<String> {
    let name = item.get("entities")?.as_str()?;
    Some(match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    })
}

fn case_name(item: &Value, index: usize) -> String {
    match item.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => format!("case {}", index + 1),
    }
}

/// All faults of one case; `shared` is the content of its entities file: `None` inside if that file
/// is at fault, which is reported once elsewhere.
fn check(
    item: Value,
    schema: &Schema,
    shared: Option<&Option<Entities>>,
    ask: impl Fn(&Request, &Entities) -> TestOutcome,
) -> Vec<String> {
    let case: Case = match serde_json::from_value(item) {
        Ok(case) => case,
        Err(e) => return vec![format!("not a case: {e}")],
    };
    let mut faults = Vec::new();
    let own;
    let entities = match (&case.entities, shared) {
        (Value::String(_), Some(entities)) => entities.as_ref(),
        (Value::String(name), None) => {
            faults.push(format!(
                "entities: there is no file `{name}` beside this one, or it is not an array in JSON"
            ));
            None
        }
        (inline, _) => match read_entities(inline.clone(), schema) {
            Ok(entities) => {
                own = entities;
                Some(&own)
            }
            Err(message) => {
                faults.push(format!("entities: {message}"));
                None
            }
        },
    };
    let request = read_request(case.request, schema, &mut faults);
    if let (Some(request), Some(entities)) = (request, entities) {
        compare(
            case.decision,
            &case.reason,
            case.num_errors,
            &ask(&request, entities),
            &mut faults,
        );
    }
    faults
}

fn read_entities(json: Value, schema: &Schema) -> Result<Entities, String> {
    Entities::from_json_value(json, Some(schema)).map_err(|e| said(&e))
}

/// The request, or a message for each part that does not conform.
fn read_request(question: Question, schema: &Schema, faults: &mut Vec<String>) -> Option<Request> {
    let mut uid = |part: &str, text: &str| {
        EntityUid::from_str(text)
            .map_err(|e| {
                faults.push(format!(
                    "{part}: `{text}` is not an entity: {}; write it as `Type::\"id\"`",
                    said(&e)
                ));
            })
            .ok()
    };
    let principal = uid("principal", &question.principal);
    let action = uid("action", &question.action);
    let resource = uid("resource", &question.resource);
    let (principal, action, resource) = (principal?, action?, resource?);
    let context = Context::from_json_value(question.context, Some((schema, &action)))
        .map_err(|e| faults.push(format!("context: {}", said(&e))))
        .ok()?;
    Request::new(principal, action, resource, context, Some(schema))
        .map_err(|e| faults.push(format!("request: {}", said(&e))))
        .ok()
}

fn compare(
    expected: Expected,
    reasons: &[String],
    errors: usize,
    got: &TestOutcome,
    faults: &mut Vec<String>,
) {
    let by = match quoted(&got.reasons) {
        none if none.is_empty() => "no policy".to_owned(),
        some => some,
    };
    if got.allowed == (expected == Expected::Allow) {
        let missing: BTreeSet<String> =
            reasons.iter().filter(|id| !got.reasons.contains(*id)).cloned().collect();
        if !missing.is_empty() {
            faults.push(format!("expected to be decided by {}, got {by}", quoted(&missing)));
        }
    } else {
        let (want, have) = if got.allowed { ("deny", "allow") } else { ("allow", "deny") };
        faults.push(format!("expected {want}, got {have}, decided by {by}"));
    }
    if got.errors != errors {
        faults
            .push(format!("expected policies that fail to evaluate: {errors}, got {}", got.errors));
    }
}

fn quoted(ids: &BTreeSet<String>) -> String {
    ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ")
}

/// An error with its causes, without repeating a cause that is already quoted.
fn said(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        let more = e.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = e.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use cedar_policy::{
        Authorizer, Decision, Policy, PolicyId, PolicySet, ValidationMode, Validator,
    };
    use cedar_policy_formatter::{Config, policies_str_to_pretty};

    use super::*;

    /// The texts of one folder of the shipped policies: name and text, sorted by name.
    fn texts(folder: &str) -> Vec<(String, String)> {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(folder);
        let mut texts: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                (format!("{folder}/{name}"), std::fs::read_to_string(entry.path()).unwrap())
            })
            .collect();
        texts.sort();
        texts
    }

    fn schema() -> Schema {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/schema.cedarschema");
        let text = std::fs::read_to_string(path).unwrap();
        let (schema, warnings) = Schema::from_cedarschema_str(&text).unwrap();
        assert_eq!(warnings.count(), 0);
        schema
    }

    /// The policies of a folder, each named by its `@id`.
    fn policies(folder: &str) -> Vec<Policy> {
        texts(folder)
            .iter()
            .flat_map(|(file, text)| {
                let set = PolicySet::from_str(text).unwrap_or_else(|e| panic!("{file}: {e:?}"));
                assert_eq!(set.templates().count(), 0, "{file}");
                set.policies()
                    .map(|p| p.new_id(PolicyId::new(p.annotation("id").expect("an @id"))))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn live() -> PolicySet {
        PolicySet::from_policies(policies("roles").into_iter().chain(policies("rules"))).unwrap()
    }

    fn ask(set: &PolicySet, request: &Request, entities: &Entities) -> TestOutcome {
        let answer = Authorizer::new().is_authorized(request, set, entities);
        TestOutcome {
            allowed: answer.decision() == Decision::Allow,
            reasons: answer.diagnostics().reason().map(ToString::to_string).collect(),
            errors: answer.diagnostics().errors().count(),
        }
    }

    fn one_case(case: &str) -> Vec<(String, String)> {
        vec![("tests/t.json".to_owned(), format!("[{case}]"))]
    }

    /// What the runner says of these files, where every question is answered with a deny.
    fn faults(files: &[(String, String)]) -> Vec<String> {
        let deny = TestOutcome { allowed: false, reasons: BTreeSet::new(), errors: 0 };
        let faults = run_policy_tests(files, &schema(), &|_| {}, |_, _| deny.clone()).unwrap_err();
        faults.iter().map(ToString::to_string).collect()
    }

    const REQUEST: &str = r#"{"principal":"KWIC::User::\"u\"","action":"KWIC::Action::\"chats:view\"","resource":"KWIC::Account::\"a\"","context":{}}"#;

    #[test]
    fn shipped_policies_and_guards_validate_strictly_with_level_2() {
        let mut all = live();
        let guards = policies("guards");
        assert_eq!(guards.len(), 4);
        for guard in guards {
            assert!(matches!(guard.annotation("guard"), Some("at_most" | "at_least")));
            assert!(guard.annotation("summary").is_some());
            all.add(guard).unwrap();
        }
        let result = Validator::new(schema()).validate_with_level(&all, ValidationMode::Strict, 2);
        assert!(result.validation_passed_without_warnings(), "{result}");
    }

    #[test]
    fn a_shipped_role_is_one_policy_with_all_that_the_picker_shows() {
        for (file, text) in texts("roles") {
            let set = PolicySet::from_str(&text).unwrap();
            let policies: Vec<_> = set.policies().collect();
            let [policy] = policies.as_slice() else { panic!("{file}: not one policy") };
            let name = policy.annotation("role").expect("a @role");
            assert_eq!(file, format!("roles/{name}.cedar"));
            assert_eq!(policy.annotation("id"), Some(name));
            for key in ["title", "summary", "best_for"] {
                assert!(policy.annotation(key).is_some_and(|v| !v.is_empty()), "{file}: @{key}");
            }
        }
    }

    #[test]
    fn shipped_policies_are_formatted_and_say_what_they_are_for() {
        let config = Config { line_width: 100, indent_width: 2 };
        for (file, text) in ["roles", "rules", "guards"].into_iter().flat_map(texts) {
            assert!(text.starts_with("// "), "{file}");
            let pretty = policies_str_to_pretty(&text, &config).unwrap();
            assert_eq!(text.trim_end(), pretty.trim_end(), "{file}");
        }
    }

    #[test]
    fn every_shipped_case_passes_and_keeps_the_guards() {
        let set = live();
        let guards: Vec<_> = policies("guards")
            .into_iter()
            .map(|guard| {
                let at_most = guard.annotation("guard") == Some("at_most");
                (at_most, PolicySet::from_policies([guard]).unwrap())
            })
            .collect();
        let cases = run_policy_tests(&texts("tests"), &schema(), &|_| {}, |request, entities| {
            let answer = ask(&set, request, entities);
            for (at_most, guard) in &guards {
                let stated = ask(guard, request, entities);
                assert_eq!(stated.errors, 0);
                let (less, more) = if *at_most {
                    (answer.allowed, stated.allowed)
                } else {
                    (stated.allowed, answer.allowed)
                };
                assert!(!less || more, "{request} breaks {guard}");
            }
            answer
        });
        let cases = cases.unwrap_or_else(|faults| {
            panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        println!("{cases} cases pass");
        // Seven roles, 34 actions: own account, another, suspended; 30 of the actions on `account`.
        assert!(cases >= 7 * (34 * 3 + 30), "{cases}");
    }

    #[test]
    fn a_flipped_decision_is_reported_with_file_and_case() {
        let mut files = texts("tests");
        let (_, text) = files.iter_mut().find(|(f, _)| f == "tests/operator.json").unwrap();
        let line = text.lines().find(|l| l.contains(r#""chats:view on chat""#)).unwrap().to_owned();
        assert!(line.contains(r#""decision":"allow""#));
        *text = text.replace(&line, &line.replace(r#""allow""#, r#""deny""#));
        let set = live();
        let faults =
            run_policy_tests(&files, &schema(), &|_| {}, |r, e| ask(&set, r, e)).unwrap_err();
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        assert_eq!(fault.file, "tests/operator.json");
        assert_eq!(fault.case, "chats:view on chat");
        assert_eq!(fault.message, "expected deny, got allow, decided by `operator`");
    }

    #[test]
    fn broken_json_names_file_and_line_and_hides_no_other_fault() {
        let mut files = one_case("{}");
        files.push(("tests/u.json".to_owned(), "[\n{},\n{\"name\" 1}\n]".to_owned()));
        let faults = faults(&files);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("tests/u.json: not an array of cases"), "{faults:?}");
        assert!(faults[0].contains("line 3"), "{faults:?}");
        assert!(faults[1].contains("`case 1`: not a case: missing field"), "{faults:?}");
    }

    #[test]
    fn what_does_not_fit_the_format_or_the_schema_is_a_fault() {
        let case = |request: &str, entities: &str, more: &str| {
            let case = format!(
                r#"{{"name":"n","request":{request},"entities":{entities},"decision":"deny","reason":[],"num_errors":0{more}}}"#
            );
            faults(&one_case(&case)).join("\n")
        };
        let swap = |from: &str, to: &str| REQUEST.replace(from, to);
        for (request, entities, more, says) in [
            (REQUEST.to_owned(), "[]", r#","note":"x""#, "unknown field `note`"),
            (swap(r#""context":{}"#, r#""contxt":{}"#), "[]", "", "unknown field `contxt`"),
            (swap("KWIC::User", "KWIC User"), "[]", "", "principal: `KWIC User"),
            (swap("chats:view", "chats:veiw"), "[]", "", "chats:veiw"),
            (swap("KWIC::Account", "KWIC::Contact"), "[]", "", "KWIC::Contact"),
            (swap("{}}", r#"{"role":"x"}}"#), "[]", "", "context"),
            (REQUEST.to_owned(), r#""gone.json""#, "", "no file `gone.json`"),
            (
                REQUEST.to_owned(),
                r#"[{"uid":{"type":"KWIC::User","id":"u"},"attrs":{},"parents":[]}]"#,
                "",
                "entities: ",
            ),
        ] {
            let got = case(&request, entities, more);
            assert!(got.contains(says), "`{says}` is not said by: {got}");
            assert!(got.starts_with("tests/t.json: `n`: "), "{got}");
        }
    }

    #[test]
    fn a_file_of_cases_that_is_named_as_entities_does_not_drop_out_in_silence() {
        let case = format!(
            r#"{{"request":{REQUEST},"entities":"t.json","decision":"deny","reason":[],"num_errors":0}}"#
        );
        let faults = faults(&one_case(&case));
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("tests/t.json: a case names this file"), "{faults:?}");
    }

    #[test]
    fn decision_reasons_and_errors_are_each_compared() {
        let case = |decision: &str, reason: &str, errors: usize| {
            one_case(&format!(
                r#"{{"request":{REQUEST},"entities":[],"decision":"{decision}","reason":{reason},"num_errors":{errors}}}"#
            ))
        };
        let at = "tests/t.json: `case 1`: ";
        assert_eq!(
            faults(&case("allow", "[]", 1)),
            [
                format!("{at}expected allow, got deny, decided by no policy"),
                format!("{at}expected policies that fail to evaluate: 1, got 0"),
            ]
        );
        assert_eq!(
            faults(&case("deny", r#"["tenancy"]"#, 0)),
            [format!("{at}expected to be decided by `tenancy`, got no policy")]
        );
    }
}
