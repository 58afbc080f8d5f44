//! Reading Cedar's JSON form of an expression: an object with one key, the operator.

use serde_json::Value as Json;

/// The operator of an expression and its operands.
pub(super) fn operation(expression: &Json) -> Option<(&str, &Json)> {
    let mut members = expression.as_object()?.iter();
    match (members.next(), members.next()) {
        (Some((operator, inside)), None) => Some((operator, inside)),
        _ => None,
    }
}

/// A part of it; null if it has no such part.
pub(super) fn part<'j>(json: &'j Json, name: &str) -> &'j Json {
    json.get(name).unwrap_or(&Json::Null)
}

/// The variable that an expression is, if it is one.
pub(super) fn variable(expression: &Json) -> Option<&str> {
    expression.get("Var")?.as_str()
}
