//! `kwic-team policy approve`, `rollback` and `unpin`: which set of the running sidecar is live.

use serde_json::{Value as Json, json};

use super::confirmation::ConfirmArg;
use super::output::{self, text};
use super::policy_sets;
use super::role::strings;
use super::sidecar_client::{ApiCall, SidecarClient};
use super::{CommandError, CommandResult, Exit, Global};

pub(super) fn approve(global: &Global, digest: &str, confirm: &ConfirmArg) -> CommandResult {
    let waiting = policy_sets::fetched(global, "pending")?;
    if !global.json {
        print_changes(&waiting)?;
    }
    confirm.or_ask("make these policies live?")?;
    let body = json!({"digest": digest});
    let call = ApiCall::new("POST", "/api/v1/policies/approve").body(&body);
    print(global, &SidecarClient::of(global)?.json(&call)?)
}

pub(super) fn rollback(
    global: &Global,
    set: &str,
    pin: bool,
    confirm: &ConfirmArg,
) -> CommandResult {
    let former = policy_sets::fetched(global, set)?;
    let how =
        if pin { "pin it and ignore the policy folder" } else { "write it to the policy folder" };
    let (number, at) = (text(&former, "number"), text(&former, "at"));
    confirm.or_ask(&format!("go back to set {number} of {at}, and {how}?"))?;
    let body = json!({"set": set, "pin": pin});
    let call = ApiCall::new("POST", "/api/v1/policies/rollback").body(&body);
    print(global, &SidecarClient::of(global)?.json(&call)?)
}

pub(super) fn unpin(global: &Global) -> CommandResult {
    let call = ApiCall::new("POST", "/api/v1/policies/unpin");
    print(global, &SidecarClient::of(global)?.json(&call)?)
}

/// Prints what a reload did, or another change of the live set.
pub(super) fn print(global: &Global, report: &Json) -> CommandResult {
    if global.json {
        output::line(&report.to_string())?;
        return Ok(Exit::Ok);
    }
    let is = |flag: &str| report.get(flag).and_then(Json::as_bool) == Some(true);
    let policies = match (is("changed"), is("pending")) {
        (true, _) => output::count(report, "policies", "policy is live", "policies are live"),
        (false, true) => output::count(
            report,
            "policies",
            "policy waits for approval, and the previous policies stay live",
            "policies wait for approval, and the previous policies stay live",
        ),
        (false, false) => output::count(
            report,
            "policies",
            "policy was live already",
            "policies were live already",
        ),
    };
    let digest = text(report, "digest");
    output::line(&format!("{policies}, digest {digest}"))?;
    print_changes(report)?;
    if is("pending") {
        output::line(&format!(
            "see `kwic-team policy diff live pending`, then approve it with `kwic-team policy approve {digest}`"
        ))?;
    }
    Ok(Exit::Ok)
}

fn print_changes(report: &Json) -> Result<(), CommandError> {
    let mut lines: Vec<String> = Vec::new();
    for list in ["gains", "loses", "may_gain", "may_lose", "notes"] {
        // An incomplete comparison is noted in two of them.
        let more = strings(report, list);
        let more: Vec<_> = more.into_iter().filter(|line| !lines.contains(line)).collect();
        lines.extend(more);
    }
    lines.iter().try_for_each(|line| output::line(line))
}
