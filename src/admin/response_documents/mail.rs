//! The status of mail, and the result of a test mail.

use serde::Serialize;

use crate::clock::rfc3339;
use crate::domain::{DeliveryState, MailStop, Timestamp, plural};
use crate::mail::{Mailer, SmtpStepResult, TestReport};
use crate::store::requests_and_views::mail_queue::{MailFlow, MailStatus, WaitingMail};

document! {
    pub(in crate::admin) struct MailReport of(mailer: &Mailer, status: MailStatus, now: Timestamp) {
        kind: &'static str = mailer.kind(),
        sends: bool = mailer.sends(),
        stopped: Option<Stopped> = status.stopped.clone().map(Stopped::from),
        queued: u64 = status.count(&[DeliveryState::Queued, DeliveryState::Sending]),
        deferred: u64 = status.count(&[DeliveryState::Deferred]),
        handed_over: u64 = status.count(&[DeliveryState::HandedOver, DeliveryState::Delivered]),
        bounced: u64 = status.count(&[DeliveryState::Bounced]),
        failed: u64 = status.count(&[DeliveryState::Failed]),
        /// `ok`, `slow`, `stuck`, `stopped` or `off`.
        state: &'static str = match (mailer.sends(), &status.stopped, status.flow(now)) {
            (false, ..) => "off",
            (_, Some(_), _) => "stopped",
            (.., MailFlow::Well) => "ok",
            (.., MailFlow::Slow) => "slow",
            (.., MailFlow::Stuck) => "stuck",
        },
        /// The letter of the account that has waited longest.
        oldest: Option<Oldest> = status.oldest.clone().map(|oldest| Oldest::of(oldest, now)),
        /// When a letter of the account was last accepted by the mail server.
        last_success: Option<String> = status.taken.map(rfc3339),
        /// A message for the operator.
        banner: Option<String> =
            banner(mailer, status.stopped.as_ref()).or_else(|| delayed(&status, status.flow(now))),
    }
}

document! {
    struct Stopped from(stop: MailStop) {
        cause: String = stop.cause,
        since: String = rfc3339(stop.since),
    }
}

document! {
    struct Oldest of(oldest: WaitingMail, now: Timestamp) {
        since: String = rfc3339(oldest.since),
        seconds: u64 = u64::try_from(now.0.saturating_sub(oldest.since.0)).unwrap_or(0) / 1_000,
        detail: String = oldest.detail,
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

document! {
    pub(in crate::admin) struct MailTest from(report: TestReport) {
        ok: bool = report.passed(),
        steps: Vec<MailStep> = report.steps.into_iter().map(MailStep::from).collect(),
    }
}

document! {
    struct MailStep from(walked: SmtpStepResult) {
        step: &'static str = walked.step.as_str(),
        ok: bool = walked.passed,
        detail: String = walked.detail,
    }
}
