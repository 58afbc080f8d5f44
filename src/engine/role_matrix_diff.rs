//! The comparison of the matrices of two policy sets, within a limit on the work.
//!
//! Only roles that a changed policy concerns, and of these only those to which some policy permits
//! something, before or after: all other cells are equal in both sets. The result says whether the
//! comparison was complete.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use cedar_policy::{Effect, EntityUid, Policy};

use super::Snapshot;
use super::change_report::{ReportDraft, ReportLines};
use super::role_matrix::{Cell, CertainVerdict, MatrixScenario, SITUATIONS, UndeterminedPolicies};
use crate::domain::{RoleId, worded};

/// The limit on the work of one comparison, in units of some microseconds: 15,000 cells with a few
/// policies, two or three seconds.
pub(super) const WORK_MAX: usize = 3_000_000;
/// The cost of one situation of a cell, and of each policy in it.
const SITUATION: usize = 10;
const POLICY: usize = 2;
/// The number of policies or roles that are examined in one unit.
const LOOKS: usize = 20;

/// The number of types and policies named in a line about a role.
const TYPES_NAMED: usize = 20;
const POLICIES_NAMED: usize = 5;

struct WorkBudget(usize);

impl WorkBudget {
    /// False if not enough is left.
    fn take(&mut self, units: usize) -> bool {
        match self.0.checked_sub(units) {
            Some(left) => self.0 = left,
            None => return false,
        }
        true
    }
}

/// Role, action and the label of the situation.
type CellKey<'s> = (&'s RoleId, &'s str, &'static str);

/// The changes of roles, by role, action and situation: the types of resource, and the policies
/// that they depend on.
#[derive(Default)]
struct RoleDifferences<'s>(BTreeMap<CellKey<'s>, (Vec<&'s str>, BTreeSet<&'s str>)>);

impl<'s> RoleDifferences<'s> {
    /// The cells with one kind of change.
    fn of(cells: &[FoundCell<'s>], change: AccessChange) -> Self {
        let mut found = Self::default();
        for cell in cells.iter().filter(|cell| cell.is_told && cell.change == change) {
            let key = (cell.role, cell.action, cell.situation.label);
            let (resources, policies) = found.0.entry(key).or_default();
            resources.push(cell.resource);
            policies.extend(&cell.on);
        }
        found
    }

    /// One line for each role, action and situation.
    fn tell(&self, verb: &str, lines: &mut ReportLines) {
        for ((role, action, label), (resources, policies)) in &self.0 {
            lines.push(|| {
                let depends = depends_on(policies);
                format!("{role} {verb} {action} on {}{label}{depends}", types(resources))
            });
        }
    }
}

fn types(resources: &[&str]) -> String {
    let named = resources.get(..TYPES_NAMED).unwrap_or(resources).join(", ");
    match resources.len().saturating_sub(TYPES_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn depends_on(policies: &BTreeSet<&str>) -> String {
    let named: Vec<String> =
        policies.iter().take(POLICIES_NAMED).map(|id| format!("`{id}`")).collect();
    let more = policies.len() - named.len();
    match (policies.len(), more) {
        (0, _) => String::new(),
        (1, _) => format!(": depends on policy {}", named.concat()),
        (_, 0) => format!(": depends on policies {}", named.join(", ")),
        _ => format!(": depends on policies {} and {more} more", named.join(", ")),
    }
}

/// Roles: some, or all.
#[derive(Default)]
struct RoleSet<'s> {
    all: bool,
    some: BTreeSet<&'s RoleId>,
}

impl<'s> RoleSet<'s> {
    fn or(mut self, other: Self) -> Self {
        self.all |= other.all;
        self.some.extend(other.some);
        self
    }

    fn and(self, other: Self, all: &BTreeSet<&'s RoleId>) -> Vec<&'s RoleId> {
        match (self.all, other.all) {
            (true, true) => all.iter().copied().collect(),
            (true, false) => other.some.into_iter().collect(),
            (false, true) => self.some.into_iter().collect(),
            (false, false) => self.some.intersection(&other.some).copied().collect(),
        }
    }

    fn is_empty(&self) -> bool {
        !self.all && self.some.is_empty()
    }
}

/// The policies that could apply to one kind of query, by the role in their scopes.
#[derive(Default)]
struct ApplicablePolicies<'s> {
    everyone: Vec<&'s Policy>,
    named: HashMap<&'s EntityUid, Vec<&'s Policy>>,
}

struct ComparedSet<'s> {
    set: &'s Snapshot,
    /// The roles, each with the groups that it is in; the role itself is the first.
    roles: BTreeMap<&'s RoleId, Vec<EntityUid>>,
    /// The roles to which a scope with this role applies.
    under: HashMap<EntityUid, Vec<&'s RoleId>>,
    /// The roles that the other set does not have.
    own: Vec<&'s RoleId>,
    /// For each policy: whether the other set has no equal one, or other data.
    changed: Vec<bool>,
}

impl<'s> ComparedSet<'s> {
    fn new(set: &'s Snapshot, other: &Snapshot) -> Self {
        let mut roles = BTreeMap::new();
        let mut under: HashMap<EntityUid, Vec<&RoleId>> = HashMap::new();
        for role in set.roles().iter().map(|card| &card.id) {
            let uid = set.names.uid(set.names.role, role.as_str());
            let lineage = uid.map(|uid| set.stored.lineage(uid)).unwrap_or_default();
            lineage.iter().for_each(|uid| under.entry(uid.clone()).or_default().push(role));
            roles.insert(role, lineage);
        }
        let own = roles.keys().copied().filter(|role| !other.has_role(role)).collect();
        let meanings: HashSet<&str> = other.meta.values().map(|meta| &*meta.meaning).collect();
        let same_data = set.data == other.data;
        let is_same = |policy: &Policy| {
            let meta = set.meta.get::<str>(policy.id().as_ref());
            same_data && meta.is_some_and(|meta| meanings.contains(&*meta.meaning))
        };
        let changed = set.policies.iter().map(|(policy, _)| !is_same(policy)).collect();
        Self { set, roles, under, own, changed }
    }

