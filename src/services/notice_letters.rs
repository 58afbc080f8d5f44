//! Notices to a member of what was done to the own record: the letter that a transition queues with
//! its change, and how many letters an address may be sent.
//!
//! Sends nothing: `mail_delivery` sends what is queued. An invite's letter is made in `links`.

use super::links::new_letter;
use crate::app::App;
use crate::domain::{AccountSlug, Email, Failure, limits};
use crate::store::requests_and_views::mail_queue::NewMail;
use crate::throttle::Quota;

/// A notification; `None` if no mail is sent.
pub(super) fn new_notice(app: &App, what: &str) -> Result<Option<NewMail>, Failure> {
    if !app.mailer.sends() {
        return Ok(None);
    }
    new_letter(app, what, app.clock.later(limits::NOTICE_LIFETIME)).map(Some)
}

/// Limits the mail that members of an account can cause to an address. Each account and each kind
/// of mail has its own limit.
///
/// # Errors
/// `TooMany` `too_many_requests`.
pub(super) fn may_write_to(
    app: &App,
    account: &AccountSlug,
    what: &str,
    to: &Email,
) -> Result<(), Failure> {
    let of =
        [b"mail to".as_slice(), account.as_str().as_bytes(), what.as_bytes(), to.key().as_bytes()];
    let quotas = limits::RESETS_BY_ADDRESS.map(|(most, per)| Quota { of: &of, most, per });
    app.quotas.take(&quotas, app.clock.now())
}
