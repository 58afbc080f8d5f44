//! `/roles`: the catalogue, one role, the matrix of roles and actions, the smallest role for a
//! task; and what one member may do.
//!
//! All of it is read from the live policies; no role stands in code.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::call::{Answer, Call};
use super::wire::{self, Comparison, List, Permissions, Suggestion};
use crate::app::App;
use crate::background;
use crate::domain::{Failure, Kind, Member, RoleId, Status, limits, near};
use crate::engine::{Cell, Matrix, RoleCard, Snapshot};
use crate::http::Reply;

pub(super) async fn list(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let (live, matrix) = compared(call.app).await?;
    let items: Vec<wire::Role> = live.roles().iter().map(|card| role(&matrix, card)).collect();
    Ok(Reply::json_of(&List { items, next: None }))
}

pub(super) async fn show(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let (live, matrix) = compared(call.app).await?;
    match live.roles().iter().find(|card| card.id.as_str() == call.id) {
        Some(card) => Ok(Reply::json_of(&role(&matrix, card))),
        None => Err(unknown(&live)),
    }
}

pub(super) async fn compare(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let (_, matrix) = compared(call.app).await?;
    Ok(Reply::json_of(&Comparison::from(matrix)))
}

pub(super) async fn suggest(call: &mut Call<'_>) -> Answer {
    call.done()?;
    let (live, matrix) = compared(call.app).await?;
    let known: BTreeSet<&str> = matrix.rows.iter().map(|row| row.action.as_str()).collect();
    let mut form = call.form().await?;
    let actions = form.texts("actions", limits::SUGGESTED_ACTIONS_MAX, |text| {
        known.get(text).copied().map(str::to_owned).ok_or_else(|| unknown_action(text, &known))
    });
    let actions: BTreeSet<String> = form.done(actions)?.into_iter().collect();
    Ok(Reply::json_of(&suggestion(&matrix, live.roles(), &actions)))
}

fn unknown_action(text: &str, known: &BTreeSet<&str>) -> Failure {
    let shown = text.escape_debug();
    Failure::invalid(
        "actions",
        match near::nearest(text, known.iter().copied()) {
            Some(near) => format!("there is no action `{shown}`: did you mean `{near}`?"),
            None => format!("there is no action `{shown}`: `/api/v1/roles/compare` lists them"),
        },
    )
}

/// The role with the fewest actions that covers all that is asked; the first of several.
fn suggestion(matrix: &Matrix, roles: &[RoleCard], asked: &BTreeSet<String>) -> Suggestion {
    let all: Vec<(&RoleCard, BTreeSet<String>)> =
        roles.iter().map(|card| (card, actions(matrix, &card.id).into_iter().collect())).collect();
    let covering = || all.iter().filter(|(_, allowed)| allowed.is_superset(asked));
    let Some((card, allowed)) = covering().min_by_key(|(_, allowed)| allowed.len()) else {
        return Suggestion {
            role: None,
            extra: Vec::new(),
            reason: uncovered(&all, asked),
            others: Vec::new(),
        };
    };
    let extra: Vec<String> = allowed.difference(asked).cloned().collect();
    let reason = match extra.len() {
        0 => format!("`{}` allows just this", card.id),
        more => {
            format!("`{}` is the smallest role that allows this, and allows {more} more", card.id)
        }
    };
    let others = covering().map(|(other, _)| &other.id).filter(|other| **other != card.id);
    Suggestion {
        role: Some(role(matrix, card)),
        extra,
        reason,
        others: others.map(ToString::to_string).collect(),
    }
}

/// Why no role does: which comes nearest, and what it lacks.
fn uncovered(all: &[(&RoleCard, BTreeSet<String>)], asked: &BTreeSet<String>) -> String {
    let lacks = |allowed: &BTreeSet<String>| asked.difference(allowed).count();
    match all.iter().min_by_key(|(_, allowed)| lacks(allowed)) {
        Some((card, allowed)) => {
            let lacking: Vec<&str> = asked.difference(allowed).map(String::as_str).collect();
            format!(
                "no one role allows all of this: `{}` comes nearest, and lacks `{}`",
                card.id,
                lacking.join("`, `")
            )
        }
        None => "there are no roles".to_owned(),
    }
}