    /// Whether anything differs from the other set.
    fn differs(&self) -> bool {
        !self.own.is_empty() || self.changed.contains(&true)
    }

    /// The policies that could apply, by number; none if the set does not have this kind of query.
    fn all(&self, action: &str, resource: &str) -> &'s [usize] {
        let (set, names) = (self.set, &self.set.names);
        let found = (names.action_index(action), names.type_index(resource));
        let (Some(action), Some(kind)) = found else { return &[] };
        set.slices.env(names.user, action, kind).map_or(&[], |env| &env.all)
    }

    /// The role in the scope of a policy, if any.
    fn named(&self, at: usize) -> Option<&'s EntityUid> {
        let (_, scope) = self.set.policies.get(at)?;
        let role = self.set.names.name(self.set.names.role);
        scope.principal.key().filter(|uid| Some(uid.type_name()) == role)
    }

    fn policy(&self, at: usize) -> Option<&'s Policy> {
        self.set.policies.get(at).map(|(policy, _)| policy)
    }

    /// The roles to which some of these policies apply.
    fn concerned(&self, policies: impl Iterator<Item = usize>) -> RoleSet<'s> {
        let mut roles = RoleSet::default();
        for at in policies {
            match self.named(at) {
                None => roles.all = true,
                Some(uid) => roles.some.extend(self.under.get(uid).into_iter().flatten()),
            }
        }
        roles
    }

    /// The roles whose results may differ from those in the other set.
    fn touched(&self, all: &[usize]) -> RoleSet<'s> {
        let mut touched =
            self.concerned(all.iter().copied().filter(|&at| self.changed.get(at) == Some(&true)));
        if !all.is_empty() {
            touched.some.extend(&self.own);
        }
        touched
    }

    fn permitted(&self, all: &[usize]) -> RoleSet<'s> {
        let permits =
            |at: &usize| self.policy(*at).is_some_and(|policy| policy.effect() == Effect::Permit);
        self.concerned(all.iter().copied().filter(permits))
    }

    fn answering(&self, all: &[usize]) -> ApplicablePolicies<'s> {
        let mut answering = ApplicablePolicies::default();
        for &at in all {
            let Some(policy) = self.policy(at) else { continue };
            match self.named(at) {
                None => answering.everyone.push(policy),
                Some(uid) => answering.named.entry(uid).or_default().push(policy),
            }
        }
        answering
    }

    fn of_role(&self, role: &RoleId, answering: &ApplicablePolicies<'s>) -> Vec<&'s Policy> {
        let Some(lineage) = self.roles.get(role) else { return Vec::new() };
        let named = lineage.iter().filter_map(|uid| answering.named.get(uid)).flatten();
        answering.everyone.iter().chain(named).copied().collect()
    }
}

