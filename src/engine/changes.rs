//! Who gains and who loses when one policy set follows another.
//!
//! "Gains" and "loses" are said of a role only where it is proved: a cell of the matrix that was
//! denied whatever the attributes are, and is allowed whatever they are, or the reverse. A changed
//! policy that is not determined is told once, as what somebody may gain or lose by it, and so is
//! changed data. "Nobody gains" is said only where everything was compared and nothing of both kinds
//! was found. However much changed, no more lines are kept than somebody reads.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Effect, EntityUid, Policy};

use super::compare::{WORK_MAX, compare};
use super::slices::{Scope, Side};
use super::{PolicyMeta, Snapshot};

/// Most lines of one kind that are kept, and most bytes of them: a name may be as long as its file.
const LINES_MAX: usize = 500;
const BYTES_MAX: usize = 64 << 10;

/// Of a comparison that did not come to its end.
const TOO_MUCH: &str = "too much changed to compare: somebody may gain and may lose";

/// Who gains and who loses when one set follows another.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    /// One line for each role and action that becomes allowed, whatever the attributes are.
    pub gains: Vec<String>,
    /// One line for each role and action that is no longer allowed, whatever the attributes are.
    pub loses: Vec<String>,
    /// What somebody may gain by, with the policy that it depends on.
    pub may_gain: Vec<String>,
    /// What somebody may lose by, with the policy that it depends on.
    pub may_lose: Vec<String>,
}

impl Changes {
    /// Where nothing was compared: why.
    #[must_use]
    pub fn unknown(why: &str) -> Self {
        let line = vec![format!("{why}: somebody may gain and may lose")];
        Self { may_gain: line.clone(), may_lose: line, ..Self::default() }
    }

