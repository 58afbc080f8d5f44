//! Rights, and who has them by the live policies.
//!
//! Asks about a member's record as the store has it, or a member as decisions see it now. To
//! change something, take a `Permit`: these answers do not authorize.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::app::App;
use crate::domain::access_query::Record;
use crate::domain::{
    AccountSlug, EntityRef, InviteId, Member, MemberId, MemberView, Query, RoleId, Status, Value,
};
use crate::engine::{Members, QueryContext, Snapshot};
use crate::services::cross_check_fallback::evaluate_trusted;

/// What a right is asked on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RightTarget {
    /// The caller's account.
    Account,
    /// A member.
    Member(MemberId),
    /// An invite.
    Invite(InviteId),
}

/// One right: an action on a target, and for `roles:assign` the role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    pub(super) action: &'static str,
    on: RightTarget,
    pub(super) role: Option<RoleId>,
}

impl Right {
    /// `team:view` on the account.
    pub const VIEW_TEAM: Self = Self::on_account("team:view");
    /// `team:invite` on the account.
    pub const INVITE: Self = Self::on_account("team:invite");
    /// `team:edit` on the account.
    pub const EDIT_TEAM: Self = Self::on_account("team:edit");
    /// `settings:view` on the account.
    pub const VIEW_SETTINGS: Self = Self::on_account("settings:view");
    /// `settings:edit` on the account.
    pub const EDIT_SETTINGS: Self = Self::on_account("settings:edit");

    const fn on_account(action: &'static str) -> Self {
        Self { action, on: RightTarget::Account, role: None }
    }

    /// `team:edit` on a member.
    #[must_use]
    pub const fn edit(id: MemberId) -> Self {
        Self { action: "team:edit", on: RightTarget::Member(id), role: None }
    }

    /// `team:remove` on a member.
    #[must_use]
    pub const fn remove(id: MemberId) -> Self {
        Self { action: "team:remove", on: RightTarget::Member(id), role: None }
    }

    /// `team:invite` on an invite.
    #[must_use]
    pub const fn change_invite(id: InviteId) -> Self {
        Self { action: "team:invite", on: RightTarget::Invite(id), role: None }
    }

    /// `roles:assign` of a role, on the account.
    #[must_use]
    pub const fn assign(role: RoleId) -> Self {
        Self { action: "roles:assign", on: RightTarget::Account, role: Some(role) }
    }
}

/// The first right that a member lacks by the live policies.
pub(super) fn first_denied<'r>(
    app: &App,
    member: &Member,
    rights: &'r [Right],
) -> Option<&'r Right> {
    rights.iter().find(|right| !holds(app, member, right))
}

/// The roles that a member could give with another role, if that role has `also`.
pub(super) fn could_give(
    app: &App,
    member: &Member,
    role: &RoleId,
    also: &Right,
) -> BTreeSet<RoleId> {
    let member = Member { role: role.clone(), ..member.clone() };
    if !holds(app, &member, also) {
        return BTreeSet::new();
    }
    let live = app.policies.load();
    let roles = live.roles().iter().map(|card| card.id.clone());
    roles.filter(|role| holds(app, &member, &Right::assign(role.clone()))).collect()
}

/// Whether a member may create API tokens with a role: needs to edit the team and to give the role.
pub(super) fn may_give(app: &App, maker: &Member, role: &RoleId) -> bool {
    app.policies.load().has_role(role) && giving(role).iter().all(|right| holds(app, maker, right))
}

/// The same for the member as decisions see it now.
pub(super) fn may_give_now(
    app: &App,
    maker: &MemberId,
    account: &AccountSlug,
    role: &RoleId,
) -> bool {
    let live = app.policies.load();
    let may = |right: &Right| allows(&live, &*app.directory, app, maker, account, right);
    live.has_role(role) && giving(role).iter().all(may)
}

/// The rights for creating a token with a role.
pub(super) fn giving(role: &RoleId) -> [Right; 2] {
    [Right::EDIT_TEAM, Right::assign(role.clone())]
}

