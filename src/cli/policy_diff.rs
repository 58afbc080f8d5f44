//! `kwic-team policy diff`: who gains and who loses access from one set to another.
//!
//! Each changed cell comes with a `kwic-team decide` command: both sets were asked its question, and
//! the answers are printed with it. Exits 3 where `--fail-on` forbids what was found.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value as Json, json};

use super::decide_command::DecideCommand;
use super::output::{self, Colour};
use super::policy_sets;
use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::query::Record;
use crate::domain::{PolicySetName, Value, plural};
use crate::engine::{AccessChange, AccessDifference, ChangedCell, Example, ExampleQuery, Snapshot};

#[derive(Args, Debug)]
pub(super) struct DiffArgs {
    /// The former set
    old: PathBuf,
    /// The new set
    new: PathBuf,
    /// Exit 3 if somebody gains access or may (`widening`), or if any access changes (`any`)
    #[arg(long, value_enum, value_name = "CHANGE")]
    fail_on: Option<FailOn>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Widening,
    Any,
}

impl FailOn {
    fn forbids(self, found: &AccessDifference) -> bool {
        found.is_wider() || (matches!(self, Self::Any) && found.is_narrower())
    }
}

/// A set, and how the command line names it.
struct NamedSet<'n> {
    name: &'n Path,
    set: Snapshot,
    /// The data folder, where the set is of a sidecar with another one than usual.
    data: Option<&'n Path>,
}

impl<'n> NamedSet<'n> {
    fn load(global: &'n Global, name: &'n Path) -> Result<Self, CommandError> {
        let set = policy_sets::gate(&policy_sets::named(global, name)?)?;
        let of_sidecar = name.to_str().is_some_and(|name| PolicySetName::parse(name).is_some());
        let data = global.named_data.as_deref().filter(|_| of_sidecar);
        Ok(Self { name, set, data })
    }

    fn document(&self) -> Json {
        json!({
            "name": self.name.display().to_string(),
            "digest": self.set.digest_hex(),
            "policies": self.set.policy_count(),
        })
    }

    /// The command that asks this set an example; `None` if it does not have the role.
    fn command(&self, query: &ExampleQuery) -> Option<String> {
        self.set.has_role(&query.role).then(|| {
            DecideCommand {
                data: self.data,
                policies: &self.name.display().to_string(),
                role: query.role.as_str(),
                member: &query.member,
                member_account: &query.member_account,
                active: query.active,
                action: &query.action,
                resource: format!("{}:{}", query.resource_type, query.resource),
                account: query.account(),
                properties: object(&query.properties, Some("account")),
                subject_properties: object(&query.subject_properties, None),
                context: object(&query.context, None),
            }
            .line()
        })
    }
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> CommandResult {
    let old = NamedSet::load(global, &args.old)?;
    let new = NamedSet::load(global, &args.new)?;
    let found = new.set.difference_from(&old.set);
    if global.json {
        output::verdict(&document(&old, &new, &found).to_string())?;
    } else {
        print(&old, &new, &found).or_else(CommandError::unless_reader_left)?;
    }
    let fails = args.fail_on.is_some_and(|fail_on| fail_on.forbids(&found));
    Ok(if fails { Exit::PoliciesRefused } else { Exit::Ok })
}

fn print(
    old: &NamedSet<'_>,
    new: &NamedSet<'_>,
    found: &AccessDifference,
) -> Result<(), CommandError> {
    let mut role = None;
    for cell in &found.cells {
        if role != Some(&cell.role) {
            output::say(&format!("role {}", cell.role))?;
            role = Some(&cell.role);
        }
        let (verb, colour) = match cell.change {
            AccessChange::Gains => ("gains", Colour::Red),
            AccessChange::MayGain => ("may gain", Colour::Red),
            AccessChange::Loses => ("loses", Colour::Green),
            AccessChange::MayLose => ("may lose", Colour::Green),
        };
        let ChangedCell { action, resource, label, before, now, policies, .. } = cell;
        let (before, now) = (before.as_str(), now.as_str());
        let by = if policies.is_empty() {
            String::new()
        } else {
            format!(", by {}", policies.join(", "))
        };
        let row = format!("  {verb} {action} on {resource}{label}: {before} -> {now}{by}");
        output::coloured(&row, colour)?;
        if let Some(example) = &cell.example {
            print_example(old, new, example)?;
        }
    }
    if found.more > 0 {
        output::say(&format!("and {} more", plural(found.more, "cell", "cells")))?;
    }
    found.beyond_cells().into_iter().try_for_each(output::say)?;
    let summary = match (found.is_wider(), found.is_narrower()) {
        (false, false) => "nobody gains access, nobody loses access",
        (true, false) => "somebody gains access or may, nobody loses access",
        (false, true) => "nobody gains access, somebody loses access or may",
        (true, true) => "somebody gains access or may, somebody loses access or may",
    };
    output::say(&format!(
        "{summary}: checked on {}, not proved",
        plural(found.cases, "case", "cases")
    ))
}

fn print_example(
    old: &NamedSet<'_>,
    new: &NamedSet<'_>,
    example: &Example,
) -> Result<(), CommandError> {
    let Example { query, before, now } = example;
    let answers = format!("before {}, now {}", answer(*before), answer(*now));
    match new.command(query).or_else(|| old.command(query)) {
        Some(command) => output::say(&format!("    {answers}: {command}")),
        None => Ok(()),
    }
}

fn answer(allowed: bool) -> &'static str {
    if allowed { "allow" } else { "deny" }
}

fn document(old: &NamedSet<'_>, new: &NamedSet<'_>, found: &AccessDifference) -> Json {
    let cell = |cell: &ChangedCell| {
        let example = cell.example.as_ref().map(|Example { query, before, now }| {
            json!({
                "before": answer(*before),
                "now": answer(*now),
                "command_before": old.command(query),
                "command": new.command(query),
            })
        });
        json!({
            "role": cell.role.as_str(),
            "action": cell.action,
            "resource": cell.resource,
            "place": cell.place.as_str(),
            "status": if cell.active { "active" } else { "suspended" },
            "before": cell.before.as_str(),
            "now": cell.now.as_str(),
            "change": cell.change.as_str(),
            "policies": cell.policies,
            "shown": cell.is_shown,
            "example": example,
        })
    };
    json!({
        "old": old.document(),
        "new": new.document(),
        "wider": found.is_wider(),
        "narrower": found.is_narrower(),
        "complete": found.is_whole(),
        "proved": false,
        "cases": found.cases,
        "cells": found.cells.iter().map(cell).collect::<Vec<_>>(),
        "more_cells": found.more,
        "gains": found.changes.gains,
        "loses": found.changes.loses,
        "may_gain": found.changes.may_gain,
        "may_lose": found.changes.may_lose,
    })
}

fn object(record: &Record<'_>, without: Option<&str>) -> Map<String, Json> {
    let given = record.iter().filter(|(name, _)| Some(name.as_ref()) != without);
    given.map(|(name, value)| (name.to_string(), json_of(value))).collect()
}

fn json_of(value: &Value<'_>) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Long(number) => json!(number),
        Value::Double(number) => json!(number),
        Value::String(text) => json!(text),
        Value::List(items) => Json::Array(items.iter().map(json_of).collect()),
        Value::Record(record) => Json::Object(object(record, None)),
    }
}
