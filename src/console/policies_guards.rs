//! The guards of the live set on the policies page: what each states, and whether it is proved.
//!
//! Shows what the check has found; nothing is proved for a page.

use super::texts::{self as w, Badge};
use crate::domain::GuardOutcomes;
use crate::engine::Snapshot;

/// One guard.
pub(super) struct GuardRow {
    /// What it states, or its id.
    pub(super) title: String,
    pub(super) state: Badge,
    /// How it was proved, or why it is not.
    pub(super) told: String,
}

pub(super) fn rows(live: &Snapshot) -> Vec<GuardRow> {
    let known = live.guard_outcomes();
    let row = |(id, summary): (&str, &str)| {
        let title = if summary.trim().is_empty() { id } else { summary };
        let (state, told) = state(known, id);
        GuardRow { title: title.to_owned(), state, told }
    };
    live.guards().map(row).collect()
}

fn state(known: Option<&GuardOutcomes>, id: &str) -> (Badge, String) {
    let found = known.and_then(|all| Some((all, all.guards.iter().find(|it| it.id == id)?)));
    match found {
        Some((all, guard)) => (w::guard_state(guard.state), w::guard_told(all, guard)),
        None => (w::GUARD_UNPROVED, w::LOADED_UNPROVED.to_owned()),
    }
}
