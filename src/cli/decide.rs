//! `kwic-team decide`: one query, to the running sidecar or to a policy folder.
//!
//! Exits 0 for allow and 2 for deny. For a folder the subject is an entity of its `entities.json`,
//! or a synthetic member from `--role`.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Map, Value as Json, json};

use super::file_input;
use super::json_object;
use super::output;
use super::role::strings;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, CommandResult, Exit, Global, policy_sets};
use crate::domain::access_query::{Record, type_and_id};
use crate::domain::policy_file_kind::ENTITIES;
use crate::domain::{Decision, EntityRef, MemberView, Query, Value, limits};
use crate::engine::{Members, QueryContext, Snapshot, made_up_member};
use crate::services::roles::RoleTitles;

/// One byte more than the maximum of a policy file: shows that the file is too large.
const ENTITIES_BYTES_MAX: u64 = limits::POLICY_FILE_BYTES_MAX + 1;

#[derive(Args, Debug)]
pub(super) struct DecideArgs {
    /// The subject, as TYPE:ID; a member is `user:` and the member's id
    #[arg(long, value_name = "TYPE:ID")]
    subject: String,
    /// The action's name
    #[arg(long)]
    action: String,
    /// The resource, as TYPE:ID
    #[arg(long, value_name = "TYPE:ID")]
    resource: String,
    /// The account that the resource is in
    #[arg(long, value_name = "SLUG")]
    account: Option<String>,
    /// Attributes of the resource, as a JSON object
    #[arg(long, value_name = "JSON", visible_alias = "resource-properties")]
    properties: Option<String>,
    /// Attributes of the subject, as a JSON object
    #[arg(long, value_name = "JSON")]
    subject_properties: Option<String>,
    /// Attributes of the action, as a JSON object
    #[arg(long, value_name = "JSON")]
    action_properties: Option<String>,
    /// The context, as a JSON object
    #[arg(long, value_name = "JSON")]
    context: Option<String>,
    /// Explain the decision
    #[arg(long)]
    explain: bool,
    /// Ask this policy folder instead of the live policies; or a set of the history: `live`, `pending`, a number, or the first 12 digits of a digest
    #[arg(long, value_name = "SET")]
    policies: Option<PathBuf>,
    /// With --policies: a file of entities instead of the folder's `entities.json`
    #[arg(long, value_name = "FILE", requires = "policies")]
    entities: Option<PathBuf>,
    /// With --policies: the subject is a member with this role
    #[arg(long, requires = "policies")]
    role: Option<String>,
    /// With --role: the member's account; by default that of --account
    #[arg(long, value_name = "SLUG", requires = "role")]
    member_account: Option<String>,
    /// With --role: the member is suspended
    #[arg(long, requires = "role")]
    suspended: bool,
}

/// The caller's attributes, as JSON objects.
struct GivenAttributes {
    subject: Map<String, Json>,
    action: Map<String, Json>,
    resource: Map<String, Json>,
    context: Map<String, Json>,
}

impl GivenAttributes {
    fn read(args: &DecideArgs) -> Result<Self, CommandError> {
        let mut said = Self {
            subject: object("--subject-properties", args.subject_properties.as_deref())?,
            action: object("--action-properties", args.action_properties.as_deref())?,
            resource: object("--properties", args.properties.as_deref())?,
            context: object("--context", args.context.as_deref())?,
        };
        if let Some(account) = &args.account {
            let account = Json::String(account.clone());
            if said.resource.get("account").is_some_and(|other| *other != account) {
                return Err(CommandError::usage(
                    "--account and the `account` of --properties are not the same: give one of them",
                ));
            }
            said.resource.insert("account".to_owned(), account);
        }
        Ok(said)
    }
}

pub(super) fn run(global: &Global, args: &DecideArgs) -> CommandResult {
    let said = GivenAttributes::read(args)?;
    let subject = pair("--subject", &args.subject)?;
    let resource = pair("--resource", &args.resource)?;
    let answer = match &args.policies {
        Some(_) => on_folder(global, args, subject, resource, &said)?,
        None => {
            let body = json!({
                "subject": {"type": subject.0, "id": subject.1, "properties": said.subject},
                "action": {"name": args.action, "properties": said.action},
                "resource": {"type": resource.0, "id": resource.1, "properties": said.resource},
                "context": said.context,
                "options": {"explain": args.explain},
            });
            SidecarClient::of(global)?
                .json(&ApiCall::new("POST", "/access/v1/evaluation").body(&body))?
        }
    };
    let Some(allowed) = answer.get("decision").and_then(Json::as_bool) else {
        return Err(CommandError::failure(format!("the answer is no decision: {answer}")));
    };
    if global.json {
        output::verdict(&answer.to_string())?;
    } else {
        print(&answer, allowed).or_else(CommandError::unless_reader_left)?;
    }
    Ok(if allowed { Exit::Ok } else { Exit::Deny })
}

