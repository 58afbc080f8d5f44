//! A compiled policy for one member, one action and any resource of a type: which resources it applies to.
//!
//! Each condition becomes two filters: where it is certainly true, and where it is certainly false. A row in
//! neither is one on which the evaluation fails: a `permit` does not allow it, and a `forbid` denies it. What
//! cannot be expressed exactly by a filter is an error, never a wider filter.

use std::fmt;

use cedar_policy::EntityTypeName;

use super::evaluator::{are_equal, attribute_of};
use super::{CompiledPolicy, Node, NodeId, QueryFacts, Stop, Variable};
use crate::engine::attribute_types::{Attribute, AttributeShape, AttributeType};
use crate::engine::compiled_condition_inputs::{EntityName, FactValue, value_of};
use crate::engine::left_to_cedar::NotCompiled;
use crate::engine::plan_filter::{Column, ColumnType, Comparison, Filter, Operand, Scalar};

/// Most tests and combinations of one filter: conditions that decide twice by the same part grow.
pub(in crate::engine) const FILTER_MAX: usize = 4_000;

const EXTENSION_TYPE: &str = "a date, an address or a decimal as an attribute of the resource";

/// Why a policy cannot be expressed as a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::engine) enum NotPlanned {
    /// It uses this on the resource's attributes.
    Uses(&'static str),
    /// A part of it is not compiled.
    LeftToCedar(NotCompiled),
    /// The filter would have more than [`FILTER_MAX`] parts.
    TooLarge,
}

impl fmt::Display for NotPlanned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uses(what) => write!(f, "it uses {what}"),
            Self::LeftToCedar(why) => why.fmt(f),
            Self::TooLarge => write!(f, "its filter would have more than {FILTER_MAX} parts"),
        }
    }
}

type Planned<T> = Result<T, NotPlanned>;

/// Where a condition is certainly true, and where it is certainly false.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Certainty {
    pub(in crate::engine) yes: Filter,
    pub(in crate::engine) no: Filter,
    /// Whether every row is in one of the two.
    is_total: bool,
}

impl Certainty {
    const fn known(flag: bool) -> Self {
        Self { yes: Filter::of(flag), no: Filter::of(!flag), is_total: true }
    }

    /// The evaluation fails on every row.
    const fn fails() -> Self {
        Self { yes: Filter::Never, no: Filter::Never, is_total: false }
    }

    fn not(self) -> Self {
        Self { yes: self.no, no: self.yes, is_total: self.is_total }
    }

    /// `&&`: the second is evaluated where the first is true.
    fn and(self, other: Self) -> Planned<Self> {
        let second =
            if self.is_total { other.no } else { Filter::all([self.yes.clone(), other.no]) };
        bounded(Self {
            yes: Filter::all([self.yes, other.yes]),
            no: Filter::any([self.no, second]),
            is_total: self.is_total && other.is_total,
        })
    }

    fn or(self, other: Self) -> Planned<Self> {
        Ok(self.not().and(other.not())?.not())
    }

    /// Rows on which both can be evaluated: `and` and `or` are this by themselves.
    fn equals(self, other: Self) -> Planned<Self> {
        bounded(Self {
            yes: Filter::any([
                Filter::all([self.yes.clone(), other.yes.clone()]),
                Filter::all([self.no.clone(), other.no.clone()]),
            ]),
            no: Filter::any([Filter::all([self.yes, other.no]), Filter::all([self.no, other.yes])]),
            is_total: self.is_total && other.is_total,
        })
    }

    /// Rows on which it can be evaluated.
    fn defined(self) -> Filter {
        if self.is_total { Filter::Always } else { Filter::any([self.yes, self.no]) }
    }
}

fn bounded(made: Certainty) -> Planned<Certainty> {
    if made.yes.size() + made.no.size() > FILTER_MAX {
        return Err(NotPlanned::TooLarge);
    }
    Ok(made)
}

/// The value of an expression: known, or an attribute of the row.
enum Value<'f> {
    Known(FactValue<'f>),
    /// An attribute that a row may lack; then the evaluation fails.
    Attribute(&'f Attribute),
    /// The resource itself.
    Resource,
    Flag(Box<Certainty>),
    /// The evaluation fails on every row.
    Fails,
}

/// What is known when resources of one type are planned.
pub(in crate::engine) struct Planner<'f> {
    /// Of a resource that nothing is known of.
    pub(in crate::engine) facts: &'f QueryFacts<'f>,
    pub(in crate::engine) shape: &'f AttributeShape,
    pub(in crate::engine) resource: &'f EntityTypeName,
    pub(in crate::engine) default_account: Option<&'f str>,
}

