//! Members: create, show, find, list, edit, suspend, restore, remove, and bulk changes.
//!
//! Each flow checks its own right first. Each change is one transaction of the store, which
//! enforces the invariants; only the checks that need the live policies are here. Decisions see a
//! change before the caller gets the response.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::permit::{Caller, Permit, Right, could_give};
use super::whole::whole;
use super::{refresh, roles};
use crate::app::App;
use crate::domain::{
    AccountSlug, Email, Failure, Kind, Member, MemberId, Name, RoleId, Status, Version,
};
use crate::entropy;
use crate::store::personal::Seen;
use crate::store::roster::{Roster, RosterQuery};
use crate::store::{Committed, MemberEdit, MemberFilter, Page, Removal, Target};

/// How many administrators are named to whoever must ask one.
const ADMINISTRATORS_NAMED: usize = 5;

/// What a new member is made of.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// The id that services know the person by already; made where absent.
    pub id: Option<MemberId>,
    /// The address.
    pub email: Email,
    /// Given name.
    pub first_name: Name,
    /// Family name.
    pub last_name: Name,
    /// The role.
    pub role: RoleId,
}

/// Which member a change is about, and in which version the caller saw it.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The member.
    pub id: MemberId,
    /// `If-Match`; `None` takes the member as it is.
    pub expected: Option<Version>,
}

impl Chosen {
    pub(super) fn target<'a>(&'a self, account: &'a AccountSlug) -> Target<'a> {
        Target { account, id: &self.id, expected: self.expected }
    }
}

/// Makes one active member, as an import of one line does. For the operator of the sidecar:
/// everybody else invites.
///
/// # Errors
/// `Denied` `operator_only`; `Invalid` `unknown_role`; `Conflict` `already_member`,
/// `already_invited` or `id_taken`; `NotFound` `unknown_account`; `Busy`.
pub async fn create(
    app: &Arc<App>,
    caller: Caller,
    new: NewMember,
) -> Result<Committed<Member>, Failure> {
    caller.must_be_sidecar()?;
    let id = match new.id {
        Some(id) => id,
        None => MemberId::from_random(entropy::random()?),
    };
    let member = Member {
        id,
        account: caller.account().clone(),
        email: new.email,
        first_name: new.first_name,
        last_name: new.last_name,
        role: new.role,
        status: Status::Active,
        two_step: false,
        joined: app.clock.now(),
        version: Version::FIRST,
    };
    let app = Arc::clone(app);
    whole(async move {
        let _giving = roles::giving(&app, [&member.role]).await?;
        refresh::seen(&app, app.store.member_create(&caller.actor(), member).await).await
    })
    .await
}

/// One member of the caller's account.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`, also for a member of another account;
/// `Busy`.
pub async fn show(app: &App, caller: Caller, id: &MemberId) -> Result<Member, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    found(app, permit.account(), id).await
}

/// A member of an account.
pub(super) async fn found(
    app: &App,
    account: &AccountSlug,
    id: &MemberId,
) -> Result<Member, Failure> {
    let member = app.store.member(id).await?;
    member.filter(|member| member.account == *account).ok_or_else(unknown)
}

/// The member with this address, where there is one.
///
/// # Errors
/// `Denied` `not_allowed`; `Busy`.
pub async fn by_email(app: &App, caller: Caller, email: &Email) -> Result<Option<Member>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    app.store.member_by_email(permit.account(), email.key()).await
}

/// One page of the account's members, ordered by address.
///
/// # Errors
/// `Denied` `not_allowed`; `Invalid` `unknown_role`, since a filter by a role that does not exist
/// is a slip of the hand, and an empty list would hide it; `Invalid` for a cursor that is none;
/// `Busy`.
pub async fn list(
    app: &App,
    caller: Caller,
    filter: &MemberFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Member>, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    filter.roles.iter().try_for_each(|role| roles::known(app, role))?;
    app.store.members(permit.account(), filter, after, limit).await
}

/// Some of those who administer an account, for whoever must ask one; none where it cannot be
/// found out. Anybody on the account may know who they are.
pub async fn administrators(app: &App, account: &AccountSlug) -> Vec<Member> {
    let roles: Vec<RoleId> = app.policies.load().administering().iter().cloned().collect();
    if roles.is_empty() {
        return Vec::new();
    }
    let filter = MemberFilter { roles, status: Some(Status::Active), ..MemberFilter::default() };
    let page = app.store.members(account, &filter, None, ADMINISTRATORS_NAMED).await;
    page.map(|page| page.items).unwrap_or_default()
}

/// How many members of the account hold each role.
///
/// # Errors
/// As [`roster`].
pub async fn held(app: &App, caller: Caller) -> Result<BTreeMap<RoleId, usize>, Failure> {
    Ok(roster(app, caller, &RosterQuery { limit: 1, ..RosterQuery::default() }).await?.held)
}

/// One page of the account's members in any order, with the counts that stand beside the table of
/// a team.
///
/// # Errors
/// As [`list`]; `Invalid` also for a cursor of another order, and for two.
pub async fn roster(app: &App, caller: Caller, query: &RosterQuery) -> Result<Roster, Failure> {
    let permit = Permit::authorize(app, caller, [Right::VIEW_TEAM]).await?;
    query.filter.roles.iter().try_for_each(|role| roles::known(app, role))?;
    app.store.roster(permit.account(), query).await
}

