//! Members: create, show, find, list, edit, suspend, restore, remove.
//!
//! Each change is one transition of the store, which alone guards what must hold; here are only
//! the checks that need the live policies. Decisions see a change before the caller's answer.

use std::sync::Arc;

use super::permit::Permit;
use super::whole::whole;
use super::{refresh, roles};
use crate::app::App;
use crate::domain::{Email, Failure, Kind, Member, MemberId, Name, RoleId, Status, Version};
use crate::entropy;
use crate::store::{Committed, MemberEdit, MemberFilter, Page, Removal, Target};

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
    fn target<'a>(&'a self, permit: &'a Permit) -> Target<'a> {
        Target { account: permit.account(), id: &self.id, expected: self.expected }
    }
}

/// Makes one active member, as an import of one line does.
///
/// # Errors
/// `Invalid`, code `unknown_role`; `Conflict`, code `already_member` or `id_taken`; `NotFound`,
/// code `unknown_account`; `Internal`.
pub async fn create(
    app: &Arc<App>,
    permit: Permit,
    new: NewMember,
) -> Result<Committed<Member>, Failure> {
    let id = match new.id {
        Some(id) => id,
        None => MemberId::from_random(entropy::random()?),
    };
    let member = Member {
        id,
        account: permit.account().clone(),
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
        refresh::seen(&app, app.store.member_create(permit.actor(), member).await).await
    })
    .await
}

/// One member of the permit's account.
///
/// # Errors
/// `NotFound`, code `unknown_member`, also for a member of another account; `Internal`.
pub async fn show(app: &App, permit: &Permit, id: &MemberId) -> Result<Member, Failure> {
    let member = app.store.member(id).await?;
    member.filter(|member| member.account == *permit.account()).ok_or_else(unknown)
}

/// The member with this address, where there is one.
///
/// # Errors
/// `Internal`, when the disk fails.
pub async fn by_email(
    app: &App,
    permit: &Permit,
    email: &Email,
) -> Result<Option<Member>, Failure> {
    app.store.member_by_email(permit.account(), email.key()).await
}

/// One page of the account's members, ordered by address.
///
/// # Errors
/// `Invalid`, code `unknown_role`, since a filter by a role that does not exist is a slip of the
/// hand, and an empty list would hide it; `Invalid` for a cursor that is none; `Internal`.
pub async fn list(
    app: &App,
    permit: &Permit,
    filter: &MemberFilter,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Member>, Failure> {
    if let Some(role) = &filter.role {
        roles::known(app, role)?;
    }
    app.store.members(permit.account(), filter, after, limit).await
}

/// Changes names, address or role.
///
/// # Errors
/// `Invalid`, code `unknown_role`; `NotFound`, code `unknown_member`; `Stale`; `Conflict`, code
/// `already_member`; `Internal`.
pub async fn edit(
    app: &Arc<App>,
    permit: Permit,
    chosen: Chosen,
    edit: MemberEdit,
) -> Result<Committed<Member>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        let _giving = roles::giving(&app, &edit.role).await?;
        refresh::seen(
            &app,
            app.store.member_edit(permit.actor(), chosen.target(&permit), edit).await,
        )
        .await
    })
    .await
}

/// Suspends: the member may do nothing until restored.
///
/// # Errors
/// `NotFound`, code `unknown_member`; `Stale`; `Conflict`, code `already_suspended`; `Internal`.
pub async fn suspend(
    app: &Arc<App>,
    permit: Permit,
    chosen: Chosen,
) -> Result<Committed<Member>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        refresh::seen(&app, app.store.member_suspend(permit.actor(), chosen.target(&permit)).await)
            .await
    })
    .await
}

/// Restores a suspended member.
///
/// # Errors
/// `NotFound`, code `unknown_member`; `Stale`; `Conflict`, code `already_active`; `Internal`.
pub async fn restore(
    app: &Arc<App>,
    permit: Permit,
    chosen: Chosen,
) -> Result<Committed<Member>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        refresh::seen(&app, app.store.member_restore(permit.actor(), chosen.target(&permit)).await)
            .await
    })
    .await
}

/// Removes a member, and with it all that the member could still act by.
///
/// # Errors
/// `NotFound`, code `unknown_member`; `Stale`; `Internal`.
pub async fn remove(
    app: &Arc<App>,
    permit: Permit,
    chosen: Chosen,
) -> Result<Committed<Removal>, Failure> {
    let app = Arc::clone(app);
    whole(async move {
        refresh::seen(&app, app.store.member_remove(permit.actor(), chosen.target(&permit)).await)
            .await
    })
    .await
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
