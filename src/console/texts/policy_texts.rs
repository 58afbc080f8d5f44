//! The words of the history of the policies, of going back to a former set, of comparing two, and of
//! the shadow policies.

use super::{Badge, RELOAD, badge};
use crate::domain::{GuardOutcome, GuardOutcomes, GuardState, PolicyCause, plural};
use crate::engine::{AccessChange, ChangedCell, Place};
use crate::policy_folder::FileChange;

words! {
    HISTORY: "History"
    HISTORY_NONE: "There are no earlier policies yet."
    FIRST_SET: "The first policies."
    NO_CHANGES: "Nobody gained or lost access."
    BY_ITSELF: "Automatic reload"
    LIVE: "Live"
    ROLLBACK_WHY: "The policy folder gets the files of this set. What is in it now is kept next to it."
    PIN_WHY: "This set goes live, and the policy folder stays as it is. It is ignored until you end the pin."
    ROLLBACK_ALL_WHY: "This set goes live on all nodes."
    PIN_ALL_WHY: "This set goes live on all nodes, and no other can be published until you end the pin."
    SET_OF: "Set of"
    WOULD_CHANGE: "What would change"
    PIN_INSTEAD: "Pin it instead"
    CANNOT_GO_BACK: "You cannot go back to this set"
    NOT_PASSED: "It did not pass the check, and nothing was changed."
    IS_LIVE_ALREADY: "This set is live already."
    COMPARE_SETS: "Compare policies"
    OLD_SET: "From"
    NEW_SET: "To"
    CHOOSE_A_SET: "Choose a set"
    COMPARE: "Compare"
    WAITING_SET: "Policies that wait for approval"
    COMPARE_WITH_LIVE: "Compare with live"
    SEE_CHANGES: "See what would change"
    NOT_COMPARED: "One of these sets was refused, so nobody can tell who would gain or lose access by it:"
    CHANGED_CELLS: "Changed access by action and role"
    AS_BEFORE: "As before"
    CHANGED_FILES: "Changed files"
    FILES_SAME: "All files are equal."
    LINE_REMOVED: "Removed:"
    LINE_ADDED: "Added:"
    ONLY_LINE_END: "Only the end of the last line differs."
    FILE_TOO_LONG: "This file is too long to be compared here."
    SHADOW: "Shadow policies"
    SHADOW_WHY: "They are asked beside the live policies, without effect. Below is where they would answer otherwise."
    SHADOW_NONE: "None so far."
    SHADOW_FAULT: "Why the shadow policies are not asked"
    SHADOW_SAMPLE: "Asked"
    SHADOW_AGREED: "Same answer"
    SHADOW_DIFFERED: "Other answer"
    SHADOW_LEFT_OUT: "Left out"
    SHADOW_CAPTION: "Where the shadow policies answer otherwise"
    SHADOW_CHANGE: "They would"
    SHADOW_TIMES: "Times"
    SHADOW_LAST: "Last"
    GUARDS_TITLE: "What these policies must keep"
    LOADED_UNPROVED: "These policies were loaded without a proof."
    NO_MEMBER: "No member"
    FORMER_FILES_KEPT: "The former files are kept next to the policy folder."
}

sentences! {
    // The name of a set: its number in the history.
    set(number: u64): "Set {number}"
    roll_back_to(number: u64): "Roll back to set {number}"
    roll_back_ask(number: u64): "Roll back to set {number}?"
    pin_set(number: u64): "Pin set {number}"
    pin_ask(number: u64): "Pin set {number}?"
    set_of(number: u64, when: &str): "Set {number}, {when}"
    compare_with(number: u64): "Compare with set {number}"
    access_from_to(old: &str, new: &str): "Access: from {old} to {new}"
}

/// What is said of where the live policies come from.
pub(in crate::console) struct SourceTexts {
    pub(in crate::console) refused: &'static str,
    pub(in crate::console) refused_why: &'static str,
    pub(in crate::console) not_loaded: &'static str,
    pub(in crate::console) last_good: &'static str,
    pub(in crate::console) pinned: &'static str,
    pub(in crate::console) unpin: &'static str,
    pub(in crate::console) reload: &'static str,
    pub(in crate::console) reload_why: &'static str,
    pub(in crate::console) never_live: &'static str,
}

