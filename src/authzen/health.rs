//! `/livez` and `/readyz`: health checks for the operators.
//!
//! Reports counts, revisions and faults of policies and store; never a member.

use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::app::App;
use crate::domain::{Failure, Kind, Reason, plural};
use crate::http::{Reply, status};
use crate::services::permits::StorePermit;
use crate::services::store_and_key_checks;
use crate::store;
use crate::store::requests_and_views::restore_and_erasure_state::ErasedLeft;

#[derive(Serialize)]
struct Ready<'r> {
    status: &'static str,
    policies: &'static str,
    digest: &'r str,
    /// The digest of the folder's set, while that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    policies_pending: Option<String>,
    /// The number of the set that is pinned, while the folder is ignored.
    #[serde(skip_serializing_if = "Option::is_none")]
    policies_pinned: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// Why the shadow policies are not asked; nothing depends on them.
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow_fault: Option<String>,
    /// Without its cause, which names a path: this endpoint needs no key.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_fault: Option<&'static str>,
    /// How many secrets of second factors no key opens; there only where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets_without_key: Option<usize>,
    /// How long a reload has been running, if that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload_running_seconds: Option<i64>,
    revision: u64,
    members: usize,
    store: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    store_fault: Option<String>,
    /// No change is written until a restart; there only where it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    store_needs_restart: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies_unkept: Option<&'static str>,
    /// `ok`, `slow`, `stuck`, `stopped` or `off`: the worst of all accounts. Decisions do not need
    /// mail.
    mail: &'static str,
    /// Why an uploaded file could not be written to the data folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    data_fault: Option<String>,
    /// Which long-running tasks have ended by a panic.
    #[serde(skip_serializing_if = "Option::is_none")]
    tasks_fault: Option<String>,
    /// The sockets that cannot be reached by their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets_fault: Option<String>,
    /// The shared log; there only for a node of a fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<FleetState>,
}

/// How this node follows the shared log.
#[derive(Serialize)]
struct FleetState {
    /// `fresh`, `away` (the log is not reached, or takes nothing, and the node is not stale yet), `stale` or
    /// `halted`.
    state: &'static str,
    applied: u64,
    head: u64,
    /// How long ago the node last had everything; since its start, where it never had.
    lag_seconds: u64,
    /// Why the log is not followed. Names hosts, so it is for the operator only.
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

impl FleetState {
    fn of(app: &App, to_operator: bool) -> Option<Self> {
        let node = app.fleet.as_ref()?;
        let (halted, away) = (app.store.log_fault(), node.away());
        let state = match (&halted, node.staleness.now(), &away) {
            (Some(_), ..) => "halted",
            (None, Some(_), _) => "stale",
            (None, None, Some(_)) => "away",
            (None, None, None) => "fresh",
        };
        let fault = halted.or(away).map(|why| {
            if to_operator { why } else { "see the log, or run `kwic-team doctor`".to_owned() }
        });
        let lag_seconds = node.staleness.age().as_secs();
        Some(Self { state, applied: node.applied(), head: node.head(), lag_seconds, fault })
    }
}

/// Why a stale node that denies every decision is not ready; `None` where it is, or does not.
fn stale(app: &App, to_operator: bool) -> Option<Failure> {
    let stale = app.stale().filter(|stale| stale.denies)?;
    let since = plural(stale.seconds, "second", "seconds");
    let state = FleetState::of(app, to_operator)?;
    let cause = state.fault.map_or(String::new(), |why| format!(": {why}"));
    // A node that cannot write its own file is stale, too, whatever the log does.
    let is_reached = app.fleet.as_ref().is_some_and(|node| node.away().is_none());
    if let (Some(why), "stale", true) = (app.store.fault(), state.state, is_reached) {
        let cause =
            if to_operator { why } else { "see the log, or run `kwic-team doctor`".to_owned() };
        let next = if app.store.is_broken() {
            ""
        } else {
            "; decisions go on as soon as it can be written"
        };
        return Some(Failure::new(
            Kind::Busy,
            Reason::Stale.as_str(),
            format!(
                "this node could not write its store for {since}, and denies every decision: {cause}{next}"
            ),
        ));
    }
    let next = if state.state == "halted" {
        "; stop this node, run `kwic-team fleet join`, then start it again"
    } else {
        "; decisions go on as soon as the log is reached again"
    };
    Some(Failure::new(
        Kind::Busy,
        Reason::Stale.as_str(),
        format!(
            "this node has not heard from the log that the nodes share for {since}, and denies every decision{cause}{next}"
        ),
    ))
}

/// The same for a state in which nothing can be changed, or decisions may be stale.
#[derive(Serialize)]
struct NotReady<'r> {
    status: &'r str,
    code: &'r str,
    detail: &'r str,
}

fn not_ready(failure: &Failure) -> Reply {
    let body = NotReady { status: failure.code, code: failure.code, detail: &failure.public };
    Reply::json_of(&body).status(status(failure.kind))
}

