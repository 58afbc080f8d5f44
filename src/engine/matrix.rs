//! The matrix: which role may do what, and who gains or loses when a set changes.
//!
//! A cell is tried out with a made-up member and resource: in the own account, in another, in
//! none; active and suspended. Policies that ask for more than that (an attribute, an identity,
//! the context) make a cell `depends`: whether they allow cannot be said for a role. Every
//! changed policy of that kind is named, and only without one is "nobody gains" said.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cedar_policy::{Effect, PolicyId, PolicySet};

use super::evaluate::Evaluation;
use super::gather::{Case, Gatherer, Principal, is_supplied};
use super::slices::{Keys, Scope};
use super::types::{Extension, Shape, Type};
use super::{NoMembers, Snapshot};
use crate::domain::query::Record;
use crate::domain::{EntityRef, MemberView, Query, RoleId, Texts, Timestamp, Value};

/// What a role may do with one action on one type of resource, in the own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cell {
    /// Whatever the attributes are.
    Allowed,
    /// Whatever the attributes are.
    Denied,
    /// An attribute, an identity or the context decides.
    Depends,
}

impl Cell {
    /// The word of the matrix document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Depends => "depends",
        }
    }
}

/// One action on one type of resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatrixRow {
    /// The action's name.
    pub action: String,
    /// The type, in its snake form.
    pub resource: String,
    /// One cell a role, in the order of [`Matrix::roles`].
    pub cells: Vec<Cell>,
}

/// All roles, all actions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Matrix {
    /// The roles, in the order of the cells.
    pub roles: Vec<RoleId>,
    /// One row for each action on each type that it applies to.
    pub rows: Vec<MatrixRow>,
}

/// Who gains and who loses when one set follows another.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Changes {
    /// One line for each role and action that becomes allowed.
    pub gains: Vec<String>,
    /// One line for each role and action that is no longer allowed.
    pub loses: Vec<String>,
    /// What the matrix cannot see: changed policies whose attributes decide, changed data.
    pub notes: Vec<String>,
}

impl Changes {
    /// The changes as lines; "nobody gains" only where nothing else may have changed.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = self.gains.clone();
        lines.extend(self.loses.iter().cloned());
        lines.extend(self.notes.iter().cloned());
        if self.notes.is_empty() && self.gains.is_empty() {
            lines.push("nobody gains".to_owned());
        }
        if self.notes.is_empty() && self.loses.is_empty() {
            lines.push("nobody loses".to_owned());
        }
        lines
    }
}

/// A situation that a made-up member is tried in.
#[derive(Clone, Copy)]
struct Situation {
    active: bool,
    account: Option<&'static str>,
    label: &'static str,
}

const OWN: &str = "matrix-own";
const OTHER: &str = "matrix-other";

/// All that a determined policy can tell apart. The first is the one that the matrix shows.
const SITUATIONS: [Situation; 6] = [
    Situation { active: true, account: Some(OWN), label: "" },
    Situation { active: true, account: Some(OTHER), label: " in ANOTHER account" },
    Situation { active: true, account: None, label: " outside every account" },
    Situation { active: false, account: Some(OWN), label: " while SUSPENDED" },
    Situation { active: false, account: Some(OTHER), label: " in ANOTHER account while SUSPENDED" },
    Situation { active: false, account: None, label: " outside every account while SUSPENDED" },
];

type Cells = [Cell; SITUATIONS.len()];

impl Snapshot {
    /// The matrix of all roles. The first call tries out every cell, which takes a while: make it
    /// apart from the threads that answer decisions.
    #[must_use]
    pub fn matrix(&self) -> Arc<Matrix> {
        Arc::clone(self.matrix.get_or_init(|| Arc::new(self.tried_out())))
    }

    /// The matrix, where it was asked for before.
    #[must_use]
    pub fn known_matrix(&self) -> Option<Arc<Matrix>> {
        self.matrix.get().map(Arc::clone)
    }