const OF_FOLDER: SourceTexts = SourceTexts {
    refused: "The policy folder was refused",
    refused_why: "The previous policies stay live. Fix this, then load the folder again.",
    not_loaded: "The folder could not be loaded because of a problem on the server",
    last_good: "Previous policies: the folder could not be loaded when KWIC Team started",
    pinned: "Pinned: the policy folder is ignored",
    unpin: "End the pin and load the folder",
    reload: RELOAD,
    reload_why: "If the folder has a fault, nothing changes and the fault is shown here.",
    never_live: "This set was never live. To use it, put its files into the policy folder.",
};

const OF_FLEET: SourceTexts = SourceTexts {
    refused: "This node refused the published policies",
    refused_why: "The previous policies stay live on this node. Publish corrected policies.",
    not_loaded: "The published policies could not be loaded because of a problem on the server",
    last_good: "Previous policies: the published ones could not be loaded when KWIC Team started",
    pinned: "Pinned: no other policies can be published",
    unpin: "End the pin",
    reload: "Load the published policies again",
    reload_why: "New policies are published by your system administrator and go live on all nodes.",
    never_live: "This set was never live. To use it, publish its files.",
};

/// What is said where the policies are published to a fleet, and where they are a folder.
pub(in crate::console) const fn source_texts(are_of_fleet: bool) -> &'static SourceTexts {
    if are_of_fleet { &OF_FLEET } else { &OF_FOLDER }
}

/// What became of a set: the one that answers, or waits, or one of another time.
pub(in crate::console) enum SetState {
    Live,
    WasLive,
    Waits,
    Waited,
    Refused,
}

impl SetState {
    pub(in crate::console) const fn badge(&self) -> Badge {
        match self {
            Self::Live => badge("ok", "●", LIVE),
            Self::WasLive => badge("", "○", "Was live"),
            Self::Waits => badge("warn", "▲", "Waits for approval"),
            Self::Waited => badge("", "–", "Waited for approval"),
            Self::Refused => badge("error", "✕", "Refused"),
        }
    }
}

/// A guard that nobody has proved.
pub(in crate::console) const GUARD_UNPROVED: Badge = badge("warn", "▲", "Not proved");

/// What is known about a guard.
pub(in crate::console) const fn guard_state(state: GuardState) -> Badge {
    match state {
        GuardState::Proved => badge("ok", "●", "Proved"),
        GuardState::Refuted => badge("error", "✕", "Broken"),
        GuardState::Checked | GuardState::Unknown => GUARD_UNPROVED,
    }
}

/// How a guard was proved, or why it is not.
pub(in crate::console) fn guard_told(all: &GuardOutcomes, guard: &GuardOutcome) -> String {
    match guard.state {
        GuardState::Proved => format!("By {}, for every request.", all.solver),
        GuardState::Refuted => "A request contradicts it.".to_owned(),
        GuardState::Checked => {
            let checked = plural(all.cases, "case", "cases");
            super::sentence(&format!("checked on {checked}, not proved: {}", guard.why))
        }
        GuardState::Unknown => super::sentence(&guard.why),
    }
}

/// Whether the shadow policies are asked.
pub(in crate::console) const fn shadow_state(loaded: bool, fault: bool) -> Badge {
    match (loaded, fault) {
        (true, _) => badge("ok", "●", "Asked"),
        (false, true) => badge("error", "✕", "Cannot be loaded"),
        (false, false) => badge("", "…", "Loading"),
    }
}

/// What the shadow policies would answer, and the live ones do not.
pub(in crate::console) const fn shadow_change(gains: bool) -> Badge {
    if gains { badge("error", "↑", "Allow it") } else { badge("ok", "↓", "Deny it") }
}

/// How many decisions are asked.
pub(in crate::console) fn one_in(every: u64) -> String {
    if every == 1 { "every decision".to_owned() } else { format!("1 decision in {every}") }
}

