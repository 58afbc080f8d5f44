//! The schedule of expiry: when which row may be deleted, so that expired rows do not accumulate.
//!
//! Each row is entered here once, when it is created.

use super::StoreError;
use super::row_reads::TableRead;
use super::running_change::ChangeTransaction;
use super::tables::EXPIRY;
use crate::domain::{Timestamp, limits};

/// Milliseconds for which ended records are kept.
pub(super) const OVER_MS: i64 = limits::OVER_DAYS * 24 * 60 * 60 * 1_000;

/// The kinds of records that are deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ExpiringKind {
    Invite = b'i',
    Call = b'c',
    Rate = b'r',
    Link = b'k',
    Letter = b'l',
    ApiToken = b't',
}

impl ExpiringKind {
    const ALL: [Self; 6] =
        [Self::Invite, Self::Call, Self::Rate, Self::Link, Self::Letter, Self::ApiToken];
}

/// A moment so long after another one.
pub(super) fn time_after(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp(at.0.saturating_add(ms))
}

/// Schedules a deletion.
pub(super) fn schedule(
    change: &ChangeTransaction<'_>,
    at: Timestamp,
    kind: ExpiringKind,
    key: &str,
) -> Result<(), StoreError> {
    change.tx.open_table(EXPIRY)?.insert((at.0, kind as u8, key), ())?;
    Ok(())
}

/// Takes some of what is due off the schedule: the kind of each, where it is a known one, and its
/// key.
pub(super) fn take_due(
    change: &ChangeTransaction<'_>,
) -> Result<Vec<(Option<ExpiringKind>, String)>, StoreError> {
    let mut expiry = change.tx.open_table(EXPIRY)?;
    let until = (change.now.0, u8::MAX, "");
    let mut due = Vec::new();
    for row in expiry.range(..until)?.take(limits::FORGOTTEN_AT_ONCE_MAX) {
        let (key, _) = row?;
        let (at, kind, key) = key.value();
        due.push((at, kind, key.to_owned()));
    }
    for (at, kind, key) in &due {
        expiry.remove((*at, *kind, key.as_str()))?;
    }
    let known = |byte: u8| ExpiringKind::ALL.into_iter().find(|known| *known as u8 == byte);
    Ok(due.into_iter().map(|(_, kind, key)| (known(kind), key)).collect())
}
