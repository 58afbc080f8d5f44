//! Which policies are determined by role, status and relation to the account, and by nothing else.
//!
//! A member has a role, is active or suspended, and asks about a resource in the member's own
//! account, in another or in none. A policy is *determined* if any two queries about one action and
//! one type of resource that agree in these three get the same result from it. Only then may one
//! decision be cached for all of them, and may one synthetic member of the matrix represent all.
//!
//! The rule is a positive list, checked on the policy's syntax. An expression is determined if
//!
//! - it is a literal, or
//! - it reads one of the three in a form that [`is_fact`] lists, or
//! - it is one of the operators of [`is_determined`] with determined operands: a combination of
//!   expressions that depend on nothing else depends on nothing else.
//!
//! The account itself is none of the three: two members of one role can be in two accounts. So
//! `principal.account` is accepted only if it is compared with the resource, never as a value on
//! its own. Everything that is not on the list is evaluated each time, compiled or by
//! Cedar.

use cedar_policy::EntityTypeName;
use serde_json::Value as Json;

use super::cedar_expression_json::{operation, part, variable};
use super::policy_scope::{PolicyScope, ScopeConstraint};

/// Whether only role, status and relation to the account matter to this policy. `json` is the whole
/// policy in Cedar's JSON form.
pub(super) fn is_cacheable_policy(
    json: &Json,
    scope: &PolicyScope,
    role_type: Option<&EntityTypeName>,
) -> bool {
    let Some(role_type) = role_type else { return false };
    let principal = match &scope.principal {
        ScopeConstraint::Any | ScopeConstraint::Is(_) => true,
        ScopeConstraint::Eq(_) => false,
        ScopeConstraint::In(uid) | ScopeConstraint::IsIn(_, uid) => uid.type_name() == role_type,
    };
    let resource = match &scope.resource {
        ScopeConstraint::Any | ScopeConstraint::Is(_) => true,
        ScopeConstraint::Eq(_) | ScopeConstraint::In(_) | ScopeConstraint::IsIn(..) => false,
    };
    let Some(conditions) = json.get("conditions").and_then(Json::as_array) else { return false };
    let role_type = role_type.to_string();
    let is_determined = |condition: &Json| is_determined(part(condition, "body"), &role_type);
    principal && resource && conditions.iter().all(is_determined)
}

/// Walks an expression of Cedar's JSON form: an object with one key, the operator.
fn is_determined(expression: &Json, role_type: &str) -> bool {
    let Some((operator, inside)) = operation(expression) else { return false };
    let all =
        |names: &[&str]| names.iter().all(|name| is_determined(part(inside, name), role_type));
    match operator {
        "Value" => true,
        "!" => all(&["arg"]),
        "&&" | "||" => all(&["left", "right"]),
        "if-then-else" => all(&["if", "then", "else"]),
        "==" | "!=" => all(&["left", "right"]) || is_fact(operator, inside, role_type),
        _ => is_fact(operator, inside, role_type),
    }
}

/// The forms of an expression that read the role, the status, the relation to the account, or what
/// one action and one type of resource fix: the action and the types.
fn is_fact(operator: &str, inside: &Json, role_type: &str) -> bool {
    let (left, right) = (part(inside, "left"), part(inside, "right"));
    let attribute = || part(inside, "attr").as_str();
    match (operator, variable(left)) {
        (".", Some("principal")) => matches!(attribute(), Some("role" | "active")),
        // The store supplies these for every member, and a resource in no account has none.
        ("has", Some("principal")) => matches!(attribute(), Some("role" | "active" | "account")),
        ("has", Some("resource")) => attribute() == Some("account"),
        ("is", Some("principal" | "resource")) => part(inside, "in").is_null(),
        ("in", Some("principal")) => is_literal(right, |kind| kind == role_type),
        ("in", Some("resource")) => is_attribute(right, "principal", "account"),
        ("in" | "==" | "!=", Some("action")) => is_literal(right, |_| true),
        ("in", None) => {
            is_attribute(left, "principal", "role") && is_literal(right, |kind| kind == role_type)
        }
        ("==" | "!=", None) => {
            let account = |side, of| is_attribute(side, of, "account");
            account(left, "principal") && account(right, "resource")
                || account(left, "resource") && account(right, "principal")
        }
        _ => false,
    }
}

