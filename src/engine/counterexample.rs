//! From a request of Cedar's symbolic analysis to a query that anybody can ask.
//!
//! The analysis makes up entities with any ids and attributes, also such as there cannot be here: a
//! member in two accounts, for instance. A query has only what a caller or the store can say; who asks it
//! sees whether it still shows what it should.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use cedar_policy::{Entities, EntityTypeName, EntityUid, EvalResult};
use cedar_policy_symcc::Env;

use super::Snapshot;
use super::attribute_types::{AttributeShape, AttributeType};
use super::entity_builder::is_supplied;
use super::example_query::ExampleQuery;
use crate::domain::access_query::Record;
use crate::domain::{RoleId, Value};

/// Most roles that are tried where the request names none.
const ROLES_TRIED: usize = 20;

/// What is said of a counterexample of which no query shows what it should.
pub(super) const NOT_REPLAYED: &str =
    "the solver has a counterexample that no request here can be, as far as it was tried";

/// Turns requests into queries of one set.
pub(super) struct QueryMaker<'s> {
    pub(super) set: &'s Snapshot,
    /// The roles that a member may have.
    pub(super) roles: Vec<&'s RoleId>,
    /// The entities that policies name: their ids stay.
    pub(super) named: &'s HashSet<EntityUid>,
}

impl QueryMaker<'_> {
    /// The queries that a request may stand for, one for each role that its member may have; none if
    /// its principal is no member.
    pub(super) fn queries(&self, env: &Env) -> Vec<ExampleQuery> {
        let request = &env.request;
        let (Some(principal), Some(action), Some(resource)) =
            (request.principal(), request.action(), request.resource())
        else {
            return Vec::new();
        };
        if Some(principal.type_name()) != self.set.names.name(self.set.names.user) {
            return Vec::new();
        }
        let mut ids = ReadableIds { maker: self, given: HashMap::new(), taken: HashSet::new() };
        let accounts = self.set.names.name(self.set.names.account);
        let of_member = account_of(&env.entities, principal, accounts, None);
        let member_account = of_member.as_ref().map_or("own".to_owned(), |uid| ids.of(uid));
        let found = self.resource(env, resource, of_member.as_ref(), &mut ids);
        let Some((resource_type, resource, properties)) = found else { return Vec::new() };
        let user = self.set.names.shape(self.set.names.user);
        let action_name = action.id().unescaped();
        let info = self.set.names.action_index(action_name);
        let context = info.and_then(|at| self.set.names.actions.get(at)).map(|info| &info.context);
        let context = context.map(|shape| {
            ids.record(shape, |_| false, |name| request.context().and_then(|all| all.get(name)))
        });
        let mut roles = self.roles_of(&env.entities, principal);
        let Some(role) = roles.pop() else { return Vec::new() };
        let first = ExampleQuery {
            member: ids.of(principal),
            member_account,
            role,
            active: boolean(&env.entities, principal, "active").unwrap_or(true),
            subject_properties: ids.attributes(user, is_supplied, &env.entities, principal),
            action: action_name.to_owned(),
            resource_type,
            resource,
            properties,
            context: context.unwrap_or_default(),
        };
        let mut queries: Vec<ExampleQuery> =
            roles.into_iter().map(|role| ExampleQuery { role, ..first.clone() }).collect();
        queries.push(first);
        queries
    }

    /// Type, id and attributes of the resource, with its account among them.
    fn resource(
        &self,
        env: &Env,
        uid: &EntityUid,
        of_member: Option<&EntityUid>,
        ids: &mut ReadableIds<'_, '_>,
    ) -> Option<(String, String, Record<'static>)> {
        let names = &self.set.names;
        let kind = names.index_of(uid.type_name())?;
        let accounts = names.name(names.account);
        let is_itself = env.request.principal() == Some(uid);
        let mut properties = Vec::new();
        if !is_itself {
            let shape = names.shape(kind);
            properties = ids.attributes(shape, |name| name == "account", &env.entities, uid);
            if kind != names.account
                && let Some(account) = account_of(&env.entities, uid, accounts, of_member)
            {
                let account = Value::String(Cow::Owned(ids.of(&account)));
                properties.push((Cow::Borrowed("account"), account));
            }
        }
        Some((names.get(kind)?.snake.clone(), ids.of(uid), properties))
    }

    /// The roles of the member in the request; all roles if it has none that there is.
    fn roles_of(&self, entities: &Entities, member: &EntityUid) -> Vec<RoleId> {
        let names = &self.set.names;
        let has = |role: &RoleId| {
            let uid = names.uid(names.role, role.as_str());
            uid.is_some_and(|uid| entities.is_ancestor_of(&uid, member))
        };
        let own: Vec<RoleId> =
            self.roles.iter().filter(|role| has(role)).map(|role| (*role).clone()).collect();
        if own.is_empty() {
            return self.roles.iter().take(ROLES_TRIED).map(|role| (*role).clone()).collect();
        }
        own
    }
}

