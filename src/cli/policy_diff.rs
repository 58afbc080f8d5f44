//! `kwic-team policy diff`: who gains and who loses access from one set to another.
//!
//! Each changed cell comes with a `kwic-team decide` command: both sets were asked its question, and
//! the answers are printed with it. So does each kind of request for which a solver has proved a change.
//! Exits 3 where `--fail-on` forbids what was found.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value as Json, json};

use super::output::{self, Colour};
use super::policy_sets;
use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::{PolicyFiles, PolicySetName, plural};
use crate::engine::{
    AccessChange, AccessDifference, ChangedCell, Example, ExampleQuery, KindChange, Relation,
    Snapshot,
};
use crate::gate::{self, DifferenceReport};

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

/// What was found about two sets: on the cases of the matrix, and by a solver.
struct FoundDifference {
    cells: AccessDifference,
    proof: DifferenceReport,
}

impl FoundDifference {
    fn of(old: &NamedSet<'_>, new: &NamedSet<'_>) -> Self {
        let cells = new.set.difference_from(&old.set);
        let proof = gate::difference((&new.set, &new.files), (&old.set, &old.files));
        Self { cells, proof }
    }

    fn is_proved(&self) -> bool {
        self.proof.difference.is_proved()
    }

    /// Whether somebody gains access, or may: a proof says it exactly.
    fn is_wider(&self) -> bool {
        self.proof.difference.is_wider()
            || self.shows([AccessChange::Gains, AccessChange::MayGain])
            || (!self.is_proved() && self.cells.is_wider())
    }

    /// Whether somebody loses access, or may.
    fn is_narrower(&self) -> bool {
        self.proof.difference.is_narrower()
            || self.shows([AccessChange::Loses, AccessChange::MayLose])
            || (!self.is_proved() && self.cells.is_narrower())
    }

    /// Whether both sets were asked a question whose answers are such a change.
    fn shows(&self, changes: [AccessChange; 2]) -> bool {
        self.cells.cells.iter().any(|cell| cell.is_shown && changes.contains(&cell.change))
    }

    fn is_failure(&self, fail_on: FailOn) -> bool {
        self.is_wider() || (matches!(fail_on, FailOn::Any) && self.is_narrower())
    }
}

/// A set, and how the command line names it.
struct NamedSet<'n> {
    name: &'n Path,
    files: PolicyFiles,
    set: Snapshot,
    /// The data folder, where the set is of a sidecar with another one than usual.
    data: Option<&'n Path>,
}

impl<'n> NamedSet<'n> {
    fn load(global: &'n Global, name: &'n Path) -> Result<Self, CommandError> {
        let files = policy_sets::named(global, name)?;
        let set = policy_sets::gate(&files)?;
        let of_sidecar = name.to_str().is_some_and(|name| PolicySetName::parse(name).is_some());
        let data = global.named_data.as_deref().filter(|_| of_sidecar);
        Ok(Self { name, files, set, data })
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
        let data = self.data.map(|data| data.display().to_string());
        let name = self.name.display().to_string();
        self.set.has_role(&query.role).then(|| query.command(&name, data.as_deref()))
    }
}

pub(super) fn run(global: &Global, args: &DiffArgs) -> CommandResult {
    let old = NamedSet::load(global, &args.old)?;
    let new = NamedSet::load(global, &args.new)?;
    let found = FoundDifference::of(&old, &new);
    if global.json {
        output::verdict(&document(&old, &new, &found).to_string())?;
    } else {
        print(&old, &new, &found).or_else(CommandError::unless_reader_left)?;
    }
    let fails = args.fail_on.is_some_and(|fail_on| found.is_failure(fail_on));
    Ok(if fails { Exit::PoliciesRefused } else { Exit::Ok })
}

