//! From a query to Cedar's input: principal, resource, context and the few entities that a decision
//! can read.
//!
//! The store's data takes precedence over the caller's; the result conforms to the schema, or the
//! attribute at fault is named. Does not decide, and reads only the members that are named.

use std::borrow::Cow;
use std::collections::HashSet;

use cedar_policy::{Context, Entities, Entity, EntityUid, Request, RestrictedExpression};

use super::Members;
use super::attribute_types::{
    Attribute, AttributeFaults, AttributeShape, AttributeType, BadAttributes, Extension,
    ReferencedEntities, check_listed, read, read_entity, read_shape,
};
use super::left_to_cedar::context_field;
use super::schema_names::{ActionInfo, Symbols};
use super::static_entities::{StaticEntities, StaticEntity};
use crate::clock;
use crate::domain::access_query::property;
use crate::domain::{EntityRef, MemberView, Query, Timestamp, Value};

/// How many references from principal, resource and context a condition may follow; policies that
/// need more are refused at load.
pub(super) const REACH: usize = 2;

#[derive(Clone, Copy)]
pub(super) enum Principal<'a> {
    /// A member, as the directory holds it.
    Member(MemberView<'a>),
    /// An entity of `entities.json`.
    Stored(&'a EntityUid, &'a StaticEntity),
}

#[derive(Clone, Copy)]
pub(super) struct ResolvedQuery<'a> {
    pub(super) principal: Principal<'a>,
    pub(super) query: &'a Query<'a>,
    pub(super) action: &'a ActionInfo,
    pub(super) resource_type: usize,
    /// The account of a resource without one.
    pub(super) default_account: Option<&'a str>,
    /// Evaluates as if the resource were in this account.
    pub(super) moved_to: Option<&'a str>,
}

/// Cedar's input.
pub(super) struct RequestEntities {
    pub(super) request: Request,
    pub(super) entities: Entities,
    pub(super) role_lineage: Vec<EntityUid>,
    pub(super) principal_lineage: Vec<EntityUid>,
    pub(super) resource_lineage: Vec<EntityUid>,
}

/// The parts of a snapshot that gathering reads.
pub(super) struct EntityBuilder<'g, M> {
    pub(super) names: &'g Symbols,
    pub(super) stored: &'g StaticEntities,
    pub(super) members: &'g M,
    pub(super) attributes: BuiltAttributes,
}

/// Which attributes of principal and resource are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BuiltAttributes {
    /// All that the caller says, and those of the store that a policy reads.
    Read,
    /// Only those that are read by what is not compiled. The query is known to conform.
    ReadByCedar,
}

/// The attributes that a caller gives of an entity.
type GivenAttributes<'q> = [(Cow<'q, str>, Value<'q>)];

/// An attribute of an entity: its name and its value.
type BuiltAttribute = (String, RestrictedExpression);

/// An entity under construction: its uid, its ancestors, and what its attributes name.
struct EntityDraft {
    uid: EntityUid,
    entity: Option<Entity>,
    lineage: Vec<EntityUid>,
}

