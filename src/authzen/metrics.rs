//! `/metrics`: counts, revisions and faults for the operators; never a member.

use std::sync::atomic::Ordering;

use super::health::{running, secrets_without_key};
use crate::app::{App, Disagreement, DisagreementKind};
use crate::http::{Reply, Server};
use crate::telemetry::{self, Disk, FleetGauges, Gauges, ShadowGauges};

/// All metrics.
pub async fn metrics(app: &App, server: &Server) -> Reply {
    let disk = Disk {
        failures: app.store.failures(),
        waiting: app.store.changes_waiting(),
        failing: app.store.fault().is_some(),
        replaced: app.store.is_in_place().await.is_err(),
        policies_unkept: app.policies_unkept.load(Ordering::Relaxed),
        data_failures: app.spooling.failures(),
        data_failing: app.spooling.fault().is_some(),
        sockets_displaced: app.sockets_at_fault().len(),
    };
    let policies = app.policies.load();
    let status = app.policy_status.load();
    let checks = app.cross_check.outcomes();
    let mut text = app.telemetry.render(&Gauges {
        members: app.directory.len(),
        revision: app.directory.revision().0,
        policies: policies.policy_count(),
        remembered: policies.remembered(),
        digest: policies.digest_hex(),
        state: status.word(),
        pending: status.pending.is_some(),
        loads: status.fault.is_none(),
        loaded_at: status.loaded_at,
        cross_checks: [checks.agreed, checks.differed, checks.left_out],
        distrusted: app.cross_check.is_distrusted(),
        connections: server.connections(),
        panics: server.panics(),
        reload_running: running(app),
        disk,
    });
    text.push_str(&app.telemetry.mail.render(app.clock.now()));
    text.push_str(&telemetry::keys_refused(app.caller_keys_fault.load().is_some()));
    text.push_str(&telemetry::secrets_without_key(secrets_without_key(app)));
    text.push_str(&telemetry::tasks_panicked(app.tasks.panicked().len()));
    if app.config.policies.shadow.is_some() {
        text.push_str(&telemetry::shadow(&shadow(app)));
    }
    if let Some(node) = &app.fleet {
        text.push_str(&telemetry::fleet(&FleetGauges {
            applied: node.applied(),
            head: node.head(),
            lag: node.staleness.age(),
            stale: node.staleness.now().is_some(),
            halted: app.store.log_fault().is_some(),
        }));
    }
    Reply::text("text/plain; version=0.0.4; charset=utf-8", text)
}

fn shadow(app: &App) -> ShadowGauges {
    let (found, more) = app.shadow.disagreements();
    let counts = app.shadow.counts();
    let series = |(kind, seen): (DisagreementKind, Disagreement)| {
        (kind.role, kind.action, kind.gains, seen.count)
    };
    ShadowGauges {
        loaded: app.shadow.candidate().set.is_some(),
        agreed: counts.agreed,
        left_out: counts.left_out,
        disagreements: found.into_iter().map(series).collect(),
        more,
    }
}