/// When the members of a page signed in last, for whoever was given the page.
///
/// # Errors
/// `Busy`.
pub async fn seen(app: &App, page: Page<Member>) -> Result<Page<Seen>, Failure> {
    Ok(Page { items: app.store.seen(page.items).await?, next: page.next })
}

/// When a member signed in last, for whoever was given the member.
///
/// # Errors
/// `NotFound` `unknown_member`, never in practice; `Busy`.
pub async fn seen_one(app: &App, member: Member) -> Result<Seen, Failure> {
    app.store.seen(vec![member]).await?.pop().ok_or_else(unknown)
}

/// Changes names or role; the address is the member's own to change, and the operator's of the
/// sidecar.
///
/// # Errors
/// `Denied` `not_allowed`, `operator_only`; `Invalid` `unknown_role`; `NotFound`
/// `unknown_member`; `Stale`; `Conflict` `already_member`, `already_invited`, `own_role`,
/// `last_administrator`, `moved_on`; `Busy`.
pub async fn edit(
    app: &Arc<App>,
    caller: Caller,
    mut chosen: Chosen,
    mut edit: MemberEdit,
) -> Result<Committed<Member>, Failure> {
    if edit.email.is_some() && !caller.is_sidecar() {
        return Err(Failure {
            kind: Kind::Denied,
            code: "operator_only",
            ..Failure::invalid(
                "email",
                "an address is changed by its owner, who confirms it at both ends: ask the member to, or remove the member and invite the new address",
            )
        });
    }
    let app = Arc::clone(app);
    whole(async move {
        let _giving = roles::giving(&app, &edit.role).await?;
        let before = found(&app, caller.account(), &chosen.id).await;
        let mut rights = vec![Right::edit(chosen.id.clone())];
        if let (Ok(before), Some(role)) = (&before, &edit.role)
            && before.role != *role
        {
            // Who may not give a role may not take it away either: else a role with fewer rights
            // could demote one with more.
            rights.extend([Right::assign(role.clone()), Right::assign(before.role.clone())]);
            edit.still_invites = could_give(&app, before, role, &Right::INVITE);
            edit.still_makes_tokens = could_give(&app, before, role, &Right::EDIT_TEAM);
            // What was judged is this version and no later one.
            chosen.expected = chosen.expected.or(Some(before.version));
        }
        let permit = Permit::authorize(&app, caller, rights).await?;
        before?;
        let (store, account) = (&app.store, &permit.account().clone());
        let (chosen, edit) = (&chosen, &edit);
        let change = move |by| async move {
            store.member_edit(&by, chosen.target(account), edit.clone()).await
        };
        let done = permit.run(&app, change).await;
        refresh::seen(&app, done).await
    })
    .await
}

/// Suspends: every session ends, and the member cannot sign in until restored. What decisions say
/// is up to the policies.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Stale`; `Conflict` `already_suspended`,
/// `last_administrator`, `moved_on`; `Busy`.
pub async fn suspend(
    app: &Arc<App>,
    caller: Caller,
    chosen: Chosen,
) -> Result<Committed<Member>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        let (_still, permit) = may_end(&app, caller, &chosen, Right::edit).await?;
        let (store, account) = (&app.store, &permit.account().clone());
        let chosen = &chosen;
        let change =
            move |by| async move { store.member_suspend(&by, chosen.target(account)).await };
        let done = permit.run(&app, change).await;
        refresh::seen(&app, done).await
    })
    .await
}

/// Restores a suspended member.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Stale`; `Conflict` `already_active`,
/// `moved_on`; `Busy`.
pub async fn restore(
    app: &Arc<App>,
    caller: Caller,
    chosen: Chosen,
) -> Result<Committed<Member>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        let (_still, permit) = may_end(&app, caller, &chosen, Right::edit).await?;
        let (store, account) = (&app.store, &permit.account().clone());
        let chosen = &chosen;
        let change =
            move |by| async move { store.member_restore(&by, chosen.target(account)).await };
        let done = permit.run(&app, change).await;
        refresh::seen(&app, done).await
    })
    .await
}

/// Removes a member, and with it all that the member could still act by.
///
/// # Errors
/// `Denied` `not_allowed`; `NotFound` `unknown_member`; `Stale`; `Conflict` `last_administrator`,
/// `moved_on`; `Busy`.
pub async fn remove(
    app: &Arc<App>,
    caller: Caller,
    chosen: Chosen,
) -> Result<Committed<Removal>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        let (_still, permit) = may_end(&app, caller, &chosen, Right::remove).await?;
        let (store, account) = (&app.store, &permit.account().clone());
        let chosen = &chosen;
        let change =
            move |by| async move { store.member_remove(&by, chosen.target(account)).await };
        let done = permit.run(&app, change).await;
        refresh::seen(&app, done).await
    })
    .await
}

/// The permit for what takes a member's access away or gives it back. The right is asked before
/// anything is told of the member, and the policies stand still until the change is made.
async fn may_end<'a>(
    app: &'a App,
    caller: Caller,
    chosen: &Chosen,
    right: impl FnOnce(MemberId) -> Right,
) -> Result<(roles::Giving<'a>, Permit), Failure> {
    let still = roles::giving(app, []).await?;
    let permit = Permit::authorize(app, caller, [right(chosen.id.clone())]).await?;
    Ok((still, permit))
}

/// The failure for an id that names nobody here.
#[must_use]
pub fn unknown() -> Failure {
    Failure::new(
        Kind::NotFound,
        "unknown_member",
        "there is no such member on this account: `kwic-team member list` shows the members",
    )
}