    fn tried_out(&self) -> Matrix {
        let roles: Vec<RoleId> = self.roles().iter().map(|card| card.id.clone()).collect();
        let rows = self
            .asked()
            .into_iter()
            .map(|(action, resource)| MatrixRow {
                cells: roles.iter().map(|role| self.cell(role, &action, &resource)).collect(),
                action,
                resource,
            })
            .collect();
        Matrix { roles, rows }
    }

    /// Who gains and who loses when this set follows `before`.
    #[must_use]
    pub fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes { notes: self.unseen(before), ..Changes::default() };
        let roles: BTreeSet<&RoleId> =
            self.roles().iter().chain(before.roles()).map(|card| &card.id).collect();
        let asked: BTreeSet<_> = self.asked().into_iter().chain(before.asked()).collect();
        let mut gained: BTreeMap<(&RoleId, &str, &str), Vec<&str>> = BTreeMap::new();
        let mut lost = gained.clone();
        for role in roles {
            for (action, resource) in &asked {
                if self.same_slices(before, role, action, resource) {
                    continue;
                }
                let now = self.cells(role, action, resource);
                let then = before.cells(role, action, resource);
                for ((situation, now), then) in SITUATIONS.iter().zip(now).zip(then) {
                    // Allowed, then depends, then denied: what moves up gains, what moves down
                    // loses; a change inside `depends` is told by policy.
                    let rank = |cell| match cell {
                        Cell::Allowed => 2,
                        Cell::Depends => 1,
                        Cell::Denied => 0,
                    };
                    let key = (role, action.as_str(), situation.label);
                    match rank(now).cmp(&rank(then)) {
                        std::cmp::Ordering::Greater => {
                            gained.entry(key).or_default().push(resource)
                        }
                        std::cmp::Ordering::Less => lost.entry(key).or_default().push(resource),
                        std::cmp::Ordering::Equal => {}
                    }
                }
            }
        }
        changes.gains = lines(&gained, "gains");
        changes.loses = lines(&lost, "loses");
        changes
    }

    /// The roles whose active members may do each of `actions` on the own account itself.
    #[must_use]
    pub fn roles_allowed(&self, actions: &[&str]) -> Vec<RoleId> {
        let Some(account) = self.names.get(self.names.account) else { return Vec::new() };
        self.roles()
            .iter()
            .map(|card| &card.id)
            .filter(|role| {
                actions
                    .iter()
                    .all(|action| self.cell(role, action, &account.snake) == Cell::Allowed)
            })
            .cloned()
            .collect()
    }

    /// The actions that a role is allowed on some type in the own account.
    #[must_use]
    pub fn actions_of(&self, role: &RoleId) -> Vec<String> {
        let allowed = self
            .asked()
            .into_iter()
            .filter(|(action, resource)| self.cell(role, action, resource) == Cell::Allowed);
        let names: BTreeSet<String> = allowed.map(|(action, _)| action).collect();
        names.into_iter().collect()
    }

    /// Every action that members may ask on some type, sorted.
    #[must_use]
    pub fn actions(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.asked().into_iter().map(|(action, _)| action).collect();
        names.into_iter().collect()
    }

    /// Every action with every type of resource that members may ask it on.
    pub(super) fn asked(&self) -> Vec<(String, String)> {
        let mut asked = Vec::new();
        for (action, info) in self.names.actions.iter().enumerate() {
            for (kind, resource) in self.names.types.iter().enumerate() {
                if self.slices.env(self.names.user, action, kind).is_some() {
                    asked.push((info.uid.id().unescaped().to_owned(), resource.snake.clone()));
                }
            }
        }
        asked.sort();
        asked
    }

    fn cell(&self, role: &RoleId, action: &str, resource: &str) -> Cell {
        let [shown, ..] = SITUATIONS;
        self.situation(role, action, resource, shown)
    }

    fn cells(&self, role: &RoleId, action: &str, resource: &str) -> Cells {
        SITUATIONS.map(|situation| self.situation(role, action, resource, situation))
    }

    /// Tries one cell in one situation. A role or action that this set does not have is denied.
    fn situation(&self, role: &RoleId, action: &str, resource: &str, situation: Situation) -> Cell {
        let found = (self.names.action_index(action), self.names.type_index(resource));
        let (Some(action_at), Some(kind)) = found else { return Cell::Denied };
        let env = self.slices.env(self.names.user, action_at, kind);
        let (Some(env), Some(info), true) =
            (env, self.names.actions.get(action_at), self.has_role(role))
        else {
            return Cell::Denied;
        };
        let listed = self.names.get(kind).and_then(|kind| kind.ids.as_ref()?.first());
        let listed = listed.map(String::as_str);
        let id = match situation.account {
            Some(account) if kind == self.names.account => account,
            _ => listed.unwrap_or("matrix-resource"),
        };
        let mut properties = defaults(self.names.shape(kind), |name| name == "account");
        if let Some(account) = situation.account {
            properties.push((Cow::Borrowed("account"), Value::String(Cow::Borrowed(account))));
        }
        let said = defaults(self.names.shape(self.names.user), is_supplied);
        let context = defaults(&info.context, |_| false);
        let query = Query {
            subject: EntityRef { kind: "", id: "matrix-member", properties: &said },
            action,
            action_properties: &[],
            resource: EntityRef { kind: resource, id, properties: &properties },
            context: &context,
        };
        let view = MemberView {
            id: "matrix-member",
            account: OWN,
            role: role.as_str(),
            active: situation.active,
            texts: Texts::Apart {
                email_key: "matrix@example.org",
                first_name: "Matrix",
                last_name: "Member",
            },
            two_step: true,
            joined: Timestamp(0),
        };
        let case = Case {
            principal: Principal::Member(view),
            query: &query,
            action: info,
            resource_type: kind,
            default_account: None,
            moved_to: None,
        };
        let gatherer = Gatherer { names: &self.names, stored: &self.stored, members: &NoMembers };
        // A resource that cannot be made in this situation (its account is required, say) is a
        // deny there.
        let Ok(gathered) = gatherer.gather(&case) else { return Cell::Denied };
        let keys = Keys {
            role: Some(role.as_str()),
            role_lineage: &gathered.role_lineage,
            principal: &gathered.principal_lineage,
            resource: &gathered.resource_lineage,
        };
        let mut certain = PolicySet::new();
        let (mut may_permit, mut may_forbid) = (false, false);
        env.each(&keys, |slice| {
            for policy in slice.policies() {
                if self.is_determined(policy.id()) {
                    let _ = certain.add(policy.clone());
                }
            }
        });
        for (policy, scope) in env.all.iter().filter_map(|&at| self.policies.get(at)) {
            if !self.is_determined(policy.id()) && self.concerns(scope, &gathered.role_lineage) {
                match policy.effect() {
                    Effect::Permit => may_permit = true,
                    Effect::Forbid => may_forbid = true,
                }
            }
        }
        let evaluation = Evaluation {
            forbids: &self.forbids,
            request: &gathered.request,
            entities: &gathered.entities,
        };
        let verdict = evaluation.whole(&certain);
        let forbidden =
            verdict.forbid_erred || verdict.reasons.iter().any(|id| self.forbids.contains(id));
        match (verdict.allowed, forbidden) {
            (_, true) => Cell::Denied,
            (true, _) if may_forbid => Cell::Depends,
            (true, _) => Cell::Allowed,
            (false, _) if may_permit => Cell::Depends,
            (false, _) => Cell::Denied,
        }
    }

    fn is_determined(&self, id: &PolicyId) -> bool {
        let text: &str = id.as_ref();
        self.meta.get(text).is_some_and(|meta| meta.determined)
    }

    /// False where the scope names another role than these.
    fn concerns(&self, scope: &Scope, role_lineage: &[cedar_policy::EntityUid]) -> bool {
        let role_type = self.names.name(self.names.role);
        scope
            .principal
            .key()
            .is_none_or(|uid| Some(uid.type_name()) != role_type || role_lineage.contains(uid))
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

    /// The ids of all policies that could decide what a stored entity asks.
    fn decide_for_stored(&self) -> BTreeSet<&str> {
        let subjects: BTreeSet<usize> = self
            .stored
            .iter()
            .filter_map(|(uid, _)| self.names.index_of(uid.type_name()))
            .collect();
        let mut found = BTreeSet::new();
        for subject in subjects {
            for action in 0..self.names.actions.len() {
                let kinds = 0..self.names.types.len();
                let envs = kinds.filter_map(|kind| self.slices.env(subject, action, kind));
                let policies =
                    envs.flat_map(|env| &env.all).filter_map(|&at| self.policies.get(at));
                found.extend(policies.map(|(policy, _)| AsRef::<str>::as_ref(policy.id())));
            }
        }
        found
    }

    /// Changes that no cell shows.
    fn unseen(&self, before: &Self) -> Vec<String> {
        let mut notes = Vec::new();
        let (stored_now, stored_then) = (self.decide_for_stored(), before.decide_for_stored());
        let ids: BTreeSet<&String> = self.meta.keys().chain(before.meta.keys()).collect();
        for id in ids {
            let (now, then) = (self.meta.get(id), before.meta.get(id));
            let what = match (now, then) {
                (Some(now), Some(then)) if now.meaning == then.meaning => continue,
                (Some(_), Some(_)) => "changed",
                (Some(_), None) => "is new",
                _ => "is gone",
            };
            if stored_now.contains(id.as_str()) || stored_then.contains(id.as_str()) {
                notes.push(format!(
                    "the policy `{id}` {what}, and decides for subjects of `entities.json` too, which the matrix does not show"
                ));
            }
            if [now, then].into_iter().flatten().any(|meta| !meta.determined) {
                notes.push(format!(
                    "the policy `{id}` {what}, and attributes decide what it does: read it to see who gains or loses"
                ));
            }
        }
        for (name, now, then) in [
            ("schema.cedarschema", self.data.first(), before.data.first()),
            ("entities.json", self.data.last(), before.data.last()),
        ] {
            if now != then {
                notes.push(format!("`{name}` changed, which the matrix does not show whole"));
            }
        }
        notes
    }
}

