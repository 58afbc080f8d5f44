//! Optimistic locking: whether a record is still at the version that the caller saw.
//!
//! Reads no row.

use crate::clock;
use crate::domain::{Failure, Kind, Version};
use crate::store::preconditions::STALE;
use crate::store::records::LastChange;

/// Refuses a change to a record that has moved on; without an expected version, none.
pub(super) fn need(
    what: &str,
    expected: Option<Version>,
    found: Version,
    LastChange { actor, at }: &LastChange,
) -> Result<(), Failure> {
    if expected.is_none_or(|expected| expected == found) {
        return Ok(());
    }
    Err(Failure::new(
        Kind::Stale,
        STALE,
        format!(
            "this {what} was changed by `{actor}` at {} and is at version {found}: read it again, then repeat your change",
            clock::rfc3339(*at)
        ),
    ))
}
