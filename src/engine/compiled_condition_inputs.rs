//! What a compiled condition can read of one query of a member: the facts that Cedar would be given as
//! entities, without making them.
//!
//! Facts are read only where they are certain: the query conforms to the schema, the resource is neither
//! in `entities.json` nor a member, and no entity that the query names can be refused. For every other query there are
//! none, and Cedar is asked.

use std::borrow::Cow;

use cedar_policy::{EntityTypeName, EntityUid};

use super::attribute_types::{AttributeShape, AttributeType, Extension, check_listed, entity_id};
use super::entity_builder::is_supplied;
use super::extension_value_spelling::datetime_ms;
use super::left_to_cedar::CedarOperand;
use super::schema_facts::SchemaFacts;
use super::schema_names::ActionInfo;
use super::static_entities::StaticEntities;
use crate::domain::access_query::property;
use crate::domain::{MemberView, Query, Value};

/// Why an expression has no value here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// Cedar's evaluation would fail.
    Errs,
    /// Only Cedar knows: it makes the whole decision.
    CedarDecides,
}

/// An entity by type and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntityName<'f> {
    pub(super) kind: &'f EntityTypeName,
    pub(super) id: &'f str,
}

impl<'f> EntityName<'f> {
    pub(super) fn of(uid: &'f EntityUid) -> Self {
        Self { kind: uid.type_name(), id: uid.id().unescaped() }
    }

    fn is_among(self, uids: &[EntityUid]) -> bool {
        uids.iter().any(|uid| self == EntityName::of(uid))
    }
}

/// The value of an expression.
#[derive(Clone, Copy, Debug)]
pub(super) enum FactValue<'f> {
    Bool(bool),
    Long(i64),
    Text(&'f str),
    /// Milliseconds since 1970.
    DateTime(i64),
    Entity(EntityName<'f>),
    /// A set, with the type of its elements.
    Set(&'f AttributeType, &'f [Value<'f>]),
    /// A record, with its declared attributes.
    Record(&'f AttributeShape, &'f [(Cow<'f, str>, Value<'f>)]),
}

/// The variables whose attributes can be read without following a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Principal,
    Resource,
    Context,
}

/// An account that something is in.
#[derive(Clone, Copy)]
struct AccountFacts<'f> {
    slug: &'f str,
    /// What the account is in by `entities.json`.
    ancestors: &'f [EntityUid],
}

/// A query of a member whose names are resolved.
#[derive(Clone, Copy)]
pub(super) struct MemberQuery<'f> {
    pub(super) member: MemberView<'f>,
    pub(super) query: &'f Query<'f>,
    pub(super) action: &'f ActionInfo,
    pub(super) resource_type: usize,
    /// The account of a resource without one.
    pub(super) default_account: Option<&'f str>,
}

/// Has Cedar evaluate an operand for the query.
pub(super) type CedarEvaluation<'f> = dyn Fn(&CedarOperand) -> Result<bool, Stop> + 'f;

/// The facts of one query.
pub(super) struct QueryFacts<'f> {
    /// For the parts that are not compiled.
    cedar: Option<&'f CedarEvaluation<'f>>,
    sources: SchemaFacts<'f>,
    asked: MemberQuery<'f>,
    principal: EntityName<'f>,
    role: EntityName<'f>,
    /// The groups of the role.
    role_ancestors: &'f [EntityUid],
    member_account: AccountFacts<'f>,
    resource: EntityName<'f>,
    /// The value of the resource's attribute `account`, and where the resource is.
    resource_account: Option<AccountFacts<'f>>,
    account_kind: &'f EntityTypeName,
    /// Whether the resource is in its account as an entity.
    is_placed: bool,
}

impl<'f> QueryFacts<'f> {
    /// `None` if one of them is not certain: ask Cedar.
    pub(super) fn read(sources: SchemaFacts<'f>, asked: MemberQuery<'f>) -> Option<Self> {
        let SchemaFacts { names, stored, conformity } = sources;
        let MemberQuery { query, resource_type, .. } = asked;
        let info = names.get(resource_type)?;
        let is_account = resource_type == names.account;
        let known = stored.known(resource_type, query.resource.id);
        // A resource that the store or the file knows; and what leads to members who may be refused.
        if resource_type == names.user
            || known.is_some_and(|known| known.is_stored || !is_account)
            || (conformity.members_lack() && stored.names_members())
        {
            return None;
        }
        check_listed(&info.name, info.ids.as_deref(), query.resource.id).ok()?;
        let conforms = conformity.of_subject(query.subject.properties)
            && conformity.of_resource(&info.shape, query.resource.properties)
            && conformity.of_context(&asked.action.context, query);
        if !conforms {
            return None;
        }
        let resource_account = if is_account { None } else { said_account(sources, &asked)? };
        if !account_conforms(sources, &info.shape, resource_account) {
            return None;
        }
        // Everything that is in the resource would be in its account, too.
        if resource_type == names.role && info.in_account && resource_account.is_some() {
            return None;
        }
        Self::made(sources, asked, resource_account)
    }