impl CompiledPolicy {
    /// Whether an expression reads the resource. Recursion is limited by the depth of what is compiled.
    fn reads_resource(&self, at: NodeId) -> bool {
        let any = |nodes: &[NodeId]| nodes.iter().any(|at| self.reads_resource(*at));
        match self.node(at) {
            None | Some(Node::Variable(Variable::Resource) | Node::LeftToCedar(_)) => true,
            Some(
                Node::Bool(_)
                | Node::Long(_)
                | Node::Text(_)
                | Node::DateTime(_)
                | Node::Entity(_)
                | Node::Variable(_)
                | Node::ActionIs(_)
                | Node::ActionIn(_),
            ) => false,
            Some(Node::Set(nodes) | Node::All(nodes) | Node::Any(nodes)) => any(nodes),
            Some(
                Node::Get(one, _)
                | Node::Has(one, _)
                | Node::Not(one)
                | Node::Negate(one)
                | Node::Is(one, _)
                | Node::Like(one, _),
            ) => any(&[*one]),
            Some(
                Node::Equal(one, other)
                | Node::Less(one, other)
                | Node::LessOrEqual(one, other)
                | Node::Add(one, other)
                | Node::Subtract(one, other)
                | Node::Multiply(one, other)
                | Node::In(one, other)
                | Node::Contains(one, other),
            ) => any(&[*one, *other]),
            Some(Node::If(test, then, otherwise)) => any(&[*test, *then, *otherwise]),
        }
    }
}

impl<'f> Planner<'f> {
    /// Where a policy applies, and where it certainly does not.
    ///
    /// # Errors
    /// What of it cannot be expressed as a filter.
    pub(in crate::engine) fn policy(&self, policy: &'f CompiledPolicy) -> Planned<Certainty> {
        let mut whole = Certainty::known(true);
        for condition in &policy.conditions {
            // What follows a condition that is never true is not evaluated.
            if whole.yes == Filter::Never {
                break;
            }
            whole = whole.and(self.flag(policy, *condition)?)?;
        }
        Ok(whole)
    }

    /// Rows that conform to the schema: all others are denied.
    ///
    /// # Errors
    /// What the schema says of them that cannot be expressed as a filter.
    pub(in crate::engine) fn conforming(&self, ids: Option<&[String]>) -> Planned<Filter> {
        let one_of = |column: &Column, ids: &[String]| -> Planned<Filter> {
            if ids.len() > FILTER_MAX {
                return Err(NotPlanned::TooLarge);
            }
            Ok(Filter::any(ids.iter().map(|id| equal_text(column.clone(), id))))
        };
        let mut all = Vec::new();
        if let Some(ids) = ids {
            all.push(one_of(&self.id()?, ids)?);
        }
        for attribute in &self.shape.attributes {
            let column = self.column(attribute);
            if attribute.required {
                all.push(Filter::present(column.clone()));
            }
            if let AttributeType::Entity(_, Some(ids)) = &attribute.kind {
                all.push(Filter::any([Filter::absent(column.clone()), one_of(&column, ids)?]));
            }
        }
        Ok(Filter::all(all))
    }

    fn column(&self, attribute: &Attribute) -> Column {
        let kind = match attribute.kind {
            AttributeType::Bool => ColumnType::Bool,
            AttributeType::Long => ColumnType::Long,
            AttributeType::String | AttributeType::Entity(..) => ColumnType::Text,
            AttributeType::Set(_) | AttributeType::Record(_) | AttributeType::Extension(_) => {
                ColumnType::Other
            }
        };
        let otherwise = self.default_account.filter(|_| attribute.name == "account");
        Column { name: attribute.name.clone(), kind, otherwise: otherwise.map(str::to_owned) }
    }

    /// The column of the account that a resource is in, whether or not it is an attribute.
    fn account(&self) -> Column {
        let otherwise = self.default_account.map(str::to_owned);
        Column { name: "account".to_owned(), kind: ColumnType::Text, otherwise }
    }