impl<M: Members> EntityBuilder<'_, M> {
    const fn leaves_out(&self, attribute: &Attribute) -> bool {
        !matches!(self.attributes, BuiltAttributes::Read) && !attribute.left_to_cedar
    }

    /// Gathers everything for one query.
    ///
    /// # Errors
    /// The attributes that do not conform to the schema.
    pub(super) fn gather(
        &self,
        case: &ResolvedQuery<'_>,
    ) -> Result<RequestEntities, BadAttributes> {
        let mut named = ReferencedEntities::new();
        let mut entities = Vec::with_capacity(4);
        let mut faults = AttributeFaults::default();
        let principal = faults.keep(self.principal(case, &mut named));
        let resource = principal.as_ref().and_then(|(principal, role_lineage)| {
            faults.keep(self.resource(case, principal, role_lineage, &mut named))
        });
        let context = faults.keep(context(case, &mut named));
        let parts = faults.unless_any((principal, resource, context))?;
        let (Some((principal, role_lineage)), Some(resource), Some(context)) = parts else {
            return Err(BadAttributes::missing());
        };
        entities.extend(principal.entity);
        if resource.uid != principal.uid {
            entities.extend(resource.entity);
        }
        entities.extend(case.action.entity.clone());
        self.reach(&named, &mut entities)?;
        let request =
            Request::new(principal.uid, case.action.uid.clone(), resource.uid, context, None)
                .map_err(|fault| broken("the request", &fault))?;
        // To add to none costs less than to begin with some: the ancestors are known, and looked for again.
        let entities = Entities::empty()
            .add_entities(entities, None)
            .map_err(|fault| broken("the entities", &fault))?;
        Ok(RequestEntities {
            request,
            entities,
            role_lineage,
            principal_lineage: principal.lineage,
            resource_lineage: resource.lineage,
        })
    }

    /// The principal, and the ancestors of its role.
    fn principal(
        &self,
        case: &ResolvedQuery<'_>,
        named: &mut ReferencedEntities,
    ) -> Result<(EntityDraft, Vec<EntityUid>), BadAttributes> {
        match case.principal {
            Principal::Stored(uid, stored) => {
                named.extend(stored.named.iter().cloned());
                let drawn = EntityDraft {
                    uid: uid.clone(),
                    entity: Some(stored.entity.clone()),
                    lineage: stored.lineage.clone(),
                };
                Ok((drawn, Vec::new()))
            }
            Principal::Member(view) => {
                let said = self.said_of_subject(case, view.id)?;
                self.member(&view, view.account, &said, named)
                    .map_err(|bad| bad.within("subject.properties"))
            }
        }
    }

    /// The attributes that the caller gives of the member who asks: as the subject and, if the
    /// query is about the same member, as the resource. Both must agree.
    fn said_of_subject<'q>(
        &self,
        case: &ResolvedQuery<'q>,
        member_id: &str,
    ) -> Result<Cow<'q, GivenAttributes<'q>>, BadAttributes> {
        let Query { subject, resource, .. } = case.query;
        let (mut said, mut faults) =
            (Cow::Borrowed(subject.properties), AttributeFaults::default());
        if case.resource_type != self.names.user || resource.id != member_id {
            return Ok(said);
        }
        for attribute in &self.names.shape(self.names.user).attributes {
            let name = attribute.name.as_str();
            let Some(value) = property(resource.properties, name) else { continue };
            if is_supplied(name) {
                continue;
            }
            let differs = || BadAttributes::because("differs from what `subject.properties` says");
            let fault = match property(subject.properties, name) {
                Some(same) => (same != value).then(differs),
                None => read(&attribute.kind, value, &mut ReferencedEntities::new()).err(),
            };
            match fault {
                Some(bad) => drop(faults.keep(Err::<(), _>(of_resource(bad.within(name))))),
                None => said.to_mut().push((Cow::Owned(name.to_owned()), value.clone())),
            }
        }
        faults.unless_any(said)
    }

    /// A member, in `account`, with the ancestors of its role. `said` only adds what the store does
    /// not know.
    fn member(
        &self,
        view: &MemberView<'_>,
        account: &str,
        said: &[(Cow<'_, str>, Value<'_>)],
        named: &mut ReferencedEntities,
    ) -> Result<(EntityDraft, Vec<EntityUid>), BadAttributes> {
        let uid = self.uid(self.names.user, view.id)?;
        let role_lineage = self.lineage(self.names.role, view.role)?;
        let account_lineage = self.lineage(self.names.account, account)?;
        let attributes = self.member_attributes(view, account, said, named)?;
        let parents = role_lineage.iter().chain(&account_lineage).cloned().collect();
        let entity = entity(uid.clone(), attributes, parents)?;
        let lineage = std::iter::once(uid.clone()).chain(account_lineage).collect();
        Ok((EntityDraft { uid, entity: Some(entity), lineage }, role_lineage))
    }

    /// The attributes of a member, in `account`. `said` only adds what the store does not know.
    fn member_attributes(
        &self,
        view: &MemberView<'_>,
        account: &str,
        said: &GivenAttributes<'_>,
        named: &mut ReferencedEntities,
    ) -> Result<Vec<BuiltAttribute>, BadAttributes> {
        let (mut attributes, mut faults) = (Vec::new(), AttributeFaults::default());
        let declared = self.names.shape(self.names.user).attributes.iter();
        for attribute in declared.filter(|attribute| !self.leaves_out(attribute)) {
            let name = attribute.name.as_str();
            let value = if is_supplied(name) {
                if !attribute.mentioned {
                    continue;
                }
                let value = supplied(view, account, name, &attribute.kind);
                read(&attribute.kind, &value, named)
            } else {
                match property(said, name) {
                    Some(value) => read(&attribute.kind, value, named),
                    None if attribute.required => Err(BadAttributes::missing()),
                    None => continue,
                }
            };
            let value = faults.keep(value.map_err(|bad| bad.within(name)));
            attributes.extend(value.map(|value| (attribute.name.clone(), value)));
        }
        faults.unless_any(attributes)
    }

    fn resource(
        &self,
        case: &ResolvedQuery<'_>,
        principal: &EntityDraft,
        role_lineage: &[EntityUid],
        named: &mut ReferencedEntities,
    ) -> Result<EntityDraft, BadAttributes> {
        let asked = &case.query.resource;
        let id = match case.moved_to {
            Some(account) if case.resource_type == self.names.account => account,
            _ => asked.id,
        };
        let uid = self.uid(case.resource_type, id)?;
        let listed = self.names.get(case.resource_type).and_then(|info| info.ids.as_deref());
        check_listed(uid.type_name(), listed, id).map_err(|bad| bad.within("resource.id"))?;
        if uid == principal.uid && case.moved_to.is_none() {
            if let Principal::Stored(..) = case.principal {
                self.says_nothing(case).map_err(of_resource)?;
            }
            let lineage = principal.lineage.iter().chain(role_lineage).cloned().collect();
            return Ok(EntityDraft { uid, entity: None, lineage });
        }
        if let Some(stored) = self.stored.get(&uid) {
            return self.stored_resource(case, uid, stored, named).map_err(of_resource);
        }
        if case.resource_type == self.names.user {
            let found = self.members.with(id, |view| {
                let account = case.moved_to.unwrap_or(view.account);
                self.member(&view, account, asked.properties, named)
            });
            if let Some(found) = found {
                let (mut drawn, role_lineage) = found.map_err(of_resource)?;
                drawn.lineage.extend(role_lineage);
                return Ok(drawn);
            }
        }
        self.said_resource(case, uid, named).map_err(of_resource)
    }

    /// Refuses attributes of a resource that is the subject: no caller may change the subject.
    fn says_nothing(&self, case: &ResolvedQuery<'_>) -> Result<(), BadAttributes> {
        let declared = &self.names.shape(case.resource_type).attributes;
        let mut names = declared.iter().map(|attribute| attribute.name.as_str());
        match names.find(|name| property(case.query.resource.properties, name).is_some()) {
            Some(name) => {
                let why =
                    "cannot be given for the subject itself: its entity is in `entities.json`";
                Err(BadAttributes::because(why).within(name))
            }
            None => Ok(()),
        }
    }

    /// A resource of `entities.json`: the caller's attributes take precedence, but the stored
    /// parents take precedence over the caller's account.
    fn stored_resource(
        &self,
        case: &ResolvedQuery<'_>,
        uid: EntityUid,
        stored: &StaticEntity,
        named: &mut ReferencedEntities,
    ) -> Result<EntityDraft, BadAttributes> {
        let (_, mut attributes, _) = stored.entity.clone().into_inner();
        let mut faults = AttributeFaults::default();
        let moved_to = case.moved_to.or_else(|| self.default_of_stored(case, &uid, stored));
        let moved_to = moved_to.filter(|_| case.resource_type != self.names.account);
        let filled = moved_to.map(|account| Value::String(Cow::Borrowed(account)));
        for attribute in &self.names.shape(case.resource_type).attributes {
            let said = match attribute.name.as_str() {
                "account" if filled.is_some() => filled.as_ref(),
                name => property(case.query.resource.properties, name),
            };
            if let Some(value) = said {
                let value = read(&attribute.kind, value, named);
                let value = faults.keep(value.map_err(|bad| bad.within(&attribute.name)));
                attributes.extend(value.map(|value| (attribute.name.clone(), value)));
            }
        }
        let attributes = faults.unless_any(attributes)?;
        named.extend(stored.named.iter().cloned());
        let mut lineage = stored.lineage.clone();
        if let Some(account) = moved_to
            && self.names.get(case.resource_type).is_some_and(|info| info.in_account)
        {
            let account = self.uid(self.names.account, account)?;
            // What is in the account already stays.
            if !lineage.contains(&account) {
                let accounts = self.names.name(self.names.account);
                lineage = self.stored.lineage_without(uid.clone(), accounts);
                let own = self.stored.lineage(account);
                let more: Vec<_> = own.into_iter().filter(|uid| !lineage.contains(uid)).collect();
                lineage.extend(more);
            }
        }
        let parents: Vec<_> = lineage.iter().filter(|parent| **parent != uid).cloned().collect();
        let tags = stored.tags.iter().cloned();
        let entity = Entity::new_with_tags(uid.clone(), attributes, parents, tags)
            .map_err(|fault| broken("an attribute", &fault))?;
        Ok(EntityDraft { entity: Some(entity), uid, lineage })
    }

    /// The account of a stored resource without one, if there is a single account and the query
    /// names no other. None for the parent of others: they would be in the account, too.
    pub(super) fn default_of_stored<'c>(
        &self,
        case: &ResolvedQuery<'c>,
        uid: &EntityUid,
        stored: &StaticEntity,
    ) -> Option<&'c str> {
        let slug = case.default_account?;
        let account = self.names.name(self.names.account)?;
        let is_placed = stored.lineage.iter().any(|uid| uid.type_name() == account)
            || stored.entity.attr("account").is_some();
        let holds_others = case.resource_type == self.names.role || self.stored.are_in(uid);
        let said = self.said_account(&case.query.resource).ok()?;
        let is_other = said.is_some_and(|said| said != slug);
        (!is_placed && !holds_others && !is_other).then_some(slug)
    }

    /// A resource that only the caller knows.
    fn said_resource(
        &self,
        case: &ResolvedQuery<'_>,
        uid: EntityUid,
        named: &mut ReferencedEntities,
    ) -> Result<EntityDraft, BadAttributes> {
        let may_be_in_account =
            self.names.get(case.resource_type).is_some_and(|info| info.in_account);
        let mut faults = AttributeFaults::default();
        let account = self.account_of_said(case, &mut faults);
        // Everything in it would be in the account, too: a caller could move members and stored
        // entities by asking about it.
        let holds_others = case.resource_type == self.names.role || self.stored.are_in(&uid);
        if account.is_some() && may_be_in_account && holds_others {
            let why = format!(
                "cannot be given for `{uid}`, which is the parent of others: store it in `entities.json` with its account"
            );
            return Err(BadAttributes::because(why).within("account"));
        }
        let attributes = self.said_attributes(case, account.as_deref(), named, faults)?;
        let mut lineage = vec![uid.clone()];
        // Policies are validated for the parents that the schema allows; there must be no other.
        if let Some(slug) = account.as_ref().filter(|_| may_be_in_account) {
            lineage.extend(self.lineage(self.names.account, slug)?);
        }
        if attributes.is_empty() && lineage.len() == 1 {
            return Ok(EntityDraft { uid, entity: None, lineage });
        }
        let parents = lineage.iter().skip(1).cloned().collect();
        Ok(EntityDraft { entity: Some(entity(uid.clone(), attributes, parents)?), uid, lineage })
    }

    /// The account of a resource that only the caller knows.
    fn account_of_said<'q>(
        &self,
        case: &ResolvedQuery<'q>,
        faults: &mut AttributeFaults,
    ) -> Option<Cow<'q, str>> {
        if case.resource_type == self.names.account {
            return None;
        }
        match case.moved_to {
            Some(account) => Some(Cow::Borrowed(account)),
            None => match faults.keep(self.said_account(&case.query.resource)) {
                Some(account) => account.or(case.default_account.map(Cow::Borrowed)),
                None => None,
            },
        }
    }

    /// The attributes of a resource that only the caller knows. `faults` are those of its account.
    fn said_attributes(
        &self,
        case: &ResolvedQuery<'_>,
        account: Option<&str>,
        named: &mut ReferencedEntities,
        mut faults: AttributeFaults,
    ) -> Result<Vec<BuiltAttribute>, BadAttributes> {
        let is_account_bad = faults.is_any();
        let shape = self.names.shape(case.resource_type);
        let mut attributes = Vec::new();
        for attribute in shape.attributes.iter().filter(|attribute| !self.leaves_out(attribute)) {
            let filled;
            let value = match (account, attribute.name.as_str()) {
                (Some(slug), "account") => {
                    filled = Value::String(Cow::Borrowed(slug));
                    Some(&filled)
                }
                // Already reported if the account is invalid.
                (None, "account") if is_account_bad => continue,
                (None, "account") => None,
                (_, name) => property(case.query.resource.properties, name),
            };
            let value = match value {
                Some(value) => read(&attribute.kind, value, named),
                None if attribute.required => Err(BadAttributes::missing()),
                None => continue,
            };
            let value = faults.keep(value.map_err(|bad| bad.within(&attribute.name)));
            attributes.extend(value.map(|value| (attribute.name.clone(), value)));
        }
        faults.unless_any(attributes)
    }

    /// The request for operands that need no entities: the attributes of principal, resource and context are
    /// in its context, as [`context_field`]s. For a member, and a resource that only the caller knows.
    ///
    /// # Errors
    /// The attributes that do not conform to the schema.
    pub(super) fn operand_request(
        &self,
        case: &ResolvedQuery<'_>,
    ) -> Result<Request, BadAttributes> {
        let Principal::Member(view) = case.principal else { return Err(BadAttributes::missing()) };
        let Query { subject, resource, .. } = case.query;
        let (mut named, mut faults) = (ReferencedEntities::new(), AttributeFaults::default());
        let member = self.member_attributes(&view, view.account, subject.properties, &mut named)?;
        let account = self.account_of_said(case, &mut faults);
        let said = self.said_attributes(case, account.as_deref(), &mut named, faults)?;
        let context = context_fields(&case.action.context, case.query, &mut named)?;
        let mut fields = Vec::with_capacity(member.len() + said.len() + context.len());
        for (variable, attributes) in
            [("principal", member), ("resource", said), ("context", context)]
        {
            let attributes = attributes.into_iter();
            fields.extend(attributes.map(|(name, value)| (context_field(variable, &name), value)));
        }
        let context = Context::from_pairs(fields).map_err(|fault| broken("context", &fault))?;
        let principal = self.uid(self.names.user, view.id)?;
        let resource = self.uid(case.resource_type, resource.id)?;
        Request::new(principal, case.action.uid.clone(), resource, context, None)
            .map_err(|fault| broken("the request", &fault))
    }

    /// Adds the entities that attributes name, stored ones and members, as far as a condition may
    /// follow references.
    ///
    /// # Errors
    /// A member that lacks an attribute which only its caller could say: left out, it would be in
    /// no role and have no attribute, and a `forbid` that asks for one would not see it.
    fn reach(&self, named: &[EntityUid], entities: &mut Vec<Entity>) -> Result<(), BadAttributes> {
        let user = self.names.name(self.names.user);
        if self.stored.is_empty() && !named.iter().any(|uid| Some(uid.type_name()) == user) {
            return Ok(());
        }
        let mut seen: HashSet<EntityUid> = entities.iter().map(Entity::uid).collect();
        let mut front = named.to_vec();
        for _ in 0..REACH {
            let mut next = ReferencedEntities::new();
            for uid in front.drain(..).filter(|uid| seen.insert(uid.clone())) {
                if let Some(stored) = self.stored.get(&uid) {
                    next.extend(stored.named.iter().cloned());
                    entities.push(stored.entity.clone());
                } else if Some(uid.type_name()) == user {
                    let drawn = self.members.with(uid.id().unescaped(), |view| {
                        self.member(&view, view.account, &[], &mut next)
                    });
                    if let Some(drawn) = drawn {
                        let (drawn, _) = drawn.map_err(|bad| bad.within(&uid.to_string()))?;
                        entities.extend(drawn.entity);
                    }
                }
            }
            front = next;
        }
        Ok(())
    }

    /// The account that the caller gives for a resource: a bare slug, or the entity's JSON form.
    pub(super) fn said_account<'a>(
        &self,
        said: &EntityRef<'a>,
    ) -> Result<Option<Cow<'a, str>>, BadAttributes> {
        let Some(name) = self.names.name(self.names.account) else { return Ok(None) };
        match property(said.properties, "account") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(slug)) => Ok(Some(slug.clone())),
            Some(other) => read_entity(name, None, other)
                .map(|uid| Some(Cow::Owned(uid.id().unescaped().to_owned())))
                .map_err(|bad| bad.within("account")),
        }
    }

    /// An entity and its ancestors.
    fn lineage(&self, kind: usize, id: &str) -> Result<Vec<EntityUid>, BadAttributes> {
        Ok(self.stored.lineage(self.uid(kind, id)?))
    }

    fn uid(&self, kind: usize, id: &str) -> Result<EntityUid, BadAttributes> {
        self.names.uid(kind, id).ok_or_else(BadAttributes::missing)
    }
}

