//! Deletes expired rows.
//!
//! A row that has not expired yet when its time comes gets a later time. Audit entries are never
//! deleted here.

use super::expiry_schedule::{self, ExpiringKind};
use super::running_change::ChangeTransaction;
use super::{
    StoreError, api_token_rows, idempotency, invite_rows, letter_rows, link_rows, rate_limits,
};

/// Deletes some of what is due; answers whether anything was.
pub(super) fn some(change: &mut ChangeTransaction<'_>) -> Result<bool, StoreError> {
    let due = expiry_schedule::take_due(change)?;
    for (kind, key) in &due {
        let Some(kind) = *kind else { continue };
        let not_yet = match kind {
            ExpiringKind::Invite => invite_rows::forget(change, key)?,
            ExpiringKind::Call => idempotency::forget(change, key)?,
            ExpiringKind::Rate => rate_limits::forget(change, key)?,
            ExpiringKind::Link => link_rows::forget(change, key)?,
            ExpiringKind::Letter => letter_rows::forget(change, key)?,
            ExpiringKind::ApiToken => api_token_rows::forget(change, key)?,
        };
        if let Some(later) = not_yet {
            expiry_schedule::schedule(change, later, kind, key)?;
        }
    }
    Ok(!due.is_empty())
}