    fn id(&self) -> Planned<Column> {
        if self.shape.get("id").is_some() {
            return Err(NotPlanned::Uses("the id of a resource that has an attribute `id`, too"));
        }
        Ok(Column { name: "id".to_owned(), kind: ColumnType::Text, otherwise: None })
    }

    /// Recursion is limited by the depth of what is compiled.
    fn flag(&self, policy: &'f CompiledPolicy, at: NodeId) -> Planned<Certainty> {
        Ok(match self.value(policy, at)? {
            Value::Flag(certainty) => *certainty,
            Value::Known(FactValue::Bool(flag)) => Certainty::known(flag),
            Value::Attribute(attribute) if matches!(attribute.kind, AttributeType::Bool) => {
                self.compared(attribute, Comparison::Equal, Operand::Value(Scalar::Bool(true)))
            }
            _ => Certainty::fails(),
        })
    }

    fn value(&self, policy: &'f CompiledPolicy, at: NodeId) -> Planned<Value<'f>> {
        let node = policy.node(at).ok_or(NotPlanned::Uses("an unknown operator"))?;
        Ok(Value::Flag(Box::new(match node {
            Node::Bool(flag) => Certainty::known(*flag),
            Node::Long(number) => return Ok(Value::Known(FactValue::Long(*number))),
            Node::Text(text) => return Ok(Value::Known(FactValue::Text(text))),
            Node::DateTime(ms) => return Ok(Value::Known(FactValue::DateTime(*ms))),
            Node::Entity(uid) => return Ok(Value::Known(FactValue::Entity(EntityName::of(uid)))),
            Node::Variable(Variable::Resource) => return Ok(Value::Resource),
            Node::Variable(variable) => {
                let entity = self.facts.entity(*variable);
                let entity = entity.ok_or(NotPlanned::Uses("the whole context"))?;
                return Ok(Value::Known(FactValue::Entity(entity)));
            }
            Node::Get(from, name) => return self.get(policy, *from, name),
            Node::Negate(_) | Node::Add(..) | Node::Subtract(..) | Node::Multiply(..) => {
                return self.number(policy, at);
            }
            Node::If(test, then, otherwise) => {
                return self.chosen(policy, [*test, *then, *otherwise]);
            }
            Node::Set(_) => return Err(NotPlanned::Uses("a set")),
            Node::Has(from, names) => self.has(policy, *from, names)?,
            Node::Not(operand) => self.flag(policy, *operand)?.not(),
            Node::All(operands) => {
                self.each(policy, operands, Certainty::known(true), Certainty::and)?
            }
            Node::Any(operands) => {
                self.each(policy, operands, Certainty::known(false), Certainty::or)?
            }
            Node::Equal(left, right) => {
                self.equal(self.value(policy, *left)?, self.value(policy, *right)?)?
            }
            Node::Less(left, right) => self.ordered(policy, *left, Comparison::Less, *right)?,
            Node::LessOrEqual(left, right) => {
                self.ordered(policy, *left, Comparison::LessOrEqual, *right)?
            }
            Node::In(one, other) => self.is_in(policy, *one, *other)?,
            Node::Is(from, kind) => self.is(&self.value(policy, *from)?, kind),
            Node::Contains(set, value) => self.contains(policy, *set, *value)?,
            Node::Like(text, pattern) => match self.value(policy, *text)? {
                Value::Known(FactValue::Text(text)) => Certainty::known(pattern.fits(text)),
                Value::Attribute(attribute) if matches!(attribute.kind, AttributeType::String) => {
                    return Err(NotPlanned::Uses("`like` on an attribute of the resource"));
                }
                _ => Certainty::fails(),
            },
            Node::LeftToCedar(operand) => {
                return Err(NotPlanned::LeftToCedar(operand.why.clone()));
            }
            Node::ActionIs(uid) => Certainty::known(self.facts.action().uid == *uid),
            Node::ActionIn(uids) => {
                let mut lineage = uids.iter().map(|uid| self.facts.action().lineage.contains(uid));
                Certainty::known(lineage.any(|found| found))
            }
        })))
    }

    fn each(
        &self,
        policy: &'f CompiledPolicy,
        operands: &[NodeId],
        begin: Certainty,
        combine: impl Fn(Certainty, Certainty) -> Planned<Certainty>,
    ) -> Planned<Certainty> {
        operands
            .iter()
            .try_fold(begin, |found, operand| combine(found, self.flag(policy, *operand)?))
    }

    fn chosen(&self, policy: &'f CompiledPolicy, parts: [NodeId; 3]) -> Planned<Value<'f>> {
        let [test, then, otherwise] = parts;
        let test = self.flag(policy, test)?;
        if test.yes == Filter::Always {
            return self.value(policy, then);
        }
        if test.no == Filter::Always {
            return self.value(policy, otherwise);
        }
        if test.yes == Filter::Never && test.no == Filter::Never {
            return Ok(Value::Fails);
        }
        let is_flag = |value: &Value<'_>| match value {
            // What fails on every row is not of another type.
            Value::Flag(_) | Value::Known(FactValue::Bool(_)) | Value::Fails => true,
            Value::Attribute(attribute) => matches!(attribute.kind, AttributeType::Bool),
            _ => false,
        };
        if !is_flag(&self.value(policy, then)?) || !is_flag(&self.value(policy, otherwise)?) {
            return Err(NotPlanned::Uses("`if` for a value that is no boolean"));
        }
        let (then, otherwise) = (self.flag(policy, then)?, self.flag(policy, otherwise)?);
        let branch = |one: &Filter, other: &Filter| {
            Filter::any([
                Filter::all([test.yes.clone(), one.clone()]),
                Filter::all([test.no.clone(), other.clone()]),
            ])
        };
        let made = Certainty {
            yes: branch(&then.yes, &otherwise.yes),
            no: branch(&then.no, &otherwise.no),
            is_total: test.is_total && then.is_total && otherwise.is_total,
        };
        bounded(made).map(|made| Value::Flag(Box::new(made)))
    }

    fn get(&self, policy: &'f CompiledPolicy, from: NodeId, name: &str) -> Planned<Value<'f>> {
        let found = match policy.node(from) {
            Some(Node::Variable(Variable::Resource)) => {
                return Ok(self.shape.get(name).map_or(Value::Fails, Value::Attribute));
            }
            Some(Node::Variable(variable)) => self.facts.attribute(*variable, name),
            _ => match self.value(policy, from)? {
                Value::Known(value) => attribute_of(value, name),
                Value::Fails => return Ok(Value::Fails),
                _ => return Err(NotPlanned::Uses("what is inside an attribute of the resource")),
            },
        };
        match found {
            Ok(found) => Ok(found.map_or(Value::Fails, Value::Known)),
            Err(Stop::Errs) => Ok(Value::Fails),
            Err(Stop::CedarDecides) => Err(NotPlanned::Uses("what only Cedar evaluates")),
        }
    }

    fn has(
        &self,
        policy: &'f CompiledPolicy,
        from: NodeId,
        names: &[Box<str>],
    ) -> Planned<Certainty> {
        if let Some(Node::Variable(Variable::Resource)) = policy.node(from) {
            let [name] = names else {
                return Err(NotPlanned::Uses("what is inside an attribute of the resource"));
            };
            return Ok(match self.shape.get(name) {
                None => Certainty::known(false),
                Some(attribute) => {
                    let column = self.column(attribute);
                    Certainty {
                        yes: Filter::present(column.clone()),
                        no: Filter::absent(column),
                        is_total: true,
                    }
                }
            });
        }
        if policy.reads_resource(from) {
            return Err(NotPlanned::Uses("what is inside an attribute of the resource"));
        }
        match policy.has(from, names, self.facts) {
            Ok(flag) => Ok(Certainty::known(flag)),
            Err(Stop::Errs) => Ok(Certainty::fails()),
            Err(Stop::CedarDecides) => Err(NotPlanned::Uses("`has` inside an attribute")),
        }
    }

    /// Numbers that do not read the resource.
    fn number(&self, policy: &'f CompiledPolicy, at: NodeId) -> Planned<Value<'f>> {
        if policy.reads_resource(at) {
            return Err(NotPlanned::Uses("arithmetic with an attribute of the resource"));
        }
        match policy.value(at, self.facts) {
            Ok(value) => Ok(Value::Known(value)),
            Err(Stop::Errs) => Ok(Value::Fails),
            Err(Stop::CedarDecides) => Err(NotPlanned::Uses("what only Cedar evaluates")),
        }
    }

    /// Rows in which an attribute compares so, and those in which it does not.
    fn compared(&self, attribute: &Attribute, how: Comparison, with: Operand) -> Certainty {
        let column = self.column(attribute);
        let is_total = attribute.required || column.otherwise.is_some();
        let is_total = is_total && !matches!(with, Operand::Column(_));
        Certainty {
            yes: Filter::compare(column.clone(), how, with.clone()),
            no: Filter::compare(column, how.opposite(), with),
            // What is required is there in every row that conforms.
            is_total,
        }
    }

    fn present(&self, attribute: &Attribute) -> Filter {
        Filter::present(self.column(attribute))
    }

    /// Never equal, on rows that have these attributes.
    fn differ(&self, attributes: &[&Attribute]) -> Certainty {
        let no = Filter::all(attributes.iter().map(|attribute| self.present(attribute)));
        Certainty { yes: Filter::Never, no, is_total: false }
    }

    fn equal(&self, left: Value<'f>, right: Value<'f>) -> Planned<Certainty> {
        use Value::{Attribute, Fails, Flag, Known, Resource};
        Ok(match (left, right) {
            (Fails, _) | (_, Fails) => Certainty::fails(),
            (Known(one), Known(other)) => known(are_equal(&one, &other))?,
            (Resource, Resource) => Certainty::known(true),
            (Resource, Known(value)) | (Known(value), Resource) => self.is_resource(value)?,
            (Resource, Attribute(attribute)) | (Attribute(attribute), Resource) => {
                match &attribute.kind {
                    AttributeType::Entity(kind, _) if kind == self.resource => {
                        let id = Operand::Column(self.id()?);
                        self.compared(attribute, Comparison::Equal, id)
                    }
                    _ => self.differ(&[attribute]),
                }
            }
            (Attribute(attribute), Known(value)) | (Known(value), Attribute(attribute)) => {
                self.attribute_is(attribute, value)?
            }
            (Attribute(one), Attribute(other)) => {
                plain(one)?;
                plain(other)?;
                if same_type(&one.kind, &other.kind) {
                    let other = Operand::Column(self.column(other));
                    self.compared(one, Comparison::Equal, other)
                } else {
                    self.differ(&[one, other])
                }
            }
            (Flag(one), other) | (other, Flag(one)) => match other {
                Flag(other) => one.equals(*other)?,
                Known(FactValue::Bool(true)) => *one,
                Known(FactValue::Bool(false)) => one.not(),
                Attribute(attribute) if matches!(attribute.kind, AttributeType::Bool) => {
                    let is = Operand::Value(Scalar::Bool(true));
                    one.equals(self.compared(attribute, Comparison::Equal, is))?
                }
                Attribute(attribute) => {
                    plain(attribute)?;
                    let no = Filter::all([one.defined(), self.present(attribute)]);
                    Certainty { yes: Filter::Never, no, is_total: false }
                }
                Known(_) | Resource | Fails => {
                    let is_total = one.is_total;
                    Certainty { yes: Filter::Never, no: one.defined(), is_total }
                }
            },
        })
    }

    /// Whether the resource is this value.
    fn is_resource(&self, value: FactValue<'_>) -> Planned<Certainty> {
        Ok(match value {
            FactValue::Entity(entity) if entity.kind == self.resource => {
                let column = self.id()?;
                let with = Operand::Value(Scalar::Text(entity.id.to_owned()));
                Certainty {
                    yes: Filter::compare(column.clone(), Comparison::Equal, with.clone()),
                    no: Filter::compare(column, Comparison::NotEqual, with),
                    is_total: true,
                }
            }
            FactValue::Set(..) | FactValue::Record(..) => {
                return Err(NotPlanned::Uses("a set or a record as a value"));
            }
            _ => Certainty::known(false),
        })
    }

    fn attribute_is(&self, attribute: &Attribute, value: FactValue<'_>) -> Planned<Certainty> {
        plain(attribute)?;
        let scalar = match (&attribute.kind, value) {
            (_, FactValue::Set(..) | FactValue::Record(..)) => {
                return Err(NotPlanned::Uses("a set or a record as a value"));
            }
            (AttributeType::Bool, FactValue::Bool(flag)) => Scalar::Bool(flag),
            (AttributeType::Long, FactValue::Long(number)) => Scalar::Long(number),
            (AttributeType::String, FactValue::Text(text)) => Scalar::Text(text.to_owned()),
            (AttributeType::Entity(kind, _), FactValue::Entity(entity)) if kind == entity.kind => {
                Scalar::Text(entity.id.to_owned())
            }
            _ => return Ok(self.differ(&[attribute])),
        };
        Ok(self.compared(attribute, Comparison::Equal, Operand::Value(scalar)))
    }

    fn ordered(
        &self,
        policy: &'f CompiledPolicy,
        left: NodeId,
        how: Comparison,
        right: NodeId,
    ) -> Planned<Certainty> {
        let long = |attribute: &Attribute| matches!(attribute.kind, AttributeType::Long);
        Ok(match (self.value(policy, left)?, self.value(policy, right)?) {
            (Value::Known(FactValue::Long(one)), Value::Known(FactValue::Long(other)))
            | (Value::Known(FactValue::DateTime(one)), Value::Known(FactValue::DateTime(other))) => {
                Certainty::known(if how == Comparison::Less { one < other } else { one <= other })
            }
            (Value::Attribute(one), Value::Known(FactValue::Long(number))) if long(one) => {
                self.compared(one, how, Operand::Value(Scalar::Long(number)))
            }
            (Value::Known(FactValue::Long(number)), Value::Attribute(other)) if long(other) => {
                self.compared(other, how.flipped(), Operand::Value(Scalar::Long(number)))
            }
            (Value::Attribute(one), Value::Attribute(other)) if long(one) && long(other) => {
                self.compared(one, how, Operand::Column(self.column(other)))
            }
            (Value::Attribute(one), _) | (_, Value::Attribute(one))
                if matches!(one.kind, AttributeType::Extension(_)) =>
            {
                return Err(NotPlanned::Uses(EXTENSION_TYPE));
            }
            _ => Certainty::fails(),
        })
    }

    fn is(&self, value: &Value<'f>, kind: &EntityTypeName) -> Certainty {
        match value {
            Value::Resource => Certainty::known(self.resource == kind),
            Value::Known(FactValue::Entity(entity)) => Certainty::known(entity.kind == kind),
            Value::Attribute(attribute) => match &attribute.kind {
                AttributeType::Entity(own, _) => {
                    let (present, is_total) = (self.present(attribute), attribute.required);
                    if own == kind {
                        Certainty { yes: present, no: Filter::Never, is_total }
                    } else {
                        Certainty { yes: Filter::Never, no: present, is_total }
                    }
                }
                _ => Certainty::fails(),
            },
            _ => Certainty::fails(),
        }
    }

    fn is_in(&self, policy: &'f CompiledPolicy, one: NodeId, other: NodeId) -> Planned<Certainty> {
        let others: Vec<EntityName<'f>> = match policy.node(other) {
            Some(Node::Set(items)) => {
                let mut entities = Vec::new();
                for item in items {
                    match self.value(policy, *item)? {
                        Value::Known(FactValue::Entity(entity)) => entities.push(entity),
                        _ => {
                            return Err(NotPlanned::Uses(
                                "`in` with a set that reads the resource",
                            ));
                        }
                    }
                }
                entities
            }
            _ => match self.value(policy, other)? {
                Value::Known(FactValue::Entity(entity)) => vec![entity],
                Value::Known(FactValue::Set(..)) => {
                    return Err(NotPlanned::Uses("`in` with a set that a caller gives"));
                }
                Value::Known(_) | Value::Fails => return Ok(Certainty::fails()),
                Value::Attribute(_) | Value::Resource | Value::Flag(_) => {
                    return Err(NotPlanned::Uses("`in` with the resource on its right"));
                }
            },
        };
        let mut found = Certainty::known(false);
        match self.value(policy, one)? {
            Value::Resource => {
                for other in others {
                    found = found.or(self.resource_in(other)?)?;
                }
            }
            Value::Known(FactValue::Entity(one)) => {
                // It may be the resource of a row.
                if one.kind == self.resource {
                    return Err(NotPlanned::Uses("`in` for an entity of the type of the resource"));
                }
                for other in others {
                    found = found.or(known(self.facts.is_in(one, other))?)?;
                }
            }
            Value::Attribute(attribute) if matches!(attribute.kind, AttributeType::Entity(..)) => {
                return Err(NotPlanned::Uses("`in` for an entity that an attribute names"));
            }
            _ => return Ok(Certainty::fails()),
        }
        Ok(found)
    }

    /// Whether the resource is an entity, or in it by its account.
    fn resource_in(&self, other: EntityName<'f>) -> Planned<Certainty> {
        let itself = self.is_resource(FactValue::Entity(other))?;
        let accounts = self.facts.accounts_in(other);
        if accounts.is_empty() || !self.facts.may_be_placed() {
            return Ok(itself);
        }
        if accounts.len() > FILTER_MAX {
            return Err(NotPlanned::TooLarge);
        }
        let column = self.account();
        let compare = |how: Comparison, slug: &str| {
            Filter::compare(column.clone(), how, Operand::Value(Scalar::Text(slug.to_owned())))
        };
        let outside = Filter::all(accounts.iter().map(|slug| compare(Comparison::NotEqual, slug)));
        itself.or(Certainty {
            yes: Filter::any(accounts.iter().map(|slug| compare(Comparison::Equal, slug))),
            no: Filter::any([Filter::absent(column.clone()), outside]),
            is_total: true,
        })
    }

    fn contains(
        &self,
        policy: &'f CompiledPolicy,
        set: NodeId,
        value: NodeId,
    ) -> Planned<Certainty> {
        let items: Vec<Value<'f>> = match policy.node(set) {
            Some(Node::Set(items)) => {
                items.iter().map(|item| self.value(policy, *item)).collect::<Planned<_>>()?
            }
            _ => match self.value(policy, set)? {
                Value::Known(FactValue::Set(kind, items)) => {
                    let item = |item| match value_of(kind, item) {
                        Ok(value) => Ok(Value::Known(value)),
                        Err(Stop::Errs) => Ok(Value::Fails),
                        Err(Stop::CedarDecides) => {
                            Err(NotPlanned::Uses("what only Cedar evaluates"))
                        }
                    };
                    items.iter().map(item).collect::<Planned<_>>()?
                }
                Value::Known(_) | Value::Fails | Value::Flag(_) | Value::Resource => {
                    return Ok(Certainty::fails());
                }
                Value::Attribute(_) => {
                    return Err(NotPlanned::Uses("a set as an attribute of the resource"));
                }
            },
        };
        // Every item is evaluated before any is compared: so the ones that fail count for all.
        let mut yes = Vec::new();
        let mut no = Vec::new();
        let mut is_total = true;
        for item in items {
            let found = self.equal(item, self.value(policy, value)?)?;
            is_total &= found.is_total;
            yes.push(found.yes.clone());
            no.push(found);
        }
        let defined: Vec<Filter> = no.iter().map(|found| found.clone().defined()).collect();
        let none = Filter::all(no.into_iter().map(|found| found.no));
        let value = match self.value(policy, value)? {
            Value::Attribute(attribute) => self.present(attribute),
            Value::Fails => return Ok(Certainty::fails()),
            Value::Flag(flag) => flag.defined(),
            Value::Known(_) | Value::Resource => Filter::Always,
        };
        let yes = Filter::all([Filter::any(yes), Filter::all(defined)]);
        bounded(Certainty { yes, no: Filter::all([none, value]), is_total })
    }
}

fn known(found: Result<bool, Stop>) -> Planned<Certainty> {
    match found {
        Ok(flag) => Ok(Certainty::known(flag)),
        Err(Stop::Errs) => Ok(Certainty::fails()),
        Err(Stop::CedarDecides) => Err(NotPlanned::Uses("what only Cedar evaluates")),
    }
}

fn equal_text(column: Column, text: &str) -> Filter {
    Filter::compare(column, Comparison::Equal, Operand::Value(Scalar::Text(text.to_owned())))
}

/// Refuses attributes that have no single value in a row.
fn plain(attribute: &Attribute) -> Planned<()> {
    match attribute.kind {
        AttributeType::Set(_) => Err(NotPlanned::Uses("a set as an attribute of the resource")),
        AttributeType::Record(_) => {
            Err(NotPlanned::Uses("a record as an attribute of the resource"))
        }
        AttributeType::Extension(_) => Err(NotPlanned::Uses(EXTENSION_TYPE)),
        AttributeType::Bool
        | AttributeType::Long
        | AttributeType::String
        | AttributeType::Entity(..) => Ok(()),
    }
}

fn same_type(one: &AttributeType, other: &AttributeType) -> bool {
    match (one, other) {
        (AttributeType::Bool, AttributeType::Bool)
        | (AttributeType::Long, AttributeType::Long)
        | (AttributeType::String, AttributeType::String) => true,
        (AttributeType::Entity(one, _), AttributeType::Entity(other, _)) => one == other,
        _ => false,
    }
}
