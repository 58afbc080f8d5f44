//! Policies in a small form of our own, for the decisions that no cache answers.
//!
//! [`Compiler`] makes it at load from Cedar's public JSON form of a policy; [`CompiledPolicy::matches`] evaluates
//! it on [`super::compiled_condition_inputs::QueryFacts`]. It means what Cedar means, evaluation order and errors included:
//!
//! - The scope and the conditions are one list, each of which must be true. `unless` is a negation.
//! - `&&`, `||` and `if` evaluate no more than Cedar does. Arithmetic that overflows errs, and so does an
//!   attribute that is missing, or a value of another type than its operator takes.
//! - Two values of different types are not equal.
//!
//! Compiled are `== != < <= > >= && || ! if + - * has . in is contains like` over text, whole numbers, booleans,
//! dates and times, entities, and sets and records of these that are attributes. An operand of `&&`, `||` and `!`, or a whole
//! condition, that uses anything else is a [`CedarOperand`], and so is one that reads an attribute of an entity
//! which an attribute names: where the evaluation reaches it, Cedar evaluates the operand alone. A policy that
//! is too large is not compiled. What can only be decided with a query ends the evaluation with
//! [`Stop::CedarDecides`]: then Cedar makes the whole decision.

mod compiler;
mod evaluator;
mod partial_evaluator;
mod text_pattern;

use cedar_policy::{Effect, EntityUid};

use self::text_pattern::TextPattern;
use super::compiled_condition_inputs::{QueryFacts, Stop, Variable};
use super::left_to_cedar::CedarOperand;

pub(super) use compiler::{Compiler, PolicySyntax};
pub(super) use partial_evaluator::{FILTER_MAX, NotPlanned, Planner};

/// The place of an expression in [`CompiledPolicy::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeId(u16);

/// An operator with the places of its operands, or a value.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Bool(bool),
    Long(i64),
    Text(Box<str>),
    /// A literal of `datetime`, in milliseconds since 1970.
    DateTime(i64),
    Entity(EntityUid),
    Variable(Variable),
    /// A set literal: only on the right of `in` and on the left of `contains`.
    Set(Box<[NodeId]>),
    /// An attribute of a variable or of a record.
    Get(NodeId, Box<str>),
    /// Whether these attributes are there, each an attribute of the one before.
    Has(NodeId, Box<[Box<str>]>),
    Not(NodeId),
    Negate(NodeId),
    /// `&&` of two or more.
    All(Box<[NodeId]>),
    /// `||` of two or more.
    Any(Box<[NodeId]>),
    If(NodeId, NodeId, NodeId),
    Equal(NodeId, NodeId),
    Less(NodeId, NodeId),
    LessOrEqual(NodeId, NodeId),
    Add(NodeId, NodeId),
    Subtract(NodeId, NodeId),
    Multiply(NodeId, NodeId),
    /// Whether the first is the second or in it; the second may be a set.
    In(NodeId, NodeId),
    /// Whether an entity is of the type of this one, whose id says nothing.
    Is(NodeId, cedar_policy::EntityTypeName),
    /// Whether the set on the left contains the value on the right.
    Contains(NodeId, NodeId),
    /// Whether a text fits a pattern.
    Like(NodeId, TextPattern),
    /// Whether the action is this one.
    ActionIs(EntityUid),
    /// Whether the action is one of these or in one of them.
    ActionIn(Box<[EntityUid]>),
    /// A boolean that Cedar evaluates.
    LeftToCedar(Box<CedarOperand>),
}

/// One policy, compiled.
#[derive(Clone, Debug)]
pub(super) struct CompiledPolicy {
    effect: Effect,
    nodes: Box<[Node]>,
    /// The scope, then the conditions, in the order of evaluation.
    conditions: Box<[NodeId]>,
}

impl CompiledPolicy {
    pub(super) const fn is_forbid(&self) -> bool {
        matches!(self.effect, Effect::Forbid)
    }

    /// Makes it apply to everything, to test the detection.
    #[cfg(test)]
    pub(super) fn apply_always(&mut self) {
        self.conditions = Box::default();
    }

    /// Its parts that Cedar evaluates.
    pub(super) fn left_to_cedar(&self) -> impl Iterator<Item = &CedarOperand> {
        self.nodes.iter().filter_map(|node| match node {
            Node::LeftToCedar(operand) => Some(operand.as_ref()),
            _ => None,
        })
    }

    /// An expression by its place.
    fn node(&self, at: NodeId) -> Option<&Node> {
        self.nodes.get(usize::from(at.0))
    }

    /// Whether the policy applies to a query.
    ///
    /// # Errors
    /// [`Stop::Errs`] where Cedar's evaluation of this policy fails.
    pub(super) fn matches(&self, facts: &QueryFacts<'_>) -> Result<bool, Stop> {
        for condition in &self.conditions {
            if !self.flag(*condition, facts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