    /// The changes as lines; "nobody gains" only where nobody can.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = [&self.gains[..], &self.loses, &self.may_gain].concat();
        // That not everything was compared stands in both lists, and is one line.
        let said: HashSet<&String> = self.may_gain.iter().collect();
        lines.extend(self.may_lose.iter().filter(|line| !said.contains(line)).cloned());
        if self.gains.is_empty() && self.may_gain.is_empty() {
            lines.push("nobody gains".to_owned());
        }
        if self.loses.is_empty() && self.may_lose.is_empty() {
            lines.push("nobody loses".to_owned());
        }
        lines
    }

    /// How many lines say that somebody gains or loses, or may.
    #[must_use]
    pub fn count(&self) -> usize {
        [&self.gains, &self.loses, &self.may_gain, &self.may_lose].iter().map(|it| it.len()).sum()
    }

    /// These, and those of the set that followed, within the same bounds.
    #[must_use]
    pub fn followed_by(self, later: Self) -> Self {
        let both = |earlier: Vec<String>, later: Vec<String>| {
            let mut lines = Lines::default();
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

/// The lines of one kind while they are found.
#[derive(Default)]
pub(super) struct Lines {
    kept: Vec<String>,
    bytes: usize,
    more: usize,
}

impl Lines {
    /// Keeps a line while there is room; counts it where there is none.
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

/// All of them while they are found.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) gains: Lines,
    pub(super) loses: Lines,
    pub(super) may_gain: Lines,
    pub(super) may_lose: Lines,
}

impl Draft {
    pub(super) fn told(self) -> Changes {
        Changes {
            gains: self.gains.kept(),
            loses: self.loses.kept(),
            may_gain: self.may_gain.kept(),
            may_lose: self.may_lose.kept(),
        }
    }
}

impl Snapshot {
    /// Who gains and who loses when this set follows `before`. May take seconds: make it apart from the
    /// threads that answer.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Changes {
        self.changes_within(before, WORK_MAX)
    }

    /// The same with so much work.
    pub(super) fn changes_within(&self, before: &Self, work: usize) -> Changes {
        let mut draft = Draft::default();
        // What must be said stands first, where there is room.
        self.changed_data(before, &mut draft);
        self.changed_policies(before, &mut draft);
        let whole = compare(self, before, work, &mut draft);
        let mut changes = draft.told();
        if !whole {
            changes.may_gain.insert(0, TOO_MUCH.to_owned());
            changes.may_lose.insert(0, TOO_MUCH.to_owned());
        }
        changes
    }

    /// Each changed policy whose effect no cell shows whole, by itself.
    fn changed_policies(&self, before: &Self, draft: &mut Draft) {
        let (stored_now, stored_then) = (self.decide_for_stored(), before.decide_for_stored());
        let (policies_now, policies_then) = (self.by_id(), before.by_id());
        let ids: BTreeSet<&String> = self.meta.keys().chain(before.meta.keys()).collect();
        for id in ids {
            let (now, then) = (self.meta.get(id), before.meta.get(id));
            let what = match (now, then) {
                (Some(now), Some(then)) if now.meaning == then.meaning => continue,
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "is new",
                _ => "is gone",
            };
            let is_determined = |meta: Option<&PolicyMeta>| meta.is_none_or(|it| it.determined);
            let whole = is_determined(now) && is_determined(then);
            let stored = stored_now.contains(id.as_str()) || stored_then.contains(id.as_str());
            if whole && !stored {
                continue;
            }
            let (now, then) = (policies_now.get(id.as_str()), policies_then.get(id.as_str()));
            let whom =
                |found: Option<&&(Policy, Scope)>| found.map(|(_, scope)| concerns_only(scope));
            let why = match (whom(now), whom(then)) {
                _ if whole => "it decides about entities of `entities.json` too".to_owned(),
                (Some(now), Some(then)) if now != then => format!("{now}; before, {then}"),
                (Some(it), _) | (None, Some(it)) => it,
                (None, None) => continue,
            };
            let line =
                |verb: &str| format!("{verb}: depends on policy `{id}`, which {what}: {why}");
            let effect =
                |found: Option<&&(Policy, Scope)>| found.map(|(policy, _)| policy.effect());
            let (now, then) = (effect(now), effect(then));
            if now == Some(Effect::Permit) || then == Some(Effect::Forbid) {
                draft.may_gain.push(|| line("may gain"));
            }
            if now == Some(Effect::Forbid) || then == Some(Effect::Permit) {
                draft.may_lose.push(|| line("may lose"));
            }
        }
    }

    fn by_id(&self) -> HashMap<&str, &(Policy, Scope)> {
        self.policies.iter().map(|found| (found.0.id().as_ref(), found)).collect()
    }

    /// Changed data, which cells show in part.
    fn changed_data(&self, before: &Self, draft: &mut Draft) {
        for (name, now, then) in [
            ("schema.cedarschema", self.data.first(), before.data.first()),
            ("entities.json", self.data.last(), before.data.last()),
        ] {
            if now != then {
                let line = |verb: &str| format!("{verb}: depends on `{name}`, which changed");
                draft.may_gain.push(|| line("may gain"));
                draft.may_lose.push(|| line("may lose"));
            }
        }
    }

    /// The ids of all policies that also decide about entities of `entities.json` which the
    /// made-up members and resources do not stand for.
    fn decide_for_stored(&self) -> HashSet<&str> {
        if self.stored.is_empty() {
            return HashSet::new();
        }
        // One policy stands in many environments.
        let mut decides = vec![false; self.policies.len()];
        let index = |uid: &EntityUid| self.names.index_of(uid.type_name());
        let kinds: BTreeSet<usize> = self.stored.iter().filter_map(|(uid, _)| index(uid)).collect();
        let nested = self.nests_accounts();
        for &principal in kinds.iter().chain([&self.names.user]) {
            for resource in 0..self.names.types.len() {
                // Its account can be another than the one that it is in.
                let twofold = kinds.contains(&resource)
                    && self.names.shape(resource).get("account").is_some();
                if !(nested || twofold || kinds.contains(&principal)) {
                    continue;
                }
                let actions = 0..self.names.actions.len();
                let envs =
                    actions.filter_map(|action| self.slices.env(principal, action, resource));
                for &at in envs.flat_map(|env| &env.all) {
                    if let Some(decides) = decides.get_mut(at) {
                        *decides = true;
                    }
                }
            }
        }
        let found = self.policies.iter().zip(decides).filter(|(_, decides)| *decides);
        found.map(|((policy, _), _)| policy.id().as_ref()).collect()
    }

    /// Whether some stored account or role is in another account, or an account in a role: then a
    /// member is in more than one.
    fn nests_accounts(&self) -> bool {
        let is = |kind, uid: &EntityUid| self.names.name(kind) == Some(uid.type_name());
        let (account, role) = (self.names.account, self.names.role);
        self.stored.iter().any(|(uid, stored)| {
            stored.lineage.iter().filter(|above| *above != uid).any(|above| {
                (is(account, uid) && (is(account, above) || is(role, above)))
                    || (is(role, uid) && is(account, above))
            })
        })
    }
}

/// Whom or what a policy that is not determined concerns, as far as its scope says.
fn concerns_only(scope: &Scope) -> String {
    for (side, who) in [(&scope.principal, "who"), (&scope.resource, "what")] {
        match side {
            Side::Eq(uid) => return format!("it concerns only `{uid}`"),
            Side::In(uid) | Side::IsIn(_, uid) => {
                return format!("it concerns only {who} is in `{uid}`");
            }
            Side::Any | Side::Is(_) => {}
        }
    }
    "its condition decides".to_owned()
}