    /// The facts of a query about any resource of a type: nothing of the resource itself may be read.
    ///
    /// # Errors
    /// Why one of them is not certain.
    pub(super) fn of_any_resource(
        sources: SchemaFacts<'f>,
        asked: MemberQuery<'f>,
    ) -> Result<Self, &'static str> {
        let SchemaFacts { names, stored, conformity } = sources;
        let unusual = "the schema has an unusual type of resource";
        let info = names.get(asked.resource_type).ok_or(unusual)?;
        if asked.resource_type == names.user {
            return Err("the resources are members, who are in the sidecar");
        }
        if asked.resource_type == names.role && info.in_account {
            return Err(unusual);
        }
        let is_account = asked.resource_type == names.account;
        if stored.all_known(asked.resource_type).any(|(_, known)| known.is_stored || !is_account) {
            return Err("`entities.json` has resources of this type");
        }
        let holds_account = |kind: &AttributeType| {
            matches!(kind, AttributeType::String | AttributeType::Entity(..))
        };
        let account = info.shape.get("account");
        if account.is_some_and(|account| is_account || !holds_account(&account.kind)) {
            return Err("their attribute `account` cannot be the account that a resource is in");
        }
        if names.get(names.account).is_none_or(|info| info.ids.is_some()) {
            return Err("the schema lists the accounts");
        }
        if conformity.members_lack() {
            return Err("the schema requires attributes of members that callers give");
        }
        Self::made(sources, asked, None).ok_or("`entities.json` puts members above others")
    }

    fn made(
        sources: SchemaFacts<'f>,
        asked: MemberQuery<'f>,
        resource_account: Option<&'f str>,
    ) -> Option<Self> {
        let SchemaFacts { names, stored, .. } = sources;
        let MemberQuery { member, query, resource_type, .. } = asked;
        let info = names.get(resource_type)?;
        let account_kind = names.name(names.account)?;
        let role = EntityName { kind: names.name(names.role)?, id: member.role };
        let principal = EntityName { kind: names.name(names.user)?, id: member.id };
        let account = |slug| AccountFacts { slug, ancestors: above(stored, names.account, slug) };
        let facts = Self {
            cedar: None,
            sources,
            asked,
            principal,
            role,
            role_ancestors: above(stored, names.role, member.role),
            member_account: account(member.account),
            resource: EntityName { kind: &info.name, id: query.resource.id },
            resource_account: resource_account.map(account),
            account_kind,
            is_placed: info.in_account && resource_account.is_some(),
        };
        // Members are in roles and accounts; whatever is in a member is unusual.
        facts.is_usual().then_some(facts)
    }

    /// The same, with Cedar for what is not compiled.
    pub(super) fn with_cedar(self, cedar: &'f CedarEvaluation<'f>) -> Self {
        Self { cedar: Some(cedar), ..self }
    }

    /// The value of an operand that is not compiled.
    pub(super) fn by_cedar(&self, operand: &CedarOperand) -> Result<bool, Stop> {
        self.cedar.map_or(Err(Stop::CedarDecides), |evaluate| evaluate(operand))
    }

    /// Whether resources of this type may be in an account that a caller says. An account is in itself.
    pub(super) fn may_be_placed(&self) -> bool {
        let (names, kind) = (self.sources.names, self.asked.resource_type);
        kind != names.account && names.get(kind).is_some_and(|info| info.in_account)
    }

    /// The accounts that are this entity or in it.
    pub(super) fn accounts_in(&self, other: EntityName<'f>) -> Vec<&'f str> {
        let SchemaFacts { names, stored, .. } = self.sources;
        let itself = (other.kind == self.account_kind).then_some(other.id);
        let known = stored.all_known(names.account);
        let within = known.filter(|(_, known)| other.is_among(&known.ancestors));
        itself.into_iter().chain(within.map(|(id, _)| id)).collect()
    }

    /// Whether no member is above the principal or the resource.
    fn is_usual(&self) -> bool {
        let accounts = self.resource_account.iter().chain([&self.member_account]);
        let mut above =
            accounts.flat_map(|account| account.ancestors).chain(self.role_ancestors.iter());
        !above.any(|uid| uid.type_name() == self.principal.kind)
    }

    pub(super) const fn action(&self) -> &'f ActionInfo {
        self.asked.action
    }

    /// The principal or the resource as an entity; the context is none.
    pub(super) const fn entity(&self, variable: Variable) -> Option<EntityName<'f>> {
        match variable {
            Variable::Principal => Some(self.principal),
            Variable::Resource => Some(self.resource),
            Variable::Context => None,
        }
    }

    /// The value of an attribute, if it has one.
    pub(super) fn attribute(
        &self,
        of: Variable,
        name: &str,
    ) -> Result<Option<FactValue<'f>>, Stop> {
        match of {
            Variable::Principal => self.of_principal(name),
            Variable::Resource => self.of_resource(name),
            Variable::Context => self.of_context(name),
        }
    }

    fn of_principal(&self, name: &str) -> Result<Option<FactValue<'f>>, Stop> {
        let names = self.sources.names;
        let member = &self.asked.member;
        let Some(attribute) = names.shape(names.user).get(name) else { return Ok(None) };
        if !is_supplied(name) {
            return said(self.asked.query.subject.properties, &attribute.kind, name);
        }
        Ok(Some(match name {
            "account" => named(&attribute.kind, member.account)?,
            "role" => named(&attribute.kind, member.role)?,
            "active" => FactValue::Bool(member.active),
            "two_step" => FactValue::Bool(member.two_step),
            "email" => FactValue::Text(member.texts.email_key()),
            "first_name" => FactValue::Text(member.texts.first_name()),
            "last_name" => FactValue::Text(member.texts.last_name()),
            "joined" => match attribute.kind {
                AttributeType::Long => FactValue::Long(member.joined.0),
                AttributeType::Extension(Extension::DateTime) => {
                    FactValue::DateTime(member.joined.0)
                }
                _ => return Err(Stop::CedarDecides),
            },
            _ => return Err(Stop::CedarDecides),
        }))
    }

    fn of_resource(&self, name: &str) -> Result<Option<FactValue<'f>>, Stop> {
        let shape = self.sources.names.shape(self.asked.resource_type);
        let Some(attribute) = shape.get(name) else { return Ok(None) };
        if name == "account" {
            let account = self.resource_account.map(|account| account.slug);
            return account.map(|slug| named(&attribute.kind, slug)).transpose();
        }
        said(self.asked.query.resource.properties, &attribute.kind, name)
    }

    fn of_context(&self, name: &str) -> Result<Option<FactValue<'f>>, Stop> {
        let MemberQuery { query, action, .. } = self.asked;
        let Some(attribute) = action.context.get(name) else { return Ok(None) };
        match &attribute.kind {
            AttributeType::Record(shape)
                if name == "action" && !query.action_properties.is_empty() =>
            {
                Ok(Some(FactValue::Record(shape, query.action_properties)))
            }
            kind => said(query.context, kind, name),
        }
    }

    /// Whether one entity is the other or in it.
    pub(super) fn is_in(&self, one: EntityName<'f>, other: EntityName<'f>) -> Result<bool, Stop> {
        let in_account = |account: &AccountFacts<'_>| {
            (other.kind == self.account_kind && other.id == account.slug)
                || other.is_among(account.ancestors)
        };
        if one == other {
            Ok(true)
        } else if one == self.principal {
            let in_role = other == self.role || other.is_among(self.role_ancestors);
            Ok(in_role || in_account(&self.member_account))
        } else if one == self.resource {
            Ok(self.is_placed && self.resource_account.as_ref().is_some_and(in_account))
        } else {
            let SchemaFacts { names, stored, .. } = self.sources;
            let kind = names.index_of(one.kind).ok_or(Stop::CedarDecides)?;
            let may_be_in = kind == names.user
                || stored.known(kind, one.id).is_some_and(|known| known.is_stored);
            if may_be_in { Err(Stop::CedarDecides) } else { Ok(false) }
        }
    }

    /// The role and its groups, as the slices are keyed.
    pub(super) fn role_lineage(&self) -> Vec<EntityUid> {
        let own = self.sources.names.uid(self.sources.names.role, self.role.id);
        own.into_iter().chain(self.role_ancestors.iter().cloned()).collect()
    }

    /// The principal and its other ancestors.
    pub(super) fn principal_lineage(&self) -> Vec<EntityUid> {
        let own = self.sources.names.uid(self.sources.names.user, self.principal.id);
        own.into_iter().chain(self.lineage(&self.member_account)).collect()
    }

    /// The resource and its ancestors.
    pub(super) fn resource_lineage(&self) -> Vec<EntityUid> {
        let own = self.sources.names.uid(self.asked.resource_type, self.resource.id);
        let account = self.resource_account.as_ref().filter(|_| self.is_placed);
        own.into_iter().chain(account.into_iter().flat_map(|own| self.lineage(own))).collect()
    }

    fn lineage(&self, account: &AccountFacts<'f>) -> impl Iterator<Item = EntityUid> + use<'f> {
        let names = self.sources.names;
        let own = names.uid(names.account, account.slug);
        own.into_iter().chain(account.ancestors.iter().cloned())
    }
}

