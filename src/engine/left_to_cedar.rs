//! What of a condition is not compiled, and why: Cedar evaluates it by itself, where the evaluation of the
//! compiled policy reaches it.
//!
//! Most such operands read only attributes of principal, resource and context. Cedar gets those as fields of
//! the context: to build entities for them would take most of the time.

use std::fmt;

use cedar_policy::{Expression, Policy};
use serde_json::{Value as Json, json};

use super::cedar_expression_json::{operation, part, variable};

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
    /// other entities. If not, `expression` reads attributes as [`context_field`]s.
    pub(super) needs_entities: bool,
    /// Cedar's JSON form, as the policy has it.
    pub(super) json: Json,
    pub(super) why: NotCompiled,
}

impl CedarOperand {
    /// `follows`: whether it reads an attribute of an entity that an attribute names.
    ///
    /// # Errors
    /// `why`, if Cedar does not take it as a condition.
    pub(super) fn new(json: Json, follows: bool, why: NotCompiled) -> Result<Self, NotCompiled> {
        let printed = as_printed(&json).ok_or_else(|| why.clone())?;
        let in_context =
            if follows || reads_ancestors(&json) { None } else { reading_context(&printed) };
        let policy = json!({
            "effect": "permit",
            "principal": {"op": "All"}, "action": {"op": "All"}, "resource": {"op": "All"},
            "conditions": [{"kind": "when", "body": in_context.as_ref().unwrap_or(&printed)}],
        });
        match Policy::from_json(None, policy).ok().as_ref().and_then(condition) {
            Some(expression) => {
                Ok(Self { expression, needs_entities: in_context.is_none(), json, why })
            }
            None => Err(why),
        }
    }
}

/// The field of the context that has an attribute of `variable`.
pub(super) fn context_field(variable: &str, attribute: &str) -> String {
    [variable, ".", attribute].concat()
}

/// The same expression on [`context_field`]s; `None` where it may read anything else of an entity, or the
/// context as a whole. Recursion is limited by the depth of a policy.
fn reading_context(json: &Json) -> Option<Json> {
    let (operator, inside) = operation(json)?;
    match operator {
        "Var" if variable(json)? == "context" => None,
        "hasTag" | "getTag" => None,
        "." | "has" => {
            let attributes = match part(inside, "attr") {
                Json::Array(names) => names.as_slice(),
                name => std::slice::from_ref(name),
            };
            let (first, others) = attributes.split_first()?;
            let left = part(inside, "left");
            let Some(of) = variable(left) else {
                // An attribute of an attribute, which is a record: what follows an entity is excluded.
                let left =
                    if operation(left)?.0 == "." { reading_context(left)? } else { return None };
                return Some(json!({operator: {"left": left, "attr": part(inside, "attr")}}));
            };
            if of == "action" {
                return None;
            }
            let field =
                json!({"left": {"Var": "context"}, "attr": context_field(of, first.as_str()?)});
            Some(match others {
                [] => json!({operator: field}),
                // Cedar's text has no name with a dot before others.
                _ => json!({"&&": {
                    "left": {"has": field},
                    "right": {"has": {"left": {".": field}, "attr": others}},
                }}),
            })
        }
        _ => with_operands(json, &reading_context),
    }
}

/// The same expression with the operators that Cedar's text of it has. Recursion is limited by the depth of
/// a policy.
fn as_printed(json: &Json) -> Option<Json> {
    let (operator, inside) = operation(json)?;
    let sides = |operator: &str| {
        let (left, right) = (as_printed(part(inside, "left"))?, as_printed(part(inside, "right"))?);
        Some(json!({"!": {"arg": {operator: {"left": left, "right": right}}}}))
    };
    match operator {
        "!=" => sides("=="),
        ">" => sides("<="),
        ">=" => sides("<"),
        "is" if !part(inside, "in").is_null() => {
            let (left, within) =
                (as_printed(part(inside, "left"))?, as_printed(part(inside, "in"))?);
            Some(json!({"&&": {
                "left": {"is": {"left": left, "entity_type": part(inside, "entity_type")}},
                "right": {"in": {"left": left, "right": within}},
            }}))
        }
        _ => with_operands(json, &as_printed),
    }
}

/// An expression with other operands; `None` if it has a form that is unknown here, or `change` answers
/// `None` to one of them.
fn with_operands(json: &Json, change: &dyn Fn(&Json) -> Option<Json>) -> Option<Json> {
    let (operator, inside) = operation(json)?;
    let changed = match (operator, inside) {
        ("Value" | "Var", _) => inside.clone(),
        ("Record", Json::Object(fields)) => {
            let fields = fields.iter().map(|(name, field)| Some((name.clone(), change(field)?)));
            Json::Object(fields.collect::<Option<_>>()?)
        }
        // A set, or the call of a function.
        (_, Json::Array(items)) => Json::Array(items.iter().map(change).collect::<Option<_>>()?),
        (_, Json::Object(parts)) => {
            let parts = parts.iter().map(|(name, part)| {
                let part = match name.as_str() {
                    "left" | "right" | "arg" | "if" | "then" | "else" => change(part)?,
                    _ => part.clone(),
                };
                Some((name.clone(), part))
            });
            Json::Object(parts.collect::<Option<_>>()?)
        }
        _ => return None,
    };
    Some(json!({operator: changed}))
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
