//! The status of mail, and the result of a test mail.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain::{DeliveryState, MailStop, Timestamp, plural};
use crate::mail::{Mailer, SmtpStepResult, TestReport};
use crate::store::types::mail_queue::{MailFlow, MailStatus};

#[derive(Debug, Serialize)]
pub(in crate::admin) struct MailReport {
    kind: &'static str,
    sends: bool,
    stopped: Option<Stopped>,
    queued: u64,
    deferred: u64,
    handed_over: u64,
    bounced: u64,
    failed: u64,
    /// `ok`, `slow`, `stuck`, `stopped` or `off`.
    state: &'static str,
    /// The letter of the account that has waited longest.
    oldest: Option<Oldest>,
    /// When a letter of the account was last accepted by the mail server.
    last_success: Option<String>,
    /// A message for the operator.
    banner: Option<String>,
}

#[derive(Debug, Serialize)]
struct Stopped {
    cause: String,
    since: String,
}

#[derive(Debug, Serialize)]
struct Oldest {
    since: String,
    seconds: u64,
    detail: String,
}

impl MailReport {
    pub(in crate::admin) fn of(mailer: &Mailer, status: MailStatus, now: Timestamp) -> Self {
        let count = |states: &[DeliveryState]| status.count(states);
        let flow = status.flow(now);
        Self {
            kind: mailer.kind(),
            sends: mailer.sends(),
            state: match (mailer.sends(), &status.stopped, flow) {
                (false, ..) => "off",
                (_, Some(_), _) => "stopped",
                (.., MailFlow::Well) => "ok",
                (.., MailFlow::Slow) => "slow",
                (.., MailFlow::Stuck) => "stuck",
            },
            banner: banner(mailer, status.stopped.as_ref()).or_else(|| delayed(&status, flow)),
            last_success: status.taken.map(rfc3339),
            queued: count(&[DeliveryState::Queued, DeliveryState::Sending]),
            deferred: count(&[DeliveryState::Deferred]),
            handed_over: count(&[DeliveryState::HandedOver, DeliveryState::Delivered]),
            bounced: count(&[DeliveryState::Bounced]),
            failed: count(&[DeliveryState::Failed]),
            oldest: status.oldest.map(|oldest| Oldest {
                since: rfc3339(oldest.since),
                seconds: u64::try_from(now.0.saturating_sub(oldest.since.0)).unwrap_or(0) / 1_000,
                detail: oldest.detail,
            }),
            stopped: status
                .stopped
                .map(|stop| Stopped { cause: stop.cause, since: rfc3339(stop.since) }),
        }
    }
}

fn banner(mailer: &Mailer, stopped: Option<&MailStop>) -> Option<String> {
    match stopped {
        _ if !mailer.sends() => Some(
            "no mail is sent: pass links on yourself, or set `mail.kind` and restart the sidecar"
                .to_owned(),
        ),
        Some(stop) => Some(format!(
            "no mail goes out: {}; fix it, then run `kwic-team mail resume`",
            stop.cause
        )),
        None => None,
    }
}

/// That mail has waited longer than usual, and why.
fn delayed(status: &MailStatus, flow: MailFlow) -> Option<String> {
    let oldest = status.oldest.as_ref().filter(|_| flow != MailFlow::Well)?;
    let waiting = [DeliveryState::Queued, DeliveryState::Sending, DeliveryState::Deferred];
    let why = match oldest.detail.as_str() {
        "" => "it was not tried yet".to_owned(),
        detail => format!("its last try: {detail}"),
    };
    let last = match status.taken {
        None => "no mail has gone out yet".to_owned(),
        Some(taken) => format!("the last mail went out {}", rfc3339(taken)),
    };
    let messages = plural(status.count(&waiting), "message waits,", "messages wait, the oldest");
    Some(format!(
        "{messages} since {}; {why}; {last}; `kwic-team mail test ADDRESS` names the step that fails",
        rfc3339(oldest.since)
    ))
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
        let step = |walked: SmtpStepResult| MailStep {
            step: walked.step.as_str(),
            ok: walked.passed,
            detail: walked.detail,
        };
        Self { ok: report.passed(), steps: report.steps.into_iter().map(step).collect() }
    }
}