/// The context: the declared attributes of `context`, and `context.action` from the action's
/// properties.
fn context(
    case: &ResolvedQuery<'_>,
    named: &mut ReferencedEntities,
) -> Result<Context, BadAttributes> {
    let shape = &case.action.context;
    if shape.attributes.is_empty() {
        return Ok(Context::empty());
    }
    let fields = context_fields(shape, case.query, named).map_err(|bad| bad.within("context"))?;
    Context::from_pairs(fields).map_err(|fault| broken("context", &fault))
}

fn context_fields(
    shape: &AttributeShape,
    query: &Query<'_>,
    named: &mut ReferencedEntities,
) -> Result<Vec<BuiltAttribute>, BadAttributes> {
    match shape.get("action") {
        Some(_) if !query.action_properties.is_empty() => {
            let mut members: Vec<_> =
                query.context.iter().filter(|(name, _)| name != "action").cloned().collect();
            members
                .push((Cow::Borrowed("action"), Value::Record(query.action_properties.to_vec())));
            read_shape(shape, &members, named)
        }
        _ => read_shape(shape, query.context, named),
    }
}

/// The attributes of a member that the store supplies and no caller can override.
pub(super) fn is_supplied(name: &str) -> bool {
    matches!(
        name,
        "account"
            | "role"
            | "active"
            | "email"
            | "first_name"
            | "last_name"
            | "two_step"
            | "joined"
    )
}

