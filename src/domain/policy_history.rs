//! The history of the policies: each set that went live, was held or was refused, and how it is named.
//!
//! Values only: the store keeps them, the services fill them in.

use super::digest::Digest;
use super::guard_outcomes::GuardOutcomes;
use super::limits;
use super::revision_and_timestamp::{Revision, Timestamp};
use super::text_truncation::cut;
use super::worded_enum::worded;

worded! {
    /// What brought a set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub enum PolicyCause {
        /// The start of the sidecar.
        Start = "start",
        /// The folder changed.
        Watch = "watch",
        /// The signal SIGHUP.
        Signal = "signal",
        /// A reload that failed for a reason outside the folder was tried again.
        Retry = "retry",
        /// Somebody asked for a reload.
        #[default]
        Command = "command",
        /// Somebody approved a set that was held.
        Approval = "approval",
        /// Somebody went back to a former set.
        Rollback = "rollback",
        /// Somebody pinned a former set.
        Pin = "pin",
        /// Somebody ended a pin.
        Unpin = "unpin",
        /// Somebody published it to the nodes of a fleet.
        Publish = "publish",
    }
}

impl PolicyCause {
    /// The cause as the audit log has it; `None` for a reload that somebody asked for.
    #[must_use]
    pub const fn told(self) -> Option<&'static str> {
        match self {
            Self::Start => Some("the sidecar started"),
            Self::Watch => Some("the policy folder changed"),
            Self::Signal => Some("SIGHUP"),
            Self::Retry => Some("an earlier reload failed"),
            Self::Command => None,
            Self::Approval => Some("approved"),
            Self::Rollback => Some("rolled back"),
            Self::Pin => Some("pinned"),
            Self::Unpin => Some("unpinned"),
            Self::Publish => Some("published"),
        }
    }
}

worded! {
    /// What became of a set.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum PolicyOutcome {
        /// It went live.
        Live = "live",
        /// Somebody would gain access by it, and it was held for approval.
        Pending = "pending",
        /// It did not pass the check.
        Refused = "refused",
    }
}

/// What is known about a set when it arrives. Lists hold one line for each change of access.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PolicyReport {
    /// What brought it.
    pub cause: PolicyCause,
    /// How many policies it holds; 0 for one that was refused.
    pub policies: u64,
    /// The number of the set that was pinned, if it was.
    pub pinned: Option<u64>,
    /// What somebody may now do, whatever the attributes are.
    pub gains: Vec<String>,
    /// What somebody may no longer do, whatever the attributes are.
    pub loses: Vec<String>,
    /// Possible gains.
    pub may_gain: Vec<String>,
    /// Possible losses.
    pub may_lose: Vec<String>,
    /// Why it was refused.
    pub fault: Option<String>,
    /// What the check has found about the guards; `None` if they were not reached, or an earlier
    /// version has written the entry.
    pub guards: Option<GuardOutcomes>,
}

impl PolicyReport {
    /// The same within the limits of an entry; a list that is cut says how many lines are left out.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let lists = [&mut self.gains, &mut self.loses, &mut self.may_gain, &mut self.may_lose];
        for list in lists {
            let more = list.len().saturating_sub(limits::POLICY_ENTRY_LINES_MAX);
            list.truncate(limits::POLICY_ENTRY_LINES_MAX);
            list.iter_mut().for_each(|line| cut(line, limits::POLICY_ENTRY_LINE_CHARS_MAX));
            if more > 0 {
                list.push(format!("{more} more"));
            }
        }
        if let Some(fault) = &mut self.fault {
            cut(fault, limits::POLICY_FAULT_CHARS_MAX);
        }
        self.guards = self.guards.map(GuardOutcomes::bounded);
        self
    }

    /// Whether both say the same about a set, whatever brought it and whatever was proved: a solver may
    /// find less on a busy machine.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        Self { cause: other.cause, guards: other.guards.clone(), ..self.clone() } == *other
    }
}

