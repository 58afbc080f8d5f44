//! `/roles`: the list of roles, one role, the matrix of roles and actions, the smallest role for a
//! task; and the permissions of one member.
//!
//! Renders what `services::roles` reads from the live policies; computes nothing itself.

use std::collections::BTreeSet;

use super::api_request::{ApiRequest, ApiResult};
use super::response_documents::{self, Comparison, List, Permissions, Suggestion};
use crate::app::App;
use crate::domain::{Member, limits};
use crate::engine::{Matrix, RoleCard};
use crate::http::Reply;
use crate::services::roles::{self, RoleSuggestion};

pub(super) async fn list(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let (live, matrix) = roles::compared(call.app).await?;
    let items: Vec<response_documents::Role> =
        live.roles().iter().map(|card| role(&matrix, card)).collect();
    Ok(Reply::json_of(&List { items, next: None }))
}

pub(super) async fn show(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let (live, matrix) = roles::compared(call.app).await?;
    let card = roles::card(&live, &call.id)?;
    Ok(Reply::json_of(&role(&matrix, card)))
}

pub(super) async fn compare(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let (_, matrix) = roles::compared(call.app).await?;
    Ok(Reply::json_of(&Comparison::from(&*matrix)))
}

pub(super) async fn suggest(call: &mut ApiRequest<'_>) -> ApiResult {
    call.done()?;
    let (_, matrix) = roles::compared(call.app).await?;
    let mut form = call.form().await?;
    let actions = form.texts("actions", limits::SUGGESTED_ACTIONS_MAX, |text| {
        roles::known_action(&matrix, text).map(|()| text.to_owned())
    });
    let asked: BTreeSet<String> = form.done(actions)?.into_iter().collect();
    let RoleSuggestion { role: found, extra, reason, others } =
        roles::suggest(call.app, &asked).await?;
    Ok(Reply::json_of(&Suggestion {
        role: found.map(|card| role(&matrix, &card)),
        extra,
        reason,
        others: others.iter().map(ToString::to_string).collect(),
    }))
}

/// What a member may do now, by role and account alone.
pub(super) async fn permissions(app: &App, member: &Member) -> ApiResult {
    let (_, matrix) = roles::compared(app).await?;
    let rows = roles::permissions_of(&matrix, member);
    Ok(Reply::json_of(&Permissions::new(&member.role, rows)))
}

fn role(matrix: &Matrix, card: &RoleCard) -> response_documents::Role {
    response_documents::Role::new(card, roles::actions(matrix, &card.id))
}