worded! {
    /// How access changes.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum AccessChange {
        /// It was denied and is allowed, whatever the attributes are.
        Gains = "gains",
        /// The reverse.
        Loses = "loses",
        /// More may be allowed.
        MayGain = "may_gain",
        /// Less may be allowed.
        MayLose = "may_lose",
    }
}

/// A cell that changed.
#[derive(Debug)]
pub(super) struct FoundCell<'s> {
    pub(super) role: &'s RoleId,
    pub(super) action: &'s str,
    pub(super) resource: &'s str,
    pub(super) situation: MatrixScenario,
    pub(super) before: Cell,
    pub(super) now: Cell,
    pub(super) change: AccessChange,
    /// The policies that are not determined, on which it depends; none if the change is certain.
    pub(super) on: BTreeSet<&'s str>,
    /// False where only a changed policy that is not determined may have changed it: reports have a line
    /// for that policy.
    pub(super) is_told: bool,
}

/// The cells that changed, and how many were evaluated.
#[derive(Debug, Default)]
pub(super) struct CellResults<'s> {
    pub(super) cells: Vec<FoundCell<'s>>,
    pub(super) cases: usize,
}

impl CellResults<'_> {
    fn tell(&self, draft: &mut ReportDraft) {
        for (change, verb, lines) in [
            (AccessChange::Gains, "gains", &mut draft.gains),
            (AccessChange::Loses, "loses", &mut draft.loses),
            (AccessChange::MayGain, "may gain", &mut draft.may_gain),
            (AccessChange::MayLose, "may lose", &mut draft.may_lose),
        ] {
            RoleDifferences::of(&self.cells, change).tell(verb, lines);
        }
    }
}

/// Evaluates every cell that may have changed, and reads what was found; the second is false if the
/// limit on the work was reached.
pub(super) fn compare<R>(
    now: &Snapshot,
    then: &Snapshot,
    work: usize,
    draft: &mut ReportDraft,
    read: impl FnOnce(&CellResults<'_>) -> R,
) -> (R, bool) {
    let both = ComparedSets::new(now, then);
    if !both.now.differs() && !both.then.differs() {
        return (read(&CellResults::default()), true);
    }
    let questions: BTreeSet<_> = now.asked().into_iter().chain(then.asked()).collect();
    let roles = both.now.roles.keys().chain(both.then.roles.keys()).copied().collect();
    let (mut cells, mut work) = (CellResults::default(), WorkBudget(work));
    let whole = questions
        .iter()
        .all(|(action, resource)| both.question(action, resource, &roles, &mut work, &mut cells));
    cells.tell(draft);
    (read(&cells), whole)
}

/// The same for every cell without a limit, to verify that [`compare`] misses nothing.
#[cfg(test)]
pub(super) fn compare_all(now: &Snapshot, then: &Snapshot, draft: &mut ReportDraft) {
    let both = ComparedSets::new(now, then);
    let questions: BTreeSet<_> = now.asked().into_iter().chain(then.asked()).collect();
    let mut cells = CellResults::default();
    for (action, resource) in &questions {
        let [these, those] =
            [&both.now, &both.then].map(|one| one.answering(one.all(action, resource)));
        for role in
            both.now.roles.keys().chain(both.then.roles.keys().filter(|role| !now.has_role(role)))
        {
            let (these, those) = (both.now.of_role(role, &these), both.then.of_role(role, &those));
            let depending =
                (now.depending_of(these.into_iter()), then.depending_of(those.into_iter()));
            both.cell(role, action, resource, &depending, &mut cells);
        }
    }
    cells.tell(draft);
}

struct ComparedSets<'s> {
    now: ComparedSet<'s>,
    then: ComparedSet<'s>,
}

impl<'s> ComparedSets<'s> {
    fn new(now: &'s Snapshot, then: &'s Snapshot) -> Self {
        Self { now: ComparedSet::new(now, then), then: ComparedSet::new(then, now) }
    }

