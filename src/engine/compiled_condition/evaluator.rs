//! The evaluation of a compiled policy on the facts of a query.

use std::cmp::Ordering;

use super::{CompiledPolicy, Node, NodeId, QueryFacts, Stop};
use crate::engine::compiled_condition_inputs::{EntityName, FactValue, member_of, value_of};

type Evaluated<'f, T = FactValue<'f>> = Result<T, Stop>;

/// The policies of a set outlive a query's facts: both are borrowed for `'f`.
impl CompiledPolicy {
    /// The value of an expression that must be a boolean.
    pub(super) fn flag<'f>(&'f self, at: NodeId, facts: &QueryFacts<'f>) -> Evaluated<'f, bool> {
        match self.value(at, facts)? {
            FactValue::Bool(flag) => Ok(flag),
            _ => Err(Stop::Errs),
        }
    }

    /// Recursion is limited by the depth of what is compiled.
    pub(super) fn value<'f>(&'f self, at: NodeId, facts: &QueryFacts<'f>) -> Evaluated<'f> {
        let node = self.node(at).ok_or(Stop::CedarDecides)?;
        Ok(FactValue::Bool(match node {
            Node::Bool(flag) => *flag,
            Node::Long(number) => return Ok(FactValue::Long(*number)),
            Node::Text(text) => return Ok(FactValue::Text(text)),
            Node::DateTime(ms) => return Ok(FactValue::DateTime(*ms)),
            Node::Entity(uid) => return Ok(FactValue::Entity(EntityName::of(uid))),
            Node::Variable(variable) => {
                let entity = facts.entity(*variable).ok_or(Stop::CedarDecides)?;
                return Ok(FactValue::Entity(entity));
            }
            Node::Set(_) => return Err(Stop::CedarDecides),
            Node::Get(from, name) => return self.get(*from, name, facts)?.ok_or(Stop::Errs),
            Node::If(test, then, otherwise) => {
                let chosen = if self.flag(*test, facts)? { then } else { otherwise };
                return self.value(*chosen, facts);
            }
            Node::Negate(_) | Node::Add(..) | Node::Subtract(..) | Node::Multiply(..) => {
                return self.number(node, facts);
            }
            Node::Has(from, names) => self.has(*from, names, facts)?,
            Node::Not(operand) => !self.flag(*operand, facts)?,
            Node::All(operands) => self.first(operands, false, facts)?,
            Node::Any(operands) => self.first(operands, true, facts)?,
            Node::Equal(left, right) => {
                are_equal(&self.value(*left, facts)?, &self.value(*right, facts)?)?
            }
            Node::Less(left, right) => self.ordering(*left, *right, facts)?.is_lt(),
            Node::LessOrEqual(left, right) => self.ordering(*left, *right, facts)?.is_le(),
            Node::In(one, other) => self.is_in(*one, *other, facts)?,
            Node::Is(from, kind) => self.entity(*from, facts)?.kind == kind,
            Node::Contains(set, value) => self.contains(*set, *value, facts)?,
            Node::Like(text, pattern) => match self.value(*text, facts)? {
                FactValue::Text(text) => pattern.fits(text),
                _ => return Err(Stop::Errs),
            },
            Node::LeftToCedar(operand) => facts.by_cedar(operand)?,
            Node::ActionIs(uid) => facts.action().uid == *uid,
            Node::ActionIn(uids) => uids.iter().any(|uid| facts.action().lineage.contains(uid)),
        }))
    }

    /// `||` ends at the first operand that is true, `&&` at the first that is not.
    fn first<'f>(
        &'f self,
        operands: &[NodeId],
        ends: bool,
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, bool> {
        for operand in operands {
            if self.flag(*operand, facts)? == ends {
                return Ok(ends);
            }
        }
        Ok(!ends)
    }

    /// How two values compare that have an order.
    fn ordering<'f>(
        &'f self,
        left: NodeId,
        right: NodeId,
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, Ordering> {
        match (self.value(left, facts)?, self.value(right, facts)?) {
            (FactValue::Long(left), FactValue::Long(right))
            | (FactValue::DateTime(left), FactValue::DateTime(right)) => Ok(left.cmp(&right)),
            _ => Err(Stop::Errs),
        }
    }

    fn long<'f>(&'f self, at: NodeId, facts: &QueryFacts<'f>) -> Evaluated<'f, i64> {
        match self.value(at, facts)? {
            FactValue::Long(number) => Ok(number),
            _ => Err(Stop::Errs),
        }
    }