/// The slug of the resource's account, if it has one; `None` if that is not certain.
fn said_account<'f>(sources: SchemaFacts<'f>, asked: &MemberQuery<'f>) -> Option<Option<&'f str>> {
    match property(asked.query.resource.properties, "account") {
        None | Some(Value::Null) => Some(asked.default_account),
        Some(Value::String(slug)) => Some(Some(slug.as_ref())),
        Some(other) => {
            let kind = sources.names.name(sources.names.account)?;
            entity_id(kind, None, other).ok().map(Some)
        }
    }
}

/// Whether the resource's attribute `account` can hold its account, or does not have to.
fn account_conforms(
    sources: SchemaFacts<'_>,
    shape: &AttributeShape,
    account: Option<&str>,
) -> bool {
    shape.get("account").is_none_or(|attribute| match account {
        Some(slug) => {
            let slug = Value::String(Cow::Borrowed(slug));
            sources.conformity.is_of(&attribute.kind, &slug)
        }
        None => !attribute.required,
    })
}

/// What an entity is in by `entities.json`.
fn above<'f>(stored: &'f StaticEntities, kind: usize, id: &str) -> &'f [EntityUid] {
    stored.known(kind, id).map_or(&[], |known| &known.ancestors)
}

/// An attribute that a caller may say.
fn said<'f>(
    said: &'f [(Cow<'f, str>, Value<'f>)],
    kind: &'f AttributeType,
    name: &str,
) -> Result<Option<FactValue<'f>>, Stop> {
    property(said, name).map(|value| value_of(kind, value)).transpose()
}

