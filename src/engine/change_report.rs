//! The report on two policy sets, as lines: who gains, who loses, and who may. Limited in lines and
//! bytes. Compares nothing.

use std::collections::HashSet;

/// Most lines of one kind, and most bytes of them: a name may be as long as its file.
const LINES_MAX: usize = 500;
const BYTES_MAX: usize = 64 << 10;

/// The access changes when one set follows another; by default as lines, with one for each role and
/// action.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccessChanges<T = Vec<String>> {
    /// What becomes allowed, whatever the attributes are.
    pub gains: T,
    /// What is no longer allowed, whatever the attributes are.
    pub loses: T,
    /// Possible gains, each with the policy that it depends on.
    pub may_gain: T,
    /// Possible losses, each with the policy that it depends on.
    pub may_lose: T,
}

/// The lines while they are found.
pub(super) type ReportDraft = AccessChanges<ReportLines>;

impl ReportDraft {
    pub(super) fn told(self) -> AccessChanges {
        AccessChanges {
            gains: self.gains.kept(),
            loses: self.loses.kept(),
            may_gain: self.may_gain.kept(),
            may_lose: self.may_lose.kept(),
        }
    }
}

impl AccessChanges {
    /// Nothing was compared, with the reason.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        let line = vec![format!("{why}: somebody may gain or lose access")];
        Self { may_gain: line.clone(), may_lose: line, ..Self::default() }
    }

    /// The changes as lines; "nobody gains access" only if that is certain.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = [&self.gains[..], &self.loses, &self.may_gain].concat();
        // An incomplete comparison is noted in both lists, but is one line.
        let said: HashSet<&String> = self.may_gain.iter().collect();
        lines.extend(self.may_lose.iter().filter(|line| !said.contains(line)).cloned());
        if self.gains.is_empty() && self.may_gain.is_empty() {
            lines.push("nobody gains access".to_owned());
        }
        if self.loses.is_empty() && self.may_lose.is_empty() {
            lines.push("nobody loses access".to_owned());
        }
        lines
    }

    /// Whether somebody gains access, or may.
    #[must_use]
    pub fn widens(&self) -> bool {
        !self.gains.is_empty() || !self.may_gain.is_empty()
    }

    /// The number of lines about gains and losses, certain or possible.
    #[must_use]
    pub fn count(&self) -> usize {
        [&self.gains, &self.loses, &self.may_gain, &self.may_lose].iter().map(|it| it.len()).sum()
    }

    /// These, and those of the next set, within the same limits.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        let both = |earlier: Vec<String>, later: Vec<String>| {
            let mut lines = ReportLines::default();
            earlier.into_iter().chain(later).for_each(|line| lines.push(|| line));
            lines.kept()
        };
        Self {
            gains: both(self.gains, later.gains),
            loses: both(self.loses, later.loses),
            may_gain: both(self.may_gain, later.may_gain),
            may_lose: both(self.may_lose, later.may_lose),
        }
    }
}

/// The lines of one kind, under construction.
#[derive(Default)]
pub(super) struct ReportLines {
    kept: Vec<String>,
    bytes: usize,
    more: usize,
}

impl ReportLines {
    /// Adds a line if there is room; otherwise counts it.
    pub(super) fn push(&mut self, line: impl FnOnce() -> String) {
        if self.more == 0 && self.kept.len() < LINES_MAX {
            let line = line();
            if self.bytes + line.len() <= BYTES_MAX {
                self.bytes += line.len();
                self.kept.push(line);
                return;
            }
        }
        self.more += 1;
    }

    fn kept(mut self) -> Vec<String> {
        match self.more {
            0 => {}
            1 => self.kept.push("1 more line".to_owned()),
            more => self.kept.push(format!("{more} more lines")),
        }
        self.kept
    }
}