/// One line a role, action and situation, with the types of resource.
fn lines(found: &BTreeMap<(&RoleId, &str, &str), Vec<&str>>, verb: &str) -> Vec<String> {
    found
        .iter()
        .map(|((role, action, label), resources)| {
            format!("{role} {verb} {action} on {}{label}", resources.join(", "))
        })
        .collect()
}

/// The least that conforms to a shape: every required attribute, with a value that no determined
/// policy reads; `known` are said elsewhere.
fn defaults(shape: &Shape, known: fn(&str) -> bool) -> Record<'static> {
    let mut record = Record::new();
    for attribute in &shape.attributes {
        let name = attribute.name.as_str();
        if attribute.required && !known(name) {
            record.push((Cow::Owned(name.to_owned()), default_of(&attribute.kind)));
        }
    }
    record
}

fn default_of(kind: &Type) -> Value<'static> {
    match kind {
        Type::Long => Value::Long(0),
        Type::Bool => Value::Bool(false),
        Type::String => Value::String(Cow::Borrowed("")),
        Type::Set(_) => Value::List(Vec::new()),
        Type::Record(shape) => Value::Record(
            shape
                .attributes
                .iter()
                .filter(|attribute| attribute.required)
                .map(|attribute| (Cow::Owned(attribute.name.clone()), default_of(&attribute.kind)))
                .collect(),
        ),
        Type::Entity(_, ids) => {
            let id = ids.as_ref().and_then(|ids| ids.first()).cloned().unwrap_or_default();
            Value::String(Cow::Owned(id))
        }
        Type::Extension(extension) => Value::String(Cow::Borrowed(match extension {
            Extension::Decimal => "0.0",
            Extension::Ip => "127.0.0.1",
            Extension::DateTime => "1970-01-01",
            Extension::Duration => "0ms",
        })),
    }
}