    fn number<'f>(&'f self, node: &Node, facts: &QueryFacts<'f>) -> Evaluated<'f> {
        let two = |left: NodeId, right: NodeId| -> Evaluated<'f, (i64, i64)> {
            Ok((self.long(left, facts)?, self.long(right, facts)?))
        };
        let number = match *node {
            Node::Negate(operand) => self.long(operand, facts)?.checked_neg(),
            Node::Add(left, right) => two(left, right).map(|(one, two)| one.checked_add(two))?,
            Node::Subtract(left, right) => {
                two(left, right).map(|(one, two)| one.checked_sub(two))?
            }
            Node::Multiply(left, right) => {
                two(left, right).map(|(one, two)| one.checked_mul(two))?
            }
            _ => return Err(Stop::CedarDecides),
        };
        number.map(FactValue::Long).ok_or(Stop::Errs)
    }

    fn entity<'f>(&'f self, at: NodeId, facts: &QueryFacts<'f>) -> Evaluated<'f, EntityName<'f>> {
        match self.value(at, facts)? {
            FactValue::Entity(entity) => Ok(entity),
            _ => Err(Stop::Errs),
        }
    }

    /// An attribute, if it is there.
    fn get<'f>(
        &'f self,
        from: NodeId,
        name: &str,
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, Option<FactValue<'f>>> {
        if let Some(Node::Variable(variable)) = self.node(from) {
            return facts.attribute(*variable, name);
        }
        attribute_of(self.value(from, facts)?, name)
    }

    pub(super) fn has<'f>(
        &'f self,
        from: NodeId,
        names: &[Box<str>],
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, bool> {
        let Some((first, rest)) = names.split_first() else { return Err(Stop::CedarDecides) };
        let mut found = self.get(from, first, facts)?;
        for name in rest {
            let Some(value) = found else { return Ok(false) };
            found = attribute_of(value, name)?;
        }
        Ok(found.is_some())
    }

    fn is_in<'f>(
        &'f self,
        one: NodeId,
        other: NodeId,
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, bool> {
        let one = self.entity(one, facts)?;
        // Each element must be an entity before the first is looked at.
        let others: Vec<EntityName<'f>> = match self.node(other) {
            Some(Node::Set(items)) => {
                items.iter().map(|item| self.entity(*item, facts)).collect::<Result<_, _>>()?
            }
            _ => match self.value(other, facts)? {
                FactValue::Entity(entity) => return facts.is_in(one, entity),
                FactValue::Set(kind, items) => {
                    let items = items.iter().map(|item| match value_of(kind, item)? {
                        FactValue::Entity(entity) => Ok(entity),
                        _ => Err(Stop::Errs),
                    });
                    items.collect::<Result<_, _>>()?
                }
                _ => return Err(Stop::Errs),
            },
        };
        for other in others {
            if facts.is_in(one, other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn contains<'f>(
        &'f self,
        set: NodeId,
        value: NodeId,
        facts: &QueryFacts<'f>,
    ) -> Evaluated<'f, bool> {
        let mut found = false;
        if let Some(Node::Set(items)) = self.node(set) {
            let items = items.iter().map(|item| self.value(*item, facts));
            let items = items.collect::<Result<Vec<_>, _>>()?;
            let value = self.value(value, facts)?;
            for item in &items {
                found |= are_equal(item, &value)?;
            }
            return Ok(found);
        }
        let set = self.value(set, facts)?;
        let value = self.value(value, facts)?;
        let FactValue::Set(kind, items) = set else { return Err(Stop::Errs) };
        for item in items {
            found |= are_equal(&value_of(kind, item)?, &value)?;
        }
        Ok(found)
    }
}

pub(super) fn attribute_of<'f>(
    value: FactValue<'f>,
    name: &str,
) -> Evaluated<'f, Option<FactValue<'f>>> {
    match value {
        FactValue::Record(shape, members) => member_of(shape, members, name),
        // Only Cedar is given the entity.
        FactValue::Entity(_) => Err(Stop::CedarDecides),
        FactValue::Bool(_)
        | FactValue::Long(_)
        | FactValue::Text(_)
        | FactValue::DateTime(_)
        | FactValue::Set(..) => Err(Stop::Errs),
    }
}

/// Values of different types are not equal; sets and records are compared by Cedar.
pub(super) fn are_equal(one: &FactValue<'_>, other: &FactValue<'_>) -> Result<bool, Stop> {
    match (one, other) {
        (FactValue::Set(..) | FactValue::Record(..), _)
        | (_, FactValue::Set(..) | FactValue::Record(..)) => Err(Stop::CedarDecides),
        (FactValue::Bool(one), FactValue::Bool(other)) => Ok(one == other),
        (FactValue::Long(one), FactValue::Long(other)) => Ok(one == other),
        (FactValue::Text(one), FactValue::Text(other)) => Ok(one == other),
        (FactValue::DateTime(one), FactValue::DateTime(other)) => Ok(one == other),
        (FactValue::Entity(one), FactValue::Entity(other)) => Ok(one == other),
        _ => Ok(false),
    }
}
