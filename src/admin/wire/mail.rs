//! How mail stands, and how a test of it went.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain::{DeliveryState, MailStop};
use crate::mail::{Mailer, TestReport, Walked};
use crate::store::letters::MailStatus;

#[derive(Debug, Serialize)]
pub(in crate::admin) struct Mail {
    kind: &'static str,
    sends: bool,
    stopped: Option<Stopped>,
    queued: u64,
    deferred: u64,
    handed_over: u64,
    bounced: u64,
    failed: u64,
    /// What whoever runs the sidecar must see.
    banner: Option<String>,
}

#[derive(Debug, Serialize)]
struct Stopped {
    cause: String,
    since: String,
}

impl Mail {
    pub(in crate::admin) fn of(mailer: &Mailer, status: MailStatus) -> Self {
        let count = |states: &[DeliveryState]| {
            let counts = status.counts.iter().filter(|(state, _)| states.contains(state));
            counts.map(|(_, count)| count).sum()
        };
        Self {
            kind: mailer.kind(),
            sends: mailer.sends(),
            banner: banner(mailer, status.stopped.as_ref()),
            queued: count(&[DeliveryState::Queued, DeliveryState::Sending]),
            deferred: count(&[DeliveryState::Deferred]),
            handed_over: count(&[DeliveryState::HandedOver, DeliveryState::Delivered]),
            bounced: count(&[DeliveryState::Bounced]),
            failed: count(&[DeliveryState::Failed]),
            stopped: status
                .stopped
                .map(|stop| Stopped { cause: stop.cause, since: rfc3339(stop.since) }),
        }
    }
}

fn banner(mailer: &Mailer, stopped: Option<&MailStop>) -> Option<String> {
    match stopped {
        _ if !mailer.sends() => Some(
            "no mail is sent: hand links over by another way, or set `mail.kind` and restart the sidecar"
                .to_owned(),
        ),
        Some(stop) => Some(format!(
            "no mail goes out: {}; mend it, then let mail go on with `kwic-team mail resume`",
            stop.cause
        )),
        None => None,
    }
}

/// The steps of a test mail.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct MailTest {
    ok: bool,
    steps: Vec<MailStep>,
}

#[derive(Debug, Serialize)]
struct MailStep {
    step: &'static str,
    ok: bool,
    detail: String,
}

impl From<TestReport> for MailTest {
    fn from(report: TestReport) -> Self {
        let step = |walked: Walked| MailStep {
            step: walked.step.as_str(),
            ok: walked.passed,
            detail: walked.detail,
        };
        Self { ok: report.passed(), steps: report.steps.into_iter().map(step).collect() }
    }
}