/// The process is alive.
#[must_use]
pub fn livez() -> Reply {
    Reply::text("text/plain; charset=utf-8", "ok\n")
}

/// Whether the sidecar decides, and by which policies; 503 while decisions may miss changes of the
/// store, and while a restart would find another store. A sidecar listens only once it has members
/// and policies.
///
/// Only the operator of the sidecar sees the whole fault; others see its place and no policy text.
/// No path of this machine is shown.
pub async fn readyz(app: &App, to_operator: bool) -> Reply {
    if app.store.is_unsettled() {
        return not_ready(&Failure::new(
            Kind::Busy,
            "not_followed",
            "the store failed during a change, and decisions do not know yet whether the change was saved: free space on its disk",
        ));
    }
    let in_place = app.store.is_in_place().await;
    if let Err(replaced) = &in_place
        && replaced.code == store::REPLACED
    {
        return not_ready(replaced);
    }
    if let Some(failure) = stale(app, to_operator) {
        return not_ready(&failure);
    }
    let store_fault =
        app.store.fault().or_else(|| in_place.err().map(|fault| fault.private.unwrap_or_default()));
    let unkept = app.policies_unkept.load(Ordering::Relaxed);
    let status = app.policy_status.load();
    let policies = app.policies.load();
    Reply::json_of(&Ready {
        status: "ready",
        policies: status.word(),
        digest: policies.digest_hex(),
        policies_pending: status.pending.map(|digest| digest.hex()),
        policies_pinned: status.pinned,
        keys_fault: app.caller_keys_fault.load().as_ref().map(
            |_| "`decision.keys_file` was refused, and the previous keys stay valid: see the log",
        ),
        fault: if to_operator { status.fault.clone() } else { status.short_fault() },
        shadow_fault: shadow_fault(app, to_operator),
        secrets_without_key: Some(secrets_without_key(app)).filter(|count| *count > 0),
        reload_running_seconds: Some(running(app)).filter(|seconds| *seconds >= LONG_SECONDS),
        revision: app.directory.revision().0,
        members: app.directory.len(),
        store: if store_fault.is_some() { "failing" } else { "ok" },
        store_fault,
        store_needs_restart: app.store.is_broken().then_some(true),
        mail: if app.mailer.sends() { app.telemetry.mail.word() } else { "off" },
        policies_unkept: unkept.then_some(
            "the live policies are not saved yet: a restart would begin with the previous ones",
        ),
        data_fault: app.spooling.fault(),
        tasks_fault: tasks_fault(app),
        sockets_fault: sockets_fault(app),
        fleet: FleetState::of(app, to_operator),
    })
}

/// Only the operator of the sidecar sees the text of policies.
fn shadow_fault(app: &App, to_operator: bool) -> Option<String> {
    let fault = app.shadow.candidate().fault.clone()?;
    Some(if to_operator {
        fault
    } else {
        "the shadow policies cannot be loaded, and are not asked; see the log, or run `kwic-team doctor`"
            .to_owned()
    })
}

fn tasks_fault(app: &App) -> Option<String> {
    let names: Vec<String> = app.tasks.panicked().iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| {
        format!(
            "a bug has ended the background task {}: see the log, then restart the sidecar",
            names.join(" and ")
        )
    })
}

fn sockets_fault(app: &App) -> Option<String> {
    let faults = app.sockets_at_fault();
    (!faults.is_empty()).then(|| faults.join("; "))
}

pub(super) fn secrets_without_key(app: &App) -> usize {
    app.secrets_without_key.load(Ordering::Relaxed)
}

/// A reload of a large folder takes some seconds.
const LONG_SECONDS: i64 = 5;

pub(super) fn running(app: &App) -> i64 {
    app.telemetry.reload_running(app.clock.now())
}

/// The results of the checks of what a restart would find, for the operator of the sidecar.
///
/// # Errors
/// As [`store_and_key_checks::running`].
pub async fn checked(app: &App, permit: &StorePermit) -> Result<Reply, Failure> {
    #[derive(Serialize)]
    struct Shown {
        store_fault: Option<String>,
        keys_missing: Vec<String>,
        secrets_without_key: usize,
        empty_accounts: Vec<String>,
        /// How many invites, links, sessions and API tokens a clock that was ahead has made.
        made_ahead: u64,
        /// Erased data may still be in the store's file.
        erased_left: bool,
        /// Why the last start could not rewrite the file.
        erased_fault: Option<String>,
    }
    let checked = store_and_key_checks::running(app, permit).await?;
    let store_and_key_checks::IntegrityReport {
        store,
        keys_missing,
        secrets_without_key,
        empty_accounts,
        ..
    } = checked;
    Ok(Reply::json_of(&Shown {
        store_fault: store.map(|fault| fault.for_operator().public),
        keys_missing,
        secrets_without_key,
        empty_accounts,
        made_ahead: checked.made_ahead,
        erased_left: checked.erased_left.is_some(),
        erased_fault: match checked.erased_left {
            Some(ErasedLeft::Failed(cause)) => Some(cause),
            _ => None,
        },
    }))
}