    /// Evaluates the cells of one kind of query; false if the remaining work is not enough.
    fn question(
        &self,
        action: &'s str,
        resource: &'s str,
        roles: &BTreeSet<&'s RoleId>,
        work: &mut WorkBudget,
        cells: &mut CellResults<'s>,
    ) -> bool {
        let Self { now, then } = self;
        let (all_now, all_then) = (now.all(action, resource), then.all(action, resource));
        if !work.take(1 + (all_now.len() + all_then.len()) / LOOKS) {
            return false;
        }
        let touched = now.touched(all_now).or(then.touched(all_then));
        if touched.is_empty() {
            return true;
        }
        let permitted = now.permitted(all_now).or(then.permitted(all_then));
        if !work.take((touched.some.len() + permitted.some.len()) / LOOKS) {
            return false;
        }
        let (these, those) = (now.answering(all_now), then.answering(all_then));
        touched.and(permitted, roles).into_iter().all(|role| {
            let (these, those) = (now.of_role(role, &these), then.of_role(role, &those));
            let sides = 2 * SITUATION + POLICY * (these.len() + those.len());
            let enough = work.take(SITUATIONS.len() * sides);
            if enough {
                let depending = (
                    now.set.depending_of(these.into_iter()),
                    then.set.depending_of(those.into_iter()),
                );
                self.cell(role, action, resource, &depending, cells);
            }
            enough
        })
    }

    fn cell(
        &self,
        role: &'s RoleId,
        action: &'s str,
        resource: &'s str,
        (now, then): &(UndeterminedPolicies<'s>, UndeterminedPolicies<'s>),
        cells: &mut CellResults<'s>,
    ) {
        for situation in SITUATIONS {
            let certain_now = self.now.set.certain(role, action, resource, situation);
            let certain_then = self.then.set.certain(role, action, resource, situation);
            let (before, after) = (then.cell(certain_then), now.cell(certain_now));
            let changed = match (before, after) {
                (Cell::Denied, Cell::Denied) => [None, None],
                (Cell::Denied, Cell::Allowed) => [Some((AccessChange::Gains, true)), None],
                (Cell::Allowed, Cell::Denied) => [Some((AccessChange::Loses, true)), None],
                _ => {
                    let (more, less) = self.moved(then, certain_then, now, certain_now);
                    let (may_be_more, may_be_less) = self.conditions_changed(then, now);
                    // A cell that is always denied cannot lose, and one that stays so does not
                    // gain.
                    let gains = (more || may_be_more) && after != Cell::Denied;
                    let loses = (less || may_be_less) && before != Cell::Denied;
                    [
                        gains.then_some((AccessChange::MayGain, more)),
                        loses.then_some((AccessChange::MayLose, less)),
                    ]
                }
            };
            cells.cases += 1;
            for (change, is_told) in changed.into_iter().flatten() {
                let on = match change {
                    AccessChange::Gains | AccessChange::Loses => BTreeSet::new(),
                    AccessChange::MayGain | AccessChange::MayLose => {
                        &then.on(certain_then) | &now.on(certain_now)
                    }
                };
                let now = after;
                let found = FoundCell {
                    role,
                    action,
                    resource,
                    situation,
                    before,
                    now,
                    change,
                    on,
                    is_told,
                };
                cells.cells.push(found);
            }
        }
    }

    /// Whether both sets have a policy with this meaning.
    fn is_same(&self, id: &str) -> bool {
        match (self.now.set.meta.get(id), self.then.set.meta.get(id)) {
            (Some(now), Some(then)) => now.meaning == then.meaning,
            _ => false,
        }
    }

    /// Whether a cell may allow more, and whether it may allow less, by changed policies that are not
    /// determined.
    fn conditions_changed(
        &self,
        then: &UndeterminedPolicies<'_>,
        now: &UndeterminedPolicies<'_>,
    ) -> (bool, bool) {
        let other = |ids: &BTreeSet<&str>| ids.iter().any(|id| !self.is_same(id));
        (other(&now.permits) || other(&then.forbids), other(&now.forbids) || other(&then.permits))
    }

    /// Whether a cell allows more, and whether it allows less, by its determined policies and by
    /// unchanged ones: the others are reported separately.
    fn moved(
        &self,
        then: &UndeterminedPolicies<'_>,
        certain_then: CertainVerdict,
        now: &UndeterminedPolicies<'_>,
        certain_now: CertainVerdict,
    ) -> (bool, bool) {
        let same = |id: &str| self.is_same(id);
        let only = |these: &BTreeSet<&str>, those: &BTreeSet<&str>| {
            these.difference(those).any(|id| same(id))
        };
        let certain = certain_now.cmp(&certain_then);
        let more = only(&now.permits, &then.permits) || only(&then.forbids, &now.forbids);
        let less = only(&then.permits, &now.permits) || only(&now.forbids, &then.forbids);
        (certain == Ordering::Greater || more, certain == Ordering::Less || less)
    }
}
