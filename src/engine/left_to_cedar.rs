//! What of a condition is not compiled, and why: Cedar evaluates it by itself, where the evaluation of the
//! compiled policy reaches it.

use std::fmt;

use cedar_policy::{Expression, Policy};
use serde_json::{Value as Json, json};

use super::cedar_expression_json::{operation, part};

/// Most operators and values of one compiled policy.
pub(super) const NODES_MAX: usize = 256;
/// Deepest nesting of them: evaluation recurses once a level. A row of `&&` or of `||` is one level.
pub(super) const DEPTH_MAX: usize = 32;

/// Why a policy, or a part of one, is not compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotCompiled {
    /// It uses this operator, or a form of it, that is evaluated by Cedar alone.
    Operator(String),
    /// It reads an attribute of an entity that an attribute names.
    FollowsEntity,
    /// It has more than [`NODES_MAX`] operators and values, or nests deeper than [`DEPTH_MAX`].
    TooLarge,
}

impl fmt::Display for NotCompiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(operator) => write!(f, "it uses {operator}"),
            Self::FollowsEntity => {
                f.write_str("it reads an attribute of an entity that an attribute names")
            }
            Self::TooLarge => write!(
                f,
                "it has more than {NODES_MAX} operators and values, or nests deeper than {DEPTH_MAX} levels"
            ),
        }
    }
}

/// A boolean expression that is left to Cedar.
#[derive(Clone, Debug)]
pub(super) struct CedarOperand {
    pub(super) expression: Expression,
    /// Whether it may read more than attributes of principal, resource and context: what they are in, or
    /// other entities.
    pub(super) reads_relatives: bool,
    /// Cedar's JSON form.
    pub(super) json: Json,
    pub(super) why: NotCompiled,
}

impl CedarOperand {
    /// `follows`: whether it reads an attribute of an entity that an attribute names.
    ///
    /// # Errors
    /// `why`, if Cedar does not take it as a condition.
    pub(super) fn new(json: Json, follows: bool, why: NotCompiled) -> Result<Self, NotCompiled> {
        let policy = json!({
            "effect": "permit",
            "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"},
            "conditions": [{"kind": "when", "body": json}],
        });
        match Policy::from_json(None, policy).ok().as_ref().and_then(condition) {
            Some(expression) => Ok(Self {
                expression,
                reads_relatives: follows || reads_ancestors(&json),
                json,
                why,
            }),
            None => Err(why),
        }
    }
}

/// The only condition of a policy. Cedar makes an expression of text alone, so its text is parsed, and must
/// mean the same again.
fn condition(policy: &Policy) -> Option<Expression> {
    let text = policy.to_cedar()?;
    if Policy::parse(None, &text).ok()?.to_json().ok()? != policy.to_json().ok()? {
        return None;
    }
    let (_, from) = text.split_once("when {")?;
    let (condition, _) = from.rsplit_once('}')?;
    condition.parse().ok()
}

/// Whether an expression has an `in`, by which it reads what an entity is in. Recursion is limited by the
/// depth of a policy.
fn reads_ancestors(json: &Json) -> bool {
    let is_in = operation(json).is_some_and(|(operator, inside)| {
        operator == "in" || (operator == "is" && !part(inside, "in").is_null())
    });
    is_in
        || match json {
            Json::Object(members) => members.values().any(reads_ancestors),
            Json::Array(items) => items.iter().any(reads_ancestors),
            _ => false,
        }
}
