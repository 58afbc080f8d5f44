//! Who gains and who loses when one policy set follows another.
//!
//! "Gains" and "loses" are said of a role only where it is proved: a cell of the matrix that was
//! denied whatever the attributes are, and is allowed whatever they are, or the reverse. A changed
//! policy that is not determined is told once, as what somebody may gain or lose by it, and so is
//! changed data. "Nobody gains" is said only where nothing of both kinds was found.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use cedar_policy::{Effect, EntityUid, Policy};

use super::matrix::{Cell, Certain, Depending, SITUATIONS};
use super::slices::{Scope, Side};
use super::{PolicyMeta, Snapshot};
use crate::domain::RoleId;

/// So many policies are named in a line about a role.
const NAMED: usize = 5;

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
    /// The changes as lines; "nobody gains" only where nobody can.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = [&self.gains[..], &self.loses, &self.may_gain, &self.may_lose].concat();
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
}

/// Role, action and the label of the situation.
type Key<'s> = (&'s RoleId, &'s str, &'static str);

/// What happened to roles, by role, action and situation: the types of resource, and the policies
/// that it depends on.
#[derive(Default)]
struct Found<'s>(BTreeMap<Key<'s>, (Vec<&'s str>, BTreeSet<&'s str>)>);

impl<'s> Found<'s> {
    fn add(&mut self, key: Key<'s>, resource: &'s str, on: impl IntoIterator<Item = &'s str>) {
        let (resources, policies) = self.0.entry(key).or_default();
        resources.push(resource);
        policies.extend(on);
    }

    /// One line a role, action and situation.
    fn lines(&self, verb: &str) -> impl Iterator<Item = String> {
        self.0.iter().map(move |((role, action, label), (resources, policies))| {
            let depends = depends_on(policies);
            format!("{role} {verb} {action} on {}{label}{depends}", resources.join(", "))
        })
    }
}

fn depends_on(policies: &BTreeSet<&str>) -> String {
    let named: Vec<String> = policies.iter().take(NAMED).map(|id| format!("`{id}`")).collect();
    let more = policies.len() - named.len();
    match (policies.len(), more) {
        (0, _) => String::new(),
        (1, _) => format!(": depends on policy {}", named.concat()),
        (_, 0) => format!(": depends on policies {}", named.join(", ")),
        _ => format!(": depends on policies {} and {more} more", named.join(", ")),
    }
}