/// Prints the cells, then what a solver has found.
fn print(
    old: &NamedSet<'_>,
    new: &NamedSet<'_>,
    found: &FoundDifference,
) -> Result<(), CommandError> {
    print_cells(old, new, &found.cells)?;
    print_kinds(old, new, &found.proof)?;
    let surely = if found.is_proved() { "" } else { " or may" };
    let gains = if found.is_wider() { "somebody gains access" } else { "nobody gains access" };
    let loses = if found.is_narrower() { "somebody loses access" } else { "nobody loses access" };
    let gains = if found.is_wider() { format!("{gains}{surely}") } else { gains.to_owned() };
    let loses = if found.is_narrower() { format!("{loses}{surely}") } else { loses.to_owned() };
    let how = if found.is_proved() {
        let kinds = plural(found.proof.difference.kinds.len(), "kind", "kinds");
        let by = if found.proof.solver.is_empty() { "" } else { ", by " };
        format!("proved for all requests of {kinds}{by}{}", found.proof.solver)
    } else {
        format!("checked on {}, not proved", plural(found.cells.cases, "case", "cases"))
    };
    output::say(&format!("{gains}, {loses}: {how}"))
}

/// Prints the kinds of request for which the answer is not equal, each with a command that shows it.
fn print_kinds(
    old: &NamedSet<'_>,
    new: &NamedSet<'_>,
    report: &DifferenceReport,
) -> Result<(), CommandError> {
    let difference = &report.difference;
    let changed = difference.kinds.iter().filter(|kind| kind.relation != Relation::Equal);
    for (at, kind) in changed.enumerate() {
        if at == 0 {
            output::say("all requests")?;
        }
        let KindChange { principal, action, resource, relation, .. } = kind;
        let asked_by = if principal == "user" { String::new() } else { format!(" by {principal}") };
        let (word, colour) = match relation {
            Relation::Wider => ("more is allowed", Some(Colour::Red)),
            Relation::Neither => {
                ("something more is allowed, and something less", Some(Colour::Red))
            }
            Relation::Narrower => ("less is allowed", Some(Colour::Green)),
            Relation::Unknown | Relation::Equal => ("not known", None),
        };
        let why = if kind.why.is_empty() { String::new() } else { format!(": {}", kind.why) };
        let row = format!("  {action} on {resource}{asked_by}: {word}{why}");
        match colour {
            Some(colour) => output::coloured(&row, colour)?,
            None => output::say(&row)?,
        }
        for query in [&kind.gained, &kind.lost].into_iter().flatten() {
            let now = kind.gained.as_ref() == Some(query);
            print_example(old, new, &Example { query: query.clone(), before: !now, now })?;
        }
    }
    if !difference.why.is_empty() {
        output::say(&format!("not proved: {}", difference.why))?;
    }
    Ok(())
}

fn print_cells(
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
    found.beyond_cells().into_iter().try_for_each(output::say)
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

fn document(old: &NamedSet<'_>, new: &NamedSet<'_>, found: &FoundDifference) -> Json {
    let example = |query: &ExampleQuery, before: bool, now: bool| {
        json!({
            "before": answer(before),
            "now": answer(now),
            "command_before": old.command(query),
            "command": new.command(query),
        })
    };
    let cell = |cell: &ChangedCell| {
        let shown = cell.example.as_ref();
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
            "example": shown.map(|Example { query, before, now }| example(query, *before, *now)),
        })
    };
    let kind = |kind: &KindChange| {
        json!({
            "principal": kind.principal,
            "action": kind.action,
            "resource": kind.resource,
            "relation": kind.relation.as_str(),
            "why": kind.why,
            "gained": kind.gained.as_ref().map(|query| example(query, false, true)),
            "lost": kind.lost.as_ref().map(|query| example(query, true, false)),
        })
    };
    let FoundDifference { cells, proof } = found;
    json!({
        "old": old.document(),
        "new": new.document(),
        "wider": found.is_wider(),
        "narrower": found.is_narrower(),
        "complete": cells.is_whole(),
        "proved": found.is_proved(),
        "solver": proof.solver,
        "not_proved_why": proof.difference.why,
        "requests": proof.difference.kinds.iter().map(kind).collect::<Vec<_>>(),
        "cases": cells.cases,
        "cells": cells.cells.iter().map(cell).collect::<Vec<_>>(),
        "more_cells": cells.more,
        "gains": cells.changes.gains,
        "loses": cells.changes.loses,
        "may_gain": cells.changes.may_gain,
        "may_lose": cells.changes.may_lose,
    })
}
