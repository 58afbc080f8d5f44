//! Role cards: roles to choose from, each with what it can do.
//!
//! Reads the live policies through the services; no role or action is named in the code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;

use super::page_request::{CurrentUser, PageRequest};
use super::texts as w;
use crate::domain::{Failure, RoleId};
use crate::engine::{Matrix, RoleCard, Snapshot};
use crate::services::{members, roles};

/// How many actions a card lists before it gives the number of the rest.
const CAN_SHOWN: usize = 5;
const CANNOT_SHOWN: usize = 3;

#[derive(Template)]
#[template(path = "console/templates/card.html", config = ".askama.toml")]
pub(super) struct RoleChoice {
    pub(super) id: String,
    pub(super) title: String,
    pub(super) summary: String,
    pub(super) can: String,
    pub(super) cannot: String,
    pub(super) held: String,
    /// May manage the team.
    pub(super) administers: bool,
    /// Why it cannot be chosen.
    pub(super) closed: Option<String>,
    pub(super) chosen: bool,
}

/// The data for role cards.
pub(super) struct RolePicker<'d> {
    live: Arc<Snapshot>,
    matrix: Arc<Matrix>,
    /// The roles that the viewer may give.
    gives: &'d BTreeSet<RoleId>,
    /// The number of members with each role.
    held: BTreeMap<RoleId, usize>,
}

impl<'d> RolePicker<'d> {
    /// The roles for the viewer's account.
    ///
    /// # Errors
    /// As [`members::held`].
    pub(super) async fn of(
        call: &PageRequest<'_>,
        viewer: &'d CurrentUser,
    ) -> Result<Self, Failure> {
        let (live, matrix) = roles::compared(call.app).await?;
        let held = members::held(call.app, viewer.caller()).await?;
        Ok(Self { live, matrix, gives: &viewer.rights.gives, held })
    }

    /// The cards, administrators last; `chosen` is selected, if it is one.
    pub(super) fn cards(&self, chosen: &str) -> Vec<RoleChoice> {
        let card = |role| self.card(role, chosen);
        let mut cards: Vec<RoleChoice> = self.live.roles().iter().map(card).collect();
        cards.sort_by_key(|card| card.administers);
        cards
    }

    fn card(&self, role: &RoleCard, chosen: &str) -> RoleChoice {
        let can = roles::actions(&self.matrix, &role.id);
        let cannot = roles::denied_actions(&self.matrix, &role.id);
        let titles = self.live.type_titles();
        RoleChoice {
            id: role.id.to_string(),
            title: role.title.clone(),
            summary: role.summary.clone(),
            can: w::some_actions(titles, &can, CAN_SHOWN),
            cannot: w::some_actions(titles, &cannot, CANNOT_SHOWN),
            held: w::people_have_it(self.held.get(&role.id).copied().unwrap_or_default()),
            administers: self.live.administering().contains(&role.id),
            closed: (!self.gives.contains(&role.id)).then(|| w::MAY_NOT_GIVE.to_owned()),
            chosen: role.id.as_str() == chosen,
        }
    }
}
