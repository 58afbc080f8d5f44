//! The folder's own tests: cases in the format of Cedar's `run-tests`, tried before a set goes
//! live.
//!
//! Reads cases and compares answers; how an answer comes about is the caller's. Never skips a
//! case that it does not understand: that is a fault as well.

use std::collections::BTreeSet;

use cedar_policy::{Context, Entities, EntityUid, Request, Schema};
use serde::Deserialize;
use serde_json::Value as Json;

/// What a case was answered.
pub(super) struct Outcome {
    pub(super) allowed: bool,
    pub(super) reasons: BTreeSet<String>,
    pub(super) errors: usize,
}

/// One case that failed or could not be read.
#[derive(Debug)]
pub(super) struct TestFault {
    pub(super) file: String,
    /// The case's name; empty where the file as a whole is at fault.
    pub(super) case: String,
    pub(super) message: String,
}

/// One case as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    name: Option<String>,
    request: CaseRequest,
    #[serde(default)]
    entities: Json,
    decision: Wanted,
    #[serde(default)]
    reason: Vec<String>,
    #[serde(default)]
    num_errors: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRequest {
    principal: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: Option<Json>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Wanted {
    #[serde(alias = "ALLOW", alias = "Allow")]
    Allow,
    #[serde(alias = "DENY", alias = "Deny")]
    Deny,
}

impl Wanted {
    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// Runs every case of every file; answers how many there were.
///
/// # Errors
/// Every case that failed, could not be read, or does not fit the schema.
pub(super) fn run(
    files: &[(String, String)],
    schema: &Schema,
    ask: impl Fn(&Request, &Entities) -> Outcome,
) -> Result<usize, Vec<TestFault>> {
    let mut count = 0;
    let mut faults = Vec::new();
    for (file, text) in files {
        let cases: Vec<Case> = match serde_json::from_str(text) {
            Ok(cases) => cases,
            Err(fault) => {
                let message = format!("is no list of test cases: {fault}");
                faults.push(TestFault { file: file.clone(), case: String::new(), message });
                continue;
            }
        };
        for (index, case) in cases.iter().enumerate() {
            count += 1;
            if let Err(message) = case.run(schema, &ask) {
                let number = || format!("case {}", index + 1);
                let case = case.name.clone().unwrap_or_else(number);
                faults.push(TestFault { file: file.clone(), case, message });
            }
        }
    }
    if faults.is_empty() { Ok(count) } else { Err(faults) }
}

impl Case {
    fn run(
        &self,
        schema: &Schema,
        ask: impl Fn(&Request, &Entities) -> Outcome,
    ) -> Result<(), String> {
        let request = self.request.read(schema)?;
        let entities = match &self.entities {
            Json::Null => Entities::empty(),
            json => Entities::from_json_value(json.clone(), Some(schema)).map_err(|fault| {
                format!("its entities do not fit the schema: {}", chain(&fault))
            })?,
        };
        self.compare(&ask(&request, &entities))
    }

    fn compare(&self, found: &Outcome) -> Result<(), String> {
        let decision = if found.allowed { Wanted::Allow } else { Wanted::Deny };
        let by = || found.reasons.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        if decision != self.decision {
            let by = if found.reasons.is_empty() { "no policy".to_owned() } else { by() };
            return Err(format!("wants {}, is {} by {by}", self.decision.word(), decision.word()));
        }
        let missing: Vec<&str> = self
            .reason
            .iter()
            .filter(|id| !found.reasons.contains(*id))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(format!(
                "wants `{}` among the deciding policies, which are {}",
                missing.join("`, `"),
                by()
            ));
        }
        if found.errors != self.num_errors {
            return Err(format!(
                "wants {} policies that err, has {}",
                self.num_errors, found.errors
            ));
        }
        Ok(())
    }
}

impl CaseRequest {
    fn read(&self, schema: &Schema) -> Result<Request, String> {
        let uid = |what: &str, text: &str| {
            text.parse::<EntityUid>().map_err(|fault| format!("its {what} is no entity: {fault}"))
        };
        let (principal, action, resource) = (
            uid("principal", &self.principal)?,
            uid("action", &self.action)?,
            uid("resource", &self.resource)?,
        );
        let context = self.context.clone().unwrap_or_else(|| Json::Object(serde_json::Map::new()));
        let context = Context::from_json_value(context, Some((schema, &action)))
            .map_err(|fault| format!("its context does not fit the schema: {}", chain(&fault)))?;
        Request::new(principal, action, resource, context, Some(schema))
            .map_err(|fault| format!("its request does not fit the schema: {}", chain(&fault)))
    }
}

/// An error with all its causes.
fn chain(fault: &dyn std::error::Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