/// Whether this is an entity literal of a type that `suits`, or a set of such.
fn is_literal(expression: &Json, suits: impl Fn(&str) -> bool + Copy) -> bool {
    match operation(expression) {
        Some(("Value", value)) => part(part(value, "__entity"), "type").as_str().is_some_and(suits),
        Some(("Set", items)) => {
            items.as_array().is_some_and(|items| items.iter().all(|item| is_literal(item, suits)))
        }
        _ => false,
    }
}

fn is_attribute(expression: &Json, of: &str, name: &str) -> bool {
    match operation(expression) {
        Some((".", inside)) => {
            variable(part(inside, "left")) == Some(of) && part(inside, "attr") == name
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use cedar_policy::Policy;

    use super::*;

    fn is_on_the_list(policy: &str) -> bool {
        let policy = Policy::from_str(policy).unwrap_or_else(|fault| panic!("{policy}: {fault}"));
        let role = EntityTypeName::from_str("K::Role").unwrap();
        is_cacheable_policy(&policy.to_json().unwrap(), &PolicyScope::of(&policy), Some(&role))
    }

    #[test]
    fn conditions_that_are_on_the_list() {
        for condition in [
            "true",
            "principal.active",
            "principal[\"active\"] == false",
            "!principal.active || principal.role == \"reader\"",
            "\"reader\" != principal.role",
            "principal.role == K::Role::\"reader\"",
            "principal.role in K::Role::\"staff\"",
            "principal.role in [K::Role::\"staff\", K::Role::\"reader\"]",
            "principal in K::Role::\"reader\"",
            "principal in [K::Role::\"reader\", K::Role::\"writer\"]",
            "principal in []",
            "principal is K::User && resource is K::Paper",
            "principal has account && principal has role && principal has active",
            "resource in principal.account",
            "!(resource in principal.account)",
            "resource has account && resource.account == principal.account",
            "resource has account && principal.account != resource.account",
            "action == K::Action::\"look\"",
            "action != K::Action::\"look\" && action in K::Action::\"all\"",
            "action in [K::Action::\"look\", K::Action::\"all\"]",
            "if principal.active then resource in principal.account else false",
            "(if principal.active then principal.role else \"x\") == \"reader\"",
            "principal.active == (principal in K::Role::\"reader\")",
        ] {
            for word in ["when", "unless"] {
                let policy =
                    format!("permit (principal, action, resource) {word} {{ {condition} }};");
                assert!(is_on_the_list(&policy), "{policy}");
            }
        }
    }

    #[test]
    fn conditions_that_are_not_on_the_list() {
        for condition in [
            // The account is a value here, and a role can be called what an account is called.
            "[principal.account] == [principal.role]",
            "principal.account == principal.role",
            "principal.role == principal.account",
            "principal.account == \"acme\"",
            "\"acme\" != principal.account",
            "principal.account == K::Account::\"acme\"",
            "principal.account == principal.account",
            "principal.account in principal.role",
            "principal.account in K::Account::\"acme\"",
            "principal.account in resource.account",
            "resource.account == resource.account",
            "resource.account == \"acme\"",
            "resource.account in K::Account::\"acme\"",
            "resource.account == principal.role",
            "[principal.account] == [resource.account]",
            "{a: principal.account} == {a: principal.role}",
            "{a: principal.account}.a == principal.role",
            "{a: principal.active}.a",
            "[principal.account, \"x\"].contains(principal.role)",
            "[principal.role].containsAll([principal.account])",
            "[principal.role].containsAny([principal.account])",
            "[principal.account].isEmpty()",
            "(if principal.active then principal.account else principal.role) == \"acme\"",
            "(if principal.account == \"acme\" then 1 else 2) == 1",
            "(if principal.account == \"acme\" then 1 else 2) + 1 < 3",
            "principal.account like \"a*\"",
            "principal.role like \"r*\"",
            "!(principal.active && !(principal.account == \"acme\"))",
            "if principal.account == \"acme\" then true else false",
            "(principal.account == \"acme\") == principal.active",
            "[true].contains(principal.account == \"acme\")",
            // Who or what, by name.
            "principal == K::User::\"bob\"",
            "principal in K::User::\"bob\"",
            "principal in K::Account::\"acme\"",
            "principal in [K::Role::\"reader\", K::Account::\"acme\"]",
            "principal is K::User in K::Account::\"acme\"",
            "principal == resource",
            "principal == resource.owner",
            "resource == principal",
            "resource == K::Paper::\"p\"",
            "resource == K::Account::\"acme\"",
            "resource in K::Account::\"acme\"",
            "resource in [K::Account::\"acme\"]",
            "resource in K::Role::\"reader\"",
            "resource in principal.role",
            "resource in principal",
            "resource is K::Paper in K::Account::\"acme\"",
            "resource is K::Paper in principal.account",
            "principal in resource",
            "principal in resource.account",
            "principal in principal.account",
            "principal in principal.role",
            "principal in context.role",
            "principal in (if principal.active then K::Role::\"a\" else K::Role::\"b\")",
            // Attributes that differ within a role, and whatever the caller says.
            "principal.email == \"a@example.org\"",
            "principal.two_step",
            "principal has email",
            "principal has account.limit",
            "principal.account.limit > 3",
            "principal.account has limit",
            "resource.account.active",
            "resource.active",
            "resource has owner",
            "resource.role == \"reader\"",
            "resource.hasTag(\"t\")",
            "principal.hasTag(\"active\")",
            "context.active",
            "context has n",
            "context == {}",
            "action in context.actions",
            "[action].contains(K::Action::\"look\")",
            "K::Account::\"acme\" in principal.account",
            "K::Role::\"reader\" in K::Role::\"staff\"",
            "K::Account::\"acme\".active",
            "1 + 1 == 2",
            "-(1) == 1",
            "ip(\"127.0.0.1\").isLoopback()",
        ] {
            for policy in [
                format!("permit (principal, action, resource) when {{ {condition} }};"),
                format!("forbid (principal, action, resource) unless {{ {condition} }};"),
                format!(
                    "permit (principal, action, resource) when {{ true }} unless {{ principal.active || ({condition}) }};"
                ),
            ] {
                assert!(!is_on_the_list(&policy), "{policy}");
            }
        }
    }

    #[test]
    fn scopes_on_the_list_name_roles_and_types() {
        for (scope, on) in [
            ("principal, action, resource", true),
            ("principal is K::User, action == K::Action::\"look\", resource is K::Paper", true),
            ("principal in K::Role::\"reader\", action in [K::Action::\"look\"], resource", true),
            ("principal is K::User in K::Role::\"reader\", action, resource", true),
            ("principal == K::User::\"bob\", action, resource", false),
            ("principal == K::Role::\"reader\", action, resource", false),
            ("principal in K::Account::\"acme\", action, resource", false),
            ("principal in Other::Role::\"reader\", action, resource", false),
            ("principal is K::User in K::Account::\"acme\", action, resource", false),
            ("principal, action, resource == K::Paper::\"p\"", false),
            ("principal, action, resource in K::Account::\"acme\"", false),
            ("principal, action, resource in K::Role::\"reader\"", false),
            ("principal, action, resource is K::Paper in K::Account::\"acme\"", false),
        ] {
            let policy = format!("forbid ({scope}) unless {{ principal.active }};");
            assert_eq!(is_on_the_list(&policy), on, "{policy}");
        }
    }
}
