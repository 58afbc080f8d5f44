//! Open invites with a role that a new policy set no longer has.
//!
//! Unlike members, they do not keep a role from being removed: nobody can accept them until they
//! are changed. So the administrator who removes the role is told how many there are.

use std::collections::BTreeMap;

use crate::app::App;
use crate::domain::{Failure, InviteState, RoleId, limits};
use crate::engine::Snapshot;
use crate::store::invites::InviteFilter;

/// A sentence for each removed role that open invites have.
pub(super) async fn notes(app: &App, before: &Snapshot, after: &Snapshot) -> Vec<String> {
    let gone = before.roles().iter().map(|card| &card.id).filter(|id| !after.has_role(id));
    let mut gone: BTreeMap<RoleId, usize> = gone.map(|id| (id.clone(), 0)).collect();
    if gone.is_empty() {
        return Vec::new();
    }
    if let Err(fault) = count(app, &mut gone).await {
        return vec![format!(
            "open invites whose role is gone could not be counted: {}",
            fault.public
        )];
    }
    let sentence = |(role, open): (RoleId, usize)| {
        let invites =
            if open == 1 { "1 open invite names" } else { &format!("{open} open invites name") };
        format!(
            "{invites} the role `{role}`, which is gone, and cannot be accepted: give them another role (`kwic-team invite edit`), or revoke them"
        )
    };
    gone.into_iter().filter(|(_, open)| *open > 0).map(sentence).collect()
}

async fn count(app: &App, gone: &mut BTreeMap<RoleId, usize>) -> Result<(), Failure> {
    for account in app.store.accounts().await? {
        for (role, open) in gone.iter_mut() {
            let filter = InviteFilter {
                role: Some(role.clone()),
                states: vec![InviteState::Pending],
                ..InviteFilter::default()
            };
            let mut after = None;
            loop {
                let (slug, most) = (&account.slug, limits::PAGE_ITEMS_MAX);
                let page = app.store.invites(slug, &filter, after.as_deref(), most).await?;
                *open += page.items.len();
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
    }
    Ok(())
}