/// The account that an entity is in, `preferred` if it is in several; else that of its attribute.
fn account_of(
    entities: &Entities,
    uid: &EntityUid,
    accounts: Option<&EntityTypeName>,
    preferred: Option<&EntityUid>,
) -> Option<EntityUid> {
    let of_attribute = || match entities.get(uid)?.attr("account")?.ok()? {
        EvalResult::EntityUid(account) => Some(account),
        _ => None,
    };
    let ancestors = entities.ancestors(uid).into_iter().flatten();
    let mut found: Vec<&EntityUid> =
        ancestors.filter(|uid| Some(uid.type_name()) == accounts).collect();
    found.sort();
    let chosen = preferred.filter(|preferred| found.contains(preferred));
    chosen.or_else(|| found.first().copied()).cloned().or_else(of_attribute)
}

fn boolean(entities: &Entities, uid: &EntityUid, name: &str) -> Option<bool> {
    match entities.get(uid)?.attr(name)?.ok()? {
        EvalResult::Bool(value) => Some(value),
        _ => None,
    }
}

/// Gives made-up entities ids that people can read and type.
struct ReadableIds<'m, 's> {
    maker: &'m QueryMaker<'s>,
    given: HashMap<EntityUid, String>,
    taken: HashSet<String>,
}

impl ReadableIds<'_, '_> {
    fn of(&mut self, uid: &EntityUid) -> String {
        if let Some(id) = self.given.get(uid) {
            return id.clone();
        }
        let set = self.maker.set;
        let info = set.names.index_of(uid.type_name()).and_then(|kind| set.names.get(kind));
        let is_listed = info.is_some_and(|info| info.ids.is_some());
        let is_role = info.is_some() && set.names.name(set.names.role) == Some(uid.type_name());
        let id = uid.id().unescaped();
        let keeps = is_listed
            || (is_role && self.maker.roles.iter().any(|role| role.as_str() == id))
            || self.maker.named.contains(uid)
            || set.stored.get(uid).is_some();
        let id = if keeps {
            id.to_owned()
        } else {
            self.fresh(info.map_or("entity", |info| info.snake.as_str()))
        };
        self.taken.insert(id.clone());
        self.given.insert(uid.clone(), id.clone());
        id
    }

    fn fresh(&self, snake: &str) -> String {
        let is_named = |id: &str| {
            let named = self.maker.named.iter();
            named
                .chain(self.maker.set.stored.iter().map(|(uid, _)| uid))
                .any(|uid| uid.id().unescaped() == id)
        };
        let plain = format!("some-{snake}");
        let numbered = (2_usize..).map(|number| format!("{plain}-{number}"));
        let mut all = std::iter::once(plain.clone()).chain(numbered);
        let free = all.find(|id| !self.taken.contains(id) && !is_named(id));
        free.unwrap_or(plain)
    }

    fn attributes(
        &mut self,
        shape: &AttributeShape,
        known: fn(&str) -> bool,
        entities: &Entities,
        uid: &EntityUid,
    ) -> Record<'static> {
        let Some(entity) = entities.get(uid) else { return Vec::new() };
        self.record(shape, known, |name| entity.attr(name)?.ok())
    }

    fn record(
        &mut self,
        shape: &AttributeShape,
        known: fn(&str) -> bool,
        read: impl Fn(&str) -> Option<EvalResult>,
    ) -> Record<'static> {
        let mut found = Vec::new();
        for attribute in shape.attributes.iter().filter(|attribute| !known(&attribute.name)) {
            if let Some(value) =
                read(&attribute.name).and_then(|it| self.value(&attribute.kind, it))
            {
                found.push((Cow::Owned(attribute.name.clone()), value));
            }
        }
        found
    }

    /// A value as a caller gives it; `None` where its type is another one.
    fn value(&mut self, kind: &AttributeType, value: EvalResult) -> Option<Value<'static>> {
        Some(match (kind, value) {
            (AttributeType::Bool, EvalResult::Bool(flag)) => Value::Bool(flag),
            (AttributeType::Long, EvalResult::Long(number)) => Value::Long(number),
            (AttributeType::String, EvalResult::String(text)) => Value::String(Cow::Owned(text)),
            (AttributeType::Entity(..), EvalResult::EntityUid(uid)) => {
                Value::String(Cow::Owned(self.of(&uid)))
            }
            (AttributeType::Extension(_), EvalResult::ExtensionValue(text)) => {
                // As a constructor: `decimal("1.0")`.
                let (_, rest) = text.split_once("(\"")?;
                let (inner, rest) = rest.split_once("\")")?;
                rest.is_empty().then(|| Value::String(Cow::Owned(inner.to_owned())))?
            }
            (AttributeType::Set(inner), EvalResult::Set(items)) => {
                let items = items.iter().map(|item| self.value(inner, item.clone()));
                Value::List(items.collect::<Option<Vec<_>>>()?)
            }
            (AttributeType::Record(shape), EvalResult::Record(record)) => {
                Value::Record(self.record(shape, |_| false, |name| record.get(name).cloned()))
            }
            _ => return None,
        })
    }
}