/// What a member may do now, by role and account alone.
pub(super) async fn permissions(app: &App, member: &Member) -> Answer {
    let (_, matrix) = compared(app).await?;
    let column = matrix.roles.iter().position(|role| *role == member.role);
    let cell = |cells: &[Cell]| match column {
        Some(column) if member.status == Status::Active => {
            cells.get(column).copied().unwrap_or(Cell::Denied)
        }
        _ => Cell::Denied,
    };
    let rows = matrix
        .rows
        .iter()
        .map(|row| (row.action.as_str(), row.resource.as_str(), cell(&row.cells)));
    Ok(Reply::json_of(&Permissions::new(&member.role, rows)))
}

fn role(matrix: &Matrix, card: &RoleCard) -> wire::Role {
    wire::Role::new(card, actions(matrix, &card.id))
}

/// The live policies and their matrix, made apart from the threads that answer decisions: it
/// tries out every cell.
async fn compared(app: &App) -> Result<(Arc<Snapshot>, Matrix), Failure> {
    let live = app.policies.load_full();
    let tried = Arc::clone(&live);
    let matrix = background::run("matrix", move || tried.matrix()).await?;
    Ok((live, matrix))
}

/// The actions that a role is allowed on some type of resource, sorted.
fn actions(matrix: &Matrix, id: &RoleId) -> Vec<String> {
    let Some(column) = matrix.roles.iter().position(|role| role == id) else {
        return Vec::new();
    };
    let allowed = matrix.rows.iter().filter(|row| row.cells.get(column) == Some(&Cell::Allowed));
    let actions: BTreeSet<&str> = allowed.map(|row| row.action.as_str()).collect();
    actions.into_iter().map(str::to_owned).collect()
}

fn unknown(live: &Snapshot) -> Failure {
    let roles: Vec<&str> = live.roles().iter().map(|card| card.id.as_str()).collect();
    let text = format!("there is no such role: there are `{}`", roles.join("`, `"));
    Failure::new(Kind::NotFound, "unknown_role", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::MatrixRow;

    fn id(id: &str) -> RoleId {
        RoleId::parse(id).unwrap()
    }

    fn card(name: &str) -> RoleCard {
        RoleCard {
            id: id(name),
            title: String::new(),
            summary: String::new(),
            best_for: String::new(),
        }
    }

    fn matrix() -> Matrix {
        let row = |action: &str, resource: &str, cells: [Cell; 3]| MatrixRow {
            action: action.to_owned(),
            resource: resource.to_owned(),
            cells: cells.to_vec(),
        };
        Matrix {
            roles: vec![id("reader"), id("writer"), id("boss")],
            rows: vec![
                row("b:edit", "b", [Cell::Denied, Cell::Allowed, Cell::Allowed]),
                row("a:view", "a", [Cell::Allowed, Cell::Allowed, Cell::Allowed]),
                row("a:view", "account", [Cell::Allowed, Cell::Allowed, Cell::Allowed]),
                row("c:view", "c", [Cell::Depends, Cell::Depends, Cell::Depends]),
                row("d:pay", "d", [Cell::Denied, Cell::Denied, Cell::Allowed]),
            ],
        }
    }

    #[test]
    fn a_role_lists_the_actions_that_it_is_allowed_whatever_the_attributes() {
        let matrix = matrix();
        assert_eq!(actions(&matrix, &id("reader")), ["a:view"]);
        assert_eq!(actions(&matrix, &id("writer")), ["a:view", "b:edit"]);
        assert!(actions(&matrix, &id("stranger")).is_empty());
    }

    #[test]
    fn the_smallest_role_that_covers_everything_is_suggested() {
        let roles = ["reader", "writer", "boss"].map(card);
        let suggest = |asked: &[&str]| {
            let asked = asked.iter().map(|action| (*action).to_owned()).collect();
            serde_json::to_value(suggestion(&matrix(), &roles, &asked)).unwrap()
        };
        let one = suggest(&["a:view"]);
        assert_eq!((&one["role"]["id"], &one["extra"]), (&"reader".into(), &serde_json::json!([])));
        assert_eq!(one["others"], serde_json::json!(["writer", "boss"]));
        let both = suggest(&["b:edit"]);
        assert_eq!(both["role"]["id"], "writer");
        assert_eq!(both["extra"], serde_json::json!(["a:view"]));
        let none = suggest(&["c:view", "d:pay"]);
        assert!(none["role"].is_null());
        assert!(
            none["reason"].as_str().unwrap().contains("`boss` comes nearest, and lacks `c:view`")
        );
    }
}