fn print(answer: &Json, allowed: bool) -> Result<(), CommandError> {
    output::line(if allowed { "allow" } else { "deny" })?;
    let Some(context) = answer.get("context") else { return Ok(()) };
    let mut shown = context.clone();
    if let Some(message) = shown.get_mut("message") {
        // The command line sends it with a flag.
        let said = message.as_str().unwrap_or_default();
        *message = said.replace("send `resource.properties.account`", "give --account").into();
    }
    output::fields(&shown, &["reason", "message"])?;
    for (list, one) in [("policies", "policy"), ("roles", "role")] {
        for item in strings(context, list) {
            output::line(&format!("{one}\t{item}"))?;
        }
    }
    Ok(())
}

fn pair<'p>(flag: &str, text: &'p str) -> Result<(&'p str, &'p str), CommandError> {
    type_and_id(text)
        .ok_or_else(|| CommandError::usage(format!("{flag} must be TYPE:ID, such as `user:ann`")))
}

fn object(flag: &str, text: Option<&str>) -> Result<Map<String, Json>, CommandError> {
    text.map_or_else(|| Ok(Map::new()), |text| json_object::read(flag, text))
}

/// The synthetic member of `--role`.
struct HypotheticalMember<'m>(Option<MemberView<'m>>);

impl Members for HypotheticalMember<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        self.0.filter(|view| view.id == id).map(read)
    }
}

fn on_folder(
    global: &Global,
    args: &DecideArgs,
    subject: (&str, &str),
    resource: (&str, &str),
    said: &GivenAttributes,
) -> Result<Json, CommandError> {
    let snapshot = snapshot(global, args)?;
    // A deny would say that the role may not, where there is none.
    let role = args.role.as_ref().map(|role| RoleTitles::of(&snapshot).find(role)).transpose();
    let role = role.map_err(|fault| CommandError::usage(fault.public))?;
    let account = args.member_account.as_deref().or(args.account.as_deref()).unwrap_or_default();
    let member = role
        .as_ref()
        .map(|role| made_up_member(subject.1, account, role.as_str(), !args.suspended));
    let query = Query {
        subject: EntityRef { kind: subject.0, id: subject.1, properties: &record(&said.subject) },
        action: &args.action,
        action_properties: &record(&said.action),
        resource: EntityRef {
            kind: resource.0,
            id: resource.1,
            properties: &record(&said.resource),
        },
        context: &record(&said.context),
    };
    let world = QueryContext { members: &HypotheticalMember(member), single_account: None };
    Ok(answer(&snapshot.decide(&query, &world, args.explain)))
}

/// The folder, with other entities if they are given.
fn snapshot(global: &Global, args: &DecideArgs) -> Result<Snapshot, CommandError> {
    let own = match &args.policies {
        Some(set) => policy_sets::named(global, set)?,
        None => policy_sets::files(None)?,
    };
    let Some(entities) = &args.entities else { return policy_sets::gate(&own) };
    let text = file_input::bytes(entities, ENTITIES_BYTES_MAX, &global.wait_limit)?;
    if u64::try_from(text.len()).is_ok_and(|length| length >= ENTITIES_BYTES_MAX) {
        let most = limits::POLICY_FILE_BYTES_MAX >> 20;
        let why = format!("`{}` is too large: at most {most} MiB are accepted", entities.display());
        return Err(CommandError::failure(why));
    }
    policy_sets::gate(&own.with_file(ENTITIES, text)).map_err(|stop| by_own_name(stop, entities))
}

/// Faults of the entities by the name of the file that was given.
fn by_own_name(stop: CommandError, entities: &Path) -> CommandError {
    let line = |line: &str| match line.strip_prefix(ENTITIES) {
        Some(rest) if rest.starts_with(':') => format!("{}{rest}", entities.display()),
        _ => line.to_owned(),
    };
    let lines: Vec<String> = stop.message.lines().map(line).collect();
    CommandError { message: lines.join("\n"), ..stop }
}

fn answer(decision: &Decision) -> Json {
    let mut answer = json!({"decision": decision.allowed});
    if let Some(why) = &decision.explanation {
        let roles: Vec<&str> = why.roles.iter().map(|role| role.as_str()).collect();
        let mut context = json!({"reason": why.reason.as_str(), "message": why.sentence, "policies": why.policies});
        if let (Some(context), false) = (context.as_object_mut(), roles.is_empty()) {
            context.insert("roles".to_owned(), json!(roles));
        }
        if let Some(answer) = answer.as_object_mut() {
            answer.insert("context".to_owned(), context);
        }
    }
    answer
}

fn record(object: &Map<String, Json>) -> Record<'_> {
    object.iter().map(|(name, value)| (Cow::Borrowed(name.as_str()), value_of(value))).collect()
}

fn value_of(json: &Json) -> Value<'_> {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(long) => Value::Long(long),
            None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Cow::Borrowed(text)),
        Json::Array(items) => Value::List(items.iter().map(value_of).collect()),
        Json::Object(object) => Value::Record(record(object)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_lone_colon_divides_type_and_id() {
        for (text, wanted) in [
            ("user:ann", ("user", "ann")),
            ("A::B:x", ("A::B", "x")),
            ("doc:urn:1", ("doc", "urn:1")),
        ] {
            assert_eq!(pair("--subject", text).unwrap(), wanted);
        }
        for text in ["user", ":x", "user:", "A::B"] {
            assert_eq!(pair("--subject", text).unwrap_err().exit, Exit::Usage);
        }
    }
}
