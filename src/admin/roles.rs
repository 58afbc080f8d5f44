//! `/roles`: the catalogue, one role, and the matrix of roles and actions.
//!
//! All of it is read from the live policies; no role stands in code.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Call;
use super::wire::{self, Comparison, List};
use crate::app::App;
use crate::background;
use crate::domain::{Failure, Kind};
use crate::engine::{Cell, Matrix, Snapshot};
use crate::http::Reply;

pub(super) async fn list(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    call.store_permit()?;
    let (live, matrix) = compared(app).await?;
    let role = |card: &_| wire::Role::new(card, actions(&matrix, card));
    let items: Vec<wire::Role> = live.roles().iter().map(role).collect();
    Ok(Reply::json_of(&List { items, next: None }))
}

pub(super) async fn show(call: Call<'_>, id: &str) -> Result<Reply, Failure> {
    let app = call.app;
    call.store_permit()?;
    let (live, matrix) = compared(app).await?;
    match live.roles().iter().find(|card| card.id.as_str() == id) {
        Some(card) => Ok(Reply::json_of(&wire::Role::new(card, actions(&matrix, card)))),
        None => Err(unknown(&live)),
    }
}

pub(super) async fn compare(call: Call<'_>) -> Result<Reply, Failure> {
    let app = call.app;
    call.store_permit()?;
    let (_, matrix) = compared(app).await?;
    Ok(Reply::json_of(&Comparison::from(matrix)))
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
fn actions(matrix: &Matrix, card: &crate::engine::RoleCard) -> Vec<String> {
    let Some(column) = matrix.roles.iter().position(|role| *role == card.id) else {
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
    use crate::domain::RoleId;
    use crate::engine::{MatrixRow, RoleCard};

    #[test]
    fn a_role_lists_the_actions_that_it_is_allowed_whatever_the_attributes() {
        let role = |id: &str| RoleId::parse(id).unwrap();
        let row = |action: &str, resource: &str, cells: [Cell; 2]| MatrixRow {
            action: action.to_owned(),
            resource: resource.to_owned(),
            cells: cells.to_vec(),
        };
        let matrix = Matrix {
            roles: vec![role("reader"), role("writer")],
            rows: vec![
                row("b:edit", "b", [Cell::Denied, Cell::Allowed]),
                row("a:view", "a", [Cell::Allowed, Cell::Allowed]),
                row("a:view", "account", [Cell::Allowed, Cell::Allowed]),
                row("c:view", "c", [Cell::Depends, Cell::Depends]),
            ],
        };
        let card = |id: &str| RoleCard {
            id: role(id),
            title: String::new(),
            summary: String::new(),
            best_for: String::new(),
        };
        assert_eq!(actions(&matrix, &card("reader")), ["a:view"]);
        assert_eq!(actions(&matrix, &card("writer")), ["a:view", "b:edit"]);
        assert!(actions(&matrix, &card("stranger")).is_empty());
    }
}