/// A name as a declared type holds it.
fn named<'f>(kind: &'f AttributeType, id: &'f str) -> Result<FactValue<'f>, Stop> {
    match kind {
        AttributeType::String => Ok(FactValue::Text(id)),
        AttributeType::Entity(kind, _) => Ok(FactValue::Entity(EntityName { kind, id })),
        _ => Err(Stop::CedarDecides),
    }
}

/// A value that conforms, as its declared type holds it.
pub(super) fn value_of<'f>(
    kind: &'f AttributeType,
    value: &'f Value<'f>,
) -> Result<FactValue<'f>, Stop> {
    Ok(match (kind, value) {
        (AttributeType::Bool, Value::Bool(flag)) => FactValue::Bool(*flag),
        (AttributeType::Long, Value::Long(number)) => FactValue::Long(*number),
        (AttributeType::String, Value::String(text)) => FactValue::Text(text),
        (AttributeType::Extension(Extension::DateTime), Value::String(text)) => {
            FactValue::DateTime(datetime_ms(text).ok_or(Stop::CedarDecides)?)
        }
        (AttributeType::Entity(kind, ids), _) => {
            let id = entity_id(kind, ids.as_deref(), value).map_err(|_| Stop::CedarDecides)?;
            FactValue::Entity(EntityName { kind, id })
        }
        (AttributeType::Set(inner), Value::List(items)) => FactValue::Set(inner, items),
        (AttributeType::Record(shape), Value::Record(members)) => FactValue::Record(shape, members),
        _ => return Err(Stop::CedarDecides),
    })
}

/// An attribute of a record, if it has one.
pub(super) fn member_of<'f>(
    shape: &'f AttributeShape,
    members: &'f [(Cow<'f, str>, Value<'f>)],
    name: &str,
) -> Result<Option<FactValue<'f>>, Stop> {
    shape.get(name).map_or(Ok(None), |attribute| said(members, &attribute.kind, name))
}
