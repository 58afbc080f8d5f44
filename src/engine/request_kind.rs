//! The kinds of request that Cedar's symbolic analysis goes through one by one: a type of principal, an
//! action and a type of resource, with the policies that could apply.
//!
//! Compiles sets for one kind, together with what is true of every member. Asks no solver.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use cedar_policy::{Effect, EntityUid, Policy, PolicyId, RequestEnv, Schema};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};
use serde_json::Value as Json;

use super::Snapshot;
use super::reads_of_other_entities::EntityAttributes;
use super::solver_protocol::{reason, set_of};
use crate::domain::{PolicyFiles, RoleId};
use crate::engine::folder_files::SCHEMA;
use crate::engine::schema::read_schema;

/// Most policies of one kind that are analysed: the work grows with the square of what they name.
const POLICIES_MAX: usize = 300;
/// Most roles that policies of one kind name, for what is true of a member to be said.
const ROLES_MAX: usize = 64;

/// A kind of request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RequestKind {
    /// The type of the principal, in snake case.
    pub(super) principal: String,
    /// The action's name.
    pub(super) action: String,
    /// The type of the resource, in snake case.
    pub(super) resource: String,
}

/// The policies of a set that could apply to one kind of request.
#[derive(Debug)]
pub(super) struct KindPolicies<'s> {
    pub(super) env: RequestEnv,
    pub(super) policies: Vec<&'s Policy>,
}

/// What the analysis of a set needs beside the set.
pub(super) struct AnalysedSet<'s> {
    pub(super) set: &'s Snapshot,
    pub(super) schema: Schema,
    /// The policies that read other entities, for which nothing is proved.
    followers: HashSet<&'s str>,
}

impl<'s> AnalysedSet<'s> {
    /// `files` are those that the set was loaded from.
    pub(super) fn new(set: &'s Snapshot, files: &PolicyFiles) -> Result<Self, String> {
        let text = files.iter().find(|(path, _)| *path == SCHEMA).map(|(_, bytes)| bytes);
        let text = text.and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default();
        let read = read_schema(text, &mut Vec::new(), &mut Vec::new());
        let (schema, _) = read.ok_or("the schema cannot be read again")?;
        let attributes = EntityAttributes::of(&set.names);
        let follows = |meaning: &str| {
            serde_json::from_str(meaning).is_ok_and(|json: Json| attributes.are_followed_in(&json))
        };
        let followers = set.meta.iter().filter(|(_, meta)| follows(&meta.meaning));
        let followers = followers.map(|(id, _)| id.as_str()).collect();
        Ok(Self { set, schema, followers })
    }

    /// Every kind that can be asked: of members, and of the entities of `entities.json`.
    pub(super) fn kinds(&self) -> BTreeSet<RequestKind> {
        let names = &self.set.names;
        let is_stored = |kind: usize| {
            let name = names.name(kind);
            self.set.stored.iter().any(|(uid, _)| Some(uid.type_name()) == name)
        };
        let mut found = BTreeSet::new();
        for (principal, of_principal) in names.types.iter().enumerate() {
            if principal != names.user && !is_stored(principal) {
                continue;
            }
            for (action, info) in names.actions.iter().enumerate() {
                for (resource, of_resource) in names.types.iter().enumerate() {
                    if self.set.slices.env(principal, action, resource).is_some() {
                        found.insert(RequestKind {
                            principal: of_principal.snake.clone(),
                            action: info.uid.id().unescaped().to_owned(),
                            resource: of_resource.snake.clone(),
                        });
                    }
                }
            }
        }
        found
    }

