//! `kwic-team policy prove`: what is known about each guard of a folder, and odd policies.
//!
//! Exits 0 if every guard is proved, 3 if one is refuted, and 1 if nothing is refuted but not everything
//! is proved.

use std::path::Path;

use serde_json::{Value as Json, json};

use super::output::{self, Colour};
use super::policy_sets;
use super::{CommandError, CommandResult, Exit, Global};
use crate::domain::{GuardState, plural};
use crate::engine::{ExampleQuery, GuardProof, Oddity, PolicyWarning};
use crate::gate::{self, GuardReport};

pub(super) fn run(global: &Global, dir: Option<&Path>) -> CommandResult {
    let files = policy_sets::files(dir)?;
    let set = policy_sets::gate(&files)?;
    let report = gate::prove(&files, &set, true);
    let name = dir.map_or_else(|| "DIR".to_owned(), |dir| dir.display().to_string());
    if global.json {
        output::verdict(&document(&report, dir, &name).to_string())?;
    } else {
        print(&report, &name).or_else(CommandError::unless_reader_left)?;
    }
    let is_refuted = report.guards.iter().any(|guard| guard.state == GuardState::Refuted);
    Ok(match (is_refuted, report.is_proved()) {
        (true, _) => Exit::PoliciesRefused,
        (false, true) => Exit::Ok,
        (false, false) => Exit::Failure,
    })
}

fn print(report: &GuardReport, name: &str) -> Result<(), CommandError> {
    for GuardProof { id, kind, summary, state, why, example, .. } in &report.guards {
        let told = told(state.as_str(), u64::try_from(report.cases).unwrap_or(u64::MAX), why);
        let summary = if summary.is_empty() { String::new() } else { format!(" ({summary})") };
        let line = format!("guard {id}, {kind}{summary}: {told}");
        match state {
            GuardState::Proved => output::coloured(&line, Colour::Green)?,
            GuardState::Refuted => output::coloured(&line, Colour::Red)?,
            GuardState::Checked | GuardState::Unknown => output::say(&line)?,
        }
        if let Some(example) = example {
            let (answer, guard) = answers(report.guards.iter().find(|guard| guard.id == *id));
            output::say(&format!(
                "  the policies {answer} it, the guard {guard} it: {}",
                example.command(name, None)
            ))?;
        }
    }
    for warning in &report.warnings {
        print_warning(warning, name)?;
    }
    if !report.guards.is_empty() && report.solver.is_empty() {
        let why = report.guards.iter().map(|guard| &guard.why).find(|why| !why.is_empty());
        return output::say(&format!("nothing is proved: {}", why.map_or("", String::as_str)));
    }
    let proved = report.guards.iter().filter(|guard| guard.state == GuardState::Proved).count();
    let of = plural(report.guards.len(), "guard", "guards");
    let by = if report.solver.is_empty() { "no solver" } else { &report.solver };
    let searched = match (report.warnings.is_empty(), report.is_searched) {
        (true, true) => "; no policy can fail to be evaluated, and none is without effect",
        (_, true) => "",
        (_, false) => "; not every policy could be searched for warnings",
    };
    output::say(&format!("{proved} of {of} proved, by {by}{searched}"))
}

/// What is known about a guard, for people; `state` is the word of a [`GuardState`].
pub(super) fn told(state: &str, cases: u64, why: &str) -> String {
    let is = |known: GuardState| known.as_str() == state;
    if is(GuardState::Checked) {
        format!("checked on {}, not proved", plural(cases, "case", "cases"))
    } else if is(GuardState::Unknown) {
        format!("unknown: {why}")
    } else {
        state.to_owned()
    }
}

/// What the set and the guard do with a counterexample, as verbs.
fn answers(guard: Option<&GuardProof>) -> (&'static str, &'static str) {
    match guard.is_some_and(GuardProof::allowed) {
        true => ("allow", "denies"),
        false => ("deny", "allows"),
    }
}

fn print_warning(warning: &PolicyWarning, name: &str) -> Result<(), CommandError> {
    let PolicyWarning { id, oddity, place, example } = warning;
    match oddity {
        Oddity::CanErr => {
            output::say(&format!("warning: policy {id} may fail to be evaluated for {place}"))?;
            example.as_ref().map_or(Ok(()), |example| {
                output::say(&format!("  as here: {}", example.command(name, None)))
            })
        }
        Oddity::WithoutEffect => output::say(&format!(
            "warning: policy {id} is without effect: the set allows the same without it"
        )),
    }
}

fn document(report: &GuardReport, dir: Option<&Path>, name: &str) -> Json {
    let command = |example: &Option<ExampleQuery>| {
        example.as_ref().map(|example| example.command(name, None))
    };
    let guard = |guard: &GuardProof| {
        let example = command(&guard.example).map(|command| {
            let answer = if guard.allowed() { "allow" } else { "deny" };
            json!({"answer": answer, "command": command})
        });
        json!({
            "id": guard.id,
            "file": guard.file,
            "guard": guard.kind,
            "summary": guard.summary,
            "state": guard.state.as_str(),
            "why": guard.why,
            "example": example,
        })
    };
    let warning = |warning: &PolicyWarning| {
        json!({
            "policy": warning.id,
            "warning": warning.oddity.as_str(),
            "place": warning.place,
            "command": command(&warning.example),
        })
    };
    json!({
        "folder": dir.map(|dir| dir.display().to_string()),
        "proved": report.is_proved(),
        "solver": report.solver,
        "cases": report.cases,
        "guards": report.guards.iter().map(guard).collect::<Vec<_>>(),
        "warnings": report.warnings.iter().map(warning).collect::<Vec<_>>(),
        "all_policies_searched": report.is_searched,
    })
}
