//! Deletes expired rows.
//!
//! A row that has not expired yet when its time comes gets a later time. Audit entries are never
//! deleted here.

use super::expiry::{self, Kind};
use super::transition::Transition;
use super::{Fault, api_token_rows, idempotency, invite_rows, letter_rows, link_rows, rates};

/// Deletes some of what is due; answers whether anything was.
pub(super) fn some(change: &mut Transition<'_>) -> Result<bool, Fault> {
    let due = expiry::take_due(change)?;
    for (kind, key) in &due {
        let Some(kind) = *kind else { continue };
        let not_yet = match kind {
            Kind::Invite => invite_rows::forget(change, key)?,
            Kind::Call => idempotency::forget(change, key)?,
            Kind::Rate => rates::forget(change, key)?,
            Kind::Link => link_rows::forget(change, key)?,
            Kind::Letter => letter_rows::forget(change, key)?,
            Kind::ApiToken => api_token_rows::forget(change, key)?,
        };
        if let Some(later) = not_yet {
            expiry::schedule(change, later, kind, key)?;
        }
    }
    Ok(!due.is_empty())
}