/// One set in the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyEntry {
    /// From 1, in the order of arrival.
    pub number: u64,
    /// The digest of the folder.
    pub digest: Digest,
    /// The revision with it.
    pub revision: Revision,
    /// When it arrived.
    pub at: Timestamp,
    /// Who brought it, as [`super::Actor::label`] writes it.
    pub actor: String,
    /// What became of it.
    pub outcome: PolicyOutcome,
    /// The size of its files.
    pub bytes: u64,
    /// What it changed.
    pub report: PolicyReport,
}

/// The fewest digits of a digest that name a set.
const DIGEST_DIGITS_MIN: usize = 12;

/// How a set of the history is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySetName {
    /// `live`: the set that answers.
    Live,
    /// `pending`: the set that waits for approval.
    Pending,
    /// By its number in the history.
    Number(u64),
    /// By the first digits of its digest: the latest one.
    Digest(String),
}

impl PolicySetName {
    /// `live`, `pending`, a number, or 12 to 64 hexadecimal digits of a digest; `None` for anything
    /// else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let length = text.len();
        match text {
            "live" => Some(Self::Live),
            "pending" => Some(Self::Pending),
            _ if length < DIGEST_DIGITS_MIN => {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().ok().map(Self::Number)).flatten()
            }
            _ => {
                let hex = length <= 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
                hex.then(|| Self::Digest(text.to_ascii_lowercase()))
            }
        }
    }

    /// Whether a digest begins as this name does.
    #[must_use]
    pub fn is_digest(&self, digest: &Digest) -> bool {
        matches!(self, Self::Digest(digits) if digest.hex().starts_with(digits.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{GuardOutcome, GuardState};

    #[test]
    fn a_set_is_named_by_word_number_or_digest() {
        let digest = Digest::of(&[b"set"]);
        let hex = digest.hex();
        for (text, name) in [
            ("live", Some(PolicySetName::Live)),
            ("pending", Some(PolicySetName::Pending)),
            ("12", Some(PolicySetName::Number(12))),
            ("99999999999", Some(PolicySetName::Number(99_999_999_999))),
            (hex.as_str(), Some(PolicySetName::Digest(hex.clone()))),
            ("123456789012", Some(PolicySetName::Digest("123456789012".to_owned()))),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("abcdef", None),
            ("policies", None),
            ("./12", None),
        ] {
            assert_eq!(PolicySetName::parse(text), name, "{text}");
        }
        let start: String = hex.chars().take(12).collect();
        let upper = PolicySetName::parse(&start.to_uppercase()).unwrap();
        assert!(upper.is_digest(&digest));
        assert!(!upper.is_digest(&Digest::of(&[b"other"])));
        assert!(!PolicySetName::Live.is_digest(&digest));
    }

    #[test]
    fn a_report_is_cut_and_says_so() {
        let line = "x".repeat(limits::POLICY_ENTRY_LINE_CHARS_MAX + 1);
        let gains = vec![line.clone(); limits::POLICY_ENTRY_LINES_MAX + 3];
        let fault = Some("é".repeat(limits::POLICY_FAULT_CHARS_MAX + 1));
        let guard = GuardOutcome { id: "é".repeat(600), state: GuardState::Checked, why: line };
        let guards = GuardOutcomes {
            guards: vec![guard; limits::GUARDS_MAX + 1],
            ..GuardOutcomes::default()
        };
        let guards = Some(guards);
        let report = PolicyReport { gains, fault, guards, ..PolicyReport::default() }.bounded();
        assert_eq!(report.gains.len(), limits::POLICY_ENTRY_LINES_MAX + 1);
        assert!(report.gains[0].ends_with("x…"));
        assert_eq!(report.gains.last().unwrap(), "3 more");
        let chars = report.fault.unwrap().chars().count();
        assert_eq!(chars, limits::POLICY_FAULT_CHARS_MAX + 1);
        let guards = report.guards.unwrap().guards;
        assert_eq!(guards.len(), limits::GUARDS_MAX);
        assert_eq!(guards[0].id.chars().count(), limits::POLICY_ENTRY_LINE_CHARS_MAX + 1);
        assert!(guards[0].why.ends_with("x…"));
    }
}