/// How many disagreements are of kinds that are not shown.
pub(in crate::console) fn more_disagreements(count: u64) -> String {
    format!("And {} of other kinds.", plural(count, "disagreement", "disagreements"))
}

/// What KWIC Team loaded policies for by itself.
pub(in crate::console) const fn reload_cause(cause: PolicyCause) -> &'static str {
    match cause {
        PolicyCause::Watch => "Automatic reload: the folder changed",
        PolicyCause::Signal => "Reload by your system administrator",
        PolicyCause::Start => "Start of KWIC Team",
        PolicyCause::Retry => "Automatic retry of a reload that had failed",
        _ => BY_ITSELF,
    }
}

/// How somebody brought a set, if not by loading the folder.
pub(in crate::console) const fn way(cause: PolicyCause) -> Option<&'static str> {
    match cause {
        PolicyCause::Approval => Some("approved it"),
        PolicyCause::Rollback => Some("rolled back to it"),
        PolicyCause::Pin => Some("pinned it"),
        PolicyCause::Unpin => Some("ended a pin"),
        PolicyCause::Publish => Some("published it to all nodes"),
        _ => None,
    }
}

/// How a cell of the matrix changed. A gain is what needs a second look.
pub(in crate::console) const fn changed(change: AccessChange) -> Badge {
    match change {
        AccessChange::Gains => badge("error", "↑", "Gains"),
        AccessChange::MayGain => badge("error", "↑", "May gain"),
        AccessChange::Loses => badge("ok", "↓", "Loses"),
        AccessChange::MayLose => badge("ok", "↓", "May lose"),
    }
}

/// Where the resource of a cell is, and whether the member is suspended; empty for the usual case.
pub(in crate::console) const fn situation(cell: &ChangedCell) -> &'static str {
    match (cell.place, cell.active) {
        (Place::Own, true) => "",
        (Place::Other, true) => " in another account",
        (Place::Nowhere, true) => " outside every account",
        (Place::Own, false) => " while suspended",
        (Place::Other, false) => " in another account while suspended",
        (Place::Nowhere, false) => " outside every account while suspended",
    }
}

/// Whether anybody gains or loses access.
pub(in crate::console) fn widened(wider: bool, narrower: bool) -> String {
    let gain = if wider { "Somebody gains access or may." } else { "Nobody gains access." };
    let loss = if narrower { "Somebody loses access or may." } else { "Nobody loses access." };
    format!("{gain} {loss}")
}

/// How much was compared.
pub(in crate::console) fn cases_checked(cases: usize) -> String {
    format!("Checked on {}, not proved.", plural(cases, "case", "cases"))
}

/// The policies that are responsible for a change.
pub(in crate::console) fn by_policies(policies: &[&str]) -> String {
    match policies {
        [] => String::new(),
        [one] => format!("by policy {one}"),
        several => format!("by policies {}", several.join(", ")),
    }
}

pub(in crate::console) const fn file_change(change: &FileChange) -> &'static str {
    match change {
        FileChange::Added => "Added",
        FileChange::Removed => "Removed",
        FileChange::Changed => "Changed",
    }
}

/// How many changed lines of a file are not shown.
pub(in crate::console) fn more_lines(count: usize) -> String {
    format!("And {}.", plural(count, "more changed line", "more changed lines"))
}

/// How many changed files are not shown.
pub(in crate::console) fn more_files(count: usize) -> String {
    format!("And {}.", plural(count, "more changed file", "more changed files"))
}

/// How many lines of one set are not shown.
pub(in crate::console) fn more_changes(count: usize) -> String {
    format!("And {}.", plural(count, "more change", "more changes"))
}

/// A former set is live.
pub(in crate::console) fn rolled_back(number: u64, changes: usize) -> String {
    let changes = match changes {
        0 => "Nobody gained or lost access.".to_owned(),
        1 => "1 access change is listed below.".to_owned(),
        many => format!("{many} access changes are listed below."),
    };
    format!("The policies of set {number} are live. {changes}")
}
