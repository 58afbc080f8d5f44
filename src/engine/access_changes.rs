//! The access changes between two policy sets: who gains and who loses.
//!
//! "Gains" and "loses" are claimed for a role only if they are certain: a cell of the matrix that
//! was denied whatever the attributes are, and is allowed whatever they are, or the reverse. A
//! changed policy that is not determined is reported once, as a possible gain or loss, and so is
//! changed data. "Nobody gains access" is claimed only if everything was compared and nothing of
//! either kind was found. The number of lines is limited.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Effect, EntityUid, Policy};

use super::change_report::{AccessChanges, ReportDraft};
use super::policy_scope::{PolicyScope, ScopeConstraint};
use super::role_matrix_diff::{CellResults, WORK_MAX, compare};
use super::{PolicyMeta, Snapshot};

/// For an incomplete comparison.
pub(super) const TOO_MUCH: &str = "too much changed to compare: somebody may gain or lose access";

impl Snapshot {
    /// The access changes from `before` to this set. May take seconds: not for threads that answer.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> AccessChanges {
        self.changes_within(before, WORK_MAX)
    }

    /// The same with a limit on the work.
    pub(super) fn changes_within(&self, before: &Self, work: usize) -> AccessChanges {
        self.compared(before, work, |_| ()).0
    }

    /// The same, with what is read from the cells that changed.
    pub(super) fn compared<R>(
        &self,
        before: &Self,
        work: usize,
        read: impl FnOnce(&CellResults<'_>) -> R,
    ) -> (AccessChanges, R) {
        let mut draft = ReportDraft::default();
        // The most important lines come first.
        self.changed_data(before, &mut draft);
        self.changed_policies(before, &mut draft);
        let (found, whole) = compare(self, before, work, &mut draft, read);
        let mut changes = draft.told();
        if !whole {
            changes.may_gain.insert(0, TOO_MUCH.to_owned());
            changes.may_lose.insert(0, TOO_MUCH.to_owned());
        }
        (changes, found)
    }

    /// Changed policies whose effect cells do not show completely.
    fn changed_policies(&self, before: &Self, draft: &mut ReportDraft) {
        let (stored_now, stored_then) = (self.decide_for_stored(), before.decide_for_stored());
        let (policies_now, policies_then) = (self.by_id(), before.by_id());
        let ids: BTreeSet<&String> = self.meta.keys().chain(before.meta.keys()).collect();
        for id in ids {
            let (now, then) = (self.meta.get(id), before.meta.get(id));
            let what = match (now, then) {
                (Some(now), Some(then)) if now.meaning == then.meaning => continue,
                (Some(_), Some(_)) => "has changed",
                (Some(_), None) => "is new",
                _ => "was removed",
            };
            let is_determined = |meta: Option<&PolicyMeta>| meta.is_none_or(|it| it.determined);
            let whole = is_determined(now) && is_determined(then);
            let stored = stored_now.contains(id.as_str()) || stored_then.contains(id.as_str());
            if whole && !stored {
                continue;
            }
            let (now, then) = (policies_now.get(id.as_str()), policies_then.get(id.as_str()));
            let whom = |found: Option<&&(Policy, PolicyScope)>| {
                found.map(|(_, scope)| concerns_only(scope))
            };
            let why = match (whom(now), whom(then)) {
                _ if whole => "it decides about entities of `entities.json` too".to_owned(),
                (Some(now), Some(then)) if now != then => {
                    format!("{now} (before the change: {then})")
                }
                (Some(it), _) | (None, Some(it)) => it,
                (None, None) => continue,
            };
            let line =
                |verb: &str| format!("somebody {verb} access: policy `{id}` {what}, and {why}");
            let effect =
                |found: Option<&&(Policy, PolicyScope)>| found.map(|(policy, _)| policy.effect());
            let (now, then) = (effect(now), effect(then));
            if now == Some(Effect::Permit) || then == Some(Effect::Forbid) {
                draft.may_gain.push(|| line("may gain"));
            }
            if now == Some(Effect::Forbid) || then == Some(Effect::Permit) {
                draft.may_lose.push(|| line("may lose"));
            }
        }
    }

    /// The policies by their ids.
    pub(super) fn by_id(&self) -> HashMap<&str, &(Policy, PolicyScope)> {
        self.policies.iter().map(|found| (found.0.id().as_ref(), found)).collect()
    }

    /// Changed data, which cells show only in part.
    fn changed_data(&self, before: &Self, draft: &mut ReportDraft) {
        for (name, now, then) in [
            ("schema.cedarschema", self.data.first(), before.data.first()),
            ("entities.json", self.data.last(), before.data.last()),
        ] {
            if now != then {
                let line = |verb: &str| format!("somebody {verb} access: `{name}` has changed");
                draft.may_gain.push(|| line("may gain"));
                draft.may_lose.push(|| line("may lose"));
            }
        }
    }

    /// The ids of policies that also apply to entities of `entities.json` which the synthetic
    /// members and resources do not represent.
    fn decide_for_stored(&self) -> HashSet<&str> {
        if self.stored.is_empty() {
            return HashSet::new();
        }
        // One policy can be in many environments.
        let mut decides = vec![false; self.policies.len()];
        let index = |uid: &EntityUid| self.names.index_of(uid.type_name());
        let kinds: BTreeSet<usize> = self.stored.iter().filter_map(|(uid, _)| index(uid)).collect();
        let nested = self.nests_accounts();
        for &principal in kinds.iter().chain([&self.names.user]) {
            for resource in 0..self.names.types.len() {
                // Its attribute `account` can differ from the account it is in.
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

    /// Whether a stored account or role is in another account, or an account in a role: then a
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

/// Whom or what a policy that is not determined concerns, by its scope.
fn concerns_only(scope: &PolicyScope) -> String {
    for (side, who) in [(&scope.principal, "those"), (&scope.resource, "what is")] {
        match side {
            ScopeConstraint::Eq(uid) => return format!("it concerns only `{uid}`"),
            ScopeConstraint::In(uid) | ScopeConstraint::IsIn(_, uid) => {
                return format!("it concerns only {who} in `{uid}`");
            }
            ScopeConstraint::Any | ScopeConstraint::Is(_) => {}
        }
    }
    "its condition decides when it applies".to_owned()
}