    /// The policies of a kind; `None` if this set does not have it.
    pub(super) fn of(&self, kind: &RequestKind) -> Option<KindPolicies<'s>> {
        let names = &self.set.names;
        let principal = names.type_index(&kind.principal)?;
        let action = names.action_index(&kind.action)?;
        let resource = names.type_index(&kind.resource)?;
        let all = &self.set.slices.env(principal, action, resource)?.all;
        let policies = all.iter().filter_map(|&at| self.set.policies.get(at));
        let uid = names.actions.get(action)?.uid.clone();
        let env =
            RequestEnv::new(names.name(principal)?.clone(), uid, names.name(resource)?.clone());
        Some(KindPolicies { env, policies: policies.map(|(policy, _)| policy).collect() })
    }

    /// Whether a policy of the folder, which may be a guard, reads other entities.
    pub(super) fn follows(&self, policy: &Policy) -> bool {
        let json = || {
            policy
                .to_json()
                .map_or(true, |json| EntityAttributes::of(&self.set.names).are_followed_in(&json))
        };
        self.followers.contains(AsRef::<str>::as_ref(policy.id()))
            || (!self.set.meta.contains_key::<str>(policy.id().as_ref()) && json())
    }

    /// Why nothing can be proved about these policies, if so.
    pub(super) fn obstacle<'p>(
        &self,
        policies: impl Iterator<Item = &'p Policy>,
    ) -> Option<String> {
        let mut count = 0;
        for policy in policies {
            count += 1;
            if self.follows(policy) {
                return Some(format!(
                    "`{}` reads an attribute of another entity, which may be unknown when it is asked",
                    policy.id()
                ));
            }
        }
        (count > POLICIES_MAX)
            .then(|| format!("{count} policies apply, and at most {POLICIES_MAX} are analysed"))
    }

    /// Compiles policies for a kind.
    pub(super) fn compile<'p>(
        &self,
        env: &RequestEnv,
        policies: impl Iterator<Item = &'p Policy>,
    ) -> Result<CompiledPolicySet, String> {
        CompiledPolicySet::compile(&set_of(policies), env, &self.schema)
            .map_err(|fault| reason(&fault))
    }

    /// Compiles one policy for a kind.
    pub(super) fn compile_one(
        &self,
        env: &RequestEnv,
        policy: &Policy,
    ) -> Result<CompiledPolicy, String> {
        CompiledPolicy::compile(policy, env, &self.schema).map_err(|fault| reason(&fault))
    }

    /// A `forbid` of whatever is not true of a member: that it has exactly one of `roles`, with the
    /// groups of that role. `None` if nothing of it matters, or too much does.
    pub(super) fn member_facts<'r>(
        &self,
        roles: impl Iterator<Item = &'r RoleId>,
        named: &HashSet<EntityUid>,
    ) -> Option<Policy> {
        let names = &self.set.names;
        let (user, role_type) = (names.name(names.user)?, names.name(names.role)?);
        let named: BTreeSet<&EntityUid> =
            named.iter().filter(|uid| uid.type_name() == role_type).collect();
        if named.is_empty() || named.len() > ROLES_MAX {
            return None;
        }
        let mut alternatives = BTreeSet::new();
        for role in roles {
            let lineage = self.set.stored.lineage(names.uid(names.role, role.as_str())?);
            let each = named.iter().map(|uid| {
                let is_not = if lineage.contains(uid) { "" } else { "!" };
                format!("{is_not}(principal in {uid})")
            });
            alternatives.insert(format!("({})", each.collect::<Vec<_>>().join(" && ")));
        }
        let one_of = alternatives.into_iter().collect::<Vec<_>>().join(" || ");
        let text = format!("forbid (principal is {user}, action, resource) unless {{ {one_of} }};");
        Policy::parse(Some(PolicyId::new(" what is true of a member")), text).ok()
    }
}

impl<'s> KindPolicies<'s> {
    pub(super) fn forbids(&self) -> impl Iterator<Item = &'s Policy> {
        self.policies.iter().copied().filter(|policy| policy.effect() == Effect::Forbid)
    }

    /// Whether some policy can allow something.
    pub(super) fn permits(&self) -> bool {
        self.policies.iter().any(|policy| policy.effect() == Effect::Permit)
    }
}

/// The entities that policies name.
pub(super) fn literals<'p>(policies: impl Iterator<Item = &'p Policy>) -> HashSet<EntityUid> {
    policies.flat_map(Policy::entity_literals).collect()
}

/// The text of a kind, for people.
impl std::fmt::Display for RequestKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` on `{}`", self.action, self.resource)
    }
}

/// Counts reasons, to tell the most frequent ones.
#[derive(Debug, Default)]
pub(super) struct Reasons(BTreeMap<String, usize>);

impl Reasons {
    pub(super) fn add(&mut self, why: String) {
        *self.0.entry(why).or_default() += 1;
    }

    /// The most frequent reason, and how often there was one.
    pub(super) fn told(&self) -> Option<String> {
        let all: usize = self.0.values().sum();
        let (why, _) = self.0.iter().max_by_key(|(_, count)| **count)?;
        Some(if all == 1 { why.clone() } else { format!("{why} (and {} more)", all - 1) })
    }
}
