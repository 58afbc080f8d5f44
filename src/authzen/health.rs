//! `/livez`, `/readyz` and `/metrics`: for whoever keeps the sidecar running.
//!
//! Tells counts, revisions and the policies' fault; never a member.

use serde::Serialize;

use crate::app::App;
use crate::domain::{Failure, Kind};
use crate::http::{Reply, Server};
use crate::telemetry::{self, Gauges};

#[derive(Serialize)]
struct Ready<'r> {
    status: &'static str,
    policies: &'static str,
    digest: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    /// Without its cause, which names a path: nobody needs a key to ask for this.
    #[serde(skip_serializing_if = "Option::is_none")]
    keys_fault: Option<&'static str>,
    /// How long a reload has been running, once that is long.
    #[serde(skip_serializing_if = "Option::is_none")]
    reload_running_seconds: Option<i64>,
    revision: u64,
    members: usize,
}

/// The process answers.
#[must_use]
pub fn livez() -> Reply {
    Reply::text("text/plain; charset=utf-8", "ok\n")
}

/// The sidecar decides, and by which policies; 503 while decisions may not know what is in the
/// store. A sidecar listens only once it has members and policies.
///
/// Whoever is not the sidecar's operator hears of a fault where it is and nothing that policies say.
#[must_use]
pub fn readyz(app: &App, to_operator: bool) -> Reply {
    let status = app.policy_status.load();
    let policies = app.policies.load();
    if app.store.is_unsettled() {
        return Reply::message(&Failure::new(
            Kind::Busy,
            "not_followed",
            "the store broke off in a change, and decisions do not know yet whether it was made: free space on its disk",
        ));
    }
    Reply::json_of(&Ready {
        status: "ready",
        policies: if status.last_good { "last_good" } else { "live" },
        digest: policies.digest_hex(),
        keys_fault: app.caller_keys_fault.load().as_ref().map(
            |_| "`decision.keys_file` was refused, and the keys before go on counting: see the log",
        ),
        fault: if to_operator { status.fault.clone() } else { status.short_fault() },
        reload_running_seconds: Some(running(app)).filter(|seconds| *seconds >= LONG_SECONDS),
        revision: app.directory.revision().0,
        members: app.directory.len(),
    })
}

/// A reload of a large folder takes some seconds.
const LONG_SECONDS: i64 = 5;

fn running(app: &App) -> i64 {
    app.telemetry.reload_running(app.clock.now())
}

/// Everything that is counted.
#[must_use]
pub fn metrics(app: &App, server: &Server) -> Reply {
    let policies = app.policies.load();
    let checks = app.cross_check.outcomes();
    let mut text = app.telemetry.render(&Gauges {
        members: app.directory.len(),
        revision: app.directory.revision().0,
        policies: policies.policy_count(),
        remembered: policies.remembered(),
        digest: policies.digest_hex(),
        last_good: app.policy_status.load().last_good,
        cross_checks: [checks.agreed, checks.differed, checks.left_out],
        distrusted: app.cross_check.distrusts(),
        connections: server.connections(),
        panics: server.panics(),
        reload_running: running(app),
    });
    text.push_str(&app.telemetry.mail.render(app.clock.now()));
    text.push_str(&telemetry::keys_refused(app.caller_keys_fault.load().is_some()));
    Reply::text("text/plain; version=0.0.4; charset=utf-8", text)
}
