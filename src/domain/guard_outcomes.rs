//! What is known about the guards of a policy set: what the gate has found, as the history keeps it.
//!
//! Values only: the gate finds them, the store keeps them.

use super::limits;
use super::text_truncation::cut;
use super::worded_enum::worded;

worded! {
    /// What is known about a guard.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum GuardState {
        /// It holds for every request.
        Proved = "proved",
        /// A request contradicts it.
        Refuted = "refuted",
        /// Only the cases of the matrix were evaluated.
        Checked = "checked",
        /// It could be neither proved nor refuted.
        Unknown = "unknown",
    }
}

/// What is known about one guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardOutcome {
    /// The id of the guard.
    pub id: String,
    /// What is known.
    pub state: GuardState,
    /// Why nothing more is known; empty if it is proved or refuted.
    pub why: String,
}

/// What is known about all guards of a set.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GuardOutcomes {
    /// The solver with its version; empty if there was none, or it never answered.
    pub solver: String,
    /// How many cases of the matrix were evaluated.
    pub cases: u64,
    /// Each guard.
    pub guards: Vec<GuardOutcome>,
}

impl GuardOutcomes {
    /// The same within the limits of an entry of the history.
    #[must_use]
    pub(super) fn bounded(mut self) -> Self {
        self.guards.truncate(limits::GUARDS_MAX);
        let texts = self.guards.iter_mut().flat_map(|guard| [&mut guard.id, &mut guard.why]);
        for text in texts.chain([&mut self.solver]) {
            cut(text, limits::POLICY_ENTRY_LINE_CHARS_MAX);
        }
        self
    }
}