/// Whether a declared type can hold the value that the store supplies for this name.
pub(super) fn can_hold_attribute(names: &Symbols, name: &str, kind: &AttributeType) -> bool {
    let is = |index: usize, of: &cedar_policy::EntityTypeName| names.name(index) == Some(of);
    match (name, kind) {
        ("account", AttributeType::Entity(of, _)) => is(names.account, of),
        ("role", AttributeType::Entity(of, _)) => is(names.role, of),
        ("account" | "role" | "email" | "first_name" | "last_name", AttributeType::String)
        | ("active" | "two_step", AttributeType::Bool)
        | ("joined", AttributeType::Extension(Extension::DateTime) | AttributeType::Long) => true,
        _ => false,
    }
}

fn supplied<'v>(
    view: &MemberView<'v>,
    account: &'v str,
    name: &str,
    kind: &AttributeType,
) -> Value<'v> {
    let text = |text: &'v str| Value::String(Cow::Borrowed(text));
    match (name, kind) {
        ("account", _) => text(account),
        ("role", _) => text(view.role),
        ("active", _) => Value::Bool(view.active),
        ("email", _) => text(view.texts.email_key()),
        ("first_name", _) => text(view.texts.first_name()),
        ("last_name", _) => text(view.texts.last_name()),
        ("two_step", _) => Value::Bool(view.two_step),
        ("joined", AttributeType::Long) => Value::Long(view.joined.0),
        ("joined", _) => Value::String(datetime(view.joined).into()),
        _ => Value::Null,
    }
}

/// A time in the form of Cedar's `datetime`: the fraction of a second has three digits or is
/// absent.
fn datetime(at: Timestamp) -> String {
    let text = clock::rfc3339(at);
    match text.trim_end_matches('Z').split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{fraction:0<3}Z"),
        None => text,
    }
}

fn entity(
    uid: EntityUid,
    attributes: Vec<BuiltAttribute>,
    parents: HashSet<EntityUid>,
) -> Result<Entity, BadAttributes> {
    if attributes.is_empty() {
        return Ok(Entity::new_no_attrs(uid, parents));
    }
    Entity::new(uid, attributes.into_iter().collect(), parents)
        .map_err(|fault| broken("an attribute", &fault))
}

fn of_resource(bad: BadAttributes) -> BadAttributes {
    bad.within("resource.properties")
}

/// A fault that Cedar itself reports, usually of an extension's text.
fn broken(what: &str, fault: &dyn std::error::Error) -> BadAttributes {
    BadAttributes::because(format!("{what}: {fault}"))
}
