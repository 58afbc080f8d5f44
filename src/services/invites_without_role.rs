//! Pending invitations whose role the policies no longer have.
//!
//! They do not keep the role there, as members do: nobody can accept them until they are changed. So
//! the administrator who removes the role is told how many there are, and can ask later, too.

use std::collections::BTreeMap;

use crate::app::App;
use crate::domain::{AccountSlug, Failure, InviteState, RoleId, limits};
use crate::engine::Snapshot;
use crate::store::requests_and_views::invites::InviteFilter;

/// A sentence for each account and each role that this set does not have and that pending
/// invitations give.
pub(super) async fn notes(app: &App, set: &Snapshot) -> Vec<String> {
    let orphaned = match count(app, set).await {
        Ok(orphaned) => orphaned,
        Err(fault) => {
            return vec![format!(
                "pending invites whose role was removed could not be counted: {}",
                fault.public
            )];
        }
    };
    let sentence = |((account, role), open): ((AccountSlug, RoleId), usize)| {
        let (invites, them) = match open {
            1 => ("1 pending invite is".to_owned(), "it"),
            _ => (format!("{open} pending invites are"), "them"),
        };
        format!(
            "`{account}`: {invites} for the role `{role}`, which was removed, and cannot be accepted: edit {them} and choose another role (`kwic-team invite edit --role`), or revoke {them}"
        )
    };
    orphaned.into_iter().map(sentence).collect()
}

async fn count(
    app: &App,
    set: &Snapshot,
) -> Result<BTreeMap<(AccountSlug, RoleId), usize>, Failure> {
    let filter = InviteFilter { states: vec![InviteState::Pending], ..InviteFilter::default() };
    let mut orphaned = BTreeMap::new();
    for account in app.store.accounts().await? {
        let mut after = None;
        loop {
            let (slug, most) = (&account.slug, limits::PAGE_ITEMS_MAX);
            let page = app.store.invites(slug, &filter, after.as_deref(), most).await?;
            for view in page.items.into_iter().filter(|view| !set.has_role(&view.invite.role)) {
                *orphaned.entry((slug.clone(), view.invite.role)).or_insert(0) += 1;
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    Ok(orphaned)
}