/// What a member may do on the own account, for display only: each service checks for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RightsSummary {
    /// See who is on the team.
    pub view_team: bool,
    /// Invite somebody.
    pub invite: bool,
    /// Change members, suspend and restore them.
    pub edit: bool,
    /// Remove members.
    pub remove: bool,
    /// See the account's settings.
    pub view_settings: bool,
    /// Change the account's settings.
    pub edit_settings: bool,
    /// The roles that may be given.
    pub gives: BTreeSet<RoleId>,
}

impl RightsSummary {
    /// Whether some role may be given to members.
    #[must_use]
    pub fn may_change_roles(&self) -> bool {
        self.edit && !self.gives.is_empty()
    }
}

/// The rights of a member by the live policies.
#[must_use]
pub fn of(app: &App, member: &Member) -> RightsSummary {
    let has = |right: &Right| holds(app, member, right);
    let remove = Right { action: "team:remove", on: RightTarget::Account, role: None };
    let live = app.policies.load();
    let roles = live.roles().iter().map(|card| card.id.clone());
    RightsSummary {
        view_team: has(&Right::VIEW_TEAM),
        invite: has(&Right::INVITE),
        edit: has(&Right::EDIT_TEAM),
        remove: has(&remove),
        view_settings: has(&Right::VIEW_SETTINGS),
        edit_settings: has(&Right::EDIT_SETTINGS),
        gives: roles.filter(|role| has(&Right::assign(role.clone()))).collect(),
    }
}

/// Whether a member may give a role by the live policies, which may no longer have it.
#[must_use]
pub fn may_assign(app: &App, member: &Member, role: &RoleId) -> bool {
    holds(app, member, &Right::assign(role.clone()))
}

/// One member as stored; all others as decisions see them.
struct StoreBackedMember<'a> {
    app: &'a App,
    member: &'a Member,
}

impl Members for StoreBackedMember<'_> {
    fn with<R>(&self, id: &str, read: impl FnOnce(MemberView<'_>) -> R) -> Option<R> {
        if id == self.member.id.as_str() {
            return Some(read(self.member.view()));
        }
        self.app.directory.with(id, read)
    }
}

fn holds(app: &App, member: &Member, right: &Right) -> bool {
    // Also for a policy folder without a rule about suspension.
    if member.status != Status::Active {
        return false;
    }
    let members = StoreBackedMember { app, member };
    allows(&app.policies.load(), &members, app, &member.id, &member.account, right)
}

/// Asks the policies about a member of an account, which `members` has.
fn allows(
    live: &Snapshot,
    members: &impl Members,
    app: &App,
    member: &MemberId,
    of: &AccountSlug,
    right: &Right,
) -> bool {
    let text = |text: &str| Value::String(Cow::Owned(text.to_owned()));
    let account: Record<'_> = vec![(Cow::Borrowed("account"), text(of.as_str()))];
    let on_account = ("account", of.as_str());
    let (kind, id) = match &right.on {
        RightTarget::Account => on_account,
        // A member of another account is treated as unknown: a caller with the right learns that
        // there is no such member, others that the right is missing.
        RightTarget::Member(id) if !is_of(app, id, of) => on_account,
        RightTarget::Member(id) => ("user", id.as_str()),
        // A folder may have no entity type for invites; then its account is used.
        RightTarget::Invite(_) if !live.knows_type("invite") => on_account,
        RightTarget::Invite(id) => ("invite", id.as_str()),
    };
    let role = right.role.as_ref().map(|role| (Cow::Borrowed("role"), text(role.as_str())));
    let context: Record<'_> = role.into_iter().collect();
    let query = Query {
        subject: EntityRef { kind: "user", id: member.as_str(), properties: &[] },
        action: right.action,
        action_properties: &[],
        resource: EntityRef { kind, id, properties: &account },
        context: &context,
    };
    let world = QueryContext { members, single_account: None };
    evaluate_trusted(app, live, &query, &world, false).allowed
}

fn is_of(app: &App, id: &MemberId, account: &AccountSlug) -> bool {
    app.directory.with(id.as_str(), |found| found.account == account.as_str()) == Some(true)
}
