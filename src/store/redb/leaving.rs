//! Retention: what is deleted when, so that expired records do not accumulate.
//!
//! Each record is entered here once, when it is created. If it is not over yet when its time comes,
//! it is entered again with a later time. Audit entries are never deleted here.

use redb::ReadableTable;

use super::transition::Transition;
use super::{Fault, LEAVING, api_tokens, invites, letters, links, rates};
use crate::domain::{Timestamp, limits};

/// Milliseconds for which ended records are kept.
pub(super) const OVER_MS: i64 = limits::OVER_DAYS * 24 * 60 * 60 * 1_000;

/// The kinds of records that are deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Invite = b'i',
    Call = b'c',
    Rate = b'r',
    Link = b'k',
    Letter = b'l',
    ApiToken = b't',
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Invite, Self::Call, Self::Rate, Self::Link, Self::Letter, Self::ApiToken];
}

/// A timestamp after a duration.
pub(super) fn after(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp(at.0.saturating_add(ms))
}

/// Schedules a deletion.
pub(super) fn note(
    change: &Transition<'_>,
    at: Timestamp,
    kind: Kind,
    key: &str,
) -> Result<(), Fault> {
    change.tx.open_table(LEAVING)?.insert((at.0, kind as u8, key), ())?;
    Ok(())
}

/// Runs some due deletions; returns whether there were any.
pub(super) fn forget_some(change: &mut Transition<'_>) -> Result<bool, Fault> {
    let due = due(change)?;
    for (at, kind, key) in &due {
        change.tx.open_table(LEAVING)?.remove((*at, *kind, key.as_str()))?;
        let Some(kind) = Kind::ALL.into_iter().find(|known| *known as u8 == *kind) else {
            continue;
        };
        let not_yet = match kind {
            Kind::Invite => invites::forget(change, key)?,
            Kind::Call => invites::forget_call(change, key)?,
            Kind::Rate => rates::forget(change, key)?,
            Kind::Link => links::forget(change, key)?,
            Kind::Letter => letters::forget(change, key)?,
            Kind::ApiToken => api_tokens::forget(change, key)?,
        };
        if let Some(later) = not_yet {
            note(change, later, kind, key)?;
        }
    }
    Ok(!due.is_empty())
}

type Due = Vec<(i64, u8, String)>;

fn due(change: &Transition<'_>) -> Result<Due, Fault> {
    let leaving = change.tx.open_table(LEAVING)?;
    let until = (change.now.0, u8::MAX, "");
    let mut due = Due::new();
    for row in leaving.range(..until)?.take(limits::FORGOTTEN_AT_ONCE_MAX) {
        let (key, _) = row?;
        let (at, kind, key) = key.value();
        due.push((at, kind, key.to_owned()));
    }
    Ok(due)
}