impl Snapshot {
    /// Who gains and who loses when this set follows `before`.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        self.changed_policies(before, &mut changes);
        self.changed_data(before, &mut changes);
        self.changed_cells(before, &mut changes);
        changes
    }

    /// Tries every cell that other policies answer now.
    fn changed_cells(&self, before: &Self, changes: &mut Changes) {
        let roles: BTreeSet<&RoleId> =
            self.roles().iter().chain(before.roles()).map(|card| &card.id).collect();
        let asked: BTreeSet<_> = self.asked().into_iter().chain(before.asked()).collect();
        let (mut gains, mut loses) = (Found::default(), Found::default());
        let (mut may_gain, mut may_lose) = (Found::default(), Found::default());
        for (role, (action, resource)) in
            roles.into_iter().flat_map(|role| asked.iter().map(move |asked| (role, asked)))
        {
            if self.same_slices(before, role, action, resource) {
                continue;
            }
            let now = self.depending(role, action, resource);
            let then = before.depending(role, action, resource);
            for situation in SITUATIONS {
                let certain_now = self.certain(role, action, resource, situation);
                let certain_then = before.certain(role, action, resource, situation);
                let key = (role, action.as_str(), situation.label);
                let on = || then.on(certain_then).into_iter().chain(now.on(certain_now));
                let (cell_then, cell_now) = (then.cell(certain_then), now.cell(certain_now));
                match (cell_then, cell_now) {
                    (Cell::Denied, Cell::Denied) => {}
                    (Cell::Denied, Cell::Allowed) => gains.add(key, resource, []),
                    (Cell::Allowed, Cell::Denied) => loses.add(key, resource, []),
                    _ => {
                        let (more, less) =
                            self.moved(before, (&then, certain_then), (&now, certain_now));
                        // What is denied whatever the attributes are has nothing to lose, and gains nothing.
                        if more && cell_now != Cell::Denied {
                            may_gain.add(key, resource, on());
                        }
                        if less && cell_then != Cell::Denied {
                            may_lose.add(key, resource, on());
                        }
                    }
                }
            }
        }
        changes.gains.extend(gains.lines("gains"));
        changes.loses.extend(loses.lines("loses"));
        changes.may_gain.extend(may_gain.lines("may gain"));
        changes.may_lose.extend(may_lose.lines("may lose"));
    }

    /// Whether a cell allows more, and whether it allows less, by its determined policies and by
    /// those that did not change: each of the others is told by itself.
    fn moved(
        &self,
        before: &Self,
        (then, certain_then): (&Depending<'_>, Certain),
        (now, certain_now): (&Depending<'_>, Certain),
    ) -> (bool, bool) {
        let same = |id: &str| match (self.meta.get(id), before.meta.get(id)) {
            (Some(now), Some(then)) => now.meaning == then.meaning,
            _ => false,
        };
        let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
            these.difference(those).any(|id| same(id))
        };
        let certain = certain_now.cmp(&certain_then);
        let more = only(&now.permits, &then.permits) || only(&then.forbids, &now.forbids);
        let less = only(&then.permits, &now.permits) || only(&now.forbids, &then.forbids);
        (certain == Ordering::Greater || more, certain == Ordering::Less || less)
    }

    /// Each changed policy whose effect no cell shows whole, by itself.
    fn changed_policies(&self, before: &Self, changes: &mut Changes) {
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
            let line = format!("depends on policy `{id}`, which {what}: {why}");
            let effect =
                |found: Option<&&(Policy, Scope)>| found.map(|(policy, _)| policy.effect());
            let (now, then) = (effect(now), effect(then));
            if now == Some(Effect::Permit) || then == Some(Effect::Forbid) {
                changes.may_gain.push(format!("may gain: {line}"));
            }
            if now == Some(Effect::Forbid) || then == Some(Effect::Permit) {
                changes.may_lose.push(format!("may lose: {line}"));
            }
        }
    }

    fn by_id(&self) -> HashMap<&str, &(Policy, Scope)> {
        self.policies.iter().map(|found| (found.0.id().as_ref(), found)).collect()
    }

    /// Changed data, which cells show in part.
    fn changed_data(&self, before: &Self, changes: &mut Changes) {
        for (name, now, then) in [
            ("schema.cedarschema", self.data.first(), before.data.first()),
            ("entities.json", self.data.last(), before.data.last()),
        ] {
            if now != then {
                changes.may_gain.push(format!("may gain: depends on `{name}`, which changed"));
                changes.may_lose.push(format!("may lose: depends on `{name}`, which changed"));
            }
        }
    }

    /// Whether the same policies would answer, so that no cell need be tried.
    fn same_slices(&self, before: &Self, role: &RoleId, action: &str, resource: &str) -> bool {
        self.data == before.data
            && self.relevant(role, action, resource) == before.relevant(role, action, resource)
    }

    /// The meanings of all policies that could concern a role here; `None` where the set does
    /// not have the role or the question.
    fn relevant(&self, role: &RoleId, action: &str, resource: &str) -> Option<BTreeSet<&str>> {
        let action = self.names.action_index(action)?;
        let kind = self.names.type_index(resource)?;
        let env = self.slices.env(self.names.user, action, kind)?;
        let role_lineage = self.stored.lineage(self.names.uid(self.names.role, role.as_str())?);
        let meanings = env
            .all
            .iter()
            .filter_map(|&at| self.policies.get(at))
            .filter(|(_, scope)| self.concerns(scope, &role_lineage))
            .filter_map(|(policy, _)| {
                let id: &str = policy.id().as_ref();
                self.meta.get(id).map(|meta| meta.meaning.as_str())
            });
        self.has_role(role).then(|| meanings.collect())
    }

    /// The ids of all policies that also decide about entities of `entities.json` which the
    /// made-up members and resources do not stand for.
    fn decide_for_stored(&self) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        if self.stored.is_empty() {
            return found;
        }
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
                let policies =
                    envs.flat_map(|env| &env.all).filter_map(|&at| self.policies.get(at));
                found.extend(policies.map(|(policy, _)| AsRef::<str>::as_ref(policy.id())));
            }
        }
        found
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
