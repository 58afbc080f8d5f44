//! Two-step verification. A secret and recovery codes are present only in the response that creates
//! them.

use serde::Serialize;

use super::{Passkey, SignedIn};
use crate::app::App;
use crate::clock::rfc3339;
use crate::domain::Revision;
use crate::domain::two_step::RecoveryCode;
use crate::services::{sign_in_ticket, two_step};
use crate::store::Committed;
use crate::totp;

/// A sign-in that waits for its second factor. Never printed.
#[derive(Serialize)]
pub(in crate::admin) struct PendingSignIn {
    state: &'static str,
    ticket: String,
    expires: String,
    passkeys: bool,
}

impl PendingSignIn {
    pub(in crate::admin) fn new(
        state: &'static str,
        waiting: sign_in_ticket::PendingSignIn,
    ) -> Self {
        let sign_in_ticket::PendingSignIn { ticket, expires, passkeys } = waiting;
        Self { state, ticket, expires: rfc3339(expires), passkeys }
    }
}

document! {
    /// The state of the caller's own second factor.
    pub(in crate::admin) struct TwoStepStatus from(standing: two_step::TwoStepStatus) {
        on: bool = standing.since.is_some(),
        since: Option<String> = standing.since.map(rfc3339),
        recovery_codes_left: usize = standing.recovery_left,
        passkeys: Vec<Passkey> = standing.passkeys.into_iter().map(Passkey::from).collect(),
        enforced: bool = standing.enforced,
    }
}

/// The enrolment of an authenticator app. Never printed.
#[derive(Serialize)]
pub(in crate::admin) struct Enrolment {
    secret: String,
    url: String,
    qr: String,
}

impl From<totp::Enrolment> for Enrolment {
    fn from(enrolment: totp::Enrolment) -> Self {
        let totp::Enrolment { secret, url, qr } = enrolment;
        Self { secret, url, qr }
    }
}

/// New recovery codes. Never printed.
#[derive(Serialize)]
pub(in crate::admin) struct RecoveryCodes {
    recovery_codes: Vec<String>,
    sessions_ended: u64,
    revision: u64,
}

impl RecoveryCodes {
    pub(in crate::admin) fn new(
        codes: &[RecoveryCode],
        sessions_ended: u64,
        Revision(revision): Revision,
    ) -> Self {
        Self { recovery_codes: exposed(codes), sessions_ended, revision }
    }

    pub(in crate::admin) fn of_set_up(done: &Committed<two_step::EnabledFactor>) -> Self {
        Self::new(&done.value.recovery, done.value.ended, done.revision)
    }
}

/// The result of setting up a second factor during a sign-in. Never printed.
#[derive(Serialize)]
pub(in crate::admin) struct TwoStepSignedIn {
    #[serde(flatten)]
    signed_in: SignedIn,
    recovery_codes: Vec<String>,
}

impl TwoStepSignedIn {
    pub(in crate::admin) fn of(app: &App, set_up: two_step::EnabledFactor) -> Self {
        let two_step::EnabledFactor { entered, recovery, .. } = set_up;
        let signed_in = SignedIn::of(app, &entered.session, entered.member);
        Self { signed_in, recovery_codes: exposed(&recovery) }
    }
}

fn exposed(codes: &[RecoveryCode]) -> Vec<String> {
    codes.iter().map(RecoveryCode::expose).collect()
}
